/* Secrets in the vault: what was set comes back, nothing in memory or store holds it in the clear,
 * the cache follows every change, and what was tampered with does not open. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/base/clock.h"
#include "gateway/vault/seal.h"
#include "gateway/vault/secrets/secret.h"
#include "tests/support/ts_vault.h"

static int setup(void **state)
{
    *state = ts_vault_create();
    return 0;
}

static int teardown(void **state)
{
    ts_vault_destroy(*state);
    return 0;
}

struct taken {
    bool done;
    kw_status status;
    struct vault_secret *secret;
};

static void take(void *ctx, kw_status status, struct vault_secret *secret)
{
    struct taken *taken = ctx;
    taken->status = status;
    if (secret)
        vault_object_ref(&secret->object);
    taken->secret = secret;
    taken->done = true;
}

/* The secret is the caller's when `out` is not NULL. */
static kw_status finish(struct ts_vault *tv, struct taken *taken, struct vault_secret **out)
{
    assert_true(ts_loop_run_until(tv->loop, &taken->done, 60000));
    if (out)
        *out = taken->secret;
    else if (taken->secret)
        vault_object_unref(&taken->secret->object);
    return taken->status;
}

static kw_status set(struct ts_vault *tv, const char *name, struct kw_span value,
                     struct vault_secret **out)
{
    struct taken taken = {0};
    struct vault_secret_request req = {.vault = "v",
                                       .name = name,
                                       .value = value,
                                       .content_type = kw_span_str("text/plain"),
                                       .attributes = {.enabled = true}};
    vault_secret_set(tv->vault, ts_loop_handle(tv->loop), &req, take, &taken);
    return finish(tv, &taken, out);
}

static kw_status get(struct ts_vault *tv, const char *name, const char *version,
                     struct vault_secret **out)
{
    struct taken taken = {0};
    vault_secret_get(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str(name),
                     kw_span_str(version), take, &taken);
    return finish(tv, &taken, out);
}

static void holds(struct ts_vault *tv, const struct vault_secret *secret, const char *text)
{
    uint8_t room[64];
    struct kw_buf value = {.data = room, .cap = sizeof room};
    assert_int_equal(vault_secret_value(tv->vault, secret, &value), KW_OK);
    assert_true(kw_span_equal(kw_buf_span(&value), kw_span_str(text)));
}

static void newest_is(struct ts_vault *tv, const char *name, const char *text)
{
    struct vault_secret *secret = NULL;
    assert_int_equal(get(tv, name, "", &secret), KW_OK);
    holds(tv, secret, text);
    vault_object_unref(&secret->object);
}

static void test_versions_and_cache(void **state)
{
    struct ts_vault *tv = *state;
    struct vault_secret *first = NULL, *second = NULL, *read = NULL;
    assert_int_equal(set(tv, "a", kw_span_str("one"), &first), KW_OK);
    newest_is(tv, "A", "one");
    assert_int_equal(set(tv, "a", kw_span_str("two"), &second), KW_OK);
    newest_is(tv, "a", "two"); /* the cache did not keep the older one */
    assert_int_equal(get(tv, "a", first->version, &read), KW_OK);
    holds(tv, read, "one");
    vault_object_unref(&read->object);
    /* and the same from the store */
    vault_cache_drop(tv->vault->caches[STORE_SECRET], "v", kw_span_str("a"));
    newest_is(tv, "a", "two");
    /* the sealed value of one version is of no use in another */
    uint8_t *blob = second->blob, room[64];
    struct kw_buf value = {.data = room, .cap = sizeof room};
    second->blob = first->blob;
    assert_int_equal(vault_secret_value(tv->vault, second, &value), KW_E_INTEGRITY);
    second->blob = blob;
    vault_object_unref(&first->object);
    vault_object_unref(&second->object);
}

