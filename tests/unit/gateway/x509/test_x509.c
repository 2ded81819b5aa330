/* Certificates, requests and files of both: what is written is read back by OpenSSL, what is
 * damaged is refused. */

#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/lanes/lanes.h"
#include "gateway/x509/ossl.h"

#include <cmocka.h>

static const struct gw_x509_san sans[] = {{GW_X509_SAN_DNS, "host.example.org"},
                                          {GW_X509_SAN_EMAIL, "who@example.org"},
                                          {GW_X509_SAN_UPN, "who@corp.example.org"},
                                          {GW_X509_SAN_URI, "urn:x:y"},
                                          {GW_X509_SAN_IP, "192.0.2.7"},
                                          {GW_X509_SAN_IP, "2001:db8::7"}};
static const char *const ekus[] = {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"};
static const struct gw_x509_profile profile = {.subject = "CN=host, O=\"Who, Inc.\", C=DE",
                                               .sans = sans,
                                               .san_count = 6,
                                               .ekus = ekus,
                                               .eku_count = 2,
                                               .usage = 1 << 0 | 1 << 2 | 1 << 8,
                                               .path_len = -1};

struct kind {
    enum kw_kty kty;
    enum kw_curve curve;
    unsigned bits;
};

static const struct kind kinds[] = {
    {KW_KTY_RSA, KW_CURVE_NONE, 2048}, {KW_KTY_RSA, KW_CURVE_NONE, 3072},
    {KW_KTY_EC, KW_CURVE_P256, 256},   {KW_KTY_EC, KW_CURVE_P384, 384},
    {KW_KTY_EC, KW_CURVE_P521, 521},   {KW_KTY_EC, KW_CURVE_P256K, 256}};

static struct kc_key *make_key(const struct kind *kind)
{
    struct kc_key *key = NULL;
    assert_int_equal(kc_key_generate(&key, kind->kty, kind->bits, kind->curve, 65537), KW_OK);
    return key;
}

/* As the pool does it. */
static void sign(const struct kc_key *key, struct gw_x509_draft *draft, uint8_t **der, size_t *len)
{
    uint8_t room[KW_RSA_MAX_BYTES];
    struct kc_scratch *scratch = kc_scratch_create();
    struct kc_lane_op op = {.key = key,
                            .kind = KW_KIND_SIGN,
                            .alg = draft->alg,
                            .in = kw_span_of(draft->digest, draft->digest_len),
                            .out = {.data = room, .cap = sizeof room}};
    struct kc_lane_op *ops[] = {&op};
    enum kc_shape shape;
    assert_int_equal(kc_lanes_shape(&op, &shape), KW_OK);
    kc_lanes_run(ops, 1, shape, scratch);
    assert_int_equal(op.status, KW_OK);
    assert_int_equal(gw_x509_draft_finish(draft, kw_buf_span(&op.out), der, len), KW_OK);
    gw_x509_draft_clear(draft);
    kc_scratch_destroy(scratch);
}

static void self_signed(const struct kc_key *key, const struct gw_x509_profile *p, uint8_t **der,
                        size_t *len)
{
    struct gw_x509_draft draft;
    assert_int_equal(gw_x509_draft_self_signed(&draft, p, kc_key_public(key), 1700000000,
                                               gw_x509_add_months(1700000000, 12)),
                     KW_OK);
    sign(key, &draft, der, len);
}

static void requests_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct kc_key *key = make_key(&kinds[i]);
        struct gw_x509_draft draft;
        uint8_t *der;
        size_t len;
        assert_int_equal(gw_x509_draft_request(&draft, &profile, kc_key_public(key)), KW_OK);
        sign(key, &draft, &der, &len);
        const uint8_t *at = der;
        X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)len);
        assert_non_null(req);
        assert_ptr_equal(at, der + len);
        assert_int_equal(X509_REQ_verify(req, X509_REQ_get0_pubkey(req)), 1);
        STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(req);
        assert_int_equal(sk_X509_EXTENSION_num(extensions), 4);
        sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
        X509_REQ_free(req);
        free(der);
        kc_key_unref(key);
    }
}

