#include "pool/pkcs11/wire.h"

#include "crypto/domain/domain.h"
#include "pool/pkcs11/wire_io.h"
#include "pool/pool.h"

#define SESSIONS_MAX     1024u
#define DOMAIN_CHECK_MAX 64u
#define REQUEST_OVERHEAD 128
#define EXPONENT_MAX     8
#define SANDBOX_COUNT    3u /* enum pool_sandbox */

/* --- framing --- */

kw_status pool_wire_next(struct kw_span *stream, struct kw_span *body)
{
    if (stream->len < LENGTH_BYTES) {
        return KW_E_NOT_FOUND;
    }
    struct reader r = {*stream, false};
    uint64_t len = get_int(&r, LENGTH_BYTES);
    if (len == 0 || len > POOL_WIRE_RECORD_MAX - LENGTH_BYTES) {
        return KW_E_INPUT;
    }
    if (r.rest.len < len) {
        return KW_E_NOT_FOUND;
    }
    *body = kw_span_of(r.rest.data, (size_t)len);
    *stream = kw_span_of(r.rest.data + len, r.rest.len - (size_t)len);
    return KW_OK;
}

uint8_t pool_wire_type_of(struct kw_span body)
{
    return body.len == 0 ? 0 : body.data[0];
}

size_t pool_wire_request_size(const struct pool_wire_request *msg)
{
    return REQUEST_OVERHEAD + msg->blob.len + msg->in.len + msg->sig.len + msg->iv.len +
           msg->aad.len + msg->n.len + msg->e.len;
}

kw_status pool_wire_put_zeroized(struct kw_buf *out, const struct pool_wire_zeroized *msg)
{
    struct writer w = begin(out, POOL_WIRE_ZEROIZED);
    put_int(&w, msg->destroyed, 4);
    put_int(&w, msg->left, 4);
    return finish(&w);
}

kw_status pool_wire_get_zeroized(struct kw_span body, struct pool_wire_zeroized *msg)
{
    struct reader r = open_body(body, POOL_WIRE_ZEROIZED);
    msg->destroyed = (uint32_t)get_int(&r, 4);
    msg->left = (uint32_t)get_int(&r, 4);
    return closed(&r);
}

kw_status pool_wire_put_forget(struct kw_buf *out, struct kw_span ids)
{
    struct writer w = begin(out, POOL_WIRE_FORGET);
    put_span(&w, ids, POOL_WIRE_FORGET_MAX * KW_KEY_ID_LEN);
    return finish(&w);
}

kw_status pool_wire_get_forget(struct kw_span body, struct kw_span *ids)
{
    struct reader r = open_body(body, POOL_WIRE_FORGET);
    *ids = get_span(&r, POOL_WIRE_FORGET_MAX * KW_KEY_ID_LEN);
    if (ids->len % KW_KEY_ID_LEN != 0) {
        r.bad = true;
    }
    return closed(&r);
}

kw_status pool_wire_put_plain(struct kw_buf *out, enum pool_wire_type type)
{
    struct writer w = begin(out, type);
    return finish(&w);
}

kw_status pool_wire_get_plain(struct kw_span body, enum pool_wire_type type)
{
    struct reader r = open_body(body, type);
    return closed(&r);
}

/* --- data channel --- */

