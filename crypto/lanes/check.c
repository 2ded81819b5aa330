#include "crypto/lanes/dispatch.h"
#include "crypto/padding/padding.h"

bool kc_rsa_answers(const struct kc_lane_op *op, const uint8_t *recovered, EVP_MD_CTX *md)
{
    const struct kw_alg_info *info = kw_alg_info(op->alg);
    size_t k = kc_key_public(op->key)->bits / 8;
    bool valid = false;
    switch (info->family) {
    case KW_FAMILY_RSA_PKCS1:
        return kc_pkcs1_sign_check(recovered, k, info->hash, op->in);
    case KW_FAMILY_RSA_PSS:
        return kc_pss_check(&valid, recovered, k, info->hash, op->in, md) == KW_OK && valid;
    default:
        return op->in.len == k && memcmp(recovered, op->in.data, k) == 0;
    }
}
