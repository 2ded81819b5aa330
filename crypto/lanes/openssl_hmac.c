#include "crypto/lanes/dispatch.h"
#include "crypto/lanes/scratch.h"

/* FIPS 198-1 from the key's two prepared states: no key block is hashed again. */
static bool mac(uint8_t *out, const struct kc_lane_op *op, enum kw_hash hash, EVP_MD_CTX *ctx)
{
    int which = (int)hash - KW_HASH_SHA256;
    const struct kc_oct_contexts *from = &op->key->contexts;
    uint8_t inner[EVP_MAX_MD_SIZE];
    bool ok = EVP_MD_CTX_copy_ex(ctx, from->inner[which]) == 1 &&
              (op->in.len == 0 || EVP_DigestUpdate(ctx, op->in.data, op->in.len) == 1) &&
              EVP_DigestFinal_ex(ctx, inner, NULL) == 1 &&
              EVP_MD_CTX_copy_ex(ctx, from->outer[which]) == 1 &&
              EVP_DigestUpdate(ctx, inner, kw_hash_len(hash)) == 1 &&
              EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    kw_wipe(inner, sizeof(inner));
    return ok;
}

void kc_openssl_hmac(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    for (size_t i = 0; i < n; i++) {
        struct kc_lane_op *op = ops[i];
        enum kw_hash hash = kw_alg_info(op->alg)->hash;
        size_t len = kw_hash_len(hash);
        uint8_t tag[EVP_MAX_MD_SIZE];
        if (!mac(tag, op, hash, scratch->mac)) {
            op->status = KW_E_INTERNAL;
        } else if (op->kind == KW_KIND_SIGN) {
            memcpy(op->out.data, tag, len);
            op->out.len = len;
        } else {
            op->valid = op->sig.len == len && kw_ct_equal(tag, op->sig.data, len);
        }
        kw_wipe(tag, sizeof(tag));
    }
    EVP_MD_CTX_reset(scratch->mac);
}
