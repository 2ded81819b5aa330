#pragma once
/* Expanded AES keys for the multi-message kernels: made once per key, then read by every thread. */

#include <stddef.h>
#include <stdint.h>

#define KC_AES_MAX_ROUND_KEYS 15
#define KC_GHASH_POWERS       32

struct kc_aes_schedule {
    _Alignas(64) uint8_t enc[KC_AES_MAX_ROUND_KEYS][16];
    uint8_t dec[KC_AES_MAX_ROUND_KEYS][16]; /* equivalent inverse cipher, in the order of use */
    /* H^32 .. H^1 in the representation of crypto/aes/ghash.h: block i of the last m takes entry
     * 32 - m + i, so that one unaligned load fits any m */
    uint8_t powers[KC_GHASH_POWERS][16];
    unsigned rounds; /* 10, 12, 14 */
};

/** True when this processor has what the kernels of this folder need: AVX-512 F/BW/VL/DQ, VAES,
 *  VPCLMULQDQ, AES-NI. Reads CPUID; any thread. */
int kc_aes_vaes_capable(void);

/** Expands `key` of `len` 16, 24 or 32 bytes (FIPS 197) and the GHASH powers of it (SP 800-38D).
 *  Needs kc_aes_vaes_capable(). The caller wipes `out` at the end of its life. */
void kc_aes_schedule_init(struct kc_aes_schedule *out, const uint8_t *key, size_t len);
