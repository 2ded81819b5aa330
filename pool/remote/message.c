#include "pool/remote/message.h"

#include <stdio.h>
#include <string.h>

#include "crypto/base/hex.h"
#include "crypto/base/jose.h"
#include "pool/remote/base64url.h"
#include "pool/remote/json.h"

static const char *const verbs[KW_KIND_COUNT] = {
    [KW_KIND_SIGN] = "sign",       [KW_KIND_VERIFY] = "verify", [KW_KIND_ENCRYPT] = "encrypt",
    [KW_KIND_DECRYPT] = "decrypt", [KW_KIND_WRAP] = "wrapkey",  [KW_KIND_UNWRAP] = "unwrapkey",
};

bool pool_remote_can(const struct pool_op *op)
{
    const struct kc_lane_op *lane = &op->lane;
    if (lane->kind == KW_KIND_GENERATE) {
        return false;
    }
    if (lane->kind == KW_KIND_RANDOM) {
        return lane->out.cap >= 1 && lane->out.cap <= KW_RNG_MAX;
    }
    if (kw_alg_jose(lane->alg) == NULL || lane->in.len > POOL_REMOTE_INPUT_MAX ||
        lane->aad.len > POOL_REMOTE_INPUT_MAX) {
        return false;
    }
    return !(lane->kind == KW_KIND_ENCRYPT && kw_alg_info(lane->alg)->family == KW_FAMILY_AES_GCM);
}

/* --- paths --- */

#define QUERY "api-version=7.4"

static bool segment_ok(const char *text, size_t max)
{
    size_t len = text != NULL ? strlen(text) : 0;
    return len >= 1 && len <= max &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == len;
}

kw_status pool_remote_path(char path[POOL_REMOTE_PATH_MAX], const struct pool_op *op,
                           const char *name, const char *version)
{
    if (op->lane.kind == KW_KIND_RANDOM) {
        snprintf(path, POOL_REMOTE_PATH_MAX, "/rng?" QUERY);
        return KW_OK;
    }
    if (!segment_ok(name, POOL_REMOTE_NAME_MAX) || !segment_ok(version, POOL_REMOTE_VERSION_MAX)) {
        return KW_E_INPUT;
    }
    snprintf(path, POOL_REMOTE_PATH_MAX, "/keys/%s/%s/%s?" QUERY, name, version,
             verbs[op->lane.kind]);
    return KW_OK;
}

kw_status pool_remote_key_path(char path[POOL_REMOTE_PATH_MAX], const char *name,
                               const char *version)
{
    if (!segment_ok(name, POOL_REMOTE_NAME_MAX) ||
        (version != NULL && !segment_ok(version, POOL_REMOTE_VERSION_MAX))) {
        return KW_E_INPUT;
    }
    snprintf(path, POOL_REMOTE_PATH_MAX, "/keys/%s%s%s?" QUERY, name, version != NULL ? "/" : "",
             version != NULL ? version : "");
    return KW_OK;
}

void pool_remote_version_of(const struct pool_key *key, char version[POOL_REMOTE_VERSION_MAX + 1])
{
    kw_hex_write(version, pool_key_id(key), KW_KEY_ID_LEN);
}

/* --- the request --- */

size_t pool_remote_body_size(const struct pool_op *op)
{
    const struct kc_lane_op *lane = &op->lane;
    return 256 +
           (lane->in.len + lane->sig.len + lane->iv.len + lane->aad.len + KW_GCM_TAG_LEN) / 3 * 4;
}

static kw_status put_text(struct kw_buf *out, const char *text)
{
    size_t len = strlen(text);
    if (out->cap - out->len < len) {
        return KW_E_TOO_LARGE;
    }
    memcpy(out->data + out->len, text, len);
    out->len += len;
    return KW_OK;
}

static kw_status put_bytes(struct kw_buf *out, const char *name, struct kw_span bytes)
{
    KW_TRY(put_text(out, ",\""));
    KW_TRY(put_text(out, name));
    KW_TRY(put_text(out, "\":\""));
    KW_TRY(pool_remote_b64_put(out, bytes));
    return put_text(out, "\"");
}

