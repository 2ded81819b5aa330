#include "crypto/ec/ec_key.h"

#include "crypto/base/secret.h"
#include "crypto/ec/sha512_x8.h"

#if KC_HAVE_EC

#define INNER_PAD 0x36
#define OUTER_PAD 0x5c

/* to = bytes in Montgomery form, below m. */
static KC_EC void montgomery(uint64_t *to, const struct kc_ec_modulus *m, const uint8_t *bytes,
                             size_t len)
{
    __m512i v[KC_EC_DIGITS];
    uint64_t(*rows)[KC_EC_LANES] = kc_ec_rows(v);
    for (unsigned lane = 0; lane < KC_EC_LANES; lane++)
        kc_ec_digits_in(rows, m->nd, lane, bytes, len);
    m->mul(m, v, v, m->r2);
    kc_ec_reduce(m, v, v);
    for (unsigned i = 0; i < m->nd; i++)
        to[i] = rows[i][0];
    kw_wipe(v, sizeof v);
}

/* The hash state after one block of the key, padded with zeros, under `pad` (FIPS 198-1). */
static KC_EC void pad_state(uint64_t *to, const uint8_t *key, size_t len, uint8_t pad)
{
    struct kc_sha512_x8 state;
    uint64_t words[16] = {0};
    __m512i w[16];
    for (size_t i = 0; i < KC_SHA512_BLOCK; i++)
        words[i / 8] = words[i / 8] << 8 | (uint8_t)((i < len ? key[i] : 0) ^ pad);
    for (unsigned i = 0; i < 16; i++)
        w[i] = _mm512_set1_epi64((long long)words[i]);
    kc_sha512_x8_start(&state);
    kc_sha512_x8_block(&state, w);
    for (unsigned i = 0; i < 8; i++)
        to[i] = kc_ec_rows(state.h)[i][0];
    kw_wipe(words, sizeof words);
    kw_wipe(w, sizeof w);
    kw_wipe(&state, sizeof state);
}

void kc_ec_key_init(struct kc_ec_key *key, const struct kc_ec_curve *curve, const uint8_t *x,
                    const uint8_t *y, const uint8_t *d)
{
    key->curve = curve;
    key->has_private = d != NULL;
    montgomery(key->x, &curve->p, x, curve->bytes);
    montgomery(key->y, &curve->p, y, curve->bytes);
    if (!d)
        return;
    montgomery(key->d, &curve->n, d, curve->bytes);
    pad_state(key->inner, d, curve->bytes, INNER_PAD);
    pad_state(key->outer, d, curve->bytes, OUTER_PAD);
    kc_ec_burn_stack();
}

#endif