kw_status pool_wire_put_request(struct kw_buf *out, const struct pool_wire_request *msg)
{
    struct writer w = begin(out, POOL_WIRE_REQUEST);
    put_int(&w, msg->id, 8);
    put_int(&w, msg->kind, 1);
    put_int(&w, msg->alg, 1);
    put_bytes(&w, msg->key_id, sizeof(msg->key_id));
    put_int(&w, msg->kty, 1);
    put_int(&w, msg->curve, 1);
    put_int(&w, msg->bits, 4);
    put_int(&w, msg->exponent, 4);
    put_int(&w, msg->out_cap, 4);
    put_bytes(&w, msg->tag, sizeof(msg->tag));
    put_span(&w, msg->blob, KC_BLOB_MAX);
    put_span(&w, msg->in, POOL_WIRE_DATA_MAX);
    put_span(&w, msg->sig, KW_RSA_MAX_BYTES);
    put_span(&w, msg->iv, KW_AES_BLOCK_LEN);
    put_span(&w, msg->aad, POOL_WIRE_DATA_MAX);
    put_span(&w, msg->n, KW_RSA_MAX_BYTES);
    put_span(&w, msg->e, EXPONENT_MAX);
    if (msg->out_cap > POOL_WIRE_DATA_MAX) {
        w.bad = true;
    }
    return finish(&w);
}

kw_status pool_wire_get_request(struct kw_span body, struct pool_wire_request *msg)
{
    struct reader r = open_body(body, POOL_WIRE_REQUEST);
    memset(msg, 0, sizeof(*msg));
    msg->id = get_int(&r, 8);
    msg->kind = (enum kw_kind)get_enum(&r, 1, KW_KIND_COUNT);
    msg->alg = (enum kw_alg)get_enum(&r, 1, KW_ALG_COUNT);
    get_copy(&r, msg->key_id, sizeof(msg->key_id));
    msg->kty = (enum kw_kty)get_enum(&r, 1, KW_KTY_OCT + 1);
    msg->curve = (enum kw_curve)get_enum(&r, 1, KW_CURVE_P256K + 1);
    msg->bits = get_enum(&r, 4, 8 * KW_RSA_MAX_BYTES + 1);
    msg->exponent = (uint32_t)get_int(&r, 4);
    msg->out_cap = get_enum(&r, 4, POOL_WIRE_DATA_MAX + 1);
    get_copy(&r, msg->tag, sizeof(msg->tag));
    msg->blob = get_span(&r, KC_BLOB_MAX);
    msg->in = get_span(&r, POOL_WIRE_DATA_MAX);
    msg->sig = get_span(&r, KW_RSA_MAX_BYTES);
    msg->iv = get_span(&r, KW_AES_BLOCK_LEN);
    msg->aad = get_span(&r, POOL_WIRE_DATA_MAX);
    msg->n = get_span(&r, KW_RSA_MAX_BYTES);
    msg->e = get_span(&r, EXPONENT_MAX);
    return closed(&r);
}

kw_status pool_wire_put_answer(struct kw_buf *out, const struct pool_wire_answer *msg)
{
    struct writer w = begin(out, POOL_WIRE_ANSWER);
    put_int(&w, msg->id, 8);
    put_int(&w, msg->verdict, 1);
    put_int(&w, msg->status, 1);
    put_int(&w, msg->valid, 1);
    put_int(&w, msg->ckr, 8);
    put_bytes(&w, msg->tag, sizeof(msg->tag));
    put_span(&w, msg->out, POOL_WIRE_DATA_MAX);
    return finish(&w);
}

kw_status pool_wire_get_answer(struct kw_span body, struct pool_wire_answer *msg)
{
    struct reader r = open_body(body, POOL_WIRE_ANSWER);
    memset(msg, 0, sizeof(*msg));
    msg->id = get_int(&r, 8);
    msg->verdict = (enum pool_wire_verdict)get_enum(&r, 1, POOL_WIRE_VERDICT_COUNT);
    msg->status = (kw_status)get_enum(&r, 1, KW_E_INTERNAL + 1);
    msg->valid = get_enum(&r, 1, 2) != 0;
    msg->ckr = get_int(&r, 8);
    get_copy(&r, msg->tag, sizeof(msg->tag));
    msg->out = get_span(&r, POOL_WIRE_DATA_MAX);
    return closed(&r);
}

kw_status pool_wire_put_need_key(struct kw_buf *out, uint64_t id)
{
    struct writer w = begin(out, POOL_WIRE_NEED_KEY);
    put_int(&w, id, 8);
    return finish(&w);
}

