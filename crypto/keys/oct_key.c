#include "crypto/keys/key_internal.h"
#include "crypto/keys/ossl.h"

static EVP_CIPHER_CTX *cipher_ctx(const EVP_CIPHER *cipher, const uint8_t *k, int encrypt)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx && (EVP_CipherInit_ex2(ctx, cipher, k, NULL, encrypt, NULL) != 1 ||
                EVP_CIPHER_CTX_set_padding(ctx, 0) != 1)) {
        EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

/* Hash state after one block of key xor `pad` (FIPS 198-1 steps 4 and 7). */
static EVP_MD_CTX *pad_ctx(const EVP_MD *md, const uint8_t *k, size_t k_len, uint8_t pad)
{
    uint8_t block[128];
    size_t block_len = (size_t)EVP_MD_get_block_size(md); /* 64 or 128; k_len is 32 at most */
    memset(block, pad, block_len);
    for (size_t i = 0; i < k_len; i++) {
        block[i] ^= k[i];
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx &&
        (EVP_DigestInit_ex2(ctx, md, NULL) != 1 || EVP_DigestUpdate(ctx, block, block_len) != 1)) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    kw_wipe(block, sizeof(block));
    return ctx;
}

static kw_status make_contexts(struct kc_key *key)
{
    const struct kc_ossl *ossl = kc_ossl();
    if (!ossl) {
        return KW_E_INTERNAL;
    }
    struct kc_oct_contexts *c = &key->contexts;
    unsigned size = kc_ossl_aes(key->pub.bits);
    size_t len = key->pub.bits / 8;
    c->ecb_enc = cipher_ctx(ossl->ecb[size], key->oct, 1);
    c->ecb_dec = cipher_ctx(ossl->ecb[size], key->oct, 0);
    c->cbc_enc = cipher_ctx(ossl->cbc[size], key->oct, 1);
    c->cbc_dec = cipher_ctx(ossl->cbc[size], key->oct, 0);
    c->gcm = cipher_ctx(ossl->gcm[size], key->oct, 1);
    bool ok = c->ecb_enc && c->ecb_dec && c->cbc_enc && c->cbc_dec && c->gcm;
    for (int i = 0; i < 3; i++) {
        const EVP_MD *md = ossl->md[KW_HASH_SHA256 + i];
        c->inner[i] = pad_ctx(md, key->oct, len, 0x36);
        c->outer[i] = pad_ctx(md, key->oct, len, 0x5c);
        ok = ok && c->inner[i] && c->outer[i];
    }
    return ok ? KW_OK : KW_E_NOMEM;
}

void kc_oct_contexts_clear(struct kc_oct_contexts *c)
{
    EVP_CIPHER_CTX_free(c->ecb_enc);
    EVP_CIPHER_CTX_free(c->ecb_dec);
    EVP_CIPHER_CTX_free(c->cbc_enc);
    EVP_CIPHER_CTX_free(c->cbc_dec);
    EVP_CIPHER_CTX_free(c->gcm);
    for (int i = 0; i < 3; i++) {
        EVP_MD_CTX_free(c->inner[i]);
        EVP_MD_CTX_free(c->outer[i]);
    }
    *c = (struct kc_oct_contexts){0};
}

kw_status kc_oct_make(struct kc_key **out, struct kw_span k)
{
    *out = NULL;
    if (k.len == 0) {
        return KW_E_INPUT;
    }
    if (k.len != 16 && k.len != 24 && k.len != 32) {
        return KW_E_UNSUPPORTED;
    }
    struct kc_key *key = kc_key_alloc(KW_KTY_OCT, (unsigned)k.len * 8, KW_CURVE_NONE);
    if (!key) {
        return KW_E_NOMEM;
    }
    key->has_private = true;
    key->oct = kw_secret_alloc(k.len);
    kw_status status = KW_E_NOMEM;
    if (key->oct) {
        memcpy(key->oct, k.data, k.len);
        status = make_contexts(key);
    }
    if (status != KW_OK) {
        kc_key_unref(key);
        return status;
    }
    return kc_key_finish(out, key);
}
