#include "gateway/domain/jwe.h"

#include <jansson.h>
#include <jose/b64.h>
#include <jose/jwe.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdlib.h>

#include "gateway/api/json/read.h"

#define ENC     "A256CBC-HS512"
#define PARTS   5
#define RSA_MAX 2048 /* bytes of the largest modulus */
#define TAG     32   /* bytes */

static const char *const names[PARTS] = {"protected", "encrypted_key", "iv", "ciphertext", "tag"};

/* --- writing --- */

static char *compact(const json_t *jwe)
{
    const char *part[PARTS];
    for (int i = 0; i < PARTS; i++) {
        part[i] = json_string_value(json_object_get(jwe, names[i]));
        if (!part[i] && i != 1)
            return NULL;
    }
    char *text = NULL;
    if (asprintf(&text, "%s.%s.%s.%s.%s", part[0], part[1] ? part[1] : "", part[2], part[3],
                 part[4]) < 0)
        return NULL;
    return text;
}

static json_t *jwk_of(const uint8_t key[GW_JWE_KEY])
{
    return json_pack("{s:s,s:o}", "kty", "oct", "k", jose_b64_enc(key, GW_JWE_KEY));
}

/* `wrapped` is taken over; NULL for "dir". */
static kw_status seal(char **out, const uint8_t key[GW_JWE_KEY], json_t *wrapped, const char *alg,
                      const char *kid, struct kw_span plain)
{
    json_t *jwk = jwk_of(key);
    json_t *jwe = json_pack("{s:{s:s,s:s,s:s}}", "protected", "alg", alg, "enc", ENC, "kid", kid);
    bool ok = jwk && jwe && (!wrapped || json_object_set(jwe, "encrypted_key", wrapped) == 0);
    *out = NULL;
    if (ok && jose_jwe_enc_cek(NULL, jwe, jwk, plain.data, plain.len))
        *out = compact(jwe);
    json_decref(wrapped);
    json_decref(jwe);
    json_decref(jwk);
    return *out ? KW_OK : KW_E_INTERNAL;
}

kw_status gw_jwe_seal_dir(char **out, const uint8_t key[GW_JWE_KEY], const char *kid,
                          struct kw_span plain)
{
    gw_json_wipes();
    return seal(out, key, NULL, "dir", kid, plain);
}

/* OAEP with SHA-256 for both hashes, no label. */
static EVP_PKEY_CTX *oaep(EVP_PKEY *key, bool encrypt)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    if (ctx && (encrypt ? EVP_PKEY_encrypt_init(ctx) : EVP_PKEY_decrypt_init(ctx)) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
        EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
        EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1)
        return ctx;
    EVP_PKEY_CTX_free(ctx);
    return NULL;
}

static json_t *wrap(EVP_PKEY *public_key, const uint8_t key[GW_JWE_KEY])
{
    uint8_t wrapped[RSA_MAX];
    size_t len = sizeof wrapped;
    EVP_PKEY_CTX *ctx = oaep(public_key, true);
    bool ok = ctx && EVP_PKEY_encrypt(ctx, wrapped, &len, key, GW_JWE_KEY) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok ? jose_b64_enc(wrapped, len) : NULL;
}

kw_status gw_jwe_seal_rsa(char **out, EVP_PKEY *public_key, const char *kid, struct kw_span plain)
{
    gw_json_wipes();
    *out = NULL;
    uint8_t *key = kw_secret_alloc(GW_JWE_KEY);
    kw_status status = key ? kw_random(key, GW_JWE_KEY) : KW_E_NOMEM;
    json_t *wrapped = status == KW_OK ? wrap(public_key, key) : NULL;
    if (wrapped)
        status = seal(out, key, wrapped, "RSA-OAEP-256", kid, plain);
    else if (status == KW_OK)
        status = KW_E_INTERNAL;
    kw_secret_free(key);
    return status;
}

/* --- reading --- */

static bool same(const json_t *object, const char *name, const char *wanted)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value && strcmp(value, wanted) == 0;
}