static void certificates_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct kc_key *key = make_key(&kinds[i]);
        struct gw_x509_info info;
        uint8_t *der;
        size_t len;
        self_signed(key, &profile, &der, &len);
        X509 *cert = gw_cert_parse(kw_span_of(der, len));
        assert_non_null(cert);
        assert_int_equal(X509_verify(cert, X509_get0_pubkey(cert)), 1);
        /* known to be its own issuer, with a serial number that is positive */
        assert_int_equal(X509_self_signed(cert, 1), 1);
        assert_int_equal(ASN1_STRING_type(X509_get0_serialNumber(cert)), V_ASN1_INTEGER);
        assert_int_equal(gw_x509_read(&info, kw_span_of(der, len)), KW_OK);
        assert_int_equal(info.not_before, 1700000000);
        assert_int_equal(info.not_after, 1700000000 + 366 * 86400); /* over a 29th of February */
        assert_true(gw_x509_same_key(&info.pub, kc_key_public(key)));
        /* the signature covers every byte of the draft */
        der[len / 3] ^= 1;
        X509 *other = gw_cert_parse(kw_span_of(der, len));
        if (other)
            assert_int_not_equal(X509_verify(other, X509_get0_pubkey(cert)), 1);
        X509_free(other);
        X509_free(cert);
        free(der);
        kc_key_unref(key);
    }
}

static void describe_gives_the_profile_back(void **state)
{
    (void)state;
    struct gw_x509_profile all = profile, back;
    all.ca = true;
    all.path_len = 3;
    struct kc_key *key = make_key(&kinds[2]);
    struct gw_arena *arena = gw_arena_create();
    uint8_t *der;
    size_t len;
    char subject[64], small[8];
    self_signed(key, &all, &der, &len);
    assert_int_equal(gw_x509_describe(&back, arena, kw_span_of(der, len)), KW_OK);
    assert_string_equal(back.subject, "CN=host, O=Who\\, Inc., C=DE");
    assert_int_equal(back.san_count, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(back.sans[i].kind, sans[i].kind);
        assert_string_equal(back.sans[i].text, sans[i].text);
    }
    assert_int_equal(back.eku_count, 2);
    assert_string_equal(back.ekus[1], ekus[1]);
    assert_int_equal(back.usage, all.usage);
    assert_true(back.ca);
    assert_int_equal(back.path_len, 3);
    gw_x509_subject(subject, sizeof subject, kw_span_of(der, len));
    assert_string_equal(subject, back.subject);
    gw_x509_subject(small, sizeof small, kw_span_of(der, len));
    assert_string_equal(small, "CN=host");
    free(der);
    kc_key_unref(key);
    gw_arena_destroy(arena);
}

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* NULL: refused */
    } cases[] = {
        {"CN=a", "CN=a"},
        {"cn = a b , ou=x", "CN=a b, OU=x"},
        {"CN=a+OU=b,C=DE", "OU=b + CN=a, C=DE"}, /* a set: sorted by its encoding */
        {"CN=\\C3\\A4,E=x@y", "CN=\xc3\xa4, emailAddress=x@y"},
        {"CN=\xc3\xa4;O=b", "CN=\xc3\xa4, O=b"},
        {"CN=\"a,\\\"b\" , O=c", "CN=a\\,\\\"b, O=c"},
        {"OID.2.5.4.3=z,2.5.4.10=o", "CN=z, O=o"},
        {"DC=x,DC=org", "DC=x, DC=org"},
        {"CN=a\\ ", "CN=a\\ "},
        {"", ""},
        {"CN", NULL},
        {"CN=", NULL},
        {"=a", NULL},
        {"CN=a,", NULL},
        {"CN=a,O", NULL},
        {"XX=a", NULL},
        {"CN=\"a", NULL},
        {"CN=\"a\"b", NULL},
        {"CN=a\\", NULL},
        {"CN=\\00", NULL},
        {"C=DEU", NULL},
        {"CN=\xff\xfe", NULL},
        {"1.2.3.=a", NULL},
        {"CN=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL},
    };
    struct gw_arena *arena = gw_arena_create();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *why = NULL;
        X509_NAME *name = gw_name_parse(cases[i].in, &why);
        if (!cases[i].out) {
            if (name)
                print_message("taken: %s\n", cases[i].in);
            assert_null(name);
            assert_non_null(why);
            continue;
        }
        if (!name)
            print_message("refused: %s\n", cases[i].in);
        assert_non_null(name);
        assert_string_equal(gw_name_text(arena, name), cases[i].out);
        X509_NAME_free(name);
    }
    gw_arena_destroy(arena);
}

