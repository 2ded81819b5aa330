/* Project Wycheproof's cases that this library's interface can express. The folder comes from
 * KEYWARD_WYCHEPROOF, else ../shared/vectors/wycheproof beside the source tree. What "acceptable"
 * means here is decided in one place: decide(). */
#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/domain/domain_internal.h"
#include "tests/support/batch.h"

static char folder[512];

/* A group's key and parameters while its cases are added. */
struct group {
    struct kt_set *set;
    const char *file;
    json_t *json;
    struct kc_key *key; /* shared by the group's cases; NULL for symmetric groups */
    enum kw_alg alg;
};

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

static long long number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static bool flagged(const json_t *test, const char *flag)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(test, "flags"), i, entry)
    {
        if (strcmp(json_string_value(entry), flag) == 0) {
            return true;
        }
    }
    return false;
}

static struct kw_span hex(const struct group *g, const json_t *object, const char *name)
{
    return kt_hex(g->set, text(object, name));
}

/* "acceptable": one row per flag. Only results that another implementation may also give count as
 * valid; leniency in parsing does not. */
static bool decide(const json_t *test)
{
    const char *result = text(test, "result");
    if (strcmp(result, "acceptable") != 0) {
        return strcmp(result, "valid") == 0;
    }
    static const struct {
        const char *flag;
        bool valid;
    } rows[] = {
        {"MissingNull", false},         /* DigestInfo without NULL: RFC 8017 says must have it */
        {"ShortKey", false},            /* RFC 3394 wraps at least two semiblocks */
        {"EncryptionWithLabel", false}, /* the label is always empty here */
        {"SmallPublicKey", true},       /* e = 3 is offered */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (flagged(test, rows[i].flag)) {
            return rows[i].valid;
        }
    }
    fail_msg("undecided acceptable case %lld", number(test, "tcId"));
    return false;
}

static void add(struct group *g, const json_t *test, struct kt_case *c, struct kc_key *key)
{
    c->op.key = key;
    snprintf(c->name, sizeof(c->name), "%.70s #%lld", g->file, number(test, "tcId"));
    kt_add(g->set, c);
}

static enum kw_hash hash_of(const json_t *object, const char *name)
{
    static const char *const names[] = {"", "SHA-1", "SHA-256", "SHA-384", "SHA-512"};
    for (int i = KW_HASH_SHA1; i <= KW_HASH_SHA512; i++) {
        if (strcmp(text(object, name), names[i]) == 0) {
            return (enum kw_hash)i;
        }
    }
    return KW_HASH_NONE;
}

/* --- symmetric --- */

/* Both directions of a valid case, the inverse of an invalid one. */
static void add_both(struct group *g, const json_t *test, struct kt_case c, enum kw_kind forward,
                     enum kw_kind back, struct kw_span plain, struct kw_span cipher)
{
    bool valid = decide(test);
    struct kw_span bytes = hex(g, test, "key");
    c.op.alg = g->alg;
    if (valid) {
        c.op.kind = forward;
        c.op.in = plain;
        c.want = cipher;
        add(g, test, &c, kt_oct_key(bytes, false));
    }
    c.op.kind = back;
    c.op.in = cipher;
    c.want = plain;
    c.tag = (struct kw_span){0};
    c.refused = !valid;
    add(g, test, &c, kt_oct_key(bytes, false));
}

static bool aes_size(const struct group *g, enum kw_alg first, enum kw_alg *alg)
{
    long long bits = number(g->json, "keySize");
    *alg = (enum kw_alg)(first + (bits - 128) / 64);
    return bits == 128 || bits == 192 || bits == 256;
}

static bool gcm_group(struct group *g)
{
    return aes_size(g, KW_ALG_A128GCM, &g->alg) && number(g->json, "tagSize") == 128;
}

static void gcm_case(struct group *g, const json_t *test)
{
    struct kt_case c = {.op = {.iv = hex(g, test, "iv"), .aad = hex(g, test, "aad")},
                        .tag = hex(g, test, "tag")};
    struct kw_span plain = hex(g, test, "msg"), cipher = hex(g, test, "ct");
    memcpy(c.op.tag, c.tag.data, c.tag.len);
    if (c.op.iv.len != KW_GCM_IV_LEN) {
        /* correct elsewhere; here another length is an input error, in both directions */
        c.op.alg = g->alg;
        c.op.kind = KW_KIND_DECRYPT;
        c.op.in = cipher;
        c.refused = true;
        add(g, test, &c, kt_oct_key(hex(g, test, "key"), false));
        return;
    }
    add_both(g, test, c, KW_KIND_ENCRYPT, KW_KIND_DECRYPT, plain, cipher);
}

