/* Deletion with companions, the end of retentions, and backup blobs, on a real store. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/base/clock.h"
#include "gateway/vault/archive/backup.h"
#include "gateway/vault/lifecycle.h"
#include "gateway/vault/seal.h"
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

static struct store_ref ref_of(enum store_kind kind, const char *name, const char *version)
{
    return (struct store_ref){.vault = "v", .kind = kind, .name = name, .version = version};
}

static void wait_for(struct ts_vault *tv, const bool *flag)
{
    assert_true(ts_loop_run_until(tv->loop, flag, 60000));
}

static kw_status put(struct ts_vault *tv, enum store_kind kind, const char *name,
                     const char *version, const char *text)
{
    struct ts_answer answer = {0};
    struct store_ref ref = ref_of(kind, name, version);
    uint8_t *record = NULL;
    size_t len = 0;
    assert_int_equal(vault_seal_at(tv->domain, &ref, kw_span_str(text), &record, &len), KW_OK);
    struct store_change change = {.op = STORE_CHANGE_PUT,
                                  .ref = ref,
                                  .created = 77,
                                  .record = kw_span_of(record, len),
                                  .sets_wake = kind == STORE_KEY_POLICY,
                                  .wake_at = 4000};
    store_apply(tv->store, ts_loop_handle(tv->loop), &change, 1, ts_answer_take, &answer);
    wait_for(tv, &answer.done);
    kw_status status = answer.result.status;
    ts_answer_clear(&answer);
    free(record);
    return status;
}

/** The plain record of the newest version, or "" when the object is not live. */
static const char *get(struct ts_vault *tv, const char *vault, enum store_kind kind,
                       const char *name)
{
    static char text[64];
    struct ts_answer answer = {0};
    struct store_ref ref = ref_of(kind, name, NULL);
    struct kw_buf plain;
    ref.vault = vault;
    text[0] = '\0';
    store_get(tv->store, ts_loop_handle(tv->loop), &ref, ts_answer_take, &answer);
    wait_for(tv, &answer.done);
    if (answer.result.status == KW_OK) {
        const struct store_row *row = &answer.result.rows[0];
        assert_int_equal(vault_unseal(tv->domain, kind, vault, row, &plain), KW_OK);
        snprintf(text, sizeof text, "%.*s", (int)plain.len, (const char *)plain.data);
        vault_plain_free(&plain);
    }
    ts_answer_clear(&answer);
    return text;
}

struct made {
    bool done;
    kw_status status;
    uint8_t *blob;
    size_t len;
};

static void on_made(void *ctx, kw_status status, struct kw_span blob)
{
    struct made *made = ctx;
    *made = (struct made){.done = true, .status = status};
    if (status == KW_OK) {
        made->blob = malloc(blob.len);
        memcpy(made->blob, blob.data, blob.len);
        made->len = blob.len;
    }
}

static struct made backup(struct ts_vault *tv, enum store_kind kind, const char *name)
{
    struct made made = {0};
    struct store_ref ref = ref_of(kind, name, NULL);
    vault_backup(tv->vault, ts_loop_handle(tv->loop), &ref, on_made, &made);
    wait_for(tv, &made.done);
    return made;
}

struct restored {
    bool done;
    kw_status status;
    enum store_conflict conflict;
    char name[STORE_NAME_MAX + 1], check[32], newest[STORE_VERSION_LEN + 1];
};

static void on_restored(void *ctx, const struct vault_restored *what)
{
    struct restored *restored = ctx;
    *restored = (struct restored){.done = true, .status = what->status, .conflict = what->conflict};
    snprintf(restored->name, sizeof restored->name, "%s", what->name ? what->name : "");
    snprintf(restored->check, sizeof restored->check, "%s", what->check ? what->check : "");
    if (what->newest)
        memcpy(restored->newest, what->newest->version, sizeof restored->newest);
}

static struct restored restore(struct ts_vault *tv, const char *vault, enum store_kind kind,
                               const struct made *made)
{
    struct restored restored = {0};
    vault_restore(tv->vault, ts_loop_handle(tv->loop), vault, kind,
                  kw_span_of(made->blob, made->len), on_restored, &restored);
    wait_for(tv, &restored.done);
    return restored;
}

static kw_status move(struct ts_vault *tv, char how, enum store_kind kind, const char *name)
{
    struct ts_answer answer = {0};
    struct store_ref ref = ref_of(kind, name, NULL);
    struct gw_loop *loop = ts_loop_handle(tv->loop);
    if (how == 'd')
        vault_ref_delete(tv->vault, loop, &ref, 7, ts_answer_take, &answer);
    else if (how == 'r')
        vault_ref_recover(tv->vault, loop, &ref, ts_answer_take, &answer);
    else
        vault_ref_purge(tv->vault, loop, &ref, ts_answer_take, &answer);
    wait_for(tv, &answer.done);
    kw_status status = answer.result.status;
    ts_answer_clear(&answer);
    return status;
}

