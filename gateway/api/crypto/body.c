#include "gateway/api/crypto/body.h"

#include <stddef.h>

#include "gateway/api/json/read.h"

struct member {
    const char *name;
    size_t len, offset;
    bool batch;
};

#define MEMBER(name_, batch_)                                                                      \
    {                                                                                              \
#name_, sizeof #name_ - 1, offsetof(struct gw_crypto_body, name_), batch_                  \
    }

static const struct member members[] = {
    MEMBER(alg, false), MEMBER(value, false), MEMBER(digest, false),
    MEMBER(iv, false),  MEMBER(aad, false),   MEMBER(tag, false),
    MEMBER(key, true),  MEMBER(op, true),     MEMBER(id, true),
};

#define MEMBER_COUNT (sizeof members / sizeof members[0])

static struct kw_span *slot(struct gw_crypto_body *body, const struct member *member)
{
    return (struct kw_span *)((char *)body + member->offset);
}

static const uint8_t *skip_space(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

/* A string without escapes, of printable ASCII. NULL when it is not one. */
static const uint8_t *plain_string(const uint8_t *at, const uint8_t *end, struct kw_span *out)
{
    if (at == end || *at != '"')
        return NULL;
    const uint8_t *from = ++at;
    while (at < end && *at != '"') {
        if (*at < 0x20 || *at >= 0x7f || *at == '\\')
            return NULL;
        at++;
    }
    if (at == end)
        return NULL;
    *out = kw_span_of(from, (size_t)(at - from));
    return at + 1;
}

static struct kw_span *slot_of(struct gw_crypto_body *body, struct kw_span name)
{
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if (members[i].len == name.len && memcmp(members[i].name, name.data, name.len) == 0)
            return slot(body, &members[i]);
    }
    return NULL;
}

bool gw_crypto_body_scan(struct kw_span json, struct gw_crypto_body *out)
{
    const uint8_t *at = json.data, *end = at + json.len;
    *out = (struct gw_crypto_body){0};
    at = skip_space(at, end);
    if (at == end || *at++ != '{')
        return false;
    for (;;) {
        struct kw_span name;
        at = plain_string(skip_space(at, end), end, &name);
        if (!at)
            return false;
        at = skip_space(at, end);
        struct kw_span *to = slot_of(out, name);
        /* a member twice is left to the full reader, which refuses it */
        if (!to || to->data || at == end || *at != ':')
            return false;
        at = plain_string(skip_space(at + 1, end), end, to);
        if (!at)
            return false;
        at = skip_space(at, end);
        if (at == end)
            return false;
        if (*at == '}')
            break;
        if (*at++ != ',')
            return false;
    }
    return skip_space(at + 1, end) == end && out->id.len <= GW_BATCH_ID_MAX;
}

static bool parse_member(const json_t *root, const struct member *member, struct gw_arena *arena,
                         struct gw_crypto_body *out, struct gw_fault *fault)
{
    struct kw_span text, *to = slot(out, member);
    size_t max = to == &out->id ? GW_BATCH_ID_MAX : SIZE_MAX;
    if (!gw_json_string(root, member->name, max, &text, fault))
        return false;
    if (!text.data)
        return true;
    char *copy = gw_arena_strndup(arena, (const char *)text.data, text.len);
    if (!copy)
        return gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
    *to = kw_span_of(copy, text.len);
    return true;
}

bool gw_crypto_body_parse(struct kw_span json, bool batch, struct gw_arena *arena,
                          struct gw_crypto_body *out, struct gw_fault *fault)
{
    *out = (struct gw_crypto_body){0};
    json_t *root = gw_json_parse(json, fault);
    if (!root)
        return false;
    bool ok = true;
    /* from the end of the table: an element that is wrong elsewhere still has its id */
    for (size_t i = MEMBER_COUNT; ok && i-- > 0;) {
        if (batch || !members[i].batch)
            ok = parse_member(root, &members[i], arena, out, fault);
    }
    json_decref(root);
    return ok;
}

bool gw_crypto_body_read(struct kw_span json, bool batch, struct gw_arena *arena,
                         struct gw_crypto_body *out, struct gw_fault *fault)
{
    return gw_crypto_body_scan(json, out) || gw_crypto_body_parse(json, batch, arena, out, fault);
}
