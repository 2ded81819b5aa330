/* The security-domain file and the transfer blob: there and back, and everything that is refused.
 */
#include "gateway/domain/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/domain/exchange_key.h"
#include "gateway/domain/jwe.h"

#define OPERATORS 4

static struct gw_exchange_key operators[OPERATORS], exchange, stranger;
static X509 *certs[OPERATORS];
static struct kc_domain *domain;
static char error[512];

static int prepare(void **state)
{
    (void)state;
    for (int i = 0; i < OPERATORS; i++) {
        if (gw_exchange_key_make(&operators[i]) != KW_OK)
            return -1;
        certs[i] = operators[i].cert;
    }
    return gw_exchange_key_make(&exchange) != KW_OK || gw_exchange_key_make(&stranger) != KW_OK ||
           kc_domain_create(&domain) != KW_OK;
}

static int finish(void **state)
{
    (void)state;
    for (int i = 0; i < OPERATORS; i++)
        gw_exchange_key_clear(&operators[i]);
    gw_exchange_key_clear(&exchange);
    gw_exchange_key_clear(&stranger);
    kc_domain_destroy(domain);
    return kw_secret_in_use() == 0 ? 0 : -1;
}

static char *make(unsigned required)
{
    char *text;
    assert_int_equal(
        gw_domain_file_make(&text, domain, certs, OPERATORS, required, error, sizeof error), KW_OK);
    return text;
}

static kw_status transfer(char **blob, const char *text, unsigned first, unsigned second)
{
    struct gw_domain_file file;
    *blob = NULL;
    kw_status status = gw_domain_file_read(&file, text, strlen(text), error, sizeof error);
    if (status != KW_OK)
        return status;
    const struct gw_domain_operator who[2] = {{"first", operators[first].key},
                                              {"second", operators[second].key}};
    status = gw_domain_transfer_make(blob, &file, who, 2, exchange.cert, error, sizeof error);
    gw_domain_file_clear(&file);
    return status;
}

static kw_status arrive(struct kc_domain **out, const char *blob)
{
    return gw_domain_transfer_open(out, blob, strlen(blob), exchange.x5t, exchange.key, error,
                                   sizeof error);
}

static void every_pair_recovers(void **state)
{
    (void)state;
    char *text = make(2), was[17], is[17];
    kc_domain_check(domain, was);
    for (unsigned a = 0; a < OPERATORS; a++) {
        for (unsigned b = 0; b < OPERATORS; b++) {
            char *blob;
            struct kc_domain *back;
            if (a == b) {
                assert_int_equal(transfer(&blob, text, a, b), KW_E_CRYPTO);
                assert_non_null(strstr(error, "same share"));
                continue;
            }
            assert_int_equal(transfer(&blob, text, a, b), KW_OK);
            assert_int_equal(arrive(&back, blob), KW_OK);
            kc_domain_check(back, is);
            assert_string_equal(was, is);
            kc_domain_destroy(back);
            free(blob);
        }
    }
    free(text);
}

static void what_a_file_says(void **state)
{
    (void)state;
    char *text = make(3), check[17], x5t[GW_DOMAIN_X5T_LEN + 1];
    struct gw_domain_file file;
    assert_int_equal(gw_domain_file_read(&file, text, strlen(text), error, sizeof error), KW_OK);
    assert_int_equal(file.required, 3);
    assert_int_equal(file.share_count, OPERATORS);
    kc_domain_check(domain, check);
    assert_string_equal(file.check, check);
    for (int i = 0; i < OPERATORS; i++) {
        assert_int_equal(gw_domain_x5t(x5t, certs[i]), KW_OK);
        assert_string_equal(file.x5t[i], x5t);
    }
    struct gw_domain_operator two[2] = {{"a", operators[0].key}, {"b", operators[1].key}};
    char *blob;
    assert_int_equal(
        gw_domain_transfer_make(&blob, &file, two, 2, exchange.cert, error, sizeof error),
        KW_E_CRYPTO);
    assert_null(blob);
    assert_string_equal(error, "found 2 private keys; this file needs 3 of its 4");
    gw_domain_file_clear(&file);
    free(text);
}

static void bad_sets_of_certificates(void **state)
{
    (void)state;
    char *text;
    X509 *twice[3] = {certs[0], certs[1], certs[0]};
    assert_int_equal(gw_domain_file_make(&text, domain, certs, 2, 2, error, sizeof error),
                     KW_E_INPUT);
    assert_int_equal(gw_domain_file_make(&text, domain, certs, 3, 1, error, sizeof error),
                     KW_E_INPUT);
    assert_int_equal(gw_domain_file_make(&text, domain, certs, 3, 4, error, sizeof error),
                     KW_E_INPUT);
    assert_int_equal(gw_domain_file_make(&text, domain, twice, 3, 2, error, sizeof error),
                     KW_E_INPUT);
    assert_non_null(strstr(error, "same key"));
    assert_null(text);
}

