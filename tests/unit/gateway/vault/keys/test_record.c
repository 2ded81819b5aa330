/* The sealed form of a key: what was written comes back, everything else is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/vault/keys/object.h"
#include "gateway/vault/keys/record.h"

#define VERSION "0123456789abcdef0123456789abcdef"

static int setup(void **state)
{
    struct kc_domain *domain = NULL;
    if (kc_domain_create(&domain) != KW_OK)
        return 1;
    *state = domain;
    return 0;
}

static int teardown(void **state)
{
    kc_domain_destroy(*state);
    return 0;
}

static kw_status open_at(const struct kc_domain *domain, const char *vault, const char *name,
                         const char *version, struct kw_span sealed, struct vault_key **key,
                         struct kc_public *pub)
{
    struct store_row row = {0};
    snprintf(row.name, sizeof row.name, "%s", name);
    snprintf(row.version, sizeof row.version, "%s", version);
    row.record = (uint8_t *)(uintptr_t)sealed.data;
    row.record_len = sealed.len;
    return vault_record_open(domain, vault, &row, key, pub);
}

static kw_status try_at(const struct kc_domain *domain, const char *vault, const char *name,
                        const char *version, struct kw_span sealed)
{
    struct vault_key *key = NULL;
    struct kc_public pub;
    kw_status status = open_at(domain, vault, name, version, sealed, &key, &pub);
    assert_true((status == KW_OK) == (key != NULL));
    vault_key_unref(key);
    return status;
}

static void test_places(void **state)
{
    struct kc_domain *domain = *state, *other = NULL;
    struct vault_key *key = vault_key_new("Vault", "Name", VERSION);
    struct kc_public pub = {.kty = KW_KTY_OCT, .bits = 256};
    uint8_t *sealed = NULL;
    size_t len = 0;
    assert_int_equal(vault_record_seal(domain, key, &pub, &sealed, &len), KW_OK);
    struct kw_span record = kw_span_of(sealed, len);
    assert_int_equal(try_at(domain, "vAULT", "nAME", VERSION, record), KW_OK);
    assert_int_equal(try_at(domain, "Vaul", "tName", VERSION, record), KW_E_INTEGRITY);
    assert_int_equal(try_at(domain, "Vault", "Name2", VERSION, record), KW_E_INTEGRITY);
    assert_int_equal(try_at(domain, "Vault", "Name", "1123456789abcdef0123456789abcdef", record),
                     KW_E_INTEGRITY);
    assert_int_equal(kc_domain_create(&other), KW_OK);
    assert_int_equal(try_at(other, "Vault", "Name", VERSION, record), KW_E_INTEGRITY);
    kc_domain_destroy(other);
    for (size_t i = 0; i < len; i++) {
        sealed[i] ^= 0x40;
        assert_int_equal(try_at(domain, "Vault", "Name", VERSION, record), KW_E_INTEGRITY);
        assert_int_equal(try_at(domain, "Vault", "Name", VERSION, kw_span_of(sealed, i)),
                         KW_E_INTEGRITY);
        sealed[i] ^= 0x40;
    }
    free(sealed);
    vault_key_unref(key);
}

static void test_everything_comes_back(void **state)
{
    struct kc_domain *domain = *state;
    struct vault_key *key = vault_key_new("v", "n", VERSION), *back = NULL;
    struct kc_public pub = {.kty = KW_KTY_RSA, .bits = 4096, .n_len = 512, .e_len = 3}, pub2;
    char text[VAULT_TAG_TEXT_MAX + 2];
    struct vault_tag tags[VAULT_MAX_TAGS + 1];
    uint8_t *sealed = NULL;
    size_t len = 0;
    memset(pub.n, 0xa5, sizeof pub.n);
    memcpy(pub.e, "\x01\x00\x01", 3);
    memset(text, 'x', sizeof text);
    text[VAULT_TAG_TEXT_MAX] = '\0';
    for (size_t i = 0; i <= VAULT_MAX_TAGS; i++)
        tags[i] = (struct vault_tag){text, text};
    assert_int_equal(vault_object_set_tags(&key->object, tags, VAULT_MAX_TAGS + 1), KW_E_INPUT);
    assert_int_equal(vault_object_set_tags(&key->object, tags, VAULT_MAX_TAGS), KW_OK);
    key->blob_len = KC_BLOB_MAX;
    key->blob = malloc(KC_BLOB_MAX);
    memset(key->blob, 0x5a, KC_BLOB_MAX);
    key->hsm = key->op_import = true;
    key->ops = 0x2a;
    key->attributes = (struct vault_attributes){true, -1, INT64_MAX, 5, INT64_MIN, true};
    assert_int_equal(vault_record_seal(domain, key, &pub, &sealed, &len), KW_OK);
    assert_int_equal(open_at(domain, "v", "n", VERSION, kw_span_of(sealed, len), &back, &pub2),
                     KW_OK);
    assert_memory_equal(&pub, &pub2, sizeof pub);
    assert_true(back->hsm && back->op_import && !back->op_export && back->ops == 0x2a);
    assert_true(back->attributes.enabled && back->attributes.exportable);
    assert_true(back->attributes.nbf == -1 && back->attributes.exp == INT64_MAX);
    assert_true(back->attributes.created == 5 && back->attributes.updated == INT64_MIN);
    assert_int_equal(back->blob_len, KC_BLOB_MAX);
    assert_memory_equal(back->blob, key->blob, KC_BLOB_MAX);
    assert_int_equal(back->tag_count, VAULT_MAX_TAGS);
    assert_string_equal(back->tags[14].value, text);
    free(sealed);
    vault_key_unref(back);

    /* one character more than a tag may have */
    free(key->tags);
    key->tags = NULL;
    text[VAULT_TAG_TEXT_MAX] = 'x';
    text[VAULT_TAG_TEXT_MAX + 1] = '\0';
    assert_int_equal(vault_object_set_tags(&key->object, tags, 1), KW_OK);
    assert_int_equal(vault_record_seal(domain, key, &pub, &sealed, &len), KW_E_INPUT);
    vault_key_unref(key);
}

