/* Signatures of crypto/ec: RFC 6979's nonces give its signatures bit for bit; OpenSSL accepts what
 * is made for random keys and edge digests in every lane and at every fill; what the check refuses.
 */
#include "tests/unit/crypto/ec/ec_support.h"

#include <openssl/evp.h>
#include <string.h>

#include "crypto/base/secret.h"
#include "crypto/ec/sign.h"

struct known {
    const char *message, *k, *r, *s;
};

/* RFC 6979 A.2.5 with SHA-256, A.2.6 with SHA-384, A.2.7 with SHA-512 */
static const char *const known_d[CURVES] = {
    "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
    "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2"
    "EDF5",
    "00FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75CAA896EB32F1F47C70855836A6D16F"
    "CC1466F6D8FBEC67DB89EC0C08B0E996B83538"};

static const struct known known[CURVES][2] = {
    {{"sample", "A6E3C57DD01ABE90086538398355DD4C3B17AA873382B0F24D6129493D8AAD60",
      "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
      "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"},
     {"test", "D16B6AE827F17175E040871A1C7EC3500192C4C92677336EC2537ACAEE0008E0",
      "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
      "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083"}},
    {{"sample",
      "94ED910D1A099DAD3254E9242AE85ABDE4BA15168EAF0CA87A555FD56D10FBCA2907E3E83BA95368623B8C468691"
      "5CF9",
      "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FA"
      "BE46",
      "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A3862"
      "8AC8"},
     {"test",
      "015EE46A5BF88773ED9123A5AB0807962D193719503C527B031B4C2D225092ADA71F4A459BC0DA98ADB95837DB83"
      "12EA",
      "8203B63D3C853E8D77227FB377BCF7B7B772E97892A80F36AB775D509D7A5FEB0542A7F0812998DA8F1DD3CA3CF0"
      "23DB",
      "DDD0760448D42D8A43AF45AF836FCE4DE8BE06B485E9B61B827C2F13173923E06A739F040649A667BF3B828246BA"
      "A5A5"}},
    {{"sample",
      "1DAE2EA071F8110DC26882D4D5EAE0621A3256FC8847FB9022E2B7D28E6F10198B1574FDD03A9053C08A1854A168"
      "AA5A57470EC97DD5CE090124EF52A2F7ECBFFD3",
      "C328FAFCBD79DD77850370C46325D987CB525569FB63C5D3BC53950E6D4C5F174E25A1EE9017B5D450606ADD152B"
      "534931D7D4E8455CC91F9B15BF05EC36E377FA",
      "617CCE7CF5064806C467F678D3B4080D6F1CC50AF26CA209417308281B68AF282623EAA63E5B5C0723D8B8C37FF0"
      "777B1A20F8CCB1DCCC43997F1EE0E44DA4A67A"},
     {"test",
      "16200813020EC986863BEDFC1B121F605C1215645018AEA1A7B215A564DE9EB1B38A67AA1128B80CE391C4FB7118"
      "7654AAA3431027BFC7F395766CA988C964DC56D",
      "13E99020ABF5CEE7525D16B69B229652AB6BDF2AFFCAEF38773B4B7D08725F10CDB93482FDCC54EDCEE91ECA4166"
      "B2A7C6265EF0CE2BD7051B7CEF945BABD47EE6D",
      "1FBD0013C674AA79CB39849527916CE301C66EA7CE8B80682786AD60F98F7E78A19CA69EFF5C57400E3B3A0AD66C"
      "E0978214D13BAF4E9AC60752F7B155E2DE4DCE3"}}};

/* A key of both worlds. */
struct pair {
    struct kc_ec_key *key;
    EC_GROUP *group;
    EC_POINT *point;
};

static struct kc_ec_sign_work *work;