static void bad_profiles(void **state)
{
    (void)state;
    static const struct gw_x509_san bad_sans[] = {
        {GW_X509_SAN_DNS, "a b"},      {GW_X509_SAN_DNS, ""},    {GW_X509_SAN_EMAIL, "\xc3\xa4@x"},
        {GW_X509_SAN_IP, "300.1.1.1"}, {GW_X509_SAN_IP, "host"}, {GW_X509_SAN_UPN, ""}};
    static const char *const bad_ekus[] = {"serverAuth", "1.2.", "", "9.9.9"};
    const char *why = NULL;
    struct gw_x509_profile p = {.subject = "", .path_len = -1};
    assert_int_equal(gw_x509_profile_check(&p, &why), KW_E_INPUT);
    p.sans = sans;
    p.san_count = 1;
    assert_int_equal(gw_x509_profile_check(&p, &why), KW_OK);
    for (size_t i = 0; i < 6; i++) {
        p = (struct gw_x509_profile){.subject = "CN=a", .sans = &bad_sans[i], .san_count = 1};
        why = NULL;
        assert_int_equal(gw_x509_profile_check(&p, &why), KW_E_INPUT);
        assert_non_null(strstr(why, "'sans'"));
    }
    for (size_t i = 0; i < 4; i++) {
        p = (struct gw_x509_profile){.subject = "CN=a", .ekus = &bad_ekus[i], .eku_count = 1};
        why = NULL;
        assert_int_equal(gw_x509_profile_check(&p, &why), KW_E_INPUT);
        assert_non_null(strstr(why, "'ekus'"));
    }
}

static void months(void **state)
{
    (void)state;
    assert_int_equal(gw_x509_add_months(1706659200, 1), 1709164800);  /* 31 January 2024: 29 Feb. */
    assert_int_equal(gw_x509_add_months(1709164800, 12), 1740700800); /* 29 February: 28 Feb. */
    assert_int_equal(gw_x509_add_months(1701388800, 13), 1735689600); /* over two new years */
    assert_int_equal(gw_x509_add_months(0, 0), 0);
}

static void broken_certificates(void **state)
{
    (void)state;
    struct kc_key *key = make_key(&kinds[2]);
    struct gw_x509_info info;
    struct gw_x509_profile back;
    struct gw_arena *arena = gw_arena_create();
    uint8_t *der;
    size_t len;
    self_signed(key, &profile, &der, &len);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(gw_x509_read(&info, kw_span_of(der, cut)), KW_OK);
    uint8_t *longer = malloc(len + 1);
    memcpy(longer, der, len);
    longer[len] = 0;
    assert_int_equal(gw_x509_read(&info, kw_span_of(longer, len + 1)), KW_E_INPUT);
    free(longer);
    /* whatever one byte becomes: an answer, nothing read outside */
    for (size_t i = 0; i < len; i++) {
        for (unsigned bit = i % 3; bit < 8; bit += 3) {
            der[i] ^= (uint8_t)(1u << bit);
            (void)!gw_x509_read(&info, kw_span_of(der, len));
            (void)!gw_x509_describe(&back, arena, kw_span_of(der, len));
            der[i] ^= (uint8_t)(1u << bit);
        }
        gw_arena_destroy(arena);
        arena = gw_arena_create();
    }
    free(der);
    kc_key_unref(key);
    gw_arena_destroy(arena);
}

/* A key with a chain of two: leaf (signed by itself: order goes by names), issuer, root. */
static void make_chain(struct kc_key **key, struct gw_x509_bytes certs[2])
{
    static const struct gw_x509_profile second = {.subject = "CN=second", .path_len = -1};
    struct kc_key *other = make_key(&kinds[3]);
    *key = make_key(&kinds[0]);
    self_signed(*key, &profile, &certs[0].data, &certs[0].len);
    self_signed(other, &second, &certs[1].data, &certs[1].len);
    kc_key_unref(other);
}

static void check_bundle(const struct gw_x509_bundle *bundle, const struct kc_key *key,
                         const struct gw_x509_bytes certs[2])
{
    assert_int_equal(bundle->count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(bundle->certs[i].len, certs[i].len);
        assert_memory_equal(bundle->certs[i].data, certs[i].data, certs[i].len);
    }
    assert_true(kc_key_has_private(bundle->key));
    assert_true(gw_x509_same_key(kc_key_public(bundle->key), kc_key_public(key)));
}

