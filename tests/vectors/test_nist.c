/* NIST CAVP files of Debian's python3-cryptography-vectors, through the lane interface. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/batch.h"
#include "tests/support/rsp.h"

static void name_case(struct kt_case *c, const char *file, size_t number)
{
    snprintf(c->name, sizeof(c->name), "%.60s #%zu", file, number);
}

/* Runs the set; a file that gave fewer than `least` cases was not understood. */
static void run_and_free(struct kt_set *set, size_t least)
{
    size_t count = kt_count(set), failures = kt_set_run(set);
    kt_set_free(set);
    print_message("%zu cases\n", count);
    assert_true(count >= least);
    assert_int_equal(failures, 0);
}

static void add_rsa_public(struct kt_set *set, const char *file, const struct kt_rsp *rsp,
                           enum kw_alg alg, enum kw_hash hash, bool valid)
{
    struct kc_public pub = {.kty = KW_KTY_RSA};
    struct kw_span n = kt_hex(set, kt_rsp_get(rsp, "n")), e = kt_hex(set, kt_rsp_get(rsp, "e"));
    while (e.len > 0 && *e.data == 0) {
        e.data++;
        e.len--;
    }
    pub.n_len = n.len;
    pub.e_len = e.len;
    assert_true(n.len <= sizeof(pub.n) && e.len <= sizeof(pub.e));
    memcpy(pub.n, n.data, n.len);
    memcpy(pub.e, e.data, e.len);
    struct kt_case c = {.valid = valid};
    struct kc_key *key;
    assert_int_equal(kc_key_from_public(&key, &pub), KW_OK);
    c.op = (struct kc_lane_op){.key = key,
                               .kind = KW_KIND_VERIFY,
                               .alg = alg,
                               .in = kt_digest(set, hash, kt_hex(set, kt_rsp_get(rsp, "Msg"))),
                               .sig = kt_hex(set, kt_rsp_get(rsp, "S"))};
    name_case(&c, file, kt_count(set));
    kt_add(set, &c);
}

/* The same signature made from n, e and d alone: the primes are recovered on import. */
static void add_rsa_private(struct kt_set *set, const char *file, const struct kt_rsp *rsp,
                            enum kw_alg alg, enum kw_hash hash)
{
    struct kc_private_parts parts = {.n = kt_hex(set, kt_rsp_get(rsp, "n")),
                                     .e = kt_hex(set, kt_rsp_get(rsp, "e")),
                                     .d = kt_hex(set, kt_rsp_get(rsp, "d"))};
    struct kc_key *key;
    assert_int_equal(kc_key_import(&key, KW_KTY_RSA, KW_CURVE_NONE, &parts), KW_OK);
    struct kt_case c = {.want = kt_hex(set, kt_rsp_get(rsp, "S"))};
    c.op = (struct kc_lane_op){.key = key,
                               .kind = KW_KIND_SIGN,
                               .alg = alg,
                               .in = kt_digest(set, hash, kt_hex(set, kt_rsp_get(rsp, "Msg")))};
    name_case(&c, file, kt_count(set));
    kt_add(set, &c);
}

static enum kw_hash hash_named(const char *name)
{
    return strcmp(name, "SHA256") == 0 || strcmp(name, "SHA-256") == 0   ? KW_HASH_SHA256
           : strcmp(name, "SHA384") == 0 || strcmp(name, "SHA-384") == 0 ? KW_HASH_SHA384
           : strcmp(name, "SHA512") == 0 || strcmp(name, "SHA-512") == 0 ? KW_HASH_SHA512
                                                                         : KW_HASH_NONE;
}

