/* What rotation policies say is due: one after the other, so that a hundred keys that are due
 * together do not keep the members from their clients.
 *
 * Once and only once. wake_at of a policy is the lock: whoever moves it from the time it had to
 * now + CLAIM_S may rotate, and the new version is stored in the transaction that moves it on, and
 * only behind the version it was made from. A gateway that dies in between leaves the claim, which
 * runs out. A change of the key or its policy sets wake_at to the time of the change, which breaks
 * a claim that was made before: what is looked at here is at least GRACE_S old, so the times
 * differ. */

#include <openssl/sha.h>
#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/obs/log.h"
#include "gateway/vault/keys/rotation.h"
#include "gateway/vault/vault.h"

#define CLAIM_S 300
#define GRACE_S 1
#define PAGE    100

struct run {
    struct vault *vault;
    struct gw_loop *loop;
    vault_rotation_run_fn *done;
    void *ctx;
    int64_t now;
    unsigned rotated;
    struct store_result page;
    size_t at; /* the row that is being worked on */
    struct vault_rotation_policy policy;
    struct vault_key *newest; /* one reference */
    struct vault_put_terms terms;
};

static void next_row(struct run *run);
static void read_page(struct run *run);

static void run_end(struct run *run, kw_status status)
{
    store_result_clear(&run->page);
    vault_key_unref(run->newest);
    run->done(run->ctx, status, run->rotated);
    free(run);
}

static const struct store_row *row_of(const struct run *run)
{
    return &run->page.rows[run->at];
}

static struct store_ref ref_of(const struct run *run, enum store_kind kind)
{
    const struct store_row *row = row_of(run);
    return (struct store_ref){.vault = row->vault, .kind = kind, .name = row->name};
}

static void row_done(struct run *run)
{
    vault_key_unref(run->newest);
    run->newest = NULL;
    run->at++;
    next_row(run);
}

/** The store is not well: what is due stays due, and the next run finds it. */
static bool ends_run(kw_status status)
{
    return status != KW_OK && status != KW_E_CONFLICT && status != KW_E_NOT_FOUND;
}

static void on_put_off(void *ctx, struct store_result *result)
{
    struct run *run = ctx;
    if (ends_run(result->status))
        run_end(run, result->status);
    else
        row_done(run);
}

static struct store_change wake_change(const struct run *run, int64_t wake_at)
{
    return (struct store_change){.op = STORE_CHANGE_WAKE,
                                 .ref = ref_of(run, STORE_KEY_POLICY),
                                 .wake_at = wake_at,
                                 .checks_wake = true,
                                 .was_wake = row_of(run)->wake_at};
}

/** Not now: at the right time, or never (0). */
static void put_off(struct run *run, int64_t wake_at)
{
    struct store_change change = wake_change(run, wake_at);
    store_apply(run->vault->store, run->loop, &change, 1, on_put_off, run);
}

static void log_row(const struct run *run, enum gw_log_level level, const char *text,
                    const char *status)
{
    const struct store_row *row = row_of(run);
    gw_log(level, text, "vault", row->vault, "key", row->name, "result", status, NULL);
}

/* --- rotating --- */

static void on_rotated(void *ctx, kw_status status, struct vault_key *key)
{
    struct run *run = ctx;
    (void)key;
    if (status == KW_OK) {
        run->rotated++;
        log_row(run, GW_LOG_INFO, "rotation: a new version was made, as the key's policy says",
                "ok");
    } else if (status != KW_E_CONFLICT && status != KW_E_NOT_FOUND) {
        /* the claim runs out; then it is tried again */
        log_row(run, GW_LOG_WARN, "rotation: a key that is due could not be rotated; trying again",
                kw_status_name(status));
    }
    row_done(run);
}

static void on_claimed(void *ctx, struct store_result *result)
{
    struct run *run = ctx;
    struct vault_key_request request;
    if (result->status != KW_OK) {
        on_put_off(run, result);
        return;
    }
    const struct vault_key *newest = run->newest;
    vault_rotation_request(&request, newest, &run->policy, run->now);
    struct vault_attributes made = request.attributes;
    made.created = run->now;
    memcpy(run->terms.base, newest->version, sizeof run->terms.base);
    run->terms.was_wake = result->rows[0].wake_at;
    run->terms.wake_at = vault_rotation_wake_at(&run->policy, &made, "");
    request.terms = &run->terms;
    vault_key_create(run->vault, run->loop, &request, on_rotated, run);
}