static void files_go_round(void **state)
{
    (void)state;
    struct kc_key *key;
    struct gw_x509_bytes certs[2];
    struct gw_x509_bundle bundle;
    struct kw_secret file;
    const char *why = NULL;
    make_chain(&key, certs);
    assert_int_equal(gw_x509_to_pkcs12(&file, key, certs, 2), KW_OK);
    assert_int_equal(
        gw_x509_from_pkcs12(&bundle, kw_span_of(file.data, file.len), NULL, false, &why), KW_OK);
    check_bundle(&bundle, key, certs);
    gw_x509_bundle_clear(&bundle);
    assert_int_equal(
        gw_x509_from_pkcs12(&bundle, kw_span_of(file.data, file.len), "wrong", false, &why),
        KW_E_INPUT);
    assert_non_null(strstr(why, "'pwd'"));
    kw_secret_clear(&file);

    assert_int_equal(gw_x509_to_pem(&file, key, certs, 2), KW_OK);
    assert_int_equal(gw_x509_from_pem(&bundle, kw_span_of(file.data, file.len), NULL, false, &why),
                     KW_OK);
    check_bundle(&bundle, key, certs);
    gw_x509_bundle_clear(&bundle);
    kw_secret_clear(&file);

    /* without a key: the public part alone, which is no import */
    assert_int_equal(gw_x509_to_pkcs12(&file, NULL, certs, 2), KW_OK);
    assert_int_equal(
        gw_x509_from_pkcs12(&bundle, kw_span_of(file.data, file.len), NULL, false, &why),
        KW_E_INPUT);
    assert_non_null(strstr(why, "no private key"));
    kw_secret_clear(&file);
    assert_int_equal(gw_x509_to_pem(&file, NULL, certs, 1), KW_OK);
    assert_int_equal(gw_x509_from_pem(&bundle, kw_span_of(file.data, file.len), NULL, false, &why),
                     KW_E_INPUT);
    kw_secret_clear(&file);

    /* the certificates of another key */
    assert_int_equal(gw_x509_to_pem(&file, key, &certs[1], 1), KW_OK);
    assert_int_equal(gw_x509_from_pem(&bundle, kw_span_of(file.data, file.len), NULL, false, &why),
                     KW_E_INPUT);
    assert_non_null(strstr(why, "belongs to none"));
    kw_secret_clear(&file);
    free(certs[0].data);
    free(certs[1].data);
    kc_key_unref(key);
}

/* The leaf comes first, wherever it stood; with `keep_order` the rest stays as it was. */
static void leaf_comes_first(void **state)
{
    (void)state;
    struct kc_key *key;
    struct gw_x509_bytes certs[2], turned[2];
    struct gw_x509_bundle bundle;
    struct kw_secret file;
    const char *why = NULL;
    make_chain(&key, certs);
    turned[0] = certs[1];
    turned[1] = certs[0];
    assert_int_equal(gw_x509_to_pem(&file, key, turned, 2), KW_OK);
    for (int keep = 0; keep < 2; keep++) {
        assert_int_equal(
            gw_x509_from_pem(&bundle, kw_span_of(file.data, file.len), NULL, keep, &why), KW_OK);
        check_bundle(&bundle, key, certs);
        gw_x509_bundle_clear(&bundle);
    }
    kw_secret_clear(&file);
    free(certs[0].data);
    free(certs[1].data);
    kc_key_unref(key);
}

/* A PKCS#12 file by OpenSSL itself, with what other programs use. */
static struct gw_x509_bytes foreign(const struct kc_key *key, const struct gw_x509_bytes *cert,
                                    int key_pbe, int cert_pbe, int rounds, int mac_rounds,
                                    const char *password)
{
    struct gw_x509_bytes out = {0};
    EVP_PKEY *pkey = gw_ossl_private(key);
    X509 *x509 = gw_cert_parse(kw_span_of(cert->data, cert->len));
    PKCS12 *p12 = PKCS12_create_ex(password, "n", pkey, x509, NULL, key_pbe, cert_pbe, rounds,
                                   mac_rounds, 0, gw_pbe_context(), NULL);
    if (p12)
        out.len = (size_t)i2d_PKCS12(p12, &out.data);
    PKCS12_free(p12);
    X509_free(x509);
    EVP_PKEY_free(pkey);
    return out;
}