static bool kw_group(struct group *g)
{
    g->alg = KW_ALG_AES_KW;
    return true;
}

static bool kwp_group(struct group *g)
{
    g->alg = KW_ALG_AES_KWP;
    return true;
}

static void wrap_case(struct group *g, const json_t *test)
{
    add_both(g, test, (struct kt_case){0}, KW_KIND_WRAP, KW_KIND_UNWRAP, hex(g, test, "msg"),
             hex(g, test, "ct"));
}

static bool cbc_group(struct group *g)
{
    return aes_size(g, KW_ALG_A128CBCPAD, &g->alg);
}

static void cbc_case(struct group *g, const json_t *test)
{
    struct kt_case c = {.op = {.iv = hex(g, test, "iv")}};
    add_both(g, test, c, KW_KIND_ENCRYPT, KW_KIND_DECRYPT, hex(g, test, "msg"), hex(g, test, "ct"));
}

static bool hmac_group(struct group *g)
{
    static const struct {
        const char *file;
        enum kw_hash hash;
        enum kw_alg alg;
    } rows[] = {{"hmac_sha256_test.json", KW_HASH_SHA256, KW_ALG_HS256},
                {"hmac_sha384_test.json", KW_HASH_SHA384, KW_ALG_HS384},
                {"hmac_sha512_test.json", KW_HASH_SHA512, KW_ALG_HS512}};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(g->file, rows[i].file) == 0) {
            g->alg = rows[i].alg;
            return number(g->json, "keySize") <= 256;
        }
    }
    return false;
}

static void hmac_case(struct group *g, const json_t *test)
{
    struct kt_case c = {.op = {.alg = g->alg,
                               .kind = KW_KIND_VERIFY,
                               .in = hex(g, test, "msg"),
                               .sig = hex(g, test, "tag")}};
    /* tags cut short are valid elsewhere and wrong here */
    bool whole = c.op.sig.len == kw_hash_len(kw_alg_info(g->alg)->hash);
    c.valid = decide(test) && whole;
    add(g, test, &c, kt_oct_key(hex(g, test, "key"), true));
    if (c.valid) {
        c.op.kind = KW_KIND_SIGN;
        c.want = c.op.sig;
        add(g, test, &c, kt_oct_key(hex(g, test, "key"), true));
    }
}

/* --- public keys --- */

static bool rsa_public(struct group *g)
{
    json_t *json = json_object_get(g->json, "publicKey");
    struct kw_span n = hex(g, json, "modulus"), e = hex(g, json, "publicExponent");
    struct kc_public pub = {.kty = KW_KTY_RSA};
    if (n.len > 0 && *n.data == 0) {
        n.data++;
        n.len--;
    }
    if (n.len > sizeof(pub.n) || e.len > sizeof(pub.e)) {
        return false;
    }
    memcpy(pub.n, n.data, n.len);
    memcpy(pub.e, e.data, e.len);
    pub.n_len = n.len;
    pub.e_len = e.len;
    return kc_key_from_public(&g->key, &pub) == KW_OK;
}

static void verify_case(struct group *g, const json_t *test)
{
    enum kw_hash hash = kw_alg_info(g->alg)->hash;
    struct kt_case c = {.valid = decide(test),
                        .op = {.alg = g->alg,
                               .kind = KW_KIND_VERIFY,
                               .in = kt_digest(g->set, hash, hex(g, test, "msg")),
                               .sig = hex(g, test, "sig")}};
    add(g, test, &c, kc_key_ref(g->key));
}

static bool pkcs1_verify_group(struct group *g)
{
    enum kw_hash hash = hash_of(g->json, "sha");
    g->alg = (enum kw_alg)(KW_ALG_RS256 + hash - KW_HASH_SHA256);
    return hash >= KW_HASH_SHA256 && rsa_public(g);
}

static bool pss_group(struct group *g)
{
    enum kw_hash hash = hash_of(g->json, "sha");
    g->alg = (enum kw_alg)(KW_ALG_PS256 + hash - KW_HASH_SHA256);
    return hash >= KW_HASH_SHA256 && hash == hash_of(g->json, "mgfSha") && rsa_public(g);
}