static void pair_make(struct pair *pair, unsigned c, const BIGNUM *d)
{
    const struct kc_ec_curve *curve = ec_curve(c);
    BIGNUM *x = BN_new(), *y = BN_new();
    uint8_t bytes[3][66];
    pair->group = EC_GROUP_new_by_curve_name(ec_nids[c]);
    pair->point = EC_POINT_new(pair->group);
    assert_int_equal(EC_POINT_mul(pair->group, pair->point, d, NULL, NULL, NULL), 1);
    EC_POINT_get_affine_coordinates(pair->group, pair->point, x, y, NULL);
    BN_bn2binpad(x, bytes[0], (int)curve->bytes);
    BN_bn2binpad(y, bytes[1], (int)curve->bytes);
    BN_bn2binpad(d, bytes[2], (int)curve->bytes);
    pair->key = kw_secret_alloc(sizeof *pair->key);
    assert_non_null(pair->key);
    kc_ec_key_init(pair->key, curve, bytes[0], bytes[1], bytes[2]);
    BN_free(x);
    BN_free(y);
}

static void pair_free(struct pair *pair)
{
    kw_secret_free(pair->key);
    EC_POINT_free(pair->point);
    EC_GROUP_free(pair->group);
}

static void random_scalar(BIGNUM *d, const struct kc_ec_curve *curve)
{
    BIGNUM *order = ec_lane(curve->n.m, curve->nd, 0);
    do {
        BN_rand_range(d, order);
    } while (BN_is_zero(d));
    BN_free(order);
}

/* FIPS 186-5 section 6.4.2 with OpenSSL's numbers and points. */
static bool accepted(const struct pair *pair, const struct kc_ec_sign_lane *lane)
{
    const int len = (int)pair->key->curve->bytes;
    const BIGNUM *n = EC_GROUP_get0_order(pair->group);
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *r = BN_bin2bn(lane->out, len, NULL), *s = BN_bin2bn(lane->out + len, len, NULL);
    BIGNUM *u1 = BN_bin2bn(lane->digest, (int)lane->len, NULL), *u2 = BN_new();
    EC_POINT *point = EC_POINT_new(pair->group);
    bool ok = !BN_is_zero(r) && !BN_is_zero(s) && BN_cmp(r, n) < 0 && BN_cmp(s, n) < 0 &&
              BN_mod_inverse(s, s, n, ctx) && BN_mod_mul(u1, u1, s, n, ctx) &&
              BN_mod_mul(u2, r, s, n, ctx) &&
              EC_POINT_mul(pair->group, point, u1, pair->point, u2, ctx) &&
              EC_POINT_get_affine_coordinates(pair->group, point, u1, NULL, ctx) &&
              BN_nnmod(u1, u1, n, ctx) && BN_cmp(u1, r) == 0;
    EC_POINT_free(point);
    BN_free(r);
    BN_free(s);
    BN_free(u1);
    BN_free(u2);
    BN_CTX_free(ctx);
    return ok;
}

static void expect_number(const uint8_t *got, size_t len, const char *text)
{
    BIGNUM *want = NULL, *have = BN_bin2bn(got, (int)len, NULL);
    assert_true(BN_hex2bn(&want, text) > 0);
    assert_int_equal(BN_cmp(want, have), 0);
    BN_free(want);
    BN_free(have);
}