static void test_change_keeps_the_value(void **state)
{
    struct ts_vault *tv = *state;
    struct vault_secret *secret = NULL;
    struct taken taken = {0};
    const char *why = NULL;
    struct vault_secret_change change = {.common = {.has_enabled = true, .enabled = false},
                                         .has_content_type = true,
                                         .content_type = kw_span_str("x/y")};
    assert_int_equal(set(tv, "a", kw_span_str("kept"), NULL), KW_OK);
    vault_secret_update(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("a"),
                        (struct kw_span){0}, &change, take, &taken);
    assert_int_equal(finish(tv, &taken, NULL), KW_OK);
    for (int i = 0; i < 2; i++) { /* from the cache, from the store */
        assert_int_equal(get(tv, "a", "", &secret), KW_OK);
        holds(tv, secret, "kept");
        assert_string_equal(secret->content_type, "x/y");
        assert_int_equal(vault_secret_permits_get(secret, kw_wall_s(), &why), KW_E_FORBIDDEN);
        assert_string_equal(why, "SecretDisabled");
        vault_object_unref(&secret->object);
        vault_cache_drop(tv->vault->caches[STORE_SECRET], "v", kw_span_str("a"));
    }
}

static void test_deleted(void **state)
{
    struct ts_vault *tv = *state;
    struct taken gone = {0}, back = {0}, again = {0}, purged = {0};
    struct gw_loop *loop = ts_loop_handle(tv->loop);
    struct kw_span name = kw_span_str("a");
    assert_int_equal(set(tv, "a", kw_span_str("x"), NULL), KW_OK);
    newest_is(tv, "a", "x");
    vault_secret_delete(tv->vault, loop, "v", name, 90, take, &gone);
    assert_int_equal(finish(tv, &gone, NULL), KW_OK);
    assert_int_equal(get(tv, "a", "", NULL), KW_E_NOT_FOUND);
    assert_int_equal(set(tv, "a", kw_span_str("y"), NULL), KW_E_CONFLICT);
    vault_secret_recover(tv->vault, loop, "v", name, take, &back);
    assert_int_equal(finish(tv, &back, NULL), KW_OK);
    newest_is(tv, "a", "x");
    vault_secret_delete(tv->vault, loop, "v", name, 90, take, &again);
    assert_int_equal(finish(tv, &again, NULL), KW_OK);
    vault_secret_purge(tv->vault, loop, "v", name, take, &purged);
    assert_int_equal(finish(tv, &purged, NULL), KW_OK);
    assert_int_equal(set(tv, "a", kw_span_str("y"), NULL), KW_OK);
    newest_is(tv, "a", "y");
}

static void test_times(void **state)
{
    static const struct {
        bool enabled;
        int64_t nbf, exp;
        const char *why;
    } rows[] = {
        {true, 0, 0, NULL},
        {false, 0, 0, "SecretDisabled"},
        {true, 1000 + VAULT_CLOCK_LEEWAY_S, 0, NULL},
        {true, 1001 + VAULT_CLOCK_LEEWAY_S, 0, "SecretNotYetValid"},
        {true, 0, 1, NULL}, /* expired: still given out */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vault_secret secret = {
            .attributes = {.enabled = rows[i].enabled, .nbf = rows[i].nbf, .exp = rows[i].exp}};
        const char *why = NULL;
        kw_status status = vault_secret_permits_get(&secret, 1000, &why);
        assert_int_equal(status, rows[i].why ? KW_E_FORBIDDEN : KW_OK);
        assert_true(rows[i].why ? strcmp(why, rows[i].why) == 0 : why == NULL);
    }
}

static void test_bounds(void **state)
{
    struct ts_vault *tv = *state;
    static uint8_t text[VAULT_SECRET_MAX + 1];
    struct vault_secret *secret = NULL;
    memset(text, 'x', sizeof text);
    assert_int_equal(set(tv, "a", kw_span_of(text, sizeof text), NULL), KW_E_INPUT);
    assert_int_equal(set(tv, "a", kw_span_of(text, VAULT_SECRET_MAX), &secret), KW_OK);
    assert_int_equal(vault_secret_room(secret), VAULT_SECRET_MAX);
    vault_object_unref(&secret->object);
    assert_int_equal(set(tv, "b", (struct kw_span){0}, &secret), KW_OK);
    holds(tv, secret, "");
    vault_object_unref(&secret->object);
}

