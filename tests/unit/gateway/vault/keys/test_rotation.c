/* Rotation policies: durations, rules, and that a key that is due is rotated once. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/base/clock.h"
#include "gateway/vault/keys/record.h"
#include "gateway/vault/keys/rotation.h"
#include "tests/support/ts_vault.h"

#define DAY 86400

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

static struct vault_duration duration(const char *text)
{
    struct vault_duration d;
    assert_true(vault_duration_parse(&d, kw_span_str(text)));
    return d;
}

static void test_durations(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",      "P",     "P1",   "90D",   "P90d",      "PT",       "P1DT",
        "P-1D",  "P0D",   "PT0S", "P1M1Y", "P1D1W",     "P1H",      "PT1D",
        "P101Y", "P1.5D", "P1D ", " P1D",  "P9999999D", "P1YT1M1H", "P1Y2M3DT4H5M6S7S",
        "P1D1D"};
    struct vault_duration d;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (vault_duration_parse(&d, kw_span_str(bad[i])))
            fail_msg("%s", bad[i]);
    d = duration("P1Y2M3DT4H5M6S");
    assert_int_equal(d.years, 1);
    assert_int_equal(d.months, 2);
    assert_int_equal(d.days, 3);
    assert_int_equal(d.seconds, 4 * 3600 + 5 * 60 + 6);
    d = duration("P2W");
    assert_int_equal(vault_duration_add(1000, &d, 1), 1000 + 14 * DAY);
    d = duration("PT48H");
    assert_int_equal(vault_duration_add(1000000, &d, -1), 1000000 - 2 * DAY);
    /* 2024-01-31 12:00 plus a month is 29 February, minus a month 31 December */
    d = duration("P1M");
    assert_int_equal(vault_duration_add(1706702400, &d, 1), 1709208000);
    assert_int_equal(vault_duration_add(1706702400, &d, -1), 1704024000);
    d = duration("P2Y");
    assert_int_equal(vault_duration_add(1706702400, &d, 1), 1769860800);
    d = duration("P14M"); /* from February over two ends of a year */
    assert_int_equal(vault_duration_add(1709208000, &d, -1), 1672315200);
}

static const char *rule(const char *expiry, const char *after, const char *before,
                        const char *notify)
{
    struct vault_rotation_policy p = {0};
    const char *why = NULL;
    if (expiry)
        p.expiry = duration(expiry);
    if (after)
        p.rotate_after_create = duration(after);
    if (before)
        p.rotate_before_expiry = duration(before);
    if (notify)
        p.notify_before_expiry = duration(notify);
    kw_status status = vault_rotation_check(&p, &why);
    assert_int_equal(status, why ? KW_E_INPUT : KW_OK);
    return why;
}

static void test_rules(void **state)
{
    (void)state;
    assert_null(rule(NULL, NULL, NULL, NULL));
    assert_null(rule("P28D", "P21D", NULL, "P27D"));
    assert_null(rule("P2Y", NULL, "P30D", "P30D"));
    assert_null(rule(NULL, "P7D", NULL, "P30D"));
    assert_non_null(rule("P27D", NULL, NULL, NULL));
    assert_non_null(rule("P28D", "P22D", NULL, NULL));
    assert_non_null(rule(NULL, "P6D", NULL, NULL));
    assert_non_null(rule(NULL, NULL, "P30D", NULL));
    assert_non_null(rule("P90D", NULL, "P6D", NULL));
    assert_non_null(rule("P90D", NULL, "P84D", NULL));
    assert_non_null(rule("P90D", "P10D", "P10D", NULL));
    assert_non_null(rule("P28D", NULL, NULL, "P28D"));
}

struct answer {
    bool done;
    kw_status status;
    struct vault_rotation_policy policy;
    char why[128];
};

static void on_policy(void *ctx, kw_status status, const struct vault_rotation_policy *policy,
                      const char *why)
{
    struct answer *answer = ctx;
    answer->done = true;
    answer->status = status;
    if (policy)
        answer->policy = *policy;
    snprintf(answer->why, sizeof answer->why, "%s", why ? why : "");
}

static struct answer get(struct ts_vault *tv, const char *name)
{
    struct answer answer = {0};
    vault_rotation_get(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str(name), on_policy,
                       &answer);
    assert_true(ts_loop_run_until(tv->loop, &answer.done, 20000));
    return answer;
}

static struct answer set(struct ts_vault *tv, const char *name,
                         const struct vault_rotation_change *change)
{
    struct answer answer = {0};
    vault_rotation_set(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str(name), change,
                       on_policy, &answer);
    assert_true(ts_loop_run_until(tv->loop, &answer.done, 20000));
    return answer;
}

struct ran {
    bool done;
    kw_status status;
    unsigned rotated;
};

static void on_ran(void *ctx, kw_status status, unsigned rotated)
{
    *(struct ran *)ctx = (struct ran){true, status, rotated};
}