static void claim(struct run *run)
{
    struct store_change change = wake_change(run, run->now + CLAIM_S);
    store_apply(run->vault->store, run->loop, &change, 1, on_claimed, run);
}

/* --- announcing --- */

static void on_noted(void *ctx, struct store_result *result)
{
    struct run *run = ctx;
    if (result->status == KW_OK)
        log_row(run, GW_LOG_WARN, "rotation: a key is near its expiry", "notified");
    on_put_off(run, result);
}

/** Notes in the policy which version was announced, so that it is announced once. */
static kw_status announce(struct run *run)
{
    const struct store_row *row = row_of(run);
    uint8_t hash[SHA256_DIGEST_LENGTH];
    uint8_t *record = NULL;
    size_t record_len = 0;
    memcpy(run->policy.notified, run->newest->version, sizeof run->policy.notified);
    KW_TRY(vault_rotation_seal(run->vault->domain, row->vault, row->name, &run->policy, &record,
                               &record_len));
    SHA256(row->record, row->record_len, hash);
    struct store_change change = wake_change(
        run, vault_rotation_wake_at(&run->policy, &run->newest->attributes, run->newest->version));
    change.op = STORE_CHANGE_UPDATE;
    change.record = kw_span_of(record, record_len);
    change.expected = kw_span_of(hash, sizeof hash);
    change.sets_wake = true;
    store_apply(run->vault->store, run->loop, &change, 1, on_noted, run);
    free(record);
    return KW_OK;
}

/* --- the rows --- */

static kw_status decide(struct run *run)
{
    const struct vault_attributes *a = &run->newest->attributes;
    const char *version = run->newest->version;
    int64_t rotate_at = vault_rotation_rotate_at(&run->policy, a);
    int64_t notify_at = vault_rotation_notify_at(&run->policy, a, version);
    if (run->newest->managed)
        put_off(run, 0); /* its certificate renews it; a restore may have brought the policy */
    else if (rotate_at != 0 && rotate_at <= run->now)
        claim(run);
    else if (notify_at != 0 && notify_at <= run->now)
        return announce(run);
    else
        put_off(run, vault_rotation_wake_at(&run->policy, a, version));
    return KW_OK;
}

static void on_newest(void *ctx, struct store_result *result)
{
    struct run *run = ctx;
    kw_status status = result->status;
    if (status == KW_E_NOT_FOUND) {
        put_off(run, 0); /* nothing to rotate under this name */
        return;
    }
    if (status == KW_OK)
        status =
            vault_row_open(run->vault, row_of(run)->vault, &result->rows[0], true, &run->newest);
    if (status == KW_OK)
        status = vault_rotation_open(run->vault->domain, row_of(run), &run->policy);
    if (status == KW_OK)
        status = decide(run);
    if (status == KW_E_INTEGRITY || status == KW_E_UNSUPPORTED) {
        log_row(run, GW_LOG_ERROR, "rotation: a key or its policy does not open",
                kw_status_name(status));
        put_off(run, run->now + CLAIM_S);
    } else if (status != KW_OK) {
        run_end(run, status);
    }
}

static void next_row(struct run *run)
{
    if (run->at == run->page.row_count) {
        if (run->page.more) {
            read_page(run);
            return;
        }
        run_end(run, KW_OK);
        return;
    }
    struct store_ref ref = ref_of(run, STORE_KEY);
    store_get(run->vault->store, run->loop, &ref, on_newest, run);
}

static void on_page(void *ctx, struct store_result *result)
{
    struct run *run = ctx;
    if (result->status != KW_OK) {
        run_end(run, result->status);
        return;
    }
    store_result_clear(&run->page);
    run->at = 0;
    run->page = *result; /* taken over: the rows are needed after this call */
    *result = (struct store_result){.status = KW_OK};
    next_row(run);
}

static void read_page(struct run *run)
{
    store_due(run->vault->store, run->loop, STORE_KEY_POLICY, STORE_DUE_WAKE, run->now - GRACE_S,
              PAGE, on_page, run);
}

void vault_rotation_run(struct vault *vault, struct gw_loop *loop, int64_t now,
                        vault_rotation_run_fn *done, void *ctx)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run) {
        done(ctx, KW_E_NOMEM, 0);
        return;
    }
    *run = (struct run){.vault = vault, .loop = loop, .done = done, .ctx = ctx, .now = now};
    read_page(run);
}
