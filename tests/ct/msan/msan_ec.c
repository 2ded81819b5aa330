/* ECDSA signatures in eight lanes with secret keys: the scalars are poisoned before keys are made
 * of them, so that nonces, the table lookups under them and both halves of a signature are secret
 * too. Curves and their tables are public. */
#include <string.h>

#include "crypto/ec/comb.h"
#include "crypto/ec/ec_key.h"
#include "crypto/ec/sign.h"
#include "tests/ct/msan/taint.h"

#define KEYS      2
#define MAX_BYTES 66

static struct kc_ec_key keys[KEYS];
static struct kc_ec_sign_work work;
static uint8_t digest[KC_EC_LANES][64], out[KC_EC_LANES][2 * MAX_BYTES];

static void make_keys(const struct kc_ec_curve *curve)
{
    uint8_t d[MAX_BYTES], point[MAX_BYTES] = {0};
    for (unsigned i = 0; i < KEYS; i++) {
        ct_expect(kw_random(d, sizeof d) == KW_OK);
        d[0] = 0; /* below n on every curve */
        ct_secret(d, sizeof d);
        kc_ec_key_init(&keys[i], curve, point, point, d); /* signing reads no public point */
        ct_expect_secret(keys[i].d, 8 * curve->nd);
        ct_expect_secret(keys[i].inner, sizeof keys[i].inner);
    }
}

static void run(const struct kc_ec_curve *curve, unsigned count)
{
    struct kc_ec_sign_lane lanes[KC_EC_LANES];
    const size_t len = curve->bytes < sizeof digest[0] ? curve->bytes : sizeof digest[0];
    unsigned good = 0;
    for (unsigned i = 0; i < count; i++) {
        ct_expect(kw_random(digest[i], len) == KW_OK);
        lanes[i] = (struct kc_ec_sign_lane){&keys[i % KEYS], digest[i], len, out[i]};
    }
    ct_expect(kc_ec_sign_x8(curve, lanes, count, &work, &good) == KW_OK);
    ct_expect(good == (1u << count) - 1);
    for (unsigned i = 0; i < count; i++) {
        ct_expect_secret(out[i], curve->bytes);                /* r: of the nonce */
        ct_expect_secret(out[i] + curve->bytes, curve->bytes); /* s: of nonce and key */
    }
}

int main(void)
{
    ct_need_avx512();
    for (enum kw_curve id = KW_CURVE_P256; id <= KW_CURVE_P521; id++) {
        /* OpenSSL is not instrumented: the curve's numbers look uninitialised */
        __msan_scoped_disable_interceptor_checks();
        struct kc_ec_curve *curve = (struct kc_ec_curve *)kc_ec_curve_get(id);
        __msan_scoped_enable_interceptor_checks();
        ct_expect(curve != NULL);
        ct_public(curve, sizeof *curve);
        ct_public(curve->table,
                  (size_t)curve->windows * 2 * curve->nd * 8 * (1u << (curve->window - 1)));
        make_keys(curve);
        run(curve, 1);
        run(curve, KC_EC_LANES);
        printf("ecdsa %u: no secret reached a branch or an address\n", curve->bits);
    }
    return 0;
}