kw_status pool_remote_body(struct kw_buf *out, const struct pool_op *op)
{
    const struct kc_lane_op *lane = &op->lane;
    if (lane->kind == KW_KIND_RANDOM) {
        char text[32];
        snprintf(text, sizeof text, "{\"count\":%zu}", lane->out.cap);
        return put_text(out, text);
    }
    enum kw_family family = kw_alg_info(lane->alg)->family;
    bool gcm = family == KW_FAMILY_AES_GCM;
    bool verify = lane->kind == KW_KIND_VERIFY;
    KW_TRY(put_text(out, "{\"alg\":\""));
    KW_TRY(put_text(out, kw_alg_jose(lane->alg)));
    KW_TRY(put_text(out, "\""));
    KW_TRY(put_bytes(out, "value", verify ? lane->sig : lane->in));
    if (verify) {
        KW_TRY(put_bytes(out, "digest", lane->in));
    }
    if (gcm || family == KW_FAMILY_AES_CBC || family == KW_FAMILY_AES_CBCPAD) {
        KW_TRY(put_bytes(out, "iv", lane->iv));
    }
    if (gcm) {
        KW_TRY(put_bytes(out, "tag", kw_span_of(lane->tag, KW_GCM_TAG_LEN)));
        if (lane->aad.len > 0) {
            KW_TRY(put_bytes(out, "aad", lane->aad));
        }
    }
    return put_text(out, "}");
}

/* --- the answer --- */

size_t pool_remote_answer_max(const struct pool_op *op)
{
    /* the members that come back beside the result: kid, alg, iv, aad */
    return 4096 + (op->lane.out.cap + op->lane.iv.len + op->lane.aad.len) / 3 * 4 + 16;
}

kw_status pool_remote_result(struct pool_op *op, struct kw_span body)
{
    struct pool_remote_json_want value = {.name = "value"};
    struct kc_lane_op *lane = &op->lane;
    KW_TRY(pool_remote_json_read(body, &value, 1));
    if (lane->kind == KW_KIND_VERIFY) {
        if (value.type != POOL_REMOTE_JSON_TRUE && value.type != POOL_REMOTE_JSON_FALSE) {
            return KW_E_INPUT;
        }
        lane->valid = value.type == POOL_REMOTE_JSON_TRUE;
        return KW_OK;
    }
    if (value.type != POOL_REMOTE_JSON_STRING ||
        pool_remote_b64_get(&lane->out, value.text) != KW_OK) {
        return KW_E_INPUT;
    }
    return lane->kind == KW_KIND_RANDOM && lane->out.len != lane->out.cap ? KW_E_INPUT : KW_OK;
}

static bool same_bytes(struct kw_span text, const uint8_t *want, size_t len)
{
    uint8_t room[KW_RSA_MAX_BYTES + 1];
    struct kw_buf got = {.data = room, .cap = sizeof room};
    if (pool_remote_b64_get(&got, text) != KW_OK) {
        return false;
    }
    /* numbers: zeros in front do not count */
    size_t skip_got = 0, skip_want = 0;
    while (skip_got < got.len && room[skip_got] == 0) {
        skip_got++;
    }
    while (skip_want < len && want[skip_want] == 0) {
        skip_want++;
    }
    return kw_span_equal(kw_span_of(room + skip_got, got.len - skip_got),
                         kw_span_of(want + skip_want, len - skip_want));
}

enum { KID, KTY, N, E, CRV, X, Y, WANTS };

static bool same_key(const struct pool_remote_json_want *wants, const struct kc_public *pub)
{
    struct kw_span kty = wants[KTY].text;
    switch (pub->kty) {
    case KW_KTY_RSA:
        return kw_span_equal(kty, kw_span_str("RSA-HSM")) &&
               same_bytes(wants[N].text, pub->n, pub->n_len) &&
               same_bytes(wants[E].text, pub->e, pub->e_len);
    case KW_KTY_EC:
        return kw_span_equal(kty, kw_span_str("EC-HSM")) && pub->curve != KW_CURVE_NONE &&
               kw_span_equal(wants[CRV].text, kw_span_str(kw_curve_jose(pub->curve))) &&
               same_bytes(wants[X].text, pub->x, pub->coord_len) &&
               same_bytes(wants[Y].text, pub->y, pub->coord_len);
    case KW_KTY_OCT:
        return kw_span_equal(kty, kw_span_str("oct-HSM"));
    }
    return false;
}