/* `trigger` is the last field of a case. */
static void rsa_file(struct kt_set *set, const char *file, const char *trigger, bool pss)
{
    struct kt_rsp *rsp = kt_rsp_open(file);
    assert_non_null(rsp);
    const char *name;
    while (kt_rsp_next(rsp, &name)) {
        enum kw_hash hash = hash_named(kt_rsp_get(rsp, "SHAAlg"));
        if (strcmp(name, trigger) != 0 || atoi(kt_rsp_get(rsp, "mod")) < 2048 || !hash) {
            continue;
        }
        bool valid = strcmp(trigger, "S") == 0 || kt_rsp_get(rsp, "Result")[0] == 'P';
        bool own_salt = strlen(kt_rsp_get(rsp, "SaltVal")) == 2 * kw_hash_len(hash);
        int step = (int)hash - KW_HASH_SHA256;
        enum kw_alg alg = (enum kw_alg)((pss ? KW_ALG_PS256 : KW_ALG_RS256) + step);
        add_rsa_public(set, file, rsp, alg, hash, valid && (!pss || own_salt));
        if (valid && !pss && kt_rsp_get(rsp, "d")[0] != '\0') {
            add_rsa_private(set, file, rsp, alg, hash);
        }
    }
    kt_rsp_close(rsp);
}

static void rsa_pkcs1(void **state)
{
    (void)state;
    struct kt_set *set = kt_set_create();
    rsa_file(set, "asymmetric/RSA/FIPS_186-2/SigVer15_186-3.rsp", "Result", false);
    rsa_file(set, "asymmetric/RSA/FIPS_186-2/SigGen15_186-3.rsp", "S", false);
    run_and_free(set, 200);
}

/* These salts have ten bytes: right encodings, but not ours, so every one must be refused. */
static void rsa_pss_other_salt(void **state)
{
    (void)state;
    struct kt_set *set = kt_set_create();
    rsa_file(set, "asymmetric/RSA/FIPS_186-2/SigVerPSS_186-3.rsp", "Result", true);
    run_and_free(set, 100);
}

struct curve_row {
    const char *section;
    enum kw_curve curve;
    enum kw_hash hash;
    enum kw_alg alg;
};

static void add_ecdsa(struct kt_set *set, const char *file, const struct kt_rsp *rsp,
                      const struct curve_row *row, bool valid)
{
    size_t width = kw_curve_bytes(row->curve);
    const char *const names[] = {"Qx", "Qy", "R", "S"};
    uint8_t fixed[4][66] = {{0}}, sig[132];
    for (int i = 0; i < 4; i++) {
        struct kw_span part = kt_hex(set, kt_rsp_get(rsp, names[i]));
        assert_true(part.len <= width);
        memcpy(fixed[i] + width - part.len, part.data, part.len);
    }
    struct kc_public pub = {.kty = KW_KTY_EC, .curve = row->curve, .coord_len = width};
    memcpy(pub.x, fixed[0], width);
    memcpy(pub.y, fixed[1], width);
    memcpy(sig, fixed[2], width);
    memcpy(sig + width, fixed[3], width);
    struct kc_key *key;
    kw_status status = kc_key_from_public(&key, &pub);
    if (status != KW_OK) {
        assert_false(valid); /* "Q changed": may be off the curve */
        return;
    }
    struct kt_case c = {.valid = valid};
    c.op = (struct kc_lane_op){.key = key,
                               .kind = KW_KIND_VERIFY,
                               .alg = row->alg,
                               .in = kt_digest(set, row->hash, kt_hex(set, kt_rsp_get(rsp, "Msg"))),
                               .sig = kt_copy(set, kw_span_of(sig, 2 * width))};
    name_case(&c, file, kt_count(set));
    kt_add(set, &c);
}

static void ecdsa_file(struct kt_set *set, const char *file, const char *trigger)
{
    static const struct curve_row rows[] = {
        {"P-256,SHA-256", KW_CURVE_P256, KW_HASH_SHA256, KW_ALG_ES256},
        {"P-384,SHA-384", KW_CURVE_P384, KW_HASH_SHA384, KW_ALG_ES384},
        {"P-521,SHA-512", KW_CURVE_P521, KW_HASH_SHA512, KW_ALG_ES512},
        {"K-256,SHA-256", KW_CURVE_P256K, KW_HASH_SHA256, KW_ALG_ES256K},
    };
    struct kt_rsp *rsp = kt_rsp_open(file);
    assert_non_null(rsp);
    const char *name;
    while (kt_rsp_next(rsp, &name)) {
        for (size_t i = 0; strcmp(name, trigger) == 0 && i < sizeof(rows) / sizeof(rows[0]); i++) {
            if (strcmp(kt_rsp_get(rsp, "["), rows[i].section) == 0) {
                bool valid = strcmp(trigger, "S") == 0 || kt_rsp_get(rsp, "Result")[0] == 'P';
                add_ecdsa(set, file, rsp, &rows[i], valid);
            }
        }
    }
    kt_rsp_close(rsp);
}

