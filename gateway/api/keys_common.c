#include "gateway/api/keys_common.h"

#include "gateway/api/alg_names.h"
#include "gateway/api/json_read.h"
#include "gateway/api/key_json.h"
#include "gateway/api/reply.h"

#define TAG_CHARS 256
#define TIME_MAX  253402300799 /* 9999-12-31T23:59:59Z */

static bool read_ops(const json_t *holder, struct gw_key_body *out, struct gw_fault *fault)
{
    json_t *array;
    if (!gw_json_array(holder, "key_ops", &array, fault))
        return false;
    if (!array)
        return true;
    out->has_ops = true;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        enum kw_kind kind;
        if (!json_is_string(item))
            return gw_fault_bad(fault, "Property 'key_ops' must hold strings only.");
        struct kw_span word = kw_span_of(json_string_value(item), json_string_length(item));
        if (gw_key_op_parse(word, &kind))
            out->ops |= (uint16_t)(1u << kind);
        else if (kw_span_equal(word, kw_span_str("import")))
            out->op_import = true;
        else if (kw_span_equal(word, kw_span_str("export")))
            return gw_fault_bad(fault, "Property 'key_ops' holds 'export', which only exportable "
                                       "keys can have; this service does not make them.");
        else
            return gw_fault_bad(fault, "Property 'key_ops' holds a word that is none of encrypt, "
                                       "decrypt, sign, verify, wrapKey, unwrapKey, import.");
    }
    return true;
}

/* Characters, not bytes: continuation bytes are not counted. jansson has checked the UTF-8. */
static size_t utf8_chars(const char *text, size_t len)
{
    size_t chars = 0;
    for (size_t i = 0; i < len; i++)
        chars += ((unsigned char)text[i] & 0xc0) != 0x80;
    return chars;
}

static bool read_tags(const json_t *root, struct gw_arena *arena, struct gw_key_body *out,
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
    out->tags = gw_arena_alloc(arena, VAULT_MAX_TAGS * sizeof *out->tags);
    if (!out->tags)
        return gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
    json_object_foreach(object, name, value)
    {
        if (!json_is_string(value))
            return gw_fault_bad(fault, "Property 'tags' must hold strings only.");
        const char *text = json_string_value(value);
        size_t name_len = strlen(name), text_len = json_string_length(value);
        if (utf8_chars(name, name_len) > TAG_CHARS || utf8_chars(text, text_len) > TAG_CHARS)
            return gw_fault_bad(fault, "A name or value in 'tags' is longer than %d characters.",
                                TAG_CHARS);
        struct vault_tag *tag = &out->tags[out->tag_count];
        tag->name = gw_arena_strndup(arena, name, name_len);
        tag->value = gw_arena_strndup(arena, text, text_len);
        if (!tag->name || !tag->value)
            return gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
        out->tag_count++;
    }
    return true;
}

static bool read_attributes(const json_t *root, struct gw_key_body *out, struct gw_fault *fault)
{
    json_t *attributes, *policy;
    bool exportable = false, has_exportable;
    out->enabled = true;
    if (!gw_json_object(root, "attributes", &attributes, fault) ||
        !gw_json_object(root, "release_policy", &policy, fault))
        return false;
    if (attributes &&
        (!gw_json_bool(attributes, "enabled", &out->enabled, &out->has_enabled, fault) ||
         !gw_json_int(attributes, "nbf", 0, TIME_MAX, &out->nbf, &out->has_nbf, fault) ||
         !gw_json_int(attributes, "exp", 0, TIME_MAX, &out->exp, &out->has_exp, fault) ||
         !gw_json_bool(attributes, "exportable", &exportable, &has_exportable, fault)))
        return false;
    if (exportable && !policy)
        return gw_fault_bad(fault, "AKV.SKR.1004: Exportable keys must have release policy.");
    if (exportable)
        return gw_fault_bad(fault, "Exportable keys are not offered by this service.");
    if (policy)
        return gw_fault_bad(fault, "Property 'release_policy' is for exportable keys only.");
    if (out->has_nbf && out->has_exp && out->exp < out->nbf)
        return gw_fault_bad(fault, "Property 'exp' must not be before 'nbf'.");
    return true;
}

