#pragma once
/* A key and a known answer for the RSA kernels, from code that is not instrumented. */

#include "crypto/rsa/rsa_ctx.h"

struct ct_rsa {
    struct kc_rsa_private_ctx key;
    uint8_t in[KW_RSA_MAX_BYTES], want[KW_RSA_MAX_BYTES]; /* want = in^d mod n */
    bool made;
};

/** A fresh key of `bits`. All of `out` is public to the sanitizer only after ct_public. */
void ct_rsa_make(struct ct_rsa *out, unsigned bits);