/* Every single changed byte of a record, a cut one, and another place. */
static void test_tampered(void **state)
{
    struct ts_vault *tv = *state;
    struct vault_secret *secret = NULL, *back = NULL;
    struct vault_secret_request req = {.vault = "v", .name = "n", .value = kw_span_str("value")};
    struct store_row row = {.name = "n"};
    assert_int_equal(vault_secret_make(&secret, tv->domain, &req), KW_OK);
    assert_int_equal(vault_secret_record_seal(tv->domain, secret, &row.record, &row.record_len),
                     KW_OK);
    memcpy(row.version, secret->version, sizeof row.version);
    for (size_t i = 0; i < row.record_len; i++) {
        row.record[i] ^= 1;
        assert_int_not_equal(vault_secret_record_open(tv->domain, "v", &row, &back), KW_OK);
        row.record[i] ^= 1;
    }
    size_t whole = row.record_len;
    for (row.record_len = 0; row.record_len < whole; row.record_len++)
        assert_int_equal(vault_secret_record_open(tv->domain, "v", &row, &back), KW_E_INTEGRITY);
    assert_int_equal(vault_secret_record_open(tv->domain, "w", &row, &back), KW_E_INTEGRITY);
    assert_int_equal(vault_secret_record_open(tv->domain, "V", &row, &back), KW_OK);
    holds(tv, back, "value");
    vault_object_unref(&back->object);
    vault_object_unref(&secret->object);
    free(row.record);
}

/* Plain forms that only a holder of the domain could have sealed. */
static void test_plain_forms(void **state)
{
    struct ts_vault *tv = *state;
    static const struct {
        const char *plain;
        size_t len;
        kw_status status;
    } rows[] = {
        {"\x01", 1, KW_E_INTEGRITY}, /* no value */
        {"\x01\x03\0\0", 4, KW_OK},
        {"\x02\x03\0\0", 4, KW_E_UNSUPPORTED},
        {"\x01\x03\0\0\x03\0\0", 7, KW_E_INTEGRITY},
        {"\x01\x03\0\0\x02\0\x01t\x02\0\x01u", 12, KW_E_INTEGRITY},
        {"\x01\x03\0\0\x01\0\x01\x01", 8, KW_E_INTEGRITY},
        {"\x01\x03\0\0\x14\0\0", 7, KW_E_UNSUPPORTED},
        {"\x01\x03\0\0\x04\0\0", 7, KW_E_INTEGRITY},
        {"\x01\x03\xff\xffx", 5, KW_E_INTEGRITY},
        {"\x01\x03\0", 3, KW_E_INTEGRITY},
    };
    struct vault_object *place = vault_object_new(&vault_secret_kind, "v", "n", ts_version(1));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kw_buf plain = {.data = malloc(rows[i].len), .len = rows[i].len, .cap = rows[i].len};
        struct store_row row = {.name = "n"};
        struct vault_secret *back = NULL;
        memcpy(plain.data, rows[i].plain, rows[i].len);
        memcpy(row.version, place->version, sizeof row.version);
        assert_int_equal(vault_seal(tv->domain, place, &plain, &row.record, &row.record_len),
                         KW_OK);
        if (vault_secret_record_open(tv->domain, "v", &row, &back) != rows[i].status)
            fail_msg("row %zu", i);
        if (back)
            vault_object_unref(&back->object);
        free(row.record);
    }
    vault_object_unref(place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_versions_and_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(test_change_keeps_the_value, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deleted, setup, teardown),
        cmocka_unit_test(test_times),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tampered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plain_forms, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
