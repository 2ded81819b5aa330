#include "gateway/api/keys/common.h"

#include "gateway/api/crypto/alg_names.h"
#include "gateway/api/json/read.h"
#include "gateway/api/keys/key_json.h"
#include "gateway/api/reply.h"

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

static bool read_release(const json_t *root, struct gw_fault *fault)
{
    json_t *attributes, *policy;
    bool exportable = false, present;
    if (!gw_json_object(root, "attributes", &attributes, fault) ||
        !gw_json_object(root, "release_policy", &policy, fault) ||
        (attributes && !gw_json_bool(attributes, "exportable", &exportable, &present, fault)))
        return false;
    if (exportable && !policy)
        return gw_fault_bad(fault, "AKV.SKR.1004: Exportable keys must have release policy.");
    if (exportable)
        return gw_fault_bad(fault, "Exportable keys are not offered by this service.");
    if (policy)
        return gw_fault_bad(fault, "Property 'release_policy' is for exportable keys only.");
    return true;
}

bool gw_key_body_read(const json_t *root, const json_t *ops_holder, struct gw_arena *arena,
                      struct gw_key_body *out, struct gw_fault *fault)
{
    *out = (struct gw_key_body){0};
    return read_ops(ops_holder, out, fault) && read_release(root, fault) &&
           gw_change_read(root, arena, &out->common, fault);
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
    request->attributes = gw_change_attributes(&body->common);
    request->tags = body->common.tags;
    request->tag_count = body->common.tag_count;
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
    gw_fault_not_deleted(&fault, STORE_KEY, req->params[0]);
    gw_reply_fault(req, &fault);
}

void gw_reply_bundle(void *ctx, kw_status status, struct vault_key *key)
{
    struct gw_request *req = ctx;
    if (status == KW_OK)
        reply_key(req, key, gw_key_write_bundle);
    else
        gw_reply_status(req, status, gw_object_subject(req));
    gw_request_unref(req);
}

void gw_reply_deleted(void *ctx, kw_status status, struct vault_key *key)
{
    struct gw_request *req = ctx;
    if (status == KW_OK)
        reply_key(req, key, gw_key_write_deleted_bundle);
    else
        gw_reply_status(req, status, gw_object_subject(req));
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
        gw_reply_status(req, status, gw_object_subject(req));
    gw_request_unref(req);
}