static void foreign_files(void **state)
{
    (void)state;
    static const struct {
        int key, cert, rounds, mac;
        kw_status status;
    } cases[] = {
        {NID_aes_256_cbc, NID_aes_256_cbc, 2048, 2048, KW_OK},
        {NID_aes_128_cbc, -1, 10000, 1, KW_OK},
        {NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 2000, 1000,
         KW_OK},
        {NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_pbe_WithSHA1And40BitRC2_CBC, 2000, 1, KW_OK},
        {-1, -1, 0, 0, KW_OK},
        {-1, -1, 0, -1, KW_OK}, /* no MAC */
        {-1, -1, 0, 3000000, KW_E_UNSUPPORTED},
    };
    struct kc_key *key;
    struct gw_x509_bytes certs[2];
    make_chain(&key, certs);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gw_x509_bundle bundle;
        const char *why = NULL;
        struct gw_x509_bytes file = foreign(key, &certs[0], cases[i].key, cases[i].cert,
                                            cases[i].rounds, cases[i].mac, "p\xc3\xa4ss");
        if (!file.data) {
            /* a system without the legacy provider cannot make it either */
            assert_int_equal(cases[i].cert, NID_pbe_WithSHA1And40BitRC2_CBC);
            continue;
        }
        kw_status status = gw_x509_from_pkcs12(&bundle, kw_span_of(file.data, file.len),
                                               "p\xc3\xa4ss", false, &why);
        if (status != cases[i].status)
            print_message("case %zu: %s\n", i, why);
        assert_int_equal(status, cases[i].status);
        gw_x509_bundle_clear(&bundle);
        if (cases[i].key != -1)
            assert_int_equal(
                gw_x509_from_pkcs12(&bundle, kw_span_of(file.data, file.len), "no", false, &why),
                KW_E_INPUT);
        OPENSSL_free(file.data);
    }
    free(certs[0].data);
    free(certs[1].data);
    kc_key_unref(key);
}

/* Neither a costly round count nor another derivation starts before it is looked at. */
static void costly_derivations(void **state)
{
    (void)state;
    int64_t rounds = 0;
    assert_int_equal(gw_pbe_add(&rounds, 1999999), KW_OK);
    assert_int_equal(gw_pbe_add(&rounds, 2), KW_E_UNSUPPORTED);
    assert_int_equal(gw_pbe_add(&rounds, 1), KW_OK);
    assert_int_equal(gw_pbe_add(&rounds, 1), KW_E_UNSUPPORTED);
    assert_int_equal(gw_pbe_add(&rounds, -5), KW_E_UNSUPPORTED);
    assert_int_equal(gw_pbe_add(&rounds, INT64_MAX), KW_E_UNSUPPORTED);
    rounds = 0;
    X509_ALGOR *scrypt = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), (const unsigned char *)"salt", 4,
                                               NULL, 16384, 8, 1);
    assert_non_null(scrypt);
    assert_int_equal(gw_pbe_count(scrypt, &rounds), KW_E_UNSUPPORTED);
    X509_ALGOR_free(scrypt);
    X509_ALGOR *slow = PKCS5_pbe2_set(EVP_aes_256_cbc(), 2000001, NULL, 0);
    assert_int_equal(gw_pbe_count(slow, &rounds), KW_E_UNSUPPORTED);
    X509_ALGOR_free(slow);
    X509_ALGOR *fair = PKCS5_pbe2_set(EVP_aes_256_cbc(), 600000, NULL, 0);
    assert_int_equal(gw_pbe_count(fair, &rounds), KW_OK);
    assert_int_equal(rounds, 600000);
    X509_ALGOR_free(fair);
}