static void test_levels(void **state)
{
    (void)state;
    struct vault_terms terms = {.retention_days = 90};
    assert_string_equal(vault_recovery_level(&terms), "Recoverable+Purgeable");
    terms.purge_protection = true;
    assert_string_equal(vault_recovery_level(&terms), "Recoverable");
    terms.retention_days = 89;
    assert_string_equal(vault_recovery_level(&terms), "CustomizedRecoverable");
    terms.purge_protection = false;
    assert_string_equal(vault_recovery_level(&terms), "CustomizedRecoverable+Purgeable");
}

static void test_companions_move_together(void **state)
{
    struct ts_vault *tv = *state;
    assert_int_equal(put(tv, STORE_KEY, "k", ts_version(1), "key"), KW_OK);
    assert_int_equal(move(tv, 'p', STORE_KEY, "k"), KW_E_NOT_FOUND);
    assert_int_equal(move(tv, 'd', STORE_KEY, "k"), KW_OK); /* without a policy */
    assert_int_equal(move(tv, 'd', STORE_KEY, "k"), KW_E_NOT_FOUND);
    assert_int_equal(move(tv, 'r', STORE_KEY, "K"), KW_OK);
    assert_int_equal(put(tv, STORE_KEY_POLICY, "k", ts_version(1), "policy"), KW_OK);
    assert_int_equal(move(tv, 'd', STORE_KEY, "k"), KW_OK);
    assert_string_equal(get(tv, "v", STORE_KEY_POLICY, "k"), "");
    assert_int_equal(move(tv, 'r', STORE_KEY, "k"), KW_OK);
    assert_string_equal(get(tv, "v", STORE_KEY_POLICY, "k"), "policy");

    assert_int_equal(put(tv, STORE_CERTIFICATE, "k", ts_version(1), "cert"), KW_OK);
    assert_int_equal(put(tv, STORE_SECRET, "k", ts_version(1), "secret"), KW_OK);
    assert_int_equal(move(tv, 'd', STORE_CERTIFICATE, "k"), KW_OK);
    assert_string_equal(get(tv, "v", STORE_KEY, "k"), "");
    assert_string_equal(get(tv, "v", STORE_SECRET, "k"), "");
    assert_int_equal(move(tv, 'p', STORE_CERTIFICATE, "k"), KW_OK);
    assert_int_equal(move(tv, 'r', STORE_KEY, "k"), KW_E_NOT_FOUND);
    assert_int_equal(put(tv, STORE_KEY, "k", ts_version(1), "new"), KW_OK);
}

struct swept {
    bool done;
    kw_status status;
    unsigned purged;
};

static void on_swept(void *ctx, kw_status status, unsigned purged)
{
    *(struct swept *)ctx = (struct swept){true, status, purged};
}

static unsigned sweep(struct ts_vault *tv, int64_t now)
{
    struct swept swept = {0};
    vault_sweep(tv->vault, ts_loop_handle(tv->loop), now, on_swept, &swept);
    wait_for(tv, &swept.done);
    assert_int_equal(swept.status, KW_OK);
    return swept.purged;
}

static void test_sweep(void **state)
{
    struct ts_vault *tv = *state;
    char name[16];
    int64_t now = kw_wall_s();
    for (unsigned i = 0; i < 130; i++) {
        snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(put(tv, STORE_SECRET, name, ts_version(1), "s"), KW_OK);
        assert_int_equal(move(tv, 'd', STORE_SECRET, name), KW_OK);
    }
    assert_int_equal(put(tv, STORE_KEY, "k", ts_version(1), "key"), KW_OK);
    assert_int_equal(put(tv, STORE_KEY, "stays", ts_version(1), "key"), KW_OK);
    assert_int_equal(put(tv, STORE_CERTIFICATE, "k", ts_version(1), "cert"), KW_OK);
    assert_int_equal(move(tv, 'd', STORE_CERTIFICATE, "k"), KW_OK);
    assert_int_equal(sweep(tv, now + 7 * 86400 - 1), 0);
    assert_int_equal(move(tv, 'r', STORE_SECRET, "s3"), KW_OK);
    assert_int_equal(sweep(tv, now + 7 * 86400 + 60), 130);
    assert_string_equal(get(tv, "v", STORE_SECRET, "s3"), "s");
    assert_string_equal(get(tv, "v", STORE_KEY, "stays"), "key");
    assert_int_equal(move(tv, 'r', STORE_CERTIFICATE, "k"), KW_E_NOT_FOUND);
    assert_int_equal(move(tv, 'r', STORE_KEY, "k"), KW_E_NOT_FOUND);
    assert_int_equal(sweep(tv, now + 7 * 86400 + 60), 0);
}