static void pss_case(struct group *g, const json_t *test)
{
    if ((size_t)number(g->json, "sLen") == kw_hash_len(kw_alg_info(g->alg)->hash)) {
        verify_case(g, test);
    } else if (decide(test)) {
        /* valid with that group's salt length, and so not with ours */
        json_object_set_new((json_t *)(uintptr_t)test, "result", json_string("invalid"));
        verify_case(g, test);
    }
}

static bool ecdsa_group(struct group *g)
{
    static const struct {
        const char *curve;
        enum kw_curve id;
        enum kw_alg alg;
    } rows[] = {{"secp256r1", KW_CURVE_P256, KW_ALG_ES256},
                {"secp384r1", KW_CURVE_P384, KW_ALG_ES384},
                {"secp521r1", KW_CURVE_P521, KW_ALG_ES512},
                {"secp256k1", KW_CURVE_P256K, KW_ALG_ES256K}};
    json_t *json = json_object_get(g->json, "publicKey");
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(text(json, "curve"), rows[i].curve) != 0 ||
            hash_of(g->json, "sha") != kw_alg_info(rows[i].alg)->hash) {
            continue;
        }
        struct kc_public pub = {.kty = KW_KTY_EC, .curve = rows[i].id};
        struct kw_span point = hex(g, json, "uncompressed");
        pub.coord_len = kw_curve_bytes(rows[i].id);
        assert_int_equal(point.len, 1 + 2 * pub.coord_len);
        memcpy(pub.x, point.data + 1, pub.coord_len);
        memcpy(pub.y, point.data + 1 + pub.coord_len, pub.coord_len);
        g->alg = rows[i].alg;
        assert_int_equal(kc_key_from_public(&g->key, &pub), KW_OK);
        return true;
    }
    return false;
}

/* --- private keys --- */

static bool rsa_private(struct group *g)
{
    struct kw_span der = hex(g, g->json, "privateKeyPkcs8");
    if (der.len == 0 || kc_key_from_private(&g->key, KW_KTY_RSA, KW_CURVE_NONE, der) != KW_OK) {
        return false; /* a size that is not offered */
    }
    return true;
}

static bool v15_group(struct group *g)
{
    g->alg = KW_ALG_RSA1_5;
    return rsa_private(g);
}

static bool oaep_group(struct group *g)
{
    enum kw_hash hash = hash_of(g->json, "sha");
    g->alg = hash == KW_HASH_SHA1 ? KW_ALG_RSA_OAEP : KW_ALG_RSA_OAEP_256;
    return (hash == KW_HASH_SHA1 || hash == KW_HASH_SHA256) && hash == hash_of(g->json, "mgfSha") &&
           rsa_private(g);
}

static void decrypt_case(struct group *g, const json_t *test)
{
    bool labelled = text(test, "label")[0] != '\0';
    struct kt_case c = {.refused = !decide(test) || labelled,
                        .want = hex(g, test, "msg"),
                        .op = {.alg = g->alg, .kind = KW_KIND_DECRYPT, .in = hex(g, test, "ct")}};
    add(g, test, &c, kc_key_ref(g->key));
    c.op.kind = KW_KIND_UNWRAP;
    add(g, test, &c, kc_key_ref(g->key));
}

static bool sign_group(struct group *g)
{
    enum kw_hash hash = hash_of(g->json, "sha");
    g->alg = (enum kw_alg)(KW_ALG_RS256 + hash - KW_HASH_SHA256);
    return hash >= KW_HASH_SHA256 && rsa_private(g);
}

static void sign_case(struct group *g, const json_t *test)
{
    assert_true(decide(test));
    struct kt_case c = {
        .want = hex(g, test, "sig"),
        .op = {.alg = g->alg,
               .kind = KW_KIND_SIGN,
               .in = kt_digest(g->set, kw_alg_info(g->alg)->hash, hex(g, test, "msg"))}};
    add(g, test, &c, kc_key_ref(g->key));
}

/* --- files --- */

struct handler {
    const char *prefix, *type;
    bool (*group)(struct group *g);
    void (*add_case)(struct group *g, const json_t *test);
};

static void run_file(struct kt_set *set, const char *file, const struct handler *handler)
{
    char path[1024];
    snprintf(path, sizeof(path), "%.500s/%.200s", folder, file);
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error), *json, *test;
    assert_non_null(root);
    size_t i, j;
    json_array_foreach(json_object_get(root, "testGroups"), i, json)
    {
        struct group g = {.set = set, .file = file, .json = json};
        if (strcmp(text(json, "type"), handler->type) != 0 || !handler->group(&g)) {
            kc_key_unref(g.key);
            continue;
        }
        json_array_foreach(json_object_get(json, "tests"), j, test)
        {
            handler->add_case(&g, test);
        }
        kc_key_unref(g.key);
    }
    json_decref(root);
}