/* Both messages in all lane positions, and alone in each. */
static void rfc6979(void **state)
{
    (void)state;
    const EVP_MD *hash[CURVES] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
    for (unsigned c = 0; c < CURVES; c++) {
        const struct kc_ec_curve *curve = ec_curve(c);
        struct pair pair;
        BIGNUM *d = NULL, *k[2] = {NULL, NULL};
        uint8_t digest[2][64], out[KC_EC_LANES][132];
        unsigned len = 0;
        BN_hex2bn(&d, known_d[c]);
        pair_make(&pair, c, d);
        for (unsigned i = 0; i < 2; i++) {
            EVP_Digest(known[c][i].message, strlen(known[c][i].message), digest[i], &len, hash[c],
                       NULL);
            BN_hex2bn(&k[i], known[c][i].k);
        }
        for (unsigned turn = 0; turn < 2; turn++)
            for (unsigned count = 1; count <= KC_EC_LANES; count++) {
                struct kc_ec_sign_lane lanes[KC_EC_LANES];
                for (unsigned i = 0; i < KC_EC_LANES; i++) {
                    lanes[i] = (struct kc_ec_sign_lane){.key = pair.key,
                                                        .digest = digest[(i + turn) % 2],
                                                        .len = len,
                                                        .out = out[i]};
                    ec_set_lane(work->k, curve->nd, i, k[((i < count ? i : 0) + turn) % 2]);
                }
                assert_int_equal(kc_ec_sign_known(curve, lanes, count, work), (1u << count) - 1);
                for (unsigned i = 0; i < count; i++) {
                    expect_number(out[i], curve->bytes, known[c][(i + turn) % 2].r);
                    expect_number(out[i] + curve->bytes, curve->bytes, known[c][(i + turn) % 2].s);
                }
            }
        BN_free(d);
        BN_free(k[0]);
        BN_free(k[1]);
        pair_free(&pair);
    }
}

/* 0, all ones, n, n - 1, 1, else random: as many bytes as the algorithm's digest has. */
static void edge_digest(uint8_t *digest, size_t len, const struct kc_ec_curve *curve,
                        unsigned which)
{
    BIGNUM *order = ec_lane(curve->n.m, curve->nd, 0);
    memset(digest, which == 1 ? 0xff : 0, len);
    if (which == 2 || which == 3) {
        BN_sub_word(order, which - 2);
        BN_rshift(order, order, curve->bits > 8 * len ? (int)(curve->bits - 8 * len) : 0);
        assert_true(BN_bn2binpad(order, digest, (int)len) > 0);
    } else if (which == 4) {
        digest[len - 1] = 1;
    } else if (which > 4) {
        ec_bytes(digest, len);
    }
    BN_free(order);
}

static void any_keys_and_digests(void **state)
{
    (void)state;
    enum { KEYS = 5 };
    for (unsigned c = 0; c < CURVES; c++) {
        const struct kc_ec_curve *curve = ec_curve(c);
        const size_t len = curve->bytes < 64 ? curve->bytes : 64;
        struct pair pairs[KEYS];
        BIGNUM *d = BN_new();
        for (unsigned i = 0; i < KEYS; i++) {
            random_scalar(d, curve);
            if (i == 0)
                BN_one(d);
            pair_make(&pairs[i], c, d);
        }
        for (unsigned round = 0; round < 24; round++) {
            struct kc_ec_sign_lane lanes[KC_EC_LANES];
            uint8_t digest[KC_EC_LANES][64], out[KC_EC_LANES + 1][132];
            const unsigned count = 1 + (round + 7) % KC_EC_LANES;
            unsigned key[KC_EC_LANES], good = 0;
            memset(out, 0xa5, sizeof out);
            for (unsigned i = 0; i < count; i++) {
                key[i] = (unsigned)(ec_rnd() % KEYS);
                edge_digest(digest[i], len, curve, (round + i) % KC_EC_LANES);
                lanes[i] = (struct kc_ec_sign_lane){
                    .key = pairs[key[i]].key, .digest = digest[i], .len = len, .out = out[i]};
            }
            assert_int_equal(kc_ec_sign_x8(curve, lanes, count, work, &good), KW_OK);
            assert_int_equal(good, (1u << count) - 1);
            for (unsigned i = 0; i < count; i++)
                assert_true(accepted(&pairs[key[i]], &lanes[i]));
            for (size_t i = 0; i < sizeof out[0]; i++)
                assert_int_equal(out[count][i], 0xa5); /* idle lanes write nothing */
            for (size_t i = 0; i < sizeof *work; i++)
                assert_int_equal(((const uint8_t *)work)[i], 0); /* nothing stays */
        }
        BN_free(d);
        for (unsigned i = 0; i < KEYS; i++)
            pair_free(&pairs[i]);
    }
}

/* A lane with k = 0: refused, zeroed, and
 * the neighbours are served. */