/* Keys in the other forms of PEM, plain and encrypted. */
static void pem_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < 6; i += 2) {
        struct kc_key *key = make_key(&kinds[i]);
        EVP_PKEY *pkey = gw_ossl_private(key);
        uint8_t *der;
        size_t len;
        self_signed(key, &profile, &der, &len);
        for (int form = 0; form < 4; form++) {
            BIO *bio = BIO_new(BIO_s_mem());
            const unsigned char *word = (const unsigned char *)"word";
            struct gw_x509_bundle bundle;
            const char *why = NULL;
            char *text = NULL;
            BIO_puts(bio, "Bag Attributes\n  friendlyName: x\n");
            if (form < 2)
                assert_int_equal(PEM_write_bio_PrivateKey_traditional(
                                     bio, pkey, form ? EVP_aes_128_cbc() : NULL,
                                     form ? (unsigned char *)word : NULL, form ? 4 : 0, NULL, NULL),
                                 1);
            else
                assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pkey,
                                                               form == 3 ? EVP_aes_256_cbc() : NULL,
                                                               form == 3 ? (char *)word : NULL,
                                                               form == 3 ? 4 : 0, NULL, NULL),
                                 1);
            PEM_write_bio(bio, "CERTIFICATE", "", der, (long)len);
            long text_len = BIO_get_mem_data(bio, &text);
            struct kw_span span = kw_span_of(text, (size_t)text_len);
            kw_status status = gw_x509_from_pem(&bundle, span, "word", false, &why);
            if (status != KW_OK)
                print_message("key %zu form %d: %s\n", i, form, why);
            assert_int_equal(status, KW_OK);
            assert_int_equal(bundle.count, 1);
            gw_x509_bundle_clear(&bundle);
            if (form % 2)
                assert_int_equal(gw_x509_from_pem(&bundle, span, "", false, &why), KW_E_INPUT);
            gw_x509_bundle_clear(&bundle);
            BIO_free(bio);
        }
        EVP_PKEY_free(pkey);
        free(der);
        kc_key_unref(key);
    }
}

static void damaged_files(void **state)
{
    (void)state;
    struct kc_key *key = make_key(&kinds[2]);
    struct gw_x509_bytes cert;
    struct gw_x509_bundle bundle;
    struct kw_secret pem;
    const char *why = NULL;
    self_signed(key, &profile, &cert.data, &cert.len);
    /* few rounds: thousands of files are read; without a MAC every byte reaches the parser */
    for (int mac = -1; mac < 2; mac += 2) {
        struct gw_x509_bytes file = foreign(key, &cert, NID_aes_256_cbc, -1, 1, mac, "");
        assert_non_null(file.data);
        for (size_t i = 0; i < file.len; i++) {
            why = NULL;
            assert_int_not_equal(
                gw_x509_from_pkcs12(&bundle, kw_span_of(file.data, i), "", false, &why), KW_OK);
            assert_non_null(why);
            {
                unsigned bit = i % 8;
                file.data[i] ^= (uint8_t)(1u << bit);
                if (gw_x509_from_pkcs12(&bundle, kw_span_of(file.data, file.len), "", false,
                                        &why) == KW_OK)
                    gw_x509_bundle_clear(&bundle);
                file.data[i] ^= (uint8_t)(1u << bit);
            }
        }
        OPENSSL_free(file.data);
    }
    assert_int_equal(gw_x509_to_pem(&pem, key, &cert, 1), KW_OK);
    for (size_t i = 0; i < pem.len; i++) {
        {
            unsigned bit = i % 8;
            pem.data[i] ^= (uint8_t)(1u << bit);
            if (gw_x509_from_pem(&bundle, kw_span_of(pem.data, pem.len), "", false, &why) == KW_OK)
                gw_x509_bundle_clear(&bundle);
            pem.data[i] ^= (uint8_t)(1u << bit);
        }
        if (i + 1 < pem.len) /* the last line feed does not matter */
            assert_int_not_equal(
                gw_x509_from_pem(&bundle, kw_span_of(pem.data, i), "", false, &why), KW_OK);
    }
    kw_secret_clear(&pem);
    free(cert.data);
    kc_key_unref(key);
    assert_int_equal(kw_secret_in_use(), 0);
}

static int setup(void **state)
{
    (void)state;
    return kc_lanes_init() == KW_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_verify),
        cmocka_unit_test(certificates_verify),
        cmocka_unit_test(describe_gives_the_profile_back),
        cmocka_unit_test(names),
        cmocka_unit_test(bad_profiles),
        cmocka_unit_test(months),
        cmocka_unit_test(broken_certificates),
        cmocka_unit_test(files_go_round),
        cmocka_unit_test(leaf_comes_first),
        cmocka_unit_test(foreign_files),
        cmocka_unit_test(costly_derivations),
        cmocka_unit_test(pem_forms),
        cmocka_unit_test(damaged_files),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