static void ecdsa(void **state)
{
    (void)state;
    struct kt_set *set = kt_set_create();
    ecdsa_file(set, "asymmetric/ECDSA/FIPS_186-3/SigVer.rsp", "Result");
    ecdsa_file(set, "asymmetric/ECDSA/FIPS_186-3/SigGen.rsp", "S");
    run_and_free(set, 45);
}

static void add_oct(struct kt_set *set, const char *file, const char *key, struct kc_lane_op op,
                    const struct kt_case *expect)
{
    struct kt_case c = *expect;
    op.key = kt_oct_key(kt_hex(set, key), true);
    assert_non_null(op.key);
    c.op = op;
    name_case(&c, file, kt_count(set));
    kt_add(set, &c);
}

static void wrap_file(struct kt_set *set, const char *file, enum kw_alg alg, bool forward)
{
    struct kt_rsp *rsp = kt_rsp_open(file);
    assert_non_null(rsp);
    const char *name;
    while (kt_rsp_next(rsp, &name)) {
        bool fail = strcmp(name, "FAIL") == 0;
        if (!fail && strcmp(name, forward ? "C" : "P") != 0) {
            continue;
        }
        struct kw_span p = kt_hex(set, kt_rsp_get(rsp, "P")), c = kt_hex(set, kt_rsp_get(rsp, "C"));
        struct kc_lane_op op = {
            .kind = forward ? KW_KIND_WRAP : KW_KIND_UNWRAP, .alg = alg, .in = forward ? p : c};
        struct kt_case expect = {.refused = fail, .want = forward ? c : p};
        add_oct(set, file, kt_rsp_get(rsp, "K"), op, &expect);
    }
    kt_rsp_close(rsp);
}

static void key_wrap(void **state)
{
    (void)state;
    struct kt_set *set = kt_set_create();
    char file[96];
    for (int bits = 128; bits <= 256; bits += 64) {
        for (int way = 0; way < 4; way++) {
            bool padded = way & 1, forward = way & 2;
            snprintf(file, sizeof(file), "keywrap/kwtestvectors/%s_%s_%d.txt",
                     padded ? "KWP" : "KW", forward ? "AE" : "AD", bits);
            wrap_file(set, file, padded ? KW_ALG_AES_KWP : KW_ALG_AES_KW, forward);
        }
    }
    run_and_free(set, 5000);
}

static void gcm_file(struct kt_set *set, const char *file, enum kw_alg alg, bool forward)
{
    struct kt_rsp *rsp = kt_rsp_open(file);
    assert_non_null(rsp);
    const char *name;
    while (kt_rsp_next(rsp, &name)) {
        bool fail = strcmp(name, "FAIL") == 0;
        if ((!fail && strcmp(name, forward ? "Tag" : "PT") != 0) ||
            atoi(kt_rsp_get(rsp, "IVlen")) != 96 || atoi(kt_rsp_get(rsp, "Taglen")) != 128) {
            continue;
        }
        struct kw_span p = kt_hex(set, kt_rsp_get(rsp, "PT"));
        struct kw_span c = kt_hex(set, kt_rsp_get(rsp, "CT"));
        struct kw_span tag = kt_hex(set, kt_rsp_get(rsp, "Tag"));
        struct kc_lane_op op = {.kind = forward ? KW_KIND_ENCRYPT : KW_KIND_DECRYPT,
                                .alg = alg,
                                .iv = kt_hex(set, kt_rsp_get(rsp, "IV")),
                                .aad = kt_hex(set, kt_rsp_get(rsp, "AAD")),
                                .in = forward ? p : c};
        memcpy(op.tag, tag.data, tag.len);
        struct kt_case expect = {.refused = fail, .want = forward ? c : p};
        if (forward) {
            expect.tag = tag;
        }
        add_oct(set, file, kt_rsp_get(rsp, "Key"), op, &expect);
    }
    kt_rsp_close(rsp);
}

