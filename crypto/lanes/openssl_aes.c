#include "crypto/lanes/dispatch.h"
#include "crypto/lanes/scratch.h"
#include "crypto/padding/pkcs7.h"
#include "crypto/wrap/keywrap.h"

static kw_status key_wrap(struct kc_lane_op *op, struct kc_scratch *scratch)
{
    bool forward = op->kind == KW_KIND_WRAP;
    bool padded = kw_alg_info(op->alg)->family == KW_FAMILY_AES_KWP;
    EVP_CIPHER_CTX *ecb =
        kc_scratch_cipher(scratch, forward ? KC_CIPHER_ECB_ENC : KC_CIPHER_ECB_DEC, op->key);
    if (!ecb) {
        return KW_E_NOMEM;
    }
    if (padded) {
        return forward ? kc_kwp_wrap(op->out.data, &op->out.len, ecb, op->in)
                       : kc_kwp_unwrap(op->out.data, &op->out.len, ecb, op->in);
    }
    kw_status status =
        forward ? kc_kw_wrap(op->out.data, ecb, op->in) : kc_kw_unwrap(op->out.data, ecb, op->in);
    if (status == KW_OK) {
        op->out.len = forward ? op->in.len + 8 : op->in.len - 8;
    }
    return status;
}

void kc_openssl_kw(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    for (size_t i = 0; i < n; i++) {
        ops[i]->status = key_wrap(ops[i], scratch);
    }
}

static kw_status gcm(struct kc_lane_op *op, struct kc_scratch *scratch)
{
    int encrypt = op->kind == KW_KIND_ENCRYPT;
    EVP_CIPHER_CTX *ctx = kc_scratch_cipher(scratch, KC_CIPHER_GCM, op->key);
    if (!ctx) {
        return KW_E_NOMEM;
    }
    uint8_t none[1];
    int len = 0, last = 0;
    bool ok =
        EVP_CipherInit_ex2(ctx, NULL, NULL, op->iv.data, encrypt, NULL) == 1 &&
        (op->aad.len == 0 ||
         EVP_CipherUpdate(ctx, NULL, &len, op->aad.data, (int)op->aad.len) == 1) &&
        (op->in.len == 0 ||
         EVP_CipherUpdate(ctx, op->out.data, &len, op->in.data, (int)op->in.len) == 1) &&
        (encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, KW_GCM_TAG_LEN, op->tag) == 1);
    if (!ok) {
        kw_wipe(op->out.data, op->in.len);
        return KW_E_INTERNAL;
    }
    if (EVP_CipherFinal_ex(ctx, none, &last) != 1) {
        kw_wipe(op->out.data, op->in.len);
        return encrypt ? KW_E_INTERNAL : KW_E_CRYPTO;
    }
    if (encrypt && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, KW_GCM_TAG_LEN, op->tag) != 1) {
        return KW_E_INTERNAL;
    }
    op->out.len = op->in.len;
    return KW_OK;
}

void kc_openssl_gcm(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    for (size_t i = 0; i < n; i++) {
        ops[i]->status = gcm(ops[i], scratch);
    }
}

/* Whole blocks of `in` to `out`. */
static bool cbc_blocks(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *in, size_t len)
{
    int done = 0;
    return len == 0 || (EVP_CipherUpdate(ctx, out, &done, in, (int)len) == 1 && done == (int)len);
}

static kw_status pad_encrypt(struct kc_lane_op *op, EVP_CIPHER_CTX *ctx)
{
    size_t whole = op->in.len & ~(size_t)(KW_AES_BLOCK_LEN - 1), rest = op->in.len - whole;
    uint8_t last[KW_AES_BLOCK_LEN];
    memset(last, (int)(KW_AES_BLOCK_LEN - rest), sizeof(last));
    if (rest != 0) {
        memcpy(last, op->in.data + whole, rest);
    }
    bool ok = cbc_blocks(ctx, op->out.data, op->in.data, whole) &&
              cbc_blocks(ctx, op->out.data + whole, last, sizeof(last));
    kw_wipe(last, sizeof(last));
    op->out.len = ok ? whole + sizeof(last) : 0;
    return ok ? KW_OK : KW_E_INTERNAL;
}

/* PKCS#7 (RFC 5652 section 6.3): every fault takes the same time and looks the same. */
static kw_status pad_decrypt(struct kc_lane_op *op, EVP_CIPHER_CTX *ctx)
{
    size_t len = op->in.len;
    if (!cbc_blocks(ctx, op->out.data, op->in.data, len)) {
        kw_wipe(op->out.data, len);
        return KW_E_INTERNAL;
    }
    size_t pad;
    if (!kc_pkcs7_check(op->out.data + len - KW_AES_BLOCK_LEN, &pad)) {
        kw_wipe(op->out.data, len);
        return KW_E_CRYPTO;
    }
    op->out.len = len - pad;
    kw_wipe(op->out.data + op->out.len, pad);
    return KW_OK;
}

static kw_status cbc(struct kc_lane_op *op, struct kc_scratch *scratch)
{
    int encrypt = op->kind == KW_KIND_ENCRYPT;
    EVP_CIPHER_CTX *ctx =
        kc_scratch_cipher(scratch, encrypt ? KC_CIPHER_CBC_ENC : KC_CIPHER_CBC_DEC, op->key);
    if (!ctx) {
        return KW_E_NOMEM;
    }
    if (EVP_CipherInit_ex2(ctx, NULL, NULL, op->iv.data, encrypt, NULL) != 1) {
        return KW_E_INTERNAL;
    }
    if (kw_alg_info(op->alg)->family == KW_FAMILY_AES_CBCPAD) {
        return encrypt ? pad_encrypt(op, ctx) : pad_decrypt(op, ctx);
    }
    if (!cbc_blocks(ctx, op->out.data, op->in.data, op->in.len)) {
        return KW_E_INTERNAL;
    }
    op->out.len = op->in.len;
    return KW_OK;
}

void kc_openssl_cbc(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    for (size_t i = 0; i < n; i++) {
        ops[i]->status = cbc(ops[i], scratch);
    }
}