kw_status pool_wire_get_need_key(struct kw_span body, uint64_t *id)
{
    struct reader r = open_body(body, POOL_WIRE_NEED_KEY);
    *id = get_int(&r, 8);
    return closed(&r);
}

kw_status pool_wire_put_generated(struct kw_buf *out, const struct pool_wire_generated *msg)
{
    struct writer w = begin(out, POOL_WIRE_GENERATED);
    put_int(&w, msg->id, 8);
    put_public(&w, &msg->pub);
    put_span(&w, msg->blob, KC_BLOB_MAX);
    return finish(&w);
}

kw_status pool_wire_get_generated(struct kw_span body, struct pool_wire_generated *msg)
{
    struct reader r = open_body(body, POOL_WIRE_GENERATED);
    memset(msg, 0, sizeof(*msg));
    msg->id = get_int(&r, 8);
    get_public(&r, &msg->pub);
    msg->blob = get_span(&r, KC_BLOB_MAX);
    return closed(&r);
}

/* --- control socket --- */

kw_status pool_wire_put_config(struct kw_buf *out, const struct pool_wire_config *msg)
{
    struct writer w = begin(out, POOL_WIRE_CONFIG);
    put_span(&w, msg->module, POOL_WIRE_TEXT_MAX);
    put_span(&w, msg->token_label, POOL_WIRE_TEXT_MAX);
    put_span(&w, msg->token_serial, POOL_WIRE_TEXT_MAX);
    put_int(&w, msg->sessions, 4);
    put_int(&w, msg->processors, 4);
    put_int(&w, msg->loaded_keys, 4);
    put_int(&w, msg->coalesce, 1);
    put_int(&w, msg->sandbox, 1);
    put_int(&w, msg->memory, 8);
    put_int(&w, msg->files, 4);
    put_span(&w, msg->paths, POOL_PATHS_MAX);
    return finish(&w);
}

kw_status pool_wire_get_config(struct kw_span body, struct pool_wire_config *msg)
{
    struct reader r = open_body(body, POOL_WIRE_CONFIG);
    msg->module = get_span(&r, POOL_WIRE_TEXT_MAX);
    msg->token_label = get_span(&r, POOL_WIRE_TEXT_MAX);
    msg->token_serial = get_span(&r, POOL_WIRE_TEXT_MAX);
    msg->sessions = get_enum(&r, 4, SESSIONS_MAX + 1);
    msg->processors = (uint32_t)get_int(&r, 4);
    msg->loaded_keys = get_enum(&r, 4, POOL_WIRE_KEYS_MAX + 1);
    msg->coalesce = get_enum(&r, 1, 2) == 1;
    msg->sandbox = (uint8_t)get_enum(&r, 1, SANDBOX_COUNT);
    msg->memory = get_int(&r, 8);
    msg->files = (uint32_t)get_int(&r, 4);
    msg->paths = get_span(&r, POOL_PATHS_MAX);
    if (msg->module.len == 0 || msg->sessions == 0 || msg->processors == 0 ||
        msg->loaded_keys == 0 ||
        (msg->paths.len > 0 && msg->paths.data[msg->paths.len - 1] != '\0')) {
        r.bad = true;
    }
    return closed(&r);
}

kw_status pool_wire_put_login(struct kw_buf *out, const struct pool_wire_login *msg)
{
    struct writer w = begin(out, POOL_WIRE_LOGIN);
    put_span(&w, msg->pin, POOL_WIRE_PIN_MAX);
    put_span(&w, msg->wrapping_key, KC_DOMAIN_KEY_LEN);
    put_span(&w, msg->domain, DOMAIN_CHECK_MAX);
    put_int(&w, msg->join, 1);
    return finish(&w);
}