static void run_handler(const struct handler *handler, size_t least)
{
    struct kt_set *set = kt_set_create();
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');
        if (strncmp(entry->d_name, handler->prefix, strlen(handler->prefix)) == 0 && dot &&
            strcmp(dot, ".json") == 0) {
            run_file(set, entry->d_name, handler);
        }
    }
    closedir(dir);
    size_t count = kt_count(set), failures = kt_set_run(set);
    kt_set_free(set);
    print_message("%zu cases\n", count);
    assert_true(count >= least);
    assert_int_equal(failures, 0);
}

#define FILES(name, prefix, type, group, add_case, least)                                          \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        static const struct handler handler = {prefix, type, group, add_case};                     \
        run_handler(&handler, least);                                                              \
    }

FILES(gcm, "aes_gcm", "AeadTest", gcm_group, gcm_case, 300)
FILES(kw, "aes_wrap", "KeywrapTest", kw_group, wrap_case, 150)
FILES(kwp, "aes_kwp", "KeywrapTest", kwp_group, wrap_case, 250)
FILES(cbc, "aes_cbc", "IndCpaTest", cbc_group, cbc_case, 200)
FILES(hmac, "hmac_", "MacTest", hmac_group, hmac_case, 200)
FILES(ecdsa, "ecdsa_", "EcdsaP1363Verify", ecdsa_group, verify_case, 1000)
FILES(pkcs1, "rsa_signature", "RsassaPkcs1Verify", pkcs1_verify_group, verify_case, 2000)
FILES(pss, "rsa_pss", "RsassaPssVerify", pss_group, pss_case, 700)
FILES(oaep, "rsa_oaep", "RsaesOaepDecrypt", oaep_group, decrypt_case, 200)
FILES(v15, "rsa_pkcs1", "RsaesPkcs1Decrypt", v15_group, decrypt_case, 300)
FILES(sign, "rsa_pkcs1", "RsassaPkcs1Generate", sign_group, sign_case, 40)

static void hkdf(void **state)
{
    (void)state;
    char path[1024];
    snprintf(path, sizeof(path), "%.500s/hkdf_sha256_test.json", folder);
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error), *group, *test;
    assert_non_null(root);
    struct kt_set *set = kt_set_create();
    struct group g = {.set = set};
    size_t i, j;
    json_array_foreach(json_object_get(root, "testGroups"), i, group)
    {
        json_array_foreach(json_object_get(group, "tests"), j, test)
        {
            size_t size = (size_t)number(test, "size");
            struct kw_span want = hex(&g, test, "okm");
            uint8_t *out = test_malloc(size);
            kw_status status = kc_hkdf(out, size, hex(&g, test, "ikm"), hex(&g, test, "salt"),
                                       hex(&g, test, "info"));
            assert_int_equal(status == KW_OK, decide(test));
            assert_true(status != KW_OK || memcmp(out, want.data, size) == 0);
            test_free(out);
        }
    }
    kt_set_free(set);
    json_decref(root);
}

/* ../shared/vectors/wycheproof beside the source tree, found from this file's own path. */
static bool find_folder(void)
{
    const char *given = getenv("KEYWARD_WYCHEPROOF");
    if (given) {
        snprintf(folder, sizeof(folder), "%s", given);
    } else {
        static const char self[] = "tests/vectors/test_wycheproof.c";
        size_t root = strlen(__FILE__) - strlen(self);
        snprintf(folder, sizeof(folder), "%.*s../shared/vectors/wycheproof", (int)root, __FILE__);
    }
    DIR *dir = opendir(folder);
    if (dir) {
        closedir(dir);
    }
    return dir != NULL;
}

int main(void)
{
    if (!find_folder()) {
        printf("skipped: no Wycheproof vectors in %s (KEYWARD_WYCHEPROOF names the folder)\n",
               folder);
        return 77;
    }
    if (kc_lanes_init() != KW_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gcm),  cmocka_unit_test(kw),    cmocka_unit_test(kwp),
        cmocka_unit_test(cbc),  cmocka_unit_test(hmac),  cmocka_unit_test(ecdsa),
        cmocka_unit_test(hkdf), cmocka_unit_test(pkcs1), cmocka_unit_test(pss),
        cmocka_unit_test(oaep), cmocka_unit_test(v15),   cmocka_unit_test(sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