static void wrong_keys(void **state)
{
    (void)state;
    char *text = make(2), *blob;
    struct kc_domain *back;
    struct gw_domain_file file;
    assert_int_equal(gw_domain_file_read(&file, text, strlen(text), error, sizeof error), KW_OK);
    const struct gw_domain_operator who[2] = {{"a.key", operators[0].key}, {"b.key", stranger.key}};
    assert_int_equal(
        gw_domain_transfer_make(&blob, &file, who, 2, exchange.cert, error, sizeof error),
        KW_E_CRYPTO);
    assert_non_null(strstr(error, "b.key opens no share"));
    gw_domain_file_clear(&file);
    assert_int_equal(transfer(&blob, text, 0, 1), KW_OK);
    assert_int_equal(gw_domain_transfer_open(&back, blob, strlen(blob), stranger.x5t, stranger.key,
                                             error, sizeof error),
                     KW_E_CRYPTO);
    assert_non_null(strstr(error, "another exchange key"));
    assert_int_equal(gw_domain_transfer_open(&back, blob, strlen(blob), exchange.x5t, stranger.key,
                                             error, sizeof error),
                     KW_E_CRYPTO);
    assert_null(back);
    free(blob);
    free(text);
}

/* A changed byte that still opens must give the same domain: names and white space of the JSON, or
 * a share that is not used. */
static void check_survivor(struct kc_domain *back)
{
    char was[17], is[17];
    kc_domain_check(domain, was);
    kc_domain_check(back, is);
    assert_string_equal(was, is);
    kc_domain_destroy(back);
}

static void changed_bytes(void **state)
{
    (void)state;
    char *text = make(2), *blob, *again;
    struct kc_domain *back;
    unsigned refused = 0, tried = 0;
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i += 31) {
        text[i] ^= 1;
        tried++;
        if (text[i] == '\0' || transfer(&again, text, 0, 1) != KW_OK)
            refused++;
        else if (arrive(&back, again) == KW_OK)
            check_survivor(back);
        if (text[i] != '\0')
            free(again);
        text[i] ^= 1;
    }
    assert_true(refused > tried / 3); /* two of the four shares and the data are used */
    assert_int_equal(transfer(&blob, text, 0, 1), KW_OK);
    len = strlen(blob);
    for (size_t i = 0; i < len; i += 3) {
        blob[i] ^= 1;
        if (arrive(&back, blob) == KW_OK) {
            check_survivor(back);
            assert_null(strchr("AEIMQUYcgkosw048", blob[i])); /* never in what is sealed */
        }
        blob[i] ^= 1;
    }
    for (size_t cut = 0; cut < len; cut += 41) {
        char was = blob[cut];
        blob[cut] = '\0';
        assert_int_not_equal(arrive(&back, blob), KW_OK);
        assert_null(back);
        blob[cut] = was;
    }
    free(blob);
    free(text);
}

static void sealed_texts(void **state)
{
    (void)state;
    uint8_t key[GW_JWE_KEY];
    char *text;
    struct kw_secret back;
    assert_int_equal(kw_random(key, sizeof key), KW_OK);
    assert_int_equal(gw_jwe_seal_dir(&text, key, "label", kw_span_str("hidden")), KW_OK);
    assert_int_equal(gw_jwe_open_dir(&back, text, key, "label"), KW_OK);
    assert_int_equal(back.len, 6);
    assert_memory_equal(back.data, "hidden", 6);
    kw_secret_clear(&back);
    assert_int_equal(gw_jwe_open_dir(&back, text, key, "labem"), KW_E_INPUT);
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        char was = text[i];
        text[i] = was == 'A' ? 'Q' : 'A';
        assert_int_not_equal(gw_jwe_open_dir(&back, text, key, "label"), KW_OK);
        assert_null(back.data);
        text[i] = was;
    }
    for (size_t cut = 0; cut < len; cut++) { /* a short tag above all */
        char was = text[cut];
        text[cut] = '\0';
        assert_int_not_equal(gw_jwe_open_dir(&back, text, key, "label"), KW_OK);
        text[cut] = was;
    }
    key[0] ^= 1;
    assert_int_equal(gw_jwe_open_dir(&back, text, key, "label"), KW_E_CRYPTO);
    free(text);
}

static void not_a_file(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"EncData\":{}}",
        "{\"EncData\":{\"data\":[{\"compact_jwe\":\"a\",\"tag\":\"b\"}]},\"SharedKeys\":{\"enc_"
        "shares\":[],"
        "\"key_algorithm\":\"shamir_share\",\"required\":2}}",
        "{\"EncData\":{\"data\":[{\"compact_jwe\":\"a\",\"tag\":\"b\"}]},\"SharedKeys\":{\"enc_"
        "shares\":"
        "[{\"enc_key\":\"a\",\"x5t_256\":\"b\"}],\"key_algorithm\":\"shamir_share\",\"required\":2}"
        "}",
        "{\"EncData\":{\"data\":[{\"compact_jwe\":\"a\",\"tag\":\"b\"}]},\"SharedKeys\":{\"enc_"
        "shares\":"
        "[{\"enc_key\":\"a\",\"x5t_256\":\"b\"}],\"key_algorithm\":\"xor\",\"required\":2}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct gw_domain_file file;
        struct kc_domain *back;
        assert_int_equal(
            gw_domain_file_read(&file, texts[i], strlen(texts[i]), error, sizeof error),
            KW_E_INPUT);
        assert_non_null(strstr(error, "not a usable security-domain file"));
        assert_int_equal(arrive(&back, texts[i]), KW_E_INPUT);
        assert_null(back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_recovers),
        cmocka_unit_test(what_a_file_says),
        cmocka_unit_test(bad_sets_of_certificates),
        cmocka_unit_test(wrong_keys),
        cmocka_unit_test(changed_bytes),
        cmocka_unit_test(sealed_texts),
        cmocka_unit_test(not_a_file),
    };
    return cmocka_run_group_tests(tests, prepare, finish);
}