/* What stands behind the last '/' of a key's identifier. */
static bool version_in(struct kw_span kid, char version[POOL_REMOTE_VERSION_MAX + 1])
{
    size_t from = kid.len;
    while (from > 0 && kid.data[from - 1] != '/') {
        from--;
    }
    size_t len = kid.len - from;
    if (from == 0 || len == 0 || len > POOL_REMOTE_VERSION_MAX) {
        return false;
    }
    memcpy(version, kid.data + from, len);
    version[len] = 0;
    return segment_ok(version, POOL_REMOTE_VERSION_MAX);
}

kw_status pool_remote_bundle(struct kw_span body, const struct kc_public *pub, const char *asked,
                             char version[POOL_REMOTE_VERSION_MAX + 1])
{
    struct pool_remote_json_want wants[WANTS] = {
        [KID] = {.parent = "key", .name = "kid"}, [KTY] = {.parent = "key", .name = "kty"},
        [N] = {.parent = "key", .name = "n"},     [E] = {.parent = "key", .name = "e"},
        [CRV] = {.parent = "key", .name = "crv"}, [X] = {.parent = "key", .name = "x"},
        [Y] = {.parent = "key", .name = "y"},
    };
    KW_TRY(pool_remote_json_read(body, wants, WANTS));
    for (size_t i = 0; i < WANTS; i++) {
        if (wants[i].type > POOL_REMOTE_JSON_STRING) {
            return KW_E_INPUT;
        }
    }
    if (wants[KTY].text.len == 0 || !version_in(wants[KID].text, version)) {
        return KW_E_INPUT;
    }
    if (!same_key(wants, pub) || (pub->kty == KW_KTY_OCT && strcmp(version, asked) != 0)) {
        return KW_E_NOT_FOUND;
    }
    return KW_OK;
}

/* --- statuses --- */

#define PAUSE_MAX_S 60

/* A 400 says that the request is bad. For a decryption that is what a ciphertext that does not open
 * looks like; any other request was checked here before it left, so it is the remote end that does
 * not take it. */
static enum pool_remote_meaning bad_request(const struct pool_op *op, kw_status *caller)
{
    if (op != NULL && (op->lane.kind == KW_KIND_DECRYPT || op->lane.kind == KW_KIND_UNWRAP)) {
        *caller = KW_E_CRYPTO;
        return POOL_REMOTE_CALLER;
    }
    return POOL_REMOTE_LACKS;
}

enum pool_remote_meaning pool_remote_meaning(int status, const struct pool_op *op,
                                             int retry_after_s, int *pause_s, kw_status *caller)
{
    bool paused = status == 429 || (status == 503 && retry_after_s >= 0);
    *pause_s = retry_after_s < 1 ? 1 : retry_after_s > PAUSE_MAX_S ? PAUSE_MAX_S : retry_after_s;
    *caller = KW_OK;
    if (paused) {
        return POOL_REMOTE_BUSY;
    }
    switch (status) {
    case 200:
        return POOL_REMOTE_RESULT;
    case 400:
        return bad_request(op, caller);
    case 401:
        return POOL_REMOTE_NO_ENTRY;
    case 403:
    case 404:
    case 409:
        return op != NULL && op->lane.kind == KW_KIND_RANDOM ? POOL_REMOTE_LACKS
                                                             : POOL_REMOTE_NO_KEY;
    case 405:
    case 413:
    case 415:
    case 501:
        return POOL_REMOTE_LACKS;
    case 508:
        return POOL_REMOTE_LOOP;
    default:
        return POOL_REMOTE_BROKEN;
    }
}

int pool_remote_retry_after(struct kw_span value)
{
    int seconds = 0;
    if (value.len == 0) {
        return 5;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return 5;
        }
        if (seconds < 100000) {
            seconds = seconds * 10 + (value.data[i] - '0');
        }
    }
    return seconds;
}
