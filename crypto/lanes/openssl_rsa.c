#include "crypto/keys/key_internal.h"
#include "crypto/lanes/dispatch.h"

#include <openssl/rsa.h>

void kc_openssl_rsa_public(struct kc_rsa_job *jobs, size_t n, struct kc_scratch *scratch)
{
    (void)scratch;
    for (size_t i = 0; i < n; i++) {
        size_t k = jobs[i].key->pub.bits / 8, len = k;
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_dup(jobs[i].key->public_ctx);
        bool ok = ctx && EVP_PKEY_encrypt(ctx, jobs[i].out, &len, jobs[i].in, k) == 1 && len == k;
        jobs[i].status = ok ? KW_OK : ctx ? KW_E_INTERNAL : KW_E_NOMEM;
        EVP_PKEY_CTX_free(ctx);
    }
}

/* Blinding is OpenSSL's default and stays on: the key always has its public exponent. */
static kw_status private_op(const struct kc_rsa_job *job, EVP_PKEY_CTX *ctx)
{
    size_t k = job->key->pub.bits / 8, len = k;
    if (!ctx) {
        return KW_E_NOMEM;
    }
    return EVP_PKEY_decrypt(ctx, job->out, &len, job->in, k) == 1 && len == k ? KW_OK
                                                                              : KW_E_INTERNAL;
}

void kc_openssl_rsa_private(struct kc_rsa_job *jobs, size_t n, struct kc_scratch *scratch)
{
    (void)scratch;
    for (size_t i = 0; i < n; i++) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_dup(jobs[i].key->private_ctx);
        jobs[i].status = private_op(&jobs[i], ctx);
        EVP_PKEY_CTX_free(ctx);
    }
}

/* Without CRT, from n, e and d alone: shares neither code path nor constants with the first try. */
void kc_openssl_rsa_private_plain(struct kc_rsa_job *jobs, size_t n, struct kc_scratch *scratch)
{
    (void)scratch;
    for (size_t i = 0; i < n; i++) {
        EVP_PKEY *pkey = kc_rsa_plain_pkey(jobs[i].key);
        EVP_PKEY_CTX *ctx = pkey ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
        if (ctx && (EVP_PKEY_decrypt_init(ctx) != 1 ||
                    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) != 1)) {
            EVP_PKEY_CTX_free(ctx);
            ctx = NULL;
        }
        jobs[i].status = private_op(&jobs[i], ctx);
        EVP_PKEY_CTX_free(ctx);
        EVP_PKEY_free(pkey);
    }
}