/* The header says nothing but what is expected: libjose would follow it (compression, another
 * algorithm, critical extensions). */
static bool header_ok(const json_t *jwe, const char *alg, const char *kid)
{
    json_t *header = jose_b64_dec_load(json_object_get(jwe, "protected"));
    bool ok = json_is_object(header) && same(header, "alg", alg) && same(header, "enc", ENC) &&
              (!kid || same(header, "kid", kid));
    const char *name;
    json_t *value;
    json_object_foreach(header, name, value) ok =
        ok && (strcmp(name, "alg") == 0 || strcmp(name, "enc") == 0 || strcmp(name, "kid") == 0);
    json_decref(header);
    return ok;
}

static json_t *parse(const char *text, bool wrapped)
{
    json_t *jwe = json_object();
    const char *at = text;
    bool ok = jwe && strlen(text) <= GW_JWE_MAX;
    for (int i = 0; ok && i < PARTS; i++) {
        size_t len = strcspn(at, ".");
        ok = (at[len] == '.') == (i < PARTS - 1) && (len > 0) == (i != 1 || wrapped);
        if (ok && len > 0)
            ok = json_object_set_new(jwe, names[i], json_stringn(at, len)) == 0;
        at += len + (at[len] == '.');
    }
    ok = ok && jose_b64_dec(json_object_get(jwe, "tag"), NULL, 0) == TAG;
    if (ok)
        return jwe;
    json_decref(jwe);
    return NULL;
}

static kw_status unseal(struct kw_secret *out, const json_t *jwe, const uint8_t key[GW_JWE_KEY])
{
    json_t *jwk = jwk_of(key);
    size_t len = 0;
    void *plain = jwk ? jose_jwe_dec_cek(NULL, jwe, jwk, &len) : NULL;
    kw_status status = jwk ? KW_E_CRYPTO : KW_E_NOMEM;
    if (plain) {
        status = kw_secret_copy(out, kw_span_of(plain, len));
        kw_wipe(plain, len);
        free(plain);
    }
    json_decref(jwk);
    return status;
}

kw_status gw_jwe_open_dir(struct kw_secret *out, const char *text, const uint8_t key[GW_JWE_KEY],
                          const char *kid)
{
    gw_json_wipes();
    *out = (struct kw_secret){.data = NULL};
    json_t *jwe = parse(text, false);
    kw_status status = jwe && header_ok(jwe, "dir", kid) ? unseal(out, jwe, key) : KW_E_INPUT;
    json_decref(jwe);
    return status;
}

static kw_status unwrap(uint8_t *key, const json_t *jwe, EVP_PKEY *private_key)
{
    uint8_t wrapped[RSA_MAX];
    const json_t *text = json_object_get(jwe, "encrypted_key");
    size_t len = jose_b64_dec(text, NULL, 0), key_len = RSA_MAX;
    if (len == 0 || len > sizeof wrapped || jose_b64_dec(text, wrapped, sizeof wrapped) != len)
        return KW_E_INPUT;
    EVP_PKEY_CTX *ctx = oaep(private_key, false);
    bool ok = ctx && EVP_PKEY_decrypt(ctx, key, &key_len, wrapped, len) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return ok && key_len == GW_JWE_KEY ? KW_OK : KW_E_CRYPTO;
}

kw_status gw_jwe_open_rsa(struct kw_secret *out, const char *text, EVP_PKEY *private_key)
{
    gw_json_wipes();
    *out = (struct kw_secret){.data = NULL};
    json_t *jwe = parse(text, true);
    uint8_t *key = kw_secret_alloc(RSA_MAX);
    kw_status status = jwe && header_ok(jwe, "RSA-OAEP-256", NULL) ? KW_OK : KW_E_INPUT;
    if (!key)
        status = KW_E_NOMEM;
    if (status == KW_OK)
        status = unwrap(key, jwe, private_key);
    if (status == KW_OK)
        status = unseal(out, jwe, key);
    kw_secret_free(key);
    json_decref(jwe);
    return status;
}
