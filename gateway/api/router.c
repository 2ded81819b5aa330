#include "gateway/api/router.h"

#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

enum part_kind { PART_WORD, PART_PARAM, PART_OPTIONAL };

struct part {
    enum part_kind kind;
    struct kw_span word;
};

/* A row's pattern, cut once. */
struct pattern {
    struct part parts[GW_MAX_SEGMENTS];
    size_t count, optional, words;
};

#define MAX_ROUTES 256

static struct pattern patterns[MAX_ROUTES];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void cut(struct pattern *pattern, const char *text)
{
    while (*text) {
        size_t len = strcspn(++text, "/");
        if (len > 0) {
            if (pattern->count == GW_MAX_SEGMENTS)
                abort(); /* the table is wrong: seen by the first request of any test */
            struct part *part = &pattern->parts[pattern->count++];
            part->word = kw_span_of(text, len);
            if (len == 2 && memcmp(text, "{}", 2) == 0)
                part->kind = PART_PARAM;
            else if (len == 3 && memcmp(text, "{?}", 3) == 0)
                part->kind = PART_OPTIONAL;
            pattern->optional += part->kind == PART_OPTIONAL;
            pattern->words += part->kind == PART_WORD;
        }
        text += len;
    }
}

static void cut_all(void)
{
    if (gw_route_count > MAX_ROUTES)
        abort();
    for (size_t i = 0; i < gw_route_count; i++)
        cut(&patterns[i], gw_routes[i].pattern);
}

/* At most one optional part in a pattern, so the number of segments says whether it is there. */
static bool matches(const struct pattern *pattern, const struct gw_path *path,
                    struct gw_match_result *out)
{
    if (path->count > pattern->count || path->count + pattern->optional < pattern->count)
        return false;
    bool skip = path->count < pattern->count;
    size_t at = 0, params = 0;
    for (size_t i = 0; i < pattern->count; i++) {
        const struct part *part = &pattern->parts[i];
        if (part->kind == PART_OPTIONAL && skip) {
            out->params[params++] = kw_span_of("", 0);
            continue;
        }
        struct kw_span segment = path->segments[at++];
        if (part->kind == PART_WORD) {
            if (segment.len != part->word.len ||
                strncasecmp((const char *)segment.data, (const char *)part->word.data,
                            segment.len) != 0)
                return false;
        } else {
            out->params[params++] = segment;
        }
    }
    out->param_count = params;
    return true;
}

enum gw_match gw_router_match(enum gw_face face, enum gw_method method, const struct gw_path *path,
                              struct gw_match_result *out)
{
    pthread_once(&once, cut_all);
    enum gw_method wanted = method == GW_HEAD ? GW_GET : method;
    struct gw_match_result try = {0};
    size_t best = 0;
    bool any = false;
    *out = (struct gw_match_result){0};
    for (size_t i = 0; i < gw_route_count; i++) {
        const struct gw_route *route = &gw_routes[i];
        if (route->face != face || (any && patterns[i].words < best) ||
            !matches(&patterns[i], path, &try))
            continue;
        if (!any || patterns[i].words > best) {
            best = patterns[i].words;
            any = true;
            out->route = NULL;
            out->methods = 0;
        }
        out->methods |= 1u << route->method;
        if (route->method == wanted && !out->route) {
            out->route = route;
            out->param_count = try.param_count;
            memcpy(out->params, try.params, sizeof out->params);
        }
    }
    if (!any)
        return GW_MATCH_NO_PATH;
    return out->route ? GW_MATCH_FOUND : GW_MATCH_NO_METHOD;
}

const char *gw_router_allow(unsigned methods, struct gw_arena *arena)
{
    bool get = methods & 1u << GW_GET;
    return gw_arena_printf(
        arena, "%s%s%s%s%sOPTIONS", get ? "GET, HEAD, " : "",
        methods & 1u << GW_POST ? "POST, " : "", methods & 1u << GW_PUT ? "PUT, " : "",
        methods & 1u << GW_PATCH ? "PATCH, " : "", methods & 1u << GW_DELETE ? "DELETE, " : "");
}

unsigned gw_route_index(const struct gw_route *route)
{
    return route ? (unsigned)(route - gw_routes) : (unsigned)gw_route_count;
}
