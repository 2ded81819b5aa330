/* The kernels of the eight-lane RSA one by one: cycles, and multiply-adds per cycle by the
 * schoolbook.
 *
 *   bench_rsa_kernels
 *
 * Figures are the fastest of many short runs, in core cycles (time stamp counter times the ratio
 * that a chain of dependent additions shows). A window is five squarings with their scans and a
 * product. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <x86intrin.h>

#include "crypto/rsa/rsa_work.h"

#define RUNS    40
#define REPEATS 50

static struct kc_rsa_private_work *work;
static struct kc_mont mont;
static __m512i operand[KC_MAX_DIGITS];
static __m512i wide[2 * KC_MAX_DIGITS];
static __m512i modulus[KC_MAX_DIGITS];
static __m512i quotient[KC_MAX_DIGITS];
static __m512i squares[2 * KC_MAX_DIGITS];
static __m512i differences[KC_MAX_DIGITS];

static double cycles_per_tick(void)
{
    double best = 0;
    for (int round = 0; round < 50; round++) {
        uint64_t x = 1;
        uint64_t start = __rdtsc();
        for (int i = 0; i < 20000; i++) {
            __asm__ volatile("add %0,%0\n\tadd %0,%0\n\tadd %0,%0\n\tadd %0,%0\n\tadd %0,%0\n\t"
                             "add %0,%0\n\tadd %0,%0\n\tadd %0,%0\n\tadd %0,%0\n\tadd %0,%0"
                             : "+r"(x));
        }
        double ratio = 200000.0 / (double)(__rdtsc() - start);
        best = ratio > best ? ratio : best;
    }
    return best;
}

static void squaring(void)
{
    kc_mont_sqr(&mont, operand, operand);
}

static void product(void)
{
    kc_mont_mul(&mont, operand, operand, work->picked);
}

static void quad_squaring(void)
{
    kc_quad_sqr(&work->reduction.quad, operand, operand, NULL);
}

static void quad_product(void)
{
    kc_quad_mul(&work->reduction.quad, operand, operand, work->picked);
}

static void fold_squaring(void)
{
    kc_fold_sqr(&work->reduction.fold, &mont, operand, operand, NULL);
}

static void fold_product(void)
{
    kc_fold_mul(&work->reduction.fold, &mont, operand, operand, work->picked);
}

static void reduction(void)
{
    kc_mont_redc(&mont, operand, wide);
}

KC_IFMA static void quad_window(void)
{
    const __m512i index = _mm512_set1_epi64(9);
    struct kc_pick pick;
    kc_quad_pick(&pick, work->picked, work->table, &index);
    for (unsigned turn = 0; turn < KC_RSA_WINDOW; turn++) {
        kc_quad_sqr(&work->reduction.quad, turn < 4 ? operand : work->spare, operand, &pick);
        kc_quad_pick_next(&pick);
    }
    kc_quad_mul(&work->reduction.quad, operand, work->spare, work->picked);
}

static void fold_window(void)
{
    struct kc_scan scan = {.out = work->picked};
    for (unsigned turn = 0; turn < KC_RSA_WINDOW; turn++) {
        scan.table = work->table + (turn < 4 ? 7 * turn : 25) * KC_TILE * (size_t)mont.blocks;
        memset(scan.pick, (int)(1u << turn), sizeof scan.pick);
        kc_fold_sqr(&work->reduction.fold, &mont, turn < 4 ? operand : work->spare, operand, &scan);
    }
    kc_fold_mul(&work->reduction.fold, &mont, operand, work->spare, work->picked);
}

static void row(const char *name, void (*kernel)(void), double multiply_adds, double ratio)
{
    double best = 1e30;
    for (int run = 0; run < RUNS; run++) {
        uint64_t start = __rdtsc();
        for (int i = 0; i < REPEATS; i++) {
            kernel();
        }
        double cycles = (double)(__rdtsc() - start) * ratio / REPEATS;
        best = cycles < best ? cycles : best;
    }
    printf("%-9s %2u digits %7.0f cycles  %.3f multiply-adds/cycle\n", name, 10 * mont.blocks, best,
           multiply_adds / best);
}

int main(void)
{
    if (!kc_rsa_x8_supported()) {
        puts("bench_rsa_kernels: this CPU has no AVX-512 IFMA");
        return 0;
    }
    const double ratio = cycles_per_tick();
    work = aligned_alloc(64, (sizeof *work + 63) / 64 * 64);
    if (work == NULL) {
        return 1;
    }
    memset(work, 0x5a, sizeof *work);
    for (size_t i = 0; i < KC_MAX_DIGITS; i++) {
        memset(&modulus[i], 0, sizeof modulus[i]);
        for (size_t lane = 0; lane < KC_RSA_LANES; lane++) {
            ((uint64_t *)&modulus[i])[lane] = ((uint64_t)rand() << 21 ^ (uint64_t)rand()) | 1;
        }
        operand[i] = modulus[i];
    }
    const unsigned sizes[] = {2, 3, 4, 6, 8};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        double n = 10.0 * sizes[i];
        double sqr = 3 * n * n + 2 * n;
        double mul = 4 * n * n + n;
        mont = (struct kc_mont){sizes[i],   modulus, modulus[0], quotient,
                                work->left, squares, differences};
        row("squaring", squaring, sqr, ratio);
        row("product", product, mul, ratio);
        row("reduction", reduction, 2 * n * n + n, ratio);
        if (sizes[i] <= 4) {
            if (sizes[i] == 2) {
                kc_quad_prepare(&work->reduction.quad, &mont);
                row("quad sqr", quad_squaring, sqr, ratio);
                row("quad mul", quad_product, mul, ratio);
            } else {
                kc_fold_prepare(&work->reduction.fold, &mont);
                row("fold sqr", fold_squaring, sqr, ratio);
                row("fold mul", fold_product, mul, ratio);
            }
            row("window", sizes[i] == 2 ? quad_window : fold_window, 5 * sqr + mul, ratio);
        }
    }
    free(work);
    return 0;
}
#else
int main(void)
{
    puts("bench_rsa_kernels: the kernels are for x86-64");
    return 0;
}
#endif
