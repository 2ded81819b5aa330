/* Vector files of Debian's python3-cryptography-vectors that are not in NIST's response format:
 * RSA encryption (RSA Laboratories' files and those derived from them) and ECDSA on secp256k1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/batch.h"
#include "tests/support/rsp.h"

#define FOLDER   "/usr/lib/python3/dist-packages/cryptography_vectors/asymmetric/"
#define VALUE    2100 /* hexadecimal digits of the longest number, and some */
#define KEY_BITS 2048 /* the size in these files that is offered */

static void run_and_free(struct kt_set *set, size_t least)
{
    size_t count = kt_count(set), failures = kt_set_run(set);
    kt_set_free(set);
    print_message("%zu cases\n", count);
    assert_true(count >= least);
    assert_int_equal(failures, 0);
}

/* A file of "# Name:" lines, each with a hexadecimal number on the lines below. */
enum field { MODULUS, PUBLIC, PRIVATE, PRIME1, PRIME2, MESSAGE, ENCRYPTION, FIELDS };
static const char *const field_names[FIELDS] = {
    "Modulus:", "Public exponent:", "Exponent:", "Prime 1:", "Prime 2:", "Message:", "Encryption:"};

struct text {
    char value[FIELDS][VALUE];
    int now; /* field being read, -1: none */
};

static int field_of(const char *line)
{
    for (int i = 0; i < FIELDS; i++) {
        size_t len = strlen(field_names[i]);
        if (strncmp(line, "# ", 2) == 0 && strncmp(line + 2, field_names[i], len) == 0) {
            return i;
        }
    }
    return -1;
}

static void append(char *value, const char *line)
{
    size_t len = strlen(value);
    for (; *line; line++) {
        if (*line != ' ' && *line != '\n' && *line != '\r') {
            assert_true(len + 1 < VALUE);
            value[len++] = *line;
        }
    }
    value[len] = '\0';
}

static void add_decrypt(struct kt_set *set, const char *file, const struct text *text,
                        enum kw_alg alg)
{
    const struct kc_private_parts parts = {.n = kt_hex(set, text->value[MODULUS]),
                                           .e = kt_hex(set, text->value[PUBLIC]),
                                           .d = kt_hex(set, text->value[PRIVATE]),
                                           .p = kt_hex(set, text->value[PRIME1]),
                                           .q = kt_hex(set, text->value[PRIME2])};
    struct kc_key *key;
    assert_int_equal(kc_key_import(&key, KW_KTY_RSA, KW_CURVE_NONE, &parts), KW_OK);
    struct kt_case c = {.want = kt_hex(set, text->value[MESSAGE])};
    c.op = (struct kc_lane_op){.key = key,
                               .kind = KW_KIND_DECRYPT,
                               .alg = alg,
                               .in = kt_hex(set, text->value[ENCRYPTION])};
    snprintf(c.name, sizeof(c.name), "%.60s #%zu", file, kt_count(set));
    kt_add(set, &c);
}

/* A line that is not part of a number ends the field before it. */
static void end_field(struct kt_set *set, const char *file, struct text *text, enum kw_alg alg)
{
    if (text->now == ENCRYPTION && strlen(text->value[MODULUS]) == KEY_BITS / 4) {
        add_decrypt(set, file, text, alg);
    }
    text->now = -1;
}

static void decrypt_file(struct kt_set *set, const char *name, enum kw_alg alg)
{
    static struct text text;
    char path[256], line[1200];
    text = (struct text){.now = -1};
    snprintf(path, sizeof(path), FOLDER "RSA/%s", name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (line[0] == '#') {
            end_field(set, name, &text, alg);
            text.now = field_of(line);
            if (text.now >= 0) {
                text.value[text.now][0] = '\0';
            }
        } else if (text.now >= 0) {
            append(text.value[text.now], line);
        }
    }
    end_field(set, name, &text, alg);
    fclose(file);
}

