#pragma once
/* PKCS#7 padding of whole AES blocks (RFC 5652 section 6.3), looked at without a branch on it. */

#include <stdbool.h>

#include "crypto/base/alg.h"
#include "crypto/padding/ct.h"

/** True when the last block, 16 bytes at `last`, ends in right padding; `pad` gets its
 * length 1..16. Which way it is wrong shows neither in the result nor in the time. */
static inline bool kc_pkcs7_check(const uint8_t *last, size_t *pad)
{
    size_t found = last[KW_AES_BLOCK_LEN - 1];
    size_t good = ~ct_is_zero(found) & ~ct_lt(KW_AES_BLOCK_LEN, found);
    for (size_t i = 0; i < KW_AES_BLOCK_LEN; i++) {
        size_t inside = ct_lt(KW_AES_BLOCK_LEN - 1 - i, found);
        good &= ~inside | ct_eq(last[i], found);
    }
    *pad = found;
    return good != 0;
}