static void refused_alone(void **state)
{
    (void)state;
    for (unsigned c = 0; c < CURVES; c++) {
        const struct kc_ec_curve *curve = ec_curve(c);
        struct pair pair;
        BIGNUM *k = BN_new();
        uint8_t digest[64] = {7}, out[KC_EC_LANES][132];
        struct kc_ec_sign_lane lanes[KC_EC_LANES];
        random_scalar(k, curve);
        pair_make(&pair, c, k);
        for (unsigned bad = 0; bad < KC_EC_LANES; bad++) {
            for (unsigned i = 0; i < KC_EC_LANES; i++) {
                random_scalar(k, curve);
                if (i == bad)
                    BN_zero(k);
                ec_set_lane(work->k, curve->nd, i, k);
                memset(out[i], 0xa5, sizeof out[i]);
                lanes[i] = (struct kc_ec_sign_lane){
                    .key = pair.key, .digest = digest, .len = 32, .out = out[i]};
            }
            assert_int_equal(kc_ec_sign_known(curve, lanes, KC_EC_LANES, work),
                             0xff & ~(1u << bad));
            for (unsigned i = 0; i < KC_EC_LANES; i++)
                assert_int_equal(accepted(&pair, &lanes[i]), i != bad);
            for (size_t i = 0; i < 2 * curve->bytes; i++)
                assert_int_equal(out[bad][i], 0);
        }
        BN_free(k);
        pair_free(&pair);
    }
}

/* One changed bit in the generator's table: every signature that meets it is held back. */
static void table_faults_are_caught(void **state)
{
    (void)state;
    for (unsigned c = 0; c < CURVES; c++) {
        const struct kc_ec_curve *curve = ec_curve(c);
        const unsigned entries = 1u << (curve->window - 1);
        struct pair pair;
        BIGNUM *d = BN_new();
        random_scalar(d, curve);
        pair_make(&pair, c, d);
        unsigned refused = 0;
        for (unsigned round = 0; round < 40; round++) {
            uint8_t digest[64] = {(uint8_t)round}, out[KC_EC_LANES][132];
            struct kc_ec_sign_lane lanes[KC_EC_LANES];
            unsigned good = 0;
            for (unsigned i = 0; i < KC_EC_LANES; i++)
                lanes[i] = (struct kc_ec_sign_lane){
                    .key = pair.key, .digest = digest, .len = 32, .out = out[i]};
            /* one digit of one window for all its entries, so that every lane meets it */
            uint64_t *column =
                curve->table + (ec_rnd() % (2 * curve->windows * curve->nd)) * entries;
            const uint64_t flip = 1ull << ec_rnd() % 20;
            for (unsigned i = 0; i < entries; i++)
                column[i] ^= flip;
            assert_int_equal(kc_ec_sign_x8(curve, lanes, KC_EC_LANES, work, &good), KW_OK);
            for (unsigned i = 0; i < entries; i++)
                column[i] ^= flip;
            assert_int_equal(good, 0);
            refused++;
        }
        assert_int_equal(refused, 40);
        BN_free(d);
        pair_free(&pair);
    }
}

