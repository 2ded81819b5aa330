#include "tests/unit/crypto/faults/fault_exp.h"

static struct {
    int when;
    unsigned entry, digit, bit;
} strikes[KC_RSA_LANES] = {{-1, 0, 0, 0}, {-1, 0, 0, 0}, {-1, 0, 0, 0}, {-1, 0, 0, 0},
                           {-1, 0, 0, 0}, {-1, 0, 0, 0}, {-1, 0, 0, 0}, {-1, 0, 0, 0}};

void ft_strike_table(int when, unsigned lane, unsigned entry, unsigned digit, unsigned bit)
{
    strikes[lane].when = when;
    strikes[lane].entry = entry;
    strikes[lane].digit = digit;
    strikes[lane].bit = bit;
}

#if defined(__x86_64__)
static void before_scan(struct kc_rsa_private_work *w, unsigned digits, const void *lookup)
{
    if (!lookup) {
        return;
    }
    for (unsigned lane = 0; lane < KC_RSA_LANES; lane++) {
        if (strikes[lane].when >= 0 && strikes[lane].when-- == 0) {
            __m512i *at =
                w->table + (size_t)strikes[lane].entry * digits + strikes[lane].digit % digits;
            ((uint64_t *)at)[lane] ^= 1ULL << strikes[lane].bit;
        }
    }
}

/* Every squaring of a window goes through here; those that fill the table have no scan. */
#define kc_quad_sqr(quad, r, a, pick)                                                              \
    (before_scan(w, KC_QUAD_DIGITS, (pick)), kc_quad_sqr((quad), (r), (a), (pick)))
#define kc_fold_sqr(fold, mont, r, a, scan)                                                        \
    (before_scan(w, KC_TILE * (mont)->blocks, (scan)),                                             \
     kc_fold_sqr((fold), (mont), (r), (a), (scan)))
#define kc_rsa_private_half ft_private_half
#include "crypto/rsa/rsa_exp.c"
#endif
