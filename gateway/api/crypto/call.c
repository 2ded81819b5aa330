#include "gateway/api/crypto/call.h"

#include "crypto/base/clock.h"
#include "gateway/api/crypto/alg_names.h"
#include "gateway/api/json/base64url.h"
#include "gateway/api/keys/key_json.h"

static bool decode(const char *name, struct kw_span text, struct gw_arena *arena,
                   struct kw_span *out, struct gw_fault *fault)
{
    if (!text.data)
        return true;
    uint8_t *bytes = gw_arena_alloc(arena, gw_b64_decoded_room(text.len));
    size_t len = 0;
    if (!bytes)
        return gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
    if (!gw_b64_decode(bytes, &len, (const char *)text.data, text.len))
        return gw_fault_bad(fault, "Property '%s' is not valid base64url.", name);
    *out = kw_span_of(bytes, len);
    return true;
}

bool gw_call_read(struct gw_call *call, enum kw_kind kind, const struct gw_crypto_body *body,
                  struct gw_arena *arena, struct gw_fault *fault)
{
    call->kind = kind;
    if (!body->alg.data)
        return gw_fault_bad(fault, "Property 'alg' is missing.");
    call->alg = gw_alg_parse(body->alg);
    if (call->alg == KW_ALG_NONE)
        return gw_fault_bad(fault, "Property 'alg' names no algorithm of this service.");
    if (!body->value.data)
        return gw_fault_bad(fault, "Property 'value' is missing.");
    if (kind == KW_KIND_VERIFY && !body->digest.data)
        return gw_fault_bad(fault, "Property 'digest' is missing.");
    return decode("value", body->value, arena, &call->value, fault) &&
           decode("digest", body->digest, arena, &call->digest, fault) &&
           decode("iv", body->iv, arena, &call->iv, fault) &&
           decode("aad", body->aad, arena, &call->aad, fault) &&
           decode("tag", body->tag, arena, &call->tag, fault);
}

static bool check_permits(const struct gw_call *call, struct gw_fault *fault)
{
    const char *why = NULL;
    if (vault_key_permits(call->key, call->kind, kw_wall_s(), &why) == KW_OK)
        return true;
    const char *op = gw_key_op_name(call->kind);
    if (why && strcmp(why, "KeyOperationForbidden") == 0)
        return gw_fault_set(fault, 403, "Forbidden", why,
                            "Operation %s is not permitted on this key.", op);
    if (why && strcmp(why, "KeyDisabled") == 0)
        return gw_fault_set(fault, 403, "Forbidden", why,
                            "Operation %s is not allowed on a disabled key.", op);
    if (why && strcmp(why, "KeyNotYetValid") == 0)
        return gw_fault_set(fault, 403, "Forbidden", why,
                            "Operation %s is not allowed on a key that is not yet valid.", op);
    if (why && strcmp(why, "KeyExpired") == 0)
        return gw_fault_set(fault, 403, "Forbidden", why,
                            "Operation %s is not allowed on an expired key.", op);
    return gw_fault_status(fault, KW_E_FORBIDDEN, (struct kw_span){0});
}

static bool check_fit(const struct gw_call *call, const struct kc_public *pub,
                      struct gw_fault *fault)
{
    if (kw_alg_fits(call->alg, call->kind, pub->kty, pub->bits, pub->curve))
        return true;
    const struct kw_alg_info *info = kw_alg_info(call->alg);
    const char *alg = gw_alg_name(call->alg), *op = gw_key_op_name(call->kind);
    if (!(info->kinds & 1u << call->kind))
        return gw_fault_bad(fault, "Algorithm %s is not one for operation %s.", alg, op);
    if (info->kty != pub->kty)
        return gw_fault_bad(fault, "Algorithm %s does not fit key type %s.", alg,
                            gw_kty_name(pub->kty, call->key->hsm));
    if (pub->kty == KW_KTY_EC)
        return gw_fault_bad(fault, "Algorithm %s does not fit curve %s.", alg,
                            gw_curve_name(pub->curve));
    return gw_fault_bad(fault, "Algorithm %s does not fit a key of %u bits.", alg, pub->bits);
}

