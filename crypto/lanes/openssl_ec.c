#include "crypto/keys/key_internal.h"
#include "crypto/lanes/dispatch.h"
#include "crypto/lanes/ecdsa_der.h"

#include <openssl/err.h>

static kw_status sign(struct kc_lane_op *op)
{
    uint8_t der[KC_ECDSA_DER_MAX];
    size_t len = sizeof(der), width = op->key->pub.coord_len;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_dup(op->key->private_ctx);
    if (!ctx) {
        return KW_E_NOMEM;
    }
    kw_status status = KW_E_INTERNAL;
    if (EVP_PKEY_sign(ctx, der, &len, op->in.data, op->in.len) == 1) {
        status = kc_ecdsa_from_der(op->out.data, width, kw_span_of(der, len));
    }
    EVP_PKEY_CTX_free(ctx);
    op->out.len = status == KW_OK ? 2 * width : 0;
    return status;
}

static kw_status verify(struct kc_lane_op *op)
{
    op->valid = false;
    if (op->sig.len != 2 * op->key->pub.coord_len) {
        return KW_OK;
    }
    uint8_t der[KC_ECDSA_DER_MAX];
    size_t len = kc_ecdsa_to_der(der, op->sig);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_dup(op->key->public_ctx);
    if (!ctx) {
        return KW_E_NOMEM;
    }
    int verdict = EVP_PKEY_verify(ctx, der, len, op->in.data, op->in.len);
    EVP_PKEY_CTX_free(ctx);
    op->valid = verdict == 1;
    /* OpenSSL says "error" also for signatures that lead to the point at infinity: those are wrong
     * signatures. What is left of real errors is lack of memory. */
    if (verdict < 0 && ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE) {
        return KW_E_NOMEM;
    }
    return KW_OK;
}

void kc_openssl_ecdsa(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    (void)scratch;
    for (size_t i = 0; i < n; i++) {
        ops[i]->status = ops[i]->kind == KW_KIND_SIGN ? sign(ops[i]) : verify(ops[i]);
    }
}
