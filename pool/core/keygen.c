#include "pool/core/keygen.h"

kw_status core_keygen(const struct kc_domain *domain, struct pool_op *op)
{
    struct pool_generated *out = op->generate.out;
    struct kc_key *key = NULL;
    KW_TRY(kc_key_generate(&key, op->generate.kty, op->generate.bits, op->generate.curve,
                           op->generate.exponent));
    struct kw_buf blob = {.data = out->blob, .cap = sizeof out->blob};
    kw_status status = kc_blob_wrap(domain, op->generate.key_id, key, op->generate.hsm, &blob);
    if (status == KW_OK) {
        out->pub = *kc_key_public(key);
        out->blob_len = blob.len;
    }
    kc_key_unref(key);
    return status;
}
