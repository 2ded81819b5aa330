#include "crypto/keys/key_internal.h"

/* SP 800-56B rev. 2, appendix C.1: with k = e d - 1 = 2^t r, a random g gives a non-trivial square
 * root of 1 modulo n with probability 1/2 or better; it differs from 1 by a multiple of one prime.
 */

#define ATTEMPTS 100

struct work {
    BN_CTX *ctx;
    BIGNUM *r, *g, *y, *x, *n_less;
    int t;
};

/* One random g. 1: p found in `p`; 0: try another; -1: failure. */
static int attempt(BIGNUM *p, struct work *w, const BIGNUM *n)
{
    if (!BN_priv_rand_range(w->g, w->n_less) || !BN_add_word(w->g, 1) ||
        !BN_mod_exp_mont_consttime(w->y, w->g, w->r, n, w->ctx, NULL)) {
        return -1;
    }
    if (BN_is_one(w->y) || BN_cmp(w->y, w->n_less) == 0) {
        return 0;
    }
    for (int j = 1; j <= w->t; j++) {
        if (!BN_mod_sqr(w->x, w->y, n, w->ctx)) {
            return -1;
        }
        if (BN_is_one(w->x)) {
            return BN_sub_word(w->y, 1) && BN_gcd(p, w->y, n, w->ctx) ? 1 : -1;
        }
        if (BN_cmp(w->x, w->n_less) == 0) {
            return 0;
        }
        if (!BN_copy(w->y, w->x)) {
            return -1;
        }
    }
    return 0;
}

static kw_status search(struct kc_rsa_numbers *num, struct work *w)
{
    if (!BN_mul(w->r, num->e, num->d, w->ctx) || !BN_sub_word(w->r, 1)) {
        return KW_E_NOMEM;
    }
    if (BN_is_zero(w->r) || BN_is_odd(w->r) || BN_cmp(num->d, num->n) >= 0) {
        return KW_E_INPUT;
    }
    for (w->t = 0; !BN_is_odd(w->r); w->t++) {
        if (!BN_rshift1(w->r, w->r)) {
            return KW_E_NOMEM;
        }
    }
    if (!BN_copy(w->n_less, num->n) || !BN_sub_word(w->n_less, 1)) {
        return KW_E_NOMEM;
    }
    for (int i = 0; i < ATTEMPTS; i++) {
        int found = attempt(num->p, w, num->n);
        if (found < 0) {
            return KW_E_NOMEM;
        }
        if (found > 0) {
            BIGNUM *rest = w->x;
            if (!BN_div(num->q, rest, num->n, num->p, w->ctx) || !BN_is_zero(rest)) {
                return KW_E_INPUT;
            }
            if (BN_cmp(num->p, num->q) < 0) {
                BN_swap(num->p, num->q);
            }
            return KW_OK;
        }
    }
    return KW_E_INPUT;
}

kw_status kc_rsa_recover_primes(struct kc_rsa_numbers *num)
{
    struct work w = {.ctx = BN_CTX_secure_new()};
    if (!w.ctx) {
        return KW_E_NOMEM;
    }
    BN_CTX_start(w.ctx);
    w.r = BN_CTX_get(w.ctx);
    w.g = BN_CTX_get(w.ctx);
    w.y = BN_CTX_get(w.ctx);
    w.x = BN_CTX_get(w.ctx);
    w.n_less = BN_CTX_get(w.ctx);
    num->p = BN_secure_new();
    num->q = BN_secure_new();
    kw_status status = w.n_less && num->p && num->q ? search(num, &w) : KW_E_NOMEM;
    if (w.n_less) {
        BN_clear(w.r);
        BN_clear(w.y);
        BN_clear(w.x);
    }
    BN_CTX_end(w.ctx);
    BN_CTX_free(w.ctx);
    return status;
}
