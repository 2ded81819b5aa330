/* Code that leaks, one way a case: the sanitizer has to report each, or its silence about the
 * kernels means nothing.    leaky CASE */
#include <immintrin.h>
#include <string.h>

#include "crypto/padding/ct.h"
#include "tests/ct/msan/taint.h"

#define AVX512                                                                                     \
    __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512ifma,aes"), noinline))

static volatile unsigned sink;
static _Alignas(64) uint64_t secret[8] = {3, 1, 4, 1, 5, 9, 2, 6};
static _Alignas(64) uint64_t table[32][8];

/* A branch on a vector compare: skip the product when a window is zero. */
AVX512 static void skipped_product(void)
{
    __mmask8 zero = _mm512_cmpeq_epi64_mask(_mm512_load_si512(secret), _mm512_setzero_si512());
    if (zero != 0xff) {
        sink++;
    }
}

/* A table entry fetched by its secret index. */
AVX512 static void table_by_index(void)
{
    sink += (unsigned)table[secret[0] % 32][0];
}

AVX512 static void gathered_table(void)
{
    __m512i got = _mm512_i64gather_epi64(_mm512_load_si512(secret), &table[0][0], 8);
    sink += (unsigned)_mm512_reduce_add_epi64(got);
}

/* A comparison that stops at the first difference. */
static void early_exit_compare(void)
{
    static const uint8_t want[16];
    sink += (unsigned)memcmp(secret, want, sizeof(want));
}

static void division(void)
{
    sink += (unsigned)(1000000u / (unsigned)secret[1]);
}

/* Searching the end of PKCS#1 v1.5 padding with a branch a byte. */
static void padding_search(void)
{
    const uint8_t *em = (const uint8_t *)secret;
    for (unsigned i = 2; i < sizeof(secret); i++) {
        if (em[i] == 0) {
            sink += i;
            break;
        }
    }
}

/* A loop as long as a secret length. */
static void secret_length(void)
{
    for (uint64_t i = 0; i < secret[2]; i++) {
        sink++;
    }
}

/* Through the kernels' own multiplier: taint must survive it. */
AVX512 static void branch_behind_multiplier(void)
{
    __m512i sum = _mm512_madd52lo_epu64(_mm512_setzero_si512(), _mm512_load_si512(secret),
                                        _mm512_set1_epi64(5));
    uint64_t out[8];
    _mm512_storeu_si512(out, sum);
    if (out[3] & 1) {
        sink++;
    }
}

/* Through the masked load of the table scan: the replacement of shim.h must keep the mask's taint.
 */
AVX512 static void branch_behind_masked_load(void)
{
    __mmask8 pick = _mm512_cmpeq_epi64_mask(_mm512_load_si512(secret), _mm512_set1_epi64(3));
    __m512i got = _mm512_mask_load_epi64(_mm512_set1_epi64(7), pick, table[0]);
    uint64_t out[8];
    _mm512_storeu_si512(out, got);
    if (out[0] & 1) {
        sink++;
    }
}

/* Through AES rounds. */
AVX512 static void branch_behind_aes(void)
{
    __m128i s = _mm_aesenc_si128(_mm_load_si128((const __m128i *)secret), _mm_set1_epi32(1));
    if (_mm_cvtsi128_si32(s) & 1) {
        sink++;
    }
}

/* Masks of ct.h turned back into a branch. */
static void branch_on_mask(void)
{
    if (ct_lt((size_t)secret[4], 6)) {
        sink++;
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"skipped-product", skipped_product},
    {"table-by-index", table_by_index},
    {"gathered-table", gathered_table},
    {"early-exit-compare", early_exit_compare},
    {"division", division},
    {"padding-search", padding_search},
    {"secret-length", secret_length},
    {"branch-behind-multiplier", branch_behind_multiplier},
    {"branch-behind-masked-load", branch_behind_masked_load},
    {"branch-behind-aes", branch_behind_aes},
    {"branch-on-mask", branch_on_mask},
};

int main(int argc, char **argv)
{
    ct_need_avx512();
    for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            ct_secret(secret, sizeof(secret));
            cases[i].run();
            puts("not reported");
            return 0;
        }
    }
    return 2;
}