/* Key, digest and random bytes each change k; nothing else does. */
static void nonces_are_hedged(void **state)
{
    (void)state;
    for (unsigned c = 0; c < CURVES; c++) {
        const struct kc_ec_curve *curve = ec_curve(c);
        struct pair pair[2];
        BIGNUM *d = BN_new();
        uint8_t digest[2][64] = {{1}, {2}};
        for (unsigned i = 0; i < 2; i++) {
            random_scalar(d, curve);
            pair_make(&pair[i], c, d);
        }
        struct kc_ec_sign_lane lanes[KC_EC_LANES];
        for (unsigned i = 0; i < KC_EC_LANES; i++)
            lanes[i] = (struct kc_ec_sign_lane){
                .key = pair[i / 4].key, .digest = digest[i / 2 % 2], .len = 32};
        /* lanes 0 and 1 alike; key, digest and random each make a difference */
        memset(work, 0, sizeof *work);
        work->random[5][31] = 1;
        kc_ec_nonces(curve, lanes, KC_EC_LANES, work);
        BIGNUM *k[KC_EC_LANES], *order = ec_lane(curve->n.m, curve->nd, 0);
        for (unsigned i = 0; i < KC_EC_LANES; i++) {
            k[i] = ec_lane(work->k, curve->nd, i);
            assert_true(!BN_is_zero(k[i]) && BN_cmp(k[i], order) < 0);
            assert_true(BN_num_bits(k[i]) > (int)curve->bits - 40);
        }
        for (unsigned i = 0; i < KC_EC_LANES; i++)
            for (unsigned j = 0; j < i; j++) {
                bool alike = i / 2 == j / 2 && i != 5;
                assert_int_equal(BN_cmp(k[i], k[j]) == 0, alike);
            }
        for (unsigned i = 0; i < KC_EC_LANES; i++)
            BN_free(k[i]);
        BN_free(order);
        BN_free(d);
        pair_free(&pair[0]);
        pair_free(&pair[1]);
        kw_wipe(work, sizeof *work);
    }
}

/* The nonce as a formula: HMAC-SHA-512 by OpenSSL, reduced by OpenSSL. */
static void nonces_are_hmac(void **state)
{
    (void)state;
    for (unsigned c = 0; c < CURVES; c++) {
        const struct kc_ec_curve *curve = ec_curve(c);
        struct pair pair;
        BIGNUM *d = BN_new(), *wide = BN_new(), *part, *order = ec_lane(curve->n.m, curve->nd, 0);
        BN_CTX *ctx = BN_CTX_new();
        uint8_t digest[64], scalar[66], mac[64], message[8 + 32 + 64];
        random_scalar(d, curve);
        pair_make(&pair, c, d);
        BN_bn2binpad(d, scalar, (int)curve->bytes);
        ec_bytes(digest, sizeof digest);
        const size_t len = curve->bytes < 64 ? curve->bytes : 64;
        struct kc_ec_sign_lane lane = {.key = pair.key, .digest = digest, .len = len};
        ec_bytes((uint8_t *)work->random, sizeof work->random);
        memset(message, 0, sizeof message);
        memcpy(message + 8, work->random[0], 32);
        memcpy(message + 40, digest, len);
        BN_zero(wide);
        for (unsigned i = 0; i < (c == 2 ? 2 : 1); i++) {
            message[7] = (uint8_t)i;
            assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA512", NULL, scalar, curve->bytes,
                                      message, sizeof message, mac, sizeof mac, NULL));
            /* words of the hash, the first one least significant */
            for (unsigned w = 0; w < 8; w++) {
                part = BN_bin2bn(mac + (size_t)8 * w, 8, NULL);
                BN_lshift(part, part, (int)(512 * i + 64 * w));
                BN_add(wide, wide, part);
                BN_free(part);
            }
        }
        kc_ec_nonces(curve, &lane, 1, work);
        BIGNUM *k = ec_lane(work->k, curve->nd, 0);
        BN_mod(wide, wide, order, ctx);
        assert_int_equal(BN_cmp(wide, k), 0);
        BN_free(k);
        BN_free(d);
        BN_free(wide);
        BN_free(order);
        BN_CTX_free(ctx);
        pair_free(&pair);
        kw_wipe(work, sizeof *work);
    }
}

static int start(void **state)
{
    (void)state;
    work = kw_secret_alloc(sizeof *work);
    return work ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    kw_secret_free(work);
    return kw_secret_in_use() == 0 ? 0 : -1;
}

int main(void)
{
    ec_need_cpu();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc6979),           cmocka_unit_test(any_keys_and_digests),
        cmocka_unit_test(refused_alone),     cmocka_unit_test(table_faults_are_caught),
        cmocka_unit_test(nonces_are_hedged), cmocka_unit_test(nonces_are_hmac),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
