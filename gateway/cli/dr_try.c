#include "gateway/cli/dr_try.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "crypto/lanes/lanes.h"
#include "gateway/api/crypto/alg_names.h"
#include "gateway/api/json/base64url.h"
#include "gateway/vault/keys/keys.h"

#define VERSION  "?api-version=7.4"
#define TEXT_LEN 32 /* a digest, a key that is wrapped, a text */

struct dr_trial {
    struct dr_scratch *scratch;
    struct kc_scratch *room;
    char why[DR_WHY];
};

struct dr_trial *dr_trial_create(struct dr_scratch *scratch)
{
    struct dr_trial *trial = calloc(1, sizeof *trial);
    if (!trial)
        return NULL;
    trial->scratch = scratch;
    trial->room = kc_scratch_create();
    if (!trial->room) {
        free(trial);
        return NULL;
    }
    return trial;
}

void dr_trial_destroy(struct dr_trial *trial)
{
    if (!trial)
        return;
    kc_scratch_destroy(trial->room);
    free(trial);
}

/* --- asking --- */

/** POST /keys/NAME/VERSION/WORD {"alg","value"}: the bytes of the answer's `member`. Takes `more`
 *  over, further members of the body. */
static bool use(struct dr_trial *trial, const struct dr_object *key, const char *word,
                const char *alg, struct kw_span value, json_t *more, uint8_t *out, size_t *len,
                size_t room)
{
    char path[STORE_NAME_MAX + STORE_VERSION_LEN + 64], text[2 * KW_RSA_MAX_BYTES];
    int http = 0;
    snprintf(path, sizeof path, "/keys/%s/%s/%s" VERSION, key->name, key->version, word);
    text[gw_b64_encode(text, value.data, value.len)] = '\0';
    json_t *body = json_pack("{s:s,s:s}", "alg", alg, "value", text);
    if (body && more)
        json_object_update_missing(body, more);
    json_decref(more);
    json_t *answer =
        dr_scratch_call(trial->scratch, key->vault, "POST", path, body, &http, trial->why);
    json_decref(body);
    const char *result = json_string_value(json_object_get(answer, "value"));
    size_t result_len = result ? strlen(result) : 0;
    bool good = result && gw_b64_decoded_room(result_len) <= room &&
                gw_b64_decode(out, len, result, result_len);
    if (answer && !good)
        snprintf(trial->why, sizeof trial->why, "%s gave no usable answer", word);
    json_decref(answer);
    return good;
}

/** Makes the scratch copy usable: enabled, in its time, with this operation. */
static bool permit(struct dr_trial *trial, const struct dr_object *key, const char *op,
                   const char *back)
{
    char path[STORE_NAME_MAX + STORE_VERSION_LEN + 64];
    int http = 0;
    int64_t now = kw_wall_s();
    json_t *body = json_pack("{s:{s:b,s:I,s:I}}", "attributes", "enabled", 1, "nbf",
                             (json_int_t)(now - 3600), "exp", (json_int_t)(now + 86400));
    if (body && op)
        json_object_set_new(body, "key_ops",
                            back ? json_pack("[s,s]", op, back) : json_pack("[s]", op));
    /* the key of a certificate is changed with it */
    snprintf(path, sizeof path, "/%s/%s/%s" VERSION, key->key->managed ? "certificates" : "keys",
             key->name, key->version);
    json_t *answer =
        dr_scratch_call(trial->scratch, key->vault, "PATCH", path, body, &http, trial->why);
    json_decref(body);
    json_decref(answer);
    return answer != NULL;
}

/* --- on this side --- */

/** Runs one operation with the source's public half. */
static bool run(struct dr_trial *trial, const struct dr_object *source, struct kc_lane_op *op)
{
    struct kc_key *key = NULL;
    enum kc_shape shape;
    if (kc_key_from_public(&key, &source->key->pub) != KW_OK)
        return false;
    op->key = key;
    bool ran = kc_lanes_shape(op, &shape) == KW_OK;
    if (ran) {
        struct kc_lane_op *ops[] = {op};
        kc_lanes_run(ops, 1, shape, trial->room);
    }
    kc_key_unref(key);
    return ran && op->status == KW_OK;
}

static enum kw_alg sign_alg(const struct kc_public *pub)
{
    if (pub->kty == KW_KTY_RSA)
        return KW_ALG_RS256;
    switch (pub->curve) {
    case KW_CURVE_P384:
        return KW_ALG_ES384;
    case KW_CURVE_P521:
        return KW_ALG_ES512;
    case KW_CURVE_P256K:
        return KW_ALG_ES256K;
    default:
        return KW_ALG_ES256;
    }
}

static bool try_sign(struct dr_trial *trial, const struct dr_object *key,
                     const struct dr_object *source)
{
    uint8_t digest[64], signature[KW_RSA_MAX_BYTES + 3];
    size_t len = 0;
    enum kw_alg alg = sign_alg(&source->key->pub);
    size_t digest_len = kw_alg_info(alg)->digest_len;
    if (kw_random(digest, sizeof digest) != KW_OK ||
        !use(trial, key, "sign", gw_alg_name(alg), kw_span_of(digest, digest_len), NULL, signature,
             &len, sizeof signature))
        return false;
    struct kc_lane_op op = {.kind = KW_KIND_VERIFY,
                            .alg = alg,
                            .in = kw_span_of(digest, digest_len),
                            .sig = kw_span_of(signature, len)};
    if (run(trial, source, &op) && op.valid)
        return true;
    snprintf(trial->why, sizeof trial->why,
             "its signature does not verify with the source's public key");
    return false;
}