static void gcm(void **state)
{
    (void)state;
    struct kt_set *set = kt_set_create();
    char file[96];
    for (int i = 0; i < 3; i++) {
        snprintf(file, sizeof(file), "ciphers/AES/GCM/gcmEncryptExtIV%d.rsp", 128 + 64 * i);
        gcm_file(set, file, (enum kw_alg)(KW_ALG_A128GCM + i), true);
        snprintf(file, sizeof(file), "ciphers/AES/GCM/gcmDecrypt%d.rsp", 128 + 64 * i);
        gcm_file(set, file, (enum kw_alg)(KW_ALG_A128GCM + i), false);
    }
    run_and_free(set, 2000);
}

static void cbc_file(struct kt_set *set, const char *file, enum kw_alg alg)
{
    struct kt_rsp *rsp = kt_rsp_open(file);
    assert_non_null(rsp);
    const char *name;
    while (kt_rsp_next(rsp, &name)) {
        bool forward = strcmp(kt_rsp_get(rsp, "["), "ENCRYPT") == 0;
        if (strcmp(name, forward ? "CIPHERTEXT" : "PLAINTEXT") != 0) {
            continue;
        }
        struct kw_span p = kt_hex(set, kt_rsp_get(rsp, "PLAINTEXT"));
        struct kw_span c = kt_hex(set, kt_rsp_get(rsp, "CIPHERTEXT"));
        struct kc_lane_op op = {.kind = forward ? KW_KIND_ENCRYPT : KW_KIND_DECRYPT,
                                .alg = alg,
                                .iv = kt_hex(set, kt_rsp_get(rsp, "IV")),
                                .in = forward ? p : c};
        struct kt_case expect = {.want = forward ? c : p};
        add_oct(set, file, kt_rsp_get(rsp, "KEY"), op, &expect);
    }
    kt_rsp_close(rsp);
}

static void cbc(void **state)
{
    (void)state;
    static const char *const sorts[] = {"MMT", "GFSbox", "KeySbox", "VarKey", "VarTxt"};
    struct kt_set *set = kt_set_create();
    char file[96];
    for (int i = 0; i < 3; i++) {
        for (size_t s = 0; s < sizeof(sorts) / sizeof(sorts[0]); s++) {
            snprintf(file, sizeof(file), "ciphers/AES/CBC/CBC%s%d.rsp", sorts[s], 128 + 64 * i);
            cbc_file(set, file, (enum kw_alg)(KW_ALG_A128CBC + i));
        }
    }
    run_and_free(set, 1000);
}

static void hmac(void **state)
{
    (void)state;
    static const char *const files[] = {"HMAC/rfc-4231-sha256.txt", "HMAC/rfc-4231-sha384.txt",
                                        "HMAC/rfc-4231-sha512.txt"};
    struct kt_set *set = kt_set_create();
    for (int i = 0; i < 3; i++) {
        struct kt_rsp *rsp = kt_rsp_open(files[i]);
        assert_non_null(rsp);
        const char *name;
        while (kt_rsp_next(rsp, &name)) {
            if (strcmp(name, "MD") != 0 || strlen(kt_rsp_get(rsp, "Key")) > 64) {
                continue; /* longer keys are not offered */
            }
            struct kc_lane_op op = {.kind = KW_KIND_SIGN,
                                    .alg = (enum kw_alg)(KW_ALG_HS256 + i),
                                    .in = kt_hex(set, kt_rsp_get(rsp, "Msg"))};
            struct kt_case expect = {.want = kt_hex(set, kt_rsp_get(rsp, "MD")), .valid = true};
            add_oct(set, files[i], kt_rsp_get(rsp, "Key"), op, &expect);
            op.kind = KW_KIND_VERIFY;
            op.sig = expect.want;
            add_oct(set, files[i], kt_rsp_get(rsp, "Key"), op, &expect);
        }
        kt_rsp_close(rsp);
    }
    run_and_free(set, 24);
}

int main(void)
{
    if (!kt_rsp_available()) {
        puts("skipped: Debian's python3-cryptography-vectors is not installed");
        return 77;
    }
    if (kc_lanes_init() != KW_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa_pkcs1), cmocka_unit_test(rsa_pss_other_salt),
        cmocka_unit_test(ecdsa),     cmocka_unit_test(key_wrap),
        cmocka_unit_test(gcm),       cmocka_unit_test(cbc),
        cmocka_unit_test(hmac),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