static void oaep_sha1(void **state)
{
    (void)state;
    struct kt_set *set = kt_set_create();
    decrypt_file(set, "pkcs-1v2-1d2-vec/oaep-vect.txt", KW_ALG_RSA_OAEP);
    run_and_free(set, 6);
}

static void oaep_sha256(void **state)
{
    (void)state;
    struct kt_set *set = kt_set_create();
    decrypt_file(set, "oaep-custom/oaep-sha256-sha256.txt", KW_ALG_RSA_OAEP_256);
    run_and_free(set, 60);
}

static void pkcs1_encryption(void **state)
{
    (void)state;
    struct kt_set *set = kt_set_create();
    decrypt_file(set, "pkcs1v15crypt-vectors.txt", KW_ALG_RSA1_5);
    run_and_free(set, 20);
}

/* ES256K takes 32 bytes: of longer digests the leftmost ones count, shorter ones are the number
 * with zeros in front (FIPS 186-5 section 6.4.1). */
static void add_k256(struct kt_set *set, const struct kt_rsp *rsp, enum kw_hash hash)
{
    uint8_t digest[32] = {0}, sig[64] = {0};
    struct kw_span full = kt_digest(set, hash, kt_hex(set, kt_rsp_get(rsp, "Msg")));
    size_t len = full.len < 32 ? full.len : 32;
    memcpy(digest + 32 - len, full.data, len);
    struct kc_public pub = {.kty = KW_KTY_EC, .curve = KW_CURVE_P256K, .coord_len = 32};
    struct {
        const char *name;
        uint8_t *to;
    } numbers[] = {{"Qx", pub.x}, {"Qy", pub.y}, {"R", sig}, {"S", sig + 32}};
    for (size_t i = 0; i < 4; i++) {
        struct kw_span part = kt_hex(set, kt_rsp_get(rsp, numbers[i].name));
        assert_true(part.len <= 32);
        memcpy(numbers[i].to + 32 - part.len, part.data, part.len);
    }
    for (int changed = 0; changed < 2; changed++) {
        struct kt_case c = {.valid = !changed};
        struct kc_key *key;
        assert_int_equal(kc_key_from_public(&key, &pub), KW_OK);
        digest[31] ^= (uint8_t)changed;
        c.op = (struct kc_lane_op){.key = key,
                                   .kind = KW_KIND_VERIFY,
                                   .alg = KW_ALG_ES256K,
                                   .in = kt_copy(set, kw_span_of(digest, 32)),
                                   .sig = kt_copy(set, kw_span_of(sig, 64))};
        snprintf(c.name, sizeof(c.name), "secp256k1 #%zu", kt_count(set));
        kt_add(set, &c);
    }
}

static void secp256k1(void **state)
{
    (void)state;
    static const struct {
        const char *section;
        enum kw_hash hash;
    } sections[] = {{"K-256,SHA-1", KW_HASH_SHA1},
                    {"K-256,SHA-256", KW_HASH_SHA256},
                    {"K-256,SHA-384", KW_HASH_SHA384},
                    {"K-256,SHA-512", KW_HASH_SHA512}};
    struct kt_set *set = kt_set_create();
    struct kt_rsp *rsp = kt_rsp_open("asymmetric/ECDSA/SECP256K1/SigGen.txt");
    assert_non_null(rsp);
    const char *name;
    size_t taken[4] = {0};
    while (kt_rsp_next(rsp, &name)) {
        for (size_t i = 0; strcmp(name, "S") == 0 && i < 4; i++) {
            /* one in eight: each runs in every position of a batch */
            if (strcmp(kt_rsp_get(rsp, "["), sections[i].section) == 0 && taken[i]++ % 8 == 0) {
                add_k256(set, rsp, sections[i].hash);
            }
        }
    }
    kt_rsp_close(rsp);
    run_and_free(set, 100);
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
        cmocka_unit_test(oaep_sha1),
        cmocka_unit_test(oaep_sha256),
        cmocka_unit_test(pkcs1_encryption),
        cmocka_unit_test(secp256k1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
