#pragma once
/* Secrets and what is known of them in a program under MemorySanitizer. */

#include <sanitizer/msan_interface.h>
#include <stdio.h>
#include <stdlib.h>

/** From here on a branch, an address, a division or a call of the C library that depends on these
 *  bytes is reported and ends the program. Poison whole limbs: a partly secret limb may be missed.
 */
#define ct_secret(data, len) __msan_allocated_memory((data), (len))

/** These bytes may be known from here on. */
#define ct_public(data, len) __msan_unpoison((data), (len))

/** A check of the test itself, on public values. */
#define ct_expect(condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: wrong result: %s\n", __FILE__, __LINE__, #condition);          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/** Fails unless some of these bytes are still secret: a result that lost its taint on the way
 *  shows that the sanitizer looked away. */
#define ct_expect_secret(data, len) ct_expect(__msan_test_shadow((data), (len)) >= 0)

#define CT_SKIPPED 77

/** Ends the program as skipped when this processor lacks the kernels' instructions. */
static inline void ct_need_avx512(void)
{
    if (!__builtin_cpu_supports("avx512ifma") || !__builtin_cpu_supports("avx512vbmi2")) {
        puts("this processor lacks AVX-512 IFMA or VAES");
        exit(CT_SKIPPED);
    }
}