static unsigned run(struct ts_vault *tv, int64_t now)
{
    struct ran ran = {0};
    vault_rotation_run(tv->vault, ts_loop_handle(tv->loop), now, on_ran, &ran);
    assert_true(ts_loop_run_until(tv->loop, &ran.done, 20000));
    assert_int_equal(ran.status, KW_OK);
    return ran.rotated;
}

static void newest(struct ts_vault *tv, const char *name, char version[33], int64_t *exp)
{
    struct vault_key *key = NULL;
    assert_int_equal(ts_key_get(tv, name, NULL, &key), KW_OK);
    memcpy(version, key->version, 33);
    if (exp)
        *exp = key->attributes.exp;
    vault_key_unref(key);
}

static void test_policy_is_kept(void **state)
{
    struct ts_vault *tv = *state;
    struct vault_rotation_change change = {.has_actions = true, .has_expiry = true};
    assert_int_equal(get(tv, "k").status, KW_E_NOT_FOUND);
    assert_int_equal(set(tv, "k", &change).status, KW_E_NOT_FOUND);
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_EC, NULL), KW_OK);
    struct answer answer = get(tv, "K");
    assert_int_equal(answer.status, KW_OK);
    assert_int_equal(answer.policy.created, 0);

    change.values.expiry = duration("P90D");
    change.values.rotate_before_expiry = duration("P30D");
    change.values.notify_before_expiry = duration("P20D");
    answer = set(tv, "k", &change);
    assert_int_equal(answer.status, KW_OK);
    assert_true(answer.policy.created != 0);
    /* what a change does not have stays; a change that breaks a rule changes nothing */
    struct vault_rotation_change part = {.has_expiry = true};
    part.values.expiry = duration("P30D");
    answer = set(tv, "k", &part);
    assert_int_equal(answer.status, KW_E_INPUT);
    assert_non_null(strstr(answer.why, "timeBeforeExpiry"));
    part.values.expiry = duration("P2Y");
    assert_int_equal(set(tv, "k", &part).status, KW_OK);
    answer = get(tv, "k");
    assert_string_equal(answer.policy.expiry.text, "P2Y");
    assert_string_equal(answer.policy.rotate_before_expiry.text, "P30D");
    assert_string_equal(answer.policy.notify_before_expiry.text, "P20D");

    /* it goes and comes with its key */
    struct ts_key_answer recovered = {0};
    assert_int_equal(ts_key_delete(tv, "k"), KW_OK);
    assert_int_equal(get(tv, "k").status, KW_E_NOT_FOUND);
    vault_key_recover(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("k"), ts_key_take,
                      &recovered);
    assert_int_equal(ts_key_finish(tv, &recovered, NULL), KW_OK);
    assert_string_equal(get(tv, "k").policy.expiry.text, "P2Y");
}

static void test_rotates_once(void **state)
{
    struct ts_vault *tv = *state;
    char v1[33], v2[33], v3[33];
    int64_t exp = 0, now = kw_wall_s();
    struct vault_rotation_change change = {.has_actions = true, .has_expiry = true};
    change.values.expiry = duration("P90D");
    change.values.rotate_after_create = duration("P10D");
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_RSA, NULL), KW_OK);
    assert_int_equal(ts_key_create(tv, "other", KW_KTY_EC, NULL), KW_OK);
    assert_int_equal(set(tv, "k", &change).status, KW_OK);
    newest(tv, "k", v1, NULL);
    assert_int_equal(run(tv, now + 5), 0);
    newest(tv, "k", v2, NULL);
    assert_string_equal(v1, v2);

    /* two schedulers at the same time: one of them rotates */
    struct ran a = {0}, b = {0};
    struct gw_loop *loop = ts_loop_handle(tv->loop);
    vault_rotation_run(tv->vault, loop, now + 10 * DAY + 60, on_ran, &a);
    vault_rotation_run(tv->vault, loop, now + 10 * DAY + 60, on_ran, &b);
    assert_true(ts_loop_run_until(tv->loop, &a.done, 20000));
    assert_true(ts_loop_run_until(tv->loop, &b.done, 20000));
    assert_int_equal(a.rotated + b.rotated, 1);
    newest(tv, "k", v2, &exp);
    assert_string_not_equal(v1, v2);
    assert_in_range(exp, now + 100 * DAY, now + 100 * DAY + 120);
    assert_int_equal(run(tv, now + 10 * DAY + 120), 0);
    assert_int_equal(run(tv, now + 10 * DAY + 1000), 0);
    newest(tv, "k", v3, NULL);
    assert_string_equal(v2, v3);
}

