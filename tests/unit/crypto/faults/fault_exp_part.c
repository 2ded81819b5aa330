#include "tests/unit/crypto/faults/fault_exp.h"

static struct {
    int when;
    unsigned lane, entry, digit, bit;
} strike = {.when = -1};

void ft_strike_table(int when, unsigned lane, unsigned entry, unsigned digit, unsigned bit)
{
    strike.when = when;
    strike.lane = lane;
    strike.entry = entry;
    strike.digit = digit;
    strike.bit = bit;
}

#if defined(__x86_64__)
static void before_scan(struct kc_rsa_private_work *w, unsigned digits)
{
    if (strike.when >= 0 && strike.when-- == 0) {
        __m512i *at = w->table + (size_t)strike.entry * digits + strike.digit % digits;
        ((uint64_t *)at)[strike.lane] ^= 1ULL << strike.bit;
    }
}

/* Every squaring that scans the table goes through here; `w` and `digits` are in scope there. */
#define kc_mont_sqr_scan(mont, r, a, scan)                                                         \
    (before_scan(w, digits), kc_mont_sqr_scan((mont), (r), (a), (scan)))
#define kc_rsa_private_half ft_private_half
#include "crypto/rsa/rsa_exp.c"
#endif