static void test_resident(void **state)
{
    struct kc_domain *domain = *state;
    struct vault_key *key = vault_key_new("v", "n", VERSION), *back = NULL;
    struct kc_public pub = {.kty = KW_KTY_OCT, .bits = 192}, pub2;
    uint8_t *sealed = NULL;
    size_t len = 0;
    key->hsm = true;
    key->resident = calloc(1, sizeof *key->resident);
    key->resident->id_len = POOL_RESIDENT_ID_MAX;
    memset(key->resident->id, 0xe1, POOL_RESIDENT_ID_MAX);
    memset(key->resident->label, 'l', POOL_LABEL_MAX);
    key->resident->check_len = POOL_RESIDENT_CHECK_LEN;
    memset(key->resident->check, 0x81, POOL_RESIDENT_CHECK_LEN);
    assert_int_equal(vault_record_seal(domain, key, &pub, &sealed, &len), KW_OK);
    assert_int_equal(open_at(domain, "v", "n", VERSION, kw_span_of(sealed, len), &back, &pub2),
                     KW_OK);
    free(sealed);
    assert_true(back->blob_len == 0 && back->kty == KW_KTY_OCT && back->bits == 192);
    assert_memory_equal(back->resident, key->resident, sizeof *key->resident);
    vault_key_unref(back);
    /* without an id, of a software key, or with a blob besides it would be no key at all */
    key->resident->id_len = 0;
    assert_int_equal(vault_record_seal(domain, key, &pub, &sealed, &len), KW_OK);
    assert_int_equal(try_at(domain, "v", "n", VERSION, kw_span_of(sealed, len)), KW_E_INTEGRITY);
    free(sealed);
    key->resident->id_len = 1;
    key->hsm = false;
    assert_int_equal(vault_record_seal(domain, key, &pub, &sealed, &len), KW_OK);
    assert_int_equal(try_at(domain, "v", "n", VERSION, kw_span_of(sealed, len)), KW_E_INTEGRITY);
    free(sealed);
    vault_key_unref(key);
}

/* Plain forms that only a program with the domain key could have sealed: a newer or a broken one.
 */
static void test_plain_forms(void **state)
{
    static const struct {
        const char *plain;
        size_t len;
        kw_status status;
    } rows[] = {
        {"\x01", 1, KW_OK},
        {"", 0, KW_E_INTEGRITY},
        {"\x02", 1, KW_E_UNSUPPORTED},
        {"\x01\x63\x00\x00", 4, KW_E_UNSUPPORTED},                /* a field of the future */
        {"\x01\x00\x00\x00", 4, KW_E_INTEGRITY},                  /* field 0 */
        {"\x01\x01", 2, KW_E_INTEGRITY},                          /* a cut header */
        {"\x01\x0e\x00\x05xxxx", 8, KW_E_INTEGRITY},              /* a cut field */
        {"\x01\x01\x00\x01\x00", 5, KW_E_INTEGRITY},              /* a number of one byte */
        {"\x01\x01\0\x08\0\0\0\0\0\0\0\x03", 12, KW_E_INTEGRITY}, /* a key type of the future */
        {"\x01\x08\0\x08\0\0\0\0\0\0\0\x02", 12, KW_E_INTEGRITY}, /* neither true nor false */
        {"\x01\x0f\x00\x09xxxxxxxxx", 13, KW_E_INTEGRITY},        /* an exponent that is too long */
        {"\x01\x13\x00\x00", 4, KW_E_INTEGRITY},                  /* an empty tag */
        {"\x01\x13\x00\x02"
         "a\0",
         6, KW_E_INTEGRITY}, /* a tag without value */
        {"\x01\x13\x00\x03"
         "a\0b",
         7, KW_E_INTEGRITY}, /* a value without end */
        {"\x01\x13\x00\x04"
         "a\0b\0",
         8, KW_OK},
        {"\x01\x13\x00\x05"
         "a\0\0b\0",
         9, KW_E_INTEGRITY},
    };
    struct kc_domain *domain = *state;
    static const uint8_t place[] = "\x01v\0n\0" VERSION;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t room[128];
        struct kw_buf sealed = {.data = room, .cap = sizeof room};
        /* the literal's own NUL ends the version */
        assert_int_equal(kc_seal(domain, kw_span_of(place, sizeof place),
                                 kw_span_of(rows[i].plain, rows[i].len), &sealed),
                         KW_OK);
        kw_status status = try_at(domain, "v", "n", VERSION, kw_buf_span(&sealed));
        if (status != rows[i].status)
            fail_msg("row %zu: %s", i, kw_status_name(status));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_everything_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resident, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plain_forms, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
