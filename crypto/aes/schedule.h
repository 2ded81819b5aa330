#pragma once
/* Expanded AES keys for the multi-message kernels: made once per key, then read by every thread. */

#include <stddef.h>
#include <stdint.h>

#define KC_AES_MAX_ROUND_KEYS 15
#define KC_GHASH_POWERS       32

/** What encryption does not need. */
struct kc_aes_more {
    /* equivalent inverse cipher, in the order of use */
    _Alignas(64) uint8_t dec[KC_AES_MAX_ROUND_KEYS][16];
    /* H^32 .. H^1 in the representation of crypto/aes/ghash.h: block i of the last m takes entry
     * 32 - m + i, so that one unaligned load fits any m; a whole vector may be read at any entry */
    _Alignas(64) uint8_t powers[KC_GHASH_POWERS][16];
    uint8_t behind[48];
};

/** Four cache lines that hold all that encryption needs. The schedules of many keys lie side by
 * side and spread over all sets of the first-level cache; with the rest between them they would
 * share a quarter of it. */
struct kc_aes_schedule {
    _Alignas(64) uint8_t enc[KC_AES_MAX_ROUND_KEYS][16];
    const struct kc_aes_more *more; /* borrowed */
    unsigned rounds;                /* 10, 12, 14 */
};

/** True when this processor has what the kernels of this folder need: AVX-512 F/BW/VL/DQ, VAES,
 *  VPCLMULQDQ, AES-NI. Reads CPUID; any thread. */
int kc_aes_vaes_capable(void);

/** Expands `key` of `len` 16, 24 or 32 bytes (FIPS 197), and into `more`, which must live as long
 * as `out`, the inverse cipher's keys and the GHASH powers (SP 800-38D). Needs
 * kc_aes_vaes_capable(). The caller wipes both at the end of their life. */
void kc_aes_schedule_init(struct kc_aes_schedule *out, struct kc_aes_more *more, const uint8_t *key,
                          size_t len);