static bool try_decrypt(struct dr_trial *trial, const struct dr_object *key,
                        const struct dr_object *source, const char *word)
{
    uint8_t text[TEXT_LEN] = {0}, sealed[KW_RSA_MAX_BYTES], back[KW_RSA_MAX_BYTES + 3];
    size_t len = 0;
    struct kc_lane_op op = {.kind = KW_KIND_ENCRYPT,
                            .alg = KW_ALG_RSA_OAEP_256,
                            .in = kw_span_of(text, sizeof text),
                            .out = {.data = sealed, .cap = sizeof sealed}};
    if (kw_random(text, sizeof text) != KW_OK || !run(trial, source, &op)) {
        snprintf(trial->why, sizeof trial->why, "the source's public key does not encrypt");
        return false;
    }
    if (!use(trial, key, word, "RSA-OAEP-256", kw_buf_span(&op.out), NULL, back, &len, sizeof back))
        return false;
    if (len == sizeof text && memcmp(text, back, len) == 0)
        return true;
    snprintf(trial->why, sizeof trial->why,
             "it does not decrypt what the source's public key encrypted");
    return false;
}

static bool try_there_and_back(struct dr_trial *trial, const struct dr_object *key,
                               const char *there, const char *back, const char *alg, bool iv)
{
    uint8_t text[TEXT_LEN], sealed[128], opened[128];
    static const char zero_iv[] = "AAAAAAAAAAAAAAAAAAAAAA";
    size_t len = 0, opened_len = 0;
    if (kw_random(text, sizeof text) != KW_OK ||
        !use(trial, key, there, alg, kw_span_of(text, sizeof text),
             iv ? json_pack("{s:s}", "iv", zero_iv) : NULL, sealed, &len, sizeof sealed) ||
        !use(trial, key, back, alg, kw_span_of(sealed, len),
             iv ? json_pack("{s:s}", "iv", zero_iv) : NULL, opened, &opened_len, sizeof opened))
        return false;
    if (opened_len == sizeof text && memcmp(text, opened, sizeof text) == 0)
        return true;
    snprintf(trial->why, sizeof trial->why, "%s and %s do not give the same bytes", there, back);
    return false;
}

/* --- which use --- */

static bool has(const struct dr_object *key, enum kw_kind kind)
{
    return key->key->ops & (1u << kind);
}

/* A MAC has no public half: the same text gives the same MAC twice. */
static bool try_mac(struct dr_trial *trial, const struct dr_object *key)
{
    uint8_t text[TEXT_LEN], mac[2][64];
    size_t len[2] = {0, 0};
    if (kw_random(text, sizeof text) != KW_OK)
        return false;
    for (size_t i = 0; i < 2; i++) {
        if (!use(trial, key, "sign", "HS256", kw_span_of(text, sizeof text), NULL, mac[i], &len[i],
                 sizeof mac[i]))
            return false;
    }
    return len[0] == len[1] && len[0] > 0 && memcmp(mac[0], mac[1], len[0]) == 0;
}

static bool try_oct(struct dr_trial *trial, struct dr_tries *tries, const struct dr_object *key)
{
    char alg[16];
    bool wraps = has(key, KW_KIND_WRAP) && has(key, KW_KIND_UNWRAP);
    bool encrypts = has(key, KW_KIND_ENCRYPT) && has(key, KW_KIND_DECRYPT);
    if (!wraps && !encrypts && has(key, KW_KIND_SIGN)) {
        bool good = try_mac(trial, key);
        tries->signed_ += good;
        return good;
    }
    if (!wraps && !encrypts && !permit(trial, key, "wrapKey", "unwrapKey"))
        return false;
    wraps = !encrypts;
    snprintf(alg, sizeof alg, wraps ? "A%uKW" : "A%uCBC", key->key->pub.bits);
    bool good = try_there_and_back(trial, key, wraps ? "wrapkey" : "encrypt",
                                   wraps ? "unwrapkey" : "decrypt", alg, !wraps);
    tries->wrapped += good;
    return good;
}

static bool try_pair(struct dr_trial *trial, struct dr_tries *tries, const struct dr_object *key,
                     const struct dr_object *source)
{
    bool rsa = source->key->pub.kty == KW_KTY_RSA, good;
    if (rsa && !has(key, KW_KIND_SIGN) && (has(key, KW_KIND_DECRYPT) || has(key, KW_KIND_UNWRAP))) {
        good = try_decrypt(trial, key, source, has(key, KW_KIND_DECRYPT) ? "decrypt" : "unwrapkey");
        tries->decrypted += good;
        return good;
    }
    if (!has(key, KW_KIND_SIGN) && !permit(trial, key, "sign", NULL))
        return false;
    good = try_sign(trial, key, source);
    tries->signed_ += good;
    return good;
}

static bool is_usable(const struct dr_key *key)
{
    int64_t now = kw_wall_s();
    return key->enabled && (key->nbf == 0 || key->nbf <= now) && (key->exp == 0 || key->exp > now);
}

void dr_try_key(struct dr_trial *trial, struct dr_tries *tries, const struct dr_object *recovered,
                const struct dr_object *source)
{
    bool oct = recovered->key->pub.kty == KW_KTY_OCT;
    if (recovered->key->resident) {
        tries->elsewhere++;
        return;
    }
    if (recovered->key->exchange) {
        tries->exchange++;
        return;
    }
    trial->why[0] = '\0';
    bool good = is_usable(recovered->key) || permit(trial, recovered, NULL, NULL);
    if (good)
        good = oct ? try_oct(trial, tries, recovered) : try_pair(trial, tries, recovered, source);
    if (good)
        return;
    if (tries->failed++ == 0)
        snprintf(tries->first, sizeof tries->first, "%s, version %s: %.800s", recovered->name,
                 recovered->version, trial->why);
}