/* Which of iv, aad and tag go with the family and the direction. What would be left out silently is
 * refused: a caller who gives `aad` to CBC believes that it is authenticated. */
static bool check_extras(const struct gw_call *call, struct gw_fault *fault)
{
    enum kw_family family = kw_alg_info(call->alg)->family;
    bool gcm = family == KW_FAMILY_AES_GCM;
    bool cbc = family == KW_FAMILY_AES_CBC || family == KW_FAMILY_AES_CBCPAD;
    bool decrypting = call->kind == KW_KIND_DECRYPT;
    const char *alg = gw_alg_name(call->alg);
    if (call->iv.data && gcm && !decrypting)
        return gw_fault_bad(fault,
                            "Property 'iv' is made by the service for %s and must not be "
                            "given to encrypt.",
                            alg);
    if (call->iv.data && !gcm && !cbc)
        return gw_fault_bad(fault, "Property 'iv' is not used by %s.", alg);
    if (call->aad.data && !gcm)
        return gw_fault_bad(fault, "Property 'aad' is not used by %s.", alg);
    if (call->tag.data && !(gcm && decrypting))
        return gw_fault_bad(fault, "Property 'tag' is not used by this operation with %s.", alg);
    if (!call->iv.data && decrypting && (gcm || cbc))
        return gw_fault_bad(fault, "Property 'iv' is missing.");
    if (!call->tag.data && decrypting && gcm)
        return gw_fault_bad(fault, "Property 'tag' is missing.");
    size_t iv_len = gcm ? KW_GCM_IV_LEN : KW_AES_BLOCK_LEN;
    if (call->iv.data && call->iv.len != iv_len)
        return gw_fault_bad(fault, "Property 'iv' must have %zu bytes for %s.", iv_len, alg);
    if (call->tag.data && call->tag.len != KW_GCM_TAG_LEN)
        return gw_fault_bad(fault, "Property 'tag' must have %d bytes.", KW_GCM_TAG_LEN);
    return true;
}

static bool check_digest(const struct gw_call *call, struct gw_fault *fault)
{
    const struct kw_alg_info *info = kw_alg_info(call->alg);
    bool verify = call->kind == KW_KIND_VERIFY;
    size_t len = verify ? call->digest.len : call->value.len;
    if ((call->kind != KW_KIND_SIGN && !verify) || info->digest_len == 0 || len == info->digest_len)
        return true;
    return gw_fault_bad(fault, "Property '%s' must be a digest of %u bytes for %s; it has %zu.",
                        verify ? "digest" : "value", (unsigned)info->digest_len,
                        gw_alg_name(call->alg), len);
}

static size_t signature_len(const struct gw_call *call, const struct kc_public *pub)
{
    switch (pub->kty) {
    case KW_KTY_RSA:
        return (pub->bits + 7) / 8;
    case KW_KTY_EC:
        return 2 * kw_curve_bytes(pub->curve);
    case KW_KTY_OCT:
        break;
    }
    return kw_hash_len(kw_alg_info(call->alg)->hash);
}

static bool make_iv(struct gw_call *call, struct gw_fault *fault)
{
    enum kw_family family = kw_alg_info(call->alg)->family;
    bool gcm = family == KW_FAMILY_AES_GCM;
    bool cbc = family == KW_FAMILY_AES_CBC || family == KW_FAMILY_AES_CBCPAD;
    if (call->kind != KW_KIND_ENCRYPT || call->iv.data || (!gcm && !cbc))
        return true;
    size_t len = gcm ? KW_GCM_IV_LEN : KW_AES_BLOCK_LEN;
    if (kw_random(call->iv_room, len) != KW_OK)
        return gw_fault_status(fault, KW_E_INTERNAL, (struct kw_span){0});
    call->iv = kw_span_of(call->iv_room, len);
    return true;
}

