/* Machine code that leaks, for the scan to find, and code beside it that does not. Never run. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl"), noinline))

uint64_t leak_division(uint64_t a, uint64_t b);
uint64_t leak_mask_jump(const __m512i *a, const uint64_t *b);
uint64_t leak_mask_size(const __m512i *a, const uint64_t *b);
void leak_gather(__m512i *out, const __m512i *index, const uint64_t *table);
void leak_scatter(uint64_t *out, const __m512i *index);
uint64_t leak_table(const __m512i *index, const uint64_t *table);
size_t leak_byte_search(const uint8_t *em, size_t len);
uint64_t leak_word_jump(const __m512i *a, const uint64_t *b);
void fine_select(__m512i *out, const __m512i *a, const __m512i *b);
uint64_t fine_sum(const uint64_t *a, size_t len);
uint8_t fine_compare(const uint8_t *a, const uint8_t *b, size_t len);

static void __attribute__((noinline)) product(const uint64_t *b)
{
    __asm__ volatile("" : : "r"(b) : "memory");
}

uint64_t leak_division(uint64_t a, uint64_t b)
{
    return a / b;
}

AVX512 uint64_t leak_mask_jump(const __m512i *a, const uint64_t *b)
{
    if (_mm512_cmpeq_epi64_mask(*a, _mm512_setzero_si512()) != 0xff) {
        product(b);
    }
    return b[0];
}

AVX512 uint64_t leak_mask_size(const __m512i *a, const uint64_t *b)
{
    uint64_t mask = _mm512_cmpeq_epi64_mask(*a, _mm512_set1_epi64(5));
    if (mask > 3) {
        product(b);
    }
    return b[0];
}

AVX512 void leak_gather(__m512i *out, const __m512i *index, const uint64_t *table)
{
    *out = _mm512_i64gather_epi64(*index, table, 8);
}

AVX512 void leak_scatter(uint64_t *out, const __m512i *index)
{
    _mm512_i64scatter_epi64(out, *index, *index, 8);
}

AVX512 uint64_t leak_table(const __m512i *index, const uint64_t *table)
{
    uint64_t at = (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(*index));
    return table[at & 31];
}

size_t leak_byte_search(const uint8_t *em, size_t len)
{
    size_t i = 2;
    while (i < len && em[i] != 0) {
        i++;
    }
    return i;
}

AVX512 uint64_t leak_word_jump(const __m512i *a, const uint64_t *b)
{
    uint64_t word = (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(*a));
    if (word & 1) {
        product(b);
    }
    return b[1];
}

AVX512 void fine_select(__m512i *out, const __m512i *a, const __m512i *b)
{
    for (int i = 0; i < 8; i++) {
        __mmask8 mask = _mm512_cmpeq_epi64_mask(a[i], b[0]);
        out[i] = _mm512_mask_mov_epi64(a[i], mask, b[i]);
    }
}

uint64_t fine_sum(const uint64_t *a, size_t len)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i++) {
        sum += a[i];
    }
    return sum;
}

uint8_t fine_compare(const uint8_t *a, const uint8_t *b, size_t len)
{
    uint8_t differ = 0;
    for (size_t i = 0; i < len; i++) {
        differ |= a[i] ^ b[i];
    }
    return differ;
}