kw_status pool_wire_get_login(struct kw_span body, struct pool_wire_login *msg)
{
    struct reader r = open_body(body, POOL_WIRE_LOGIN);
    msg->pin = get_span(&r, POOL_WIRE_PIN_MAX);
    msg->wrapping_key = get_span(&r, KC_DOMAIN_KEY_LEN);
    msg->domain = get_span(&r, DOMAIN_CHECK_MAX);
    msg->join = get_enum(&r, 1, 2) == 1;
    if (msg->wrapping_key.len != KC_DOMAIN_KEY_LEN || msg->domain.len == 0) {
        r.bad = true;
    }
    return closed(&r);
}

kw_status pool_wire_put_hello(struct kw_buf *out, const struct pool_wire_hello *msg)
{
    struct writer w = begin(out, POOL_WIRE_HELLO);
    put_int(&w, msg->flags, 8);
    put_span(&w, kw_span_str(msg->label), sizeof(msg->label) - 1);
    put_span(&w, kw_span_str(msg->serial), sizeof(msg->serial) - 1);
    put_span(&w, kw_span_str(msg->manufacturer), sizeof(msg->manufacturer) - 1);
    put_span(&w, kw_span_str(msg->model), sizeof(msg->model) - 1);
    put_span(&w, kw_span_str(msg->firmware), sizeof(msg->firmware) - 1);
    return finish(&w);
}

kw_status pool_wire_get_hello(struct kw_span body, struct pool_wire_hello *msg)
{
    struct reader r = open_body(body, POOL_WIRE_HELLO);
    memset(msg, 0, sizeof(*msg));
    msg->flags = get_int(&r, 8);
    get_text(&r, msg->label, sizeof(msg->label));
    get_text(&r, msg->serial, sizeof(msg->serial));
    get_text(&r, msg->manufacturer, sizeof(msg->manufacturer));
    get_text(&r, msg->model, sizeof(msg->model));
    get_text(&r, msg->firmware, sizeof(msg->firmware));
    return closed(&r);
}

kw_status pool_wire_put_logged_in(struct kw_buf *out, const struct pool_wire_logged_in *msg)
{
    struct writer w = begin(out, POOL_WIRE_LOGGED_IN);
    put_int(&w, msg->ckr, 8);
    put_int(&w, msg->flags, 8);
    return finish(&w);
}

kw_status pool_wire_get_logged_in(struct kw_span body, struct pool_wire_logged_in *msg)
{
    struct reader r = open_body(body, POOL_WIRE_LOGGED_IN);
    msg->ckr = get_int(&r, 8);
    msg->flags = get_int(&r, 8);
    return closed(&r);
}

kw_status pool_wire_put_ready(struct kw_buf *out, const struct pool_wire_ready *msg)
{
    struct writer w = begin(out, POOL_WIRE_READY);
    put_int(&w, msg->sessions, 4);
    return finish(&w);
}

kw_status pool_wire_get_ready(struct kw_span body, struct pool_wire_ready *msg)
{
    struct reader r = open_body(body, POOL_WIRE_READY);
    msg->sessions = get_enum(&r, 4, SESSIONS_MAX + 1);
    if (msg->sessions == 0) {
        r.bad = true;
    }
    return closed(&r);
}

kw_status pool_wire_put_failed(struct kw_buf *out, const struct pool_wire_failed *msg)
{
    struct writer w = begin(out, POOL_WIRE_FAILED);
    put_int(&w, msg->stage, 1);
    put_int(&w, msg->ckr, 8);
    put_span(&w, msg->reason, POOL_WIRE_TEXT_MAX);
    return finish(&w);
}

kw_status pool_wire_get_failed(struct kw_span body, struct pool_wire_failed *msg)
{
    struct reader r = open_body(body, POOL_WIRE_FAILED);
    msg->stage = (enum pool_wire_stage)get_enum(&r, 1, POOL_WIRE_STAGE_COUNT);
    msg->ckr = get_int(&r, 8);
    msg->reason = get_span(&r, POOL_WIRE_TEXT_MAX);
    return closed(&r);
}