static void test_a_new_version_puts_it_off(void **state)
{
    struct ts_vault *tv = *state;
    char v1[33], v2[33];
    int64_t now = kw_wall_s();
    struct vault_rotation_change change = {.has_actions = true, .has_expiry = true};
    change.values.expiry = duration("P90D");
    change.values.rotate_before_expiry = duration("P30D");
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_EC, NULL), KW_OK);
    assert_int_equal(set(tv, "k", &change).status, KW_OK);
    /* the version has no expiry: never due. A rotation by hand gives it one. */
    assert_int_equal(run(tv, now + 1000 * DAY), 0);
    struct ts_key_answer rotated = {0};
    vault_key_rotate(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("K"), ts_key_take,
                     &rotated);
    assert_int_equal(ts_key_finish(tv, &rotated, NULL), KW_OK);
    assert_int_equal(run(tv, now + 59 * DAY), 0);
    newest(tv, "k", v1, NULL);
    /* an expiry that comes nearer brings the rotation nearer */
    struct ts_key_answer updated = {0};
    struct vault_key_change sooner = {.common = {.has_exp = true, .exp = now + 40 * DAY}};
    vault_key_update(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("k"),
                     (struct kw_span){0}, &sooner, ts_key_take, &updated);
    assert_int_equal(ts_key_finish(tv, &updated, NULL), KW_OK);
    assert_int_equal(run(tv, now + 11 * DAY), 1);
    newest(tv, "k", v2, NULL);
    assert_string_not_equal(v1, v2);
    /* a disabled key is left alone, until it is enabled again */
    assert_int_equal(ts_key_enable(tv, "k", NULL, false), KW_OK);
    assert_int_equal(run(tv, now + 80 * DAY), 0);
    assert_int_equal(ts_key_enable(tv, "k", NULL, true), KW_OK);
    assert_int_equal(run(tv, now + 80 * DAY), 1);
}

static void test_announces_once(void **state)
{
    struct ts_vault *tv = *state;
    char version[33];
    int64_t now = kw_wall_s(), exp = 0;
    struct vault_rotation_change change = {.has_actions = true, .has_expiry = true};
    change.values.expiry = duration("P90D");
    change.values.notify_before_expiry = duration("P30D");
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_EC, NULL), KW_OK);
    assert_int_equal(set(tv, "k", &change).status, KW_OK);
    struct ts_key_answer rotated = {0};
    vault_key_rotate(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("k"), ts_key_take,
                     &rotated);
    assert_int_equal(ts_key_finish(tv, &rotated, NULL), KW_OK);
    newest(tv, "k", version, &exp);
    assert_int_equal(run(tv, now + 59 * DAY), 0);
    assert_string_equal(get(tv, "k").policy.notified, "");
    assert_int_equal(run(tv, now + 61 * DAY), 0);
    assert_string_equal(get(tv, "k").policy.notified, version);
    assert_int_equal(vault_rotation_notify_at(&(struct vault_rotation_policy){0},
                                              &(struct vault_attributes){.enabled = true}, ""),
                     0);
}

/** The newest version of `name` as the key of a certificate. */
static void make_managed(struct ts_vault *tv, const char *name)
{
    struct vault_key *key = NULL;
    uint8_t *record = NULL;
    size_t len = 0;
    assert_int_equal(ts_key_get(tv, name, NULL, &key), KW_OK);
    struct vault_key *managed = vault_key_new("v", name, key->version);
    assert_non_null(managed);
    managed->ops = key->ops;
    managed->attributes = key->attributes;
    managed->managed = true;
    managed->blob = malloc(key->blob_len);
    assert_non_null(managed->blob);
    memcpy(managed->blob, key->blob, key->blob_len);
    managed->blob_len = key->blob_len;
    assert_int_equal(
        vault_record_seal(tv->domain, managed, pool_key_public(key->key), &record, &len), KW_OK);
    struct store_ref ref = ts_ref(name, key->version);
    struct ts_answer answer = {0};
    store_update(tv->store, ts_loop_handle(tv->loop), &ref, kw_span_of(record, len),
                 (struct kw_span){0}, ts_answer_take, &answer);
    assert_true(ts_loop_run_until(tv->loop, &answer.done, 20000));
    assert_int_equal(answer.result.status, KW_OK);
    ts_answer_clear(&answer);
    free(record);
    vault_key_unref(managed);
    vault_key_unref(key);
    vault_cache_drop(tv->vault->caches[STORE_KEY], "v", kw_span_str(name));
}

static void test_key_of_a_certificate_is_left(void **state)
{
    struct ts_vault *tv = *state;
    char v1[33], v2[33];
    int64_t now = kw_wall_s();
    struct vault_rotation_change change = {.has_actions = true};
    change.values.rotate_after_create = duration("P10D");
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_EC, NULL), KW_OK);
    assert_int_equal(ts_key_create(tv, "free", KW_KTY_EC, NULL), KW_OK);
    assert_int_equal(set(tv, "k", &change).status, KW_OK);
    assert_int_equal(set(tv, "free", &change).status, KW_OK);
    make_managed(tv, "k");
    newest(tv, "k", v1, NULL);
    assert_int_equal(run(tv, now + 10 * DAY + 60), 1); /* the other one */
    newest(tv, "k", v2, NULL);
    assert_string_equal(v1, v2);
    assert_int_equal(run(tv, now + 100 * DAY), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_rules),
        cmocka_unit_test_setup_teardown(test_policy_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotates_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_new_version_puts_it_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_announces_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_key_of_a_certificate_is_left, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
