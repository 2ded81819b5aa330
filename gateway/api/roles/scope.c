#include "gateway/api/roles/scope.h"

static bool begins(const char *text, const char *with, const char **rest)
{
    size_t len = strlen(with);
    *rest = text + len;
    return strncmp(text, with, len) == 0 && (text[len] == '/' || text[len] == '\0');
}

struct role_scope gw_route_scope(const struct gw_route *route, const struct kw_span *params)
{
    const char *rest;
    if (!begins(route->pattern, "/keys", &rest) && !begins(route->pattern, "/deletedkeys", &rest))
        return (struct role_scope){.level = ROLE_AT_ROOT};
    if (strncmp(rest, "/{}", 3) == 0)
        return (struct role_scope){.level = ROLE_AT_KEY, .key = params[0]};
    return (struct role_scope){.level = ROLE_AT_KEYS};
}
