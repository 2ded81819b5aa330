#include "gateway/api/objects/common.h"

#include "gateway/api/json/read.h"

#define TAG_CHARS 256
#define TIME_MAX  253402300799 /* 9999-12-31T23:59:59Z */

/* --- bodies --- */

size_t gw_utf8_chars(const char *text, size_t len)
{
    size_t chars = 0;
    for (size_t i = 0; i < len; i++)
        chars += ((unsigned char)text[i] & 0xc0) != 0x80;
    return chars;
}

static bool read_tags(const json_t *root, struct gw_arena *arena, struct vault_change *out,
                      struct gw_fault *fault)
{
    json_t *object, *value;
    const char *name;
    if (!gw_json_object(root, "tags", &object, fault))
        return false;
    if (!object)
        return true;
    out->has_tags = true;
    if (json_object_size(object) > VAULT_MAX_TAGS)
        return gw_fault_bad(fault, "Property 'tags' has more than %d tags.", VAULT_MAX_TAGS);
    struct vault_tag *tags = gw_arena_alloc(arena, VAULT_MAX_TAGS * sizeof *tags);
    out->tags = tags;
    if (!tags)
        return gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
    json_object_foreach(object, name, value)
    {
        if (!json_is_string(value))
            return gw_fault_bad(fault, "Property 'tags' must hold strings only.");
        const char *text = json_string_value(value);
        size_t name_len = strlen(name), text_len = json_string_length(value);
        if (gw_utf8_chars(name, name_len) > TAG_CHARS || gw_utf8_chars(text, text_len) > TAG_CHARS)
            return gw_fault_bad(fault, "A name or value in 'tags' is longer than %d characters.",
                                TAG_CHARS);
        struct vault_tag *tag = &tags[out->tag_count];
        tag->name = gw_arena_strndup(arena, name, name_len);
        tag->value = gw_arena_strndup(arena, text, text_len);
        if (!tag->name || !tag->value)
            return gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
        out->tag_count++;
    }
    return true;
}

static bool read_attributes(const json_t *root, struct vault_change *out, struct gw_fault *fault)
{
    json_t *attributes;
    out->enabled = true;
    if (!gw_json_object(root, "attributes", &attributes, fault))
        return false;
    if (attributes &&
        (!gw_json_bool(attributes, "enabled", &out->enabled, &out->has_enabled, fault) ||
         !gw_json_int(attributes, "nbf", 0, TIME_MAX, &out->nbf, &out->has_nbf, fault) ||
         !gw_json_int(attributes, "exp", 0, TIME_MAX, &out->exp, &out->has_exp, fault)))
        return false;
    if (out->has_nbf && out->has_exp && out->exp < out->nbf)
        return gw_fault_bad(fault, "Property 'exp' must not be before 'nbf'.");
    return true;
}

bool gw_change_read(const json_t *root, struct gw_arena *arena, struct vault_change *out,
                    struct gw_fault *fault)
{
    *out = (struct vault_change){0};
    return read_attributes(root, out, fault) && read_tags(root, arena, out, fault);
}

struct vault_attributes gw_change_attributes(const struct vault_change *change)
{
    return (struct vault_attributes){
        .enabled = change->enabled, .nbf = change->nbf, .exp = change->exp};
}

/* --- paths --- */

struct kw_span gw_object_subject(const struct gw_request *req)
{
    if (req->param_count < 2 || req->params[1].len == 0)
        return req->params[0];
    const char *text = gw_arena_printf(req->arena, "%.*s/%.*s", (int)req->params[0].len,
                                       (const char *)req->params[0].data, (int)req->params[1].len,
                                       (const char *)req->params[1].data);
    return text ? kw_span_str(text) : req->params[0];
}

bool gw_object_name_ok(struct kw_span name)
{
    if (name.len < 1 || name.len > STORE_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return true;
}

bool gw_version_lower(struct kw_span text, char out[STORE_VERSION_LEN])
{
    if (text.len != STORE_VERSION_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c >= 'A' && c <= 'F')
            c = (uint8_t)(c - 'A' + 'a');
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        out[i] = (char)c;
    }
    return true;
}

bool gw_version_param(struct gw_request *req, size_t index, struct kw_span *version)
{
    *version = (struct kw_span){0};
    if (req->param_count <= index || req->params[index].len == 0)
        return true;
    char *text = gw_arena_alloc(req->arena, STORE_VERSION_LEN + 1);
    if (!text) {
        gw_reply_nomem(req);
        return false;
    }
    if (!gw_version_lower(req->params[index], text)) {
        gw_reply_status(req, KW_E_NOT_FOUND, gw_object_subject(req));
        return false;
    }
    *version = kw_span_of(text, STORE_VERSION_LEN);
    return true;
}

const char *gw_name_param(struct gw_request *req)
{
    const char *name =
        gw_arena_strndup(req->arena, (const char *)req->params[0].data, req->params[0].len);
    if (!name)
        gw_reply_nomem(req);
    return name;
}
