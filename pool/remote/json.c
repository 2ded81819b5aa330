#include "pool/remote/json.h"

struct reader {
    const uint8_t *at, *end;
    struct pool_remote_json_want *wants;
    size_t count;
    struct kw_span parent; /* name of the member at depth 1 that is being read */
};

static void skip_space(struct reader *r)
{
    while (r->at < r->end &&
           (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) {
        r->at++;
    }
}

static bool take(struct reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != (uint8_t)c) {
        return false;
    }
    r->at++;
    return true;
}

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool escape(struct reader *r)
{
    if (r->at == r->end) {
        return false;
    }
    uint8_t c = *r->at++;
    if (c != 'u') {
        return c != 0 && strchr("\"\\/bfnrt", c) != NULL;
    }
    for (int i = 0; i < 4; i++) {
        if (r->at == r->end || !is_hex(*r->at++)) {
            return false;
        }
    }
    return true;
}

/* `plain`: without escapes, of printable ASCII. */
static bool string(struct reader *r, struct kw_span *out, bool *plain)
{
    if (!take(r, '"')) {
        return false;
    }
    const uint8_t *from = r->at;
    *plain = true;
    while (r->at < r->end) {
        uint8_t c = *r->at++;
        if (c == '"') {
            *out = kw_span_of(from, (size_t)(r->at - 1 - from));
            return true;
        }
        if (c < 0x20 || (c == '\\' && !escape(r))) {
            return false;
        }
        *plain = *plain && c != '\\' && c < 0x7f;
    }
    return false;
}

static bool digits(struct reader *r)
{
    const uint8_t *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        r->at++;
    }
    return r->at > from;
}

static bool number(struct reader *r)
{
    if (r->at < r->end && *r->at == '-') {
        r->at++;
    }
    const uint8_t *from = r->at;
    if (!digits(r) || (*from == '0' && r->at - from > 1)) {
        return false;
    }
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (!digits(r)) {
            return false;
        }
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-')) {
            r->at++;
        }
        return digits(r);
    }
    return true;
}

static bool word(struct reader *r, const char *text)
{
    size_t len = strlen(text);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, text, len) != 0) {
        return false;
    }
    r->at += len;
    return true;
}

static struct pool_remote_json_want *wanted(struct reader *r, unsigned depth, struct kw_span name)
{
    for (size_t i = 0; i < r->count; i++) {
        struct pool_remote_json_want *want = &r->wants[i];
        bool here = want->parent == NULL
                        ? depth == 1
                        : depth == 2 && kw_span_equal(r->parent, kw_span_str(want->parent));
        if (here && kw_span_equal(name, kw_span_str(want->name))) {
            return want;
        }
    }
    return NULL;
}

static bool value(struct reader *r, unsigned depth, struct pool_remote_json_want *want);

static bool member(struct reader *r, unsigned depth)
{
    struct kw_span name;
    bool plain;
    if (!string(r, &name, &plain) || !take(r, ':')) {
        return false;
    }
    if (depth == 1) {
        r->parent = name;
    }
    struct pool_remote_json_want *want = plain ? wanted(r, depth, name) : NULL;
    if (want != NULL && want->type != POOL_REMOTE_JSON_ABSENT) {
        return false; /* twice: which one counts would be a guess */
    }
    return value(r, depth, want);
}

static bool items(struct reader *r, unsigned depth, char close)
{
    if (depth > POOL_REMOTE_JSON_DEPTH) {
        return false;
    }
    if (take(r, close)) {
        return true;
    }
    do {
        /* an array's elements count as one level more, so that objects in them are never mistaken
         * for the object of that name */
        if (close == '}' ? !member(r, depth) : !value(r, depth + 1, NULL)) {
            return false;
        }
    } while (take(r, ','));
    return take(r, close);
}

static bool value(struct reader *r, unsigned depth, struct pool_remote_json_want *want)
{
    struct kw_span text;
    bool plain;
    skip_space(r);
    if (r->at == r->end) {
        return false;
    }
    switch (*r->at) {
    case '{':
        r->at++;
        return want == NULL && items(r, depth + 1, '}');
    case '[':
        r->at++;
        return want == NULL && items(r, depth + 1, ']');
    case '"':
        if (!string(r, &text, &plain)) {
            return false;
        }
        if (want != NULL) {
            want->type = POOL_REMOTE_JSON_STRING;
            want->text = text;
        }
        return want == NULL || plain;
    case 't':
    case 'f':
        if (want != NULL) {
            want->type = *r->at == 't' ? POOL_REMOTE_JSON_TRUE : POOL_REMOTE_JSON_FALSE;
        }
        return word(r, *r->at == 't' ? "true" : "false");
    case 'n':
        return word(r, "null"); /* as if it were absent */
    default:
        return want == NULL && number(r);
    }
}

kw_status pool_remote_json_read(struct kw_span json, struct pool_remote_json_want *wants,
                                size_t count)
{
    struct reader r = {json.data, json.data + json.len, wants, count, {0}};
    for (size_t i = 0; i < count; i++) {
        wants[i].type = POOL_REMOTE_JSON_ABSENT;
        wants[i].text = (struct kw_span){0};
    }
    if (json.len == 0 || !take(&r, '{') || !items(&r, 1, '}')) {
        return KW_E_INPUT;
    }
    skip_space(&r);
    return r.at == r.end ? KW_OK : KW_E_INPUT;
}