static void test_round_trip(void **state)
{
    struct ts_vault *tv = *state;
    char text[16];
    assert_int_equal(backup(tv, STORE_KEY, "Key").status, KW_E_NOT_FOUND);
    for (unsigned i = 0; i < 200; i++) { /* more than a slice, ids against their order */
        snprintf(text, sizeof text, "text %u", i);
        assert_int_equal(put(tv, STORE_KEY, "Key", ts_version(1000 - i), text), KW_OK);
    }
    assert_int_equal(put(tv, STORE_KEY_POLICY, "Key", ts_version(1), "policy"), KW_OK);
    struct made made = backup(tv, STORE_KEY, "kEY");
    assert_int_equal(made.status, KW_OK);

    struct restored restored = restore(tv, "v", STORE_KEY, &made);
    assert_int_equal(restored.status, KW_E_CONFLICT);
    assert_int_equal(restored.conflict, STORE_CONFLICT_EXISTS);
    assert_string_equal(restored.name, "Key");
    assert_int_equal(move(tv, 'd', STORE_KEY, "Key"), KW_OK);
    restored = restore(tv, "v", STORE_KEY, &made);
    assert_int_equal(restored.status, KW_E_CONFLICT);
    assert_int_equal(restored.conflict, STORE_CONFLICT_DELETED);
    assert_int_equal(restore(tv, "v", STORE_SECRET, &made).status, KW_E_INPUT);

    restored = restore(tv, "other", STORE_KEY, &made);
    assert_int_equal(restored.status, KW_OK);
    assert_string_equal(restored.newest, ts_version(801));
    assert_string_equal(get(tv, "other", STORE_KEY, "Key"), "text 199");
    assert_string_equal(get(tv, "other", STORE_KEY_POLICY, "Key"), "policy");
    assert_int_equal(move(tv, 'p', STORE_KEY, "Key"), KW_OK);
    assert_int_equal(restore(tv, "v", STORE_KEY, &made).status, KW_OK);

    struct ts_answer answer = {0};
    struct store_ref ref = ref_of(STORE_KEY, "key", NULL);
    store_list_versions(tv->store, ts_loop_handle(tv->loop), &ref, NULL, 300, ts_answer_take,
                        &answer);
    wait_for(tv, &answer.done);
    assert_int_equal(answer.result.row_count, 200);
    for (unsigned i = 0; i < 200; i++) {
        assert_string_equal(answer.result.rows[i].version, ts_version(1000 - i));
        assert_int_equal(answer.result.rows[i].created, 77);
    }
    ts_answer_clear(&answer);
    ref.kind = STORE_KEY_POLICY;
    store_get(tv->store, ts_loop_handle(tv->loop), &ref, ts_answer_take, &answer);
    wait_for(tv, &answer.done);
    assert_int_equal(answer.result.rows[0].wake_at, 4000);
    ts_answer_clear(&answer);
    free(made.blob);
}

static void test_companion_in_the_way(void **state)
{
    struct ts_vault *tv = *state;
    assert_int_equal(put(tv, STORE_CERTIFICATE, "c", ts_version(1), "cert"), KW_OK);
    assert_int_equal(put(tv, STORE_KEY, "c", ts_version(1), "key"), KW_OK);
    struct made made = backup(tv, STORE_CERTIFICATE, "c");
    assert_int_equal(made.status, KW_OK);
    assert_int_equal(move(tv, 'd', STORE_CERTIFICATE, "c"), KW_OK);
    assert_int_equal(move(tv, 'p', STORE_CERTIFICATE, "c"), KW_OK);
    assert_int_equal(put(tv, STORE_KEY, "c", ts_version(2), "mine"), KW_OK);
    assert_int_equal(restore(tv, "v", STORE_CERTIFICATE, &made).status, KW_E_CONFLICT);
    assert_string_equal(get(tv, "v", STORE_CERTIFICATE, "c"), ""); /* all or nothing */
    assert_string_equal(get(tv, "v", STORE_KEY, "c"), "mine");
    free(made.blob);
}

static void test_every_byte_counts(void **state)
{
    struct ts_vault *tv = *state, *other = ts_vault_create();
    assert_int_equal(put(tv, STORE_SECRET, "s", ts_version(1), "a secret"), KW_OK);
    struct made made = backup(tv, STORE_SECRET, "s");
    assert_int_equal(made.status, KW_OK);
    assert_int_equal(move(tv, 'd', STORE_SECRET, "s"), KW_OK);
    assert_int_equal(move(tv, 'p', STORE_SECRET, "s"), KW_OK);
    for (size_t i = 0; i < made.len; i++) {
        made.blob[i] ^= 1;
        kw_status status = restore(tv, "v", STORE_SECRET, &made).status;
        kw_status wanted = i == 4             ? KW_E_UNSUPPORTED
                           : i >= 8 && i < 16 ? KW_E_FORBIDDEN
                                              : KW_E_INPUT;
        assert_int_equal(status, wanted);
        made.blob[i] ^= 1;
        struct made cut = {.blob = made.blob, .len = i};
        assert_int_equal(restore(tv, "v", STORE_SECRET, &cut).status, KW_E_INPUT);
    }
    char check[2 * KC_DOMAIN_CHECK_LEN + 1];
    kc_domain_check(tv->domain, check);
    struct restored restored = restore(other, "v", STORE_SECRET, &made);
    assert_int_equal(restored.status, KW_E_FORBIDDEN);
    assert_string_equal(restored.check, check);
    assert_int_equal(restore(tv, "v", STORE_SECRET, &made).status, KW_OK);
    assert_string_equal(get(tv, "v", STORE_SECRET, "s"), "a secret");
    free(made.blob);
    ts_vault_destroy(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test_setup_teardown(test_companions_move_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_companion_in_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_byte_counts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