bool gw_key_body_read(const json_t *root, const json_t *ops_holder, struct gw_arena *arena,
                      struct gw_key_body *out, struct gw_fault *fault)
{
    *out = (struct gw_key_body){0};
    return read_ops(ops_holder, out, fault) && read_attributes(root, out, fault) &&
           read_tags(root, arena, out, fault);
}

static uint16_t default_ops(enum kw_kty kty)
{
    const uint16_t sign = 1u << KW_KIND_SIGN | 1u << KW_KIND_VERIFY;
    const uint16_t cipher =
        1u << KW_KIND_ENCRYPT | 1u << KW_KIND_DECRYPT | 1u << KW_KIND_WRAP | 1u << KW_KIND_UNWRAP;
    switch (kty) {
    case KW_KTY_RSA:
        return sign | cipher;
    case KW_KTY_EC:
        return sign;
    case KW_KTY_OCT:
        break;
    }
    return cipher;
}

void gw_key_body_apply(const struct gw_key_body *body, struct vault_key_request *request)
{
    request->ops = body->has_ops ? body->ops : default_ops(request->kty);
    request->op_import = body->op_import;
    request->op_export = body->op_export;
    request->attributes.enabled = body->enabled;
    request->attributes.nbf = body->nbf;
    request->attributes.exp = body->exp;
    request->tags = body->tags;
    request->tag_count = body->tag_count;
}

struct kw_span gw_key_subject(const struct gw_request *req)
{
    if (req->param_count < 2 || req->params[1].len == 0)
        return req->params[0];
    const char *text = gw_arena_printf(req->arena, "%.*s/%.*s", (int)req->params[0].len,
                                       (const char *)req->params[0].data, (int)req->params[1].len,
                                       (const char *)req->params[1].data);
    return text ? kw_span_str(text) : req->params[0];
}

bool gw_key_name_ok(struct kw_span name)
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
        gw_reply_status(req, KW_E_NOT_FOUND, gw_key_subject(req));
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

typedef void write_fn(struct gw_out *out, const struct gw_key_view *view,
                      const struct vault_key *key);

static void reply_key(struct gw_request *req, const struct vault_key *key, write_fn *write)
{
    struct gw_key_view view = gw_key_view_of(req);
    struct gw_out out;
    gw_out_init(&out, req->arena, 2048, 1u << 20);
    write(&out, &view, key);
    gw_reply_json(req, 200, &out);
}

static void reply_not_deleted(struct gw_request *req)
{
    struct gw_fault fault;
    gw_fault_set(&fault, 404, "KeyNotFound", NULL, "Deleted Key not found: %.*s",
                 (int)req->params[0].len, (const char *)req->params[0].data);
    gw_reply_fault(req, &fault);
}

void gw_reply_bundle(void *ctx, kw_status status, struct vault_key *key)
{
    struct gw_request *req = ctx;
    if (status == KW_OK)
        reply_key(req, key, gw_key_write_bundle);
    else
        gw_reply_status(req, status, gw_key_subject(req));
    gw_request_unref(req);
}

void gw_reply_deleted(void *ctx, kw_status status, struct vault_key *key)
{
    struct gw_request *req = ctx;
    if (status == KW_OK)
        reply_key(req, key, gw_key_write_deleted_bundle);
    else
        gw_reply_status(req, status, gw_key_subject(req));
    gw_request_unref(req);
}

void gw_reply_recovered(void *ctx, kw_status status, struct vault_key *key)
{
    struct gw_request *req = ctx;
    if (status == KW_E_NOT_FOUND) {
        reply_not_deleted(req);
        gw_request_unref(req);
        return;
    }
    gw_reply_bundle(ctx, status, key);
}

void gw_reply_deleted_get(void *ctx, kw_status status, struct vault_key *key)
{
    struct gw_request *req = ctx;
    if (status == KW_E_NOT_FOUND) {
        reply_not_deleted(req);
        gw_request_unref(req);
        return;
    }
    gw_reply_deleted(ctx, status, key);
}

void gw_reply_purged(void *ctx, kw_status status, struct vault_key *key)
{
    (void)key;
    struct gw_request *req = ctx;
    if (status == KW_OK)
        gw_reply(req, 204, NULL, NULL, 0);
    else if (status == KW_E_NOT_FOUND)
        reply_not_deleted(req);
    else
        gw_reply_status(req, status, gw_key_subject(req));
    gw_request_unref(req);
}