static bool fill_lane(struct gw_call *call, const struct kc_public *pub, struct gw_arena *arena,
                      struct gw_fault *fault)
{
    struct kc_lane_op *lane = &call->op.lane;
    bool verify = call->kind == KW_KIND_VERIFY;
    lane->kind = call->kind;
    lane->alg = call->alg;
    lane->in = verify ? call->digest : call->value;
    lane->iv = call->iv;
    lane->aad = call->aad;
    if (verify)
        lane->sig = call->value;
    if (call->tag.data)
        memcpy(lane->tag, call->tag.data, KW_GCM_TAG_LEN);
    if (!verify) {
        lane->out.cap = kw_alg_out_max(call->alg, call->kind, pub->bits, lane->in.len);
        lane->out.data = gw_arena_alloc(arena, lane->out.cap > 0 ? lane->out.cap : 1);
        if (!lane->out.data)
            return gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
    }
    call->op.key = call->key->key;
    call->op.deadline_ns = kw_now_ns() + GW_CALL_DEADLINE_NS;
    return true;
}

bool gw_call_prepare(struct gw_call *call, struct vault_key *key, struct gw_arena *arena,
                     struct gw_fault *fault)
{
    call->key = key;
    const struct kc_public *pub = pool_key_public(key->key);
    if (!check_permits(call, fault) || !check_fit(call, pub, fault) || !check_extras(call, fault) ||
        !check_digest(call, fault))
        return false;
    if (call->kind == KW_KIND_VERIFY && call->value.len != signature_len(call, pub)) {
        call->decided = true;
        call->op.lane.status = KW_OK;
        call->op.lane.valid = false;
        return true;
    }
    return make_iv(call, fault) && fill_lane(call, pub, arena, fault);
}

bool gw_call_fault(const struct gw_call *call, kw_status status, struct gw_fault *fault)
{
    if (status == KW_E_INPUT)
        return gw_fault_bad(fault,
                            "Property 'value' has a length or form that operation %s with %s "
                            "does not take on this key.",
                            gw_key_op_name(call->kind), gw_alg_name(call->alg));
    gw_fault_status(fault, status, kw_span_str(call->key ? call->key->name : ""));
    if (call->op.retry_after_s > 0) /* the pool knows how long its line is */
        fault->retry_after_s = call->op.retry_after_s;
    return false;
}

void gw_call_write(const struct gw_call *call, struct kw_span authority, struct gw_out *out)
{
    const struct kc_lane_op *lane = &call->op.lane;
    if (call->kind == KW_KIND_VERIFY) {
        gw_out_text(out, "\"value\":");
        gw_out_bool(out, lane->valid);
        return;
    }
    gw_out_text(out, "\"kid\":");
    gw_key_write_kid(out, authority, call->key, true);
    gw_out_text(out, ",\"value\":");
    gw_out_b64(out, kw_buf_span(&lane->out));
    if (call->key->hsm && pool_key_public(call->key->key)->kty == KW_KTY_OCT) {
        const char *alg = gw_alg_name(call->alg);
        gw_out_text(out, ",\"alg\":");
        gw_out_string(out, alg, strlen(alg));
    }
    if (call->iv.data) {
        gw_out_text(out, ",\"iv\":");
        gw_out_b64(out, call->iv);
    }
    if (call->kind == KW_KIND_ENCRYPT && kw_alg_info(call->alg)->family == KW_FAMILY_AES_GCM) {
        gw_out_text(out, ",\"tag\":");
        gw_out_b64(out, kw_span_of(lane->tag, KW_GCM_TAG_LEN));
    }
    if (call->aad.data) {
        gw_out_text(out, ",\"aad\":");
        gw_out_b64(out, call->aad);
    }
}

void gw_call_drop(struct gw_call *call)
{
    if (call->key)
        vault_key_unref(call->key);
    call->key = NULL;
}
