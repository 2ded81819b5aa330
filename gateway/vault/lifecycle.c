#include "gateway/vault/lifecycle.h"

#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/vault/vault.h"

#define DAY_S INT64_C(86400)

const char *vault_recovery_level(const struct vault_terms *terms)
{
    bool custom = terms->retention_days < VAULT_RETENTION_DEFAULT;
    if (terms->purge_protection)
        return custom ? "CustomizedRecoverable" : "Recoverable";
    return custom ? "CustomizedRecoverable+Purgeable" : "Recoverable+Purgeable";
}

size_t vault_companions(enum store_kind kind, enum store_kind kinds[VAULT_COMPANIONS_MAX])
{
    static const enum store_kind of_certificate[] = {STORE_KEY, STORE_SECRET, STORE_KEY_POLICY,
                                                     STORE_CERTIFICATE_POLICY, STORE_PENDING};
    size_t count = 0;
    kinds[count++] = kind;
    if (kind == STORE_KEY)
        kinds[count++] = STORE_KEY_POLICY;
    if (kind == STORE_CERTIFICATE)
        for (size_t i = 0; i < sizeof of_certificate / sizeof of_certificate[0]; i++)
            kinds[count++] = of_certificate[i];
    return count;
}

void vault_ref_changed(struct vault *vault, const struct store_ref *ref)
{
    enum store_kind kinds[VAULT_COMPANIONS_MAX];
    size_t count = vault_companions(ref->kind, kinds);
    for (size_t i = 0; i < count; i++)
        if (kinds[i] < VAULT_KINDS)
            vault_cache_drop(vault->caches[kinds[i]], ref->vault, kw_span_str(ref->name));
}

/* --- one object --- */

struct move {
    struct vault *vault;
    store_done_fn *done;
    void *ctx;
    struct store_ref ref; /* into the copies below */
    char vault_name[STORE_VAULT_MAX + 1];
    char name[STORE_NAME_MAX + 1];
};

static void on_moved(void *ctx, struct store_result *result)
{
    struct move *move = ctx;
    if (result->status == KW_OK || result->status == KW_E_IO)
        vault_ref_changed(move->vault, &move->ref);
    move->done(move->ctx, result);
    free(move);
}

static struct move *move_new(struct vault *vault, const struct store_ref *ref, store_done_fn *done,
                             void *ctx)
{
    size_t vault_len = ref->vault ? strlen(ref->vault) : 0;
    size_t name_len = ref->name ? strlen(ref->name) : 0;
    bool fits =
        vault_len > 0 && vault_len <= STORE_VAULT_MAX && name_len > 0 && name_len <= STORE_NAME_MAX;
    struct move *move = fits ? calloc(1, sizeof *move) : NULL;
    if (!move) {
        done(ctx, &(struct store_result){.status = fits ? KW_E_NOMEM : KW_E_INPUT});
        return NULL;
    }
    memcpy(move->vault_name, ref->vault, vault_len);
    memcpy(move->name, ref->name, name_len);
    move->vault = vault;
    move->done = done;
    move->ctx = ctx;
    move->ref = (struct store_ref){
        .vault = move->vault_name, .kind = ref->kind, .name = move->name, .version = NULL};
    return move;
}

/** `model` for the object and for each companion that is there. */
static void move_all(struct vault *vault, struct gw_loop *loop, const struct store_ref *ref,
                     const struct store_change *model, store_done_fn *done, void *ctx)
{
    enum store_kind kinds[VAULT_COMPANIONS_MAX];
    struct store_change changes[VAULT_COMPANIONS_MAX];
    struct move *move = move_new(vault, ref, done, ctx);
    if (!move)
        return;
    size_t count = vault_companions(ref->kind, kinds);
    for (size_t i = 0; i < count; i++) {
        changes[i] = *model;
        changes[i].ref = move->ref;
        changes[i].ref.kind = kinds[i];
        changes[i].optional = i > 0;
        if (i > 0 && model->op == STORE_CHANGE_PURGE)
            changes[i].purge_at = 0;
    }
    store_apply(vault->store, loop, changes, count, on_moved, move);
}

void vault_ref_delete(struct vault *vault, struct gw_loop *loop, const struct store_ref *ref,
                      unsigned retention_days, store_done_fn *done, void *ctx)
{
    int64_t now = kw_wall_s();
    struct store_change model = {.op = STORE_CHANGE_DELETE,
                                 .deleted_at = now,
                                 .purge_at = now + (int64_t)retention_days * DAY_S};
    move_all(vault, loop, ref, &model, done, ctx);
}

void vault_ref_recover(struct vault *vault, struct gw_loop *loop, const struct store_ref *ref,
                       store_done_fn *done, void *ctx)
{
    struct store_change model = {.op = STORE_CHANGE_RECOVER};
    move_all(vault, loop, ref, &model, done, ctx);
}

void vault_ref_purge(struct vault *vault, struct gw_loop *loop, const struct store_ref *ref,
                     store_done_fn *done, void *ctx)
{
    struct store_change model = {.op = STORE_CHANGE_PURGE};
    move_all(vault, loop, ref, &model, done, ctx);
}

/* --- the end of retentions --- */

#define SWEEP_PAGE 100

struct sweep {
    struct vault *vault;
    struct gw_loop *loop;
    vault_sweep_fn *done;
    void *ctx;
    int64_t now;
    unsigned purged;
    unsigned step; /* index into sweep_order */
    struct store_result page;
    size_t at;
};

/* Certificates first: they take their keys and secrets with them. */
static const enum store_kind sweep_order[] = {STORE_CERTIFICATE, STORE_KEY, STORE_SECRET};
#define SWEEP_STEPS (sizeof sweep_order / sizeof sweep_order[0])

static void sweep_page(struct sweep *sweep);

static void page_clear(struct sweep *sweep)
{
    store_result_clear(&sweep->page);
    sweep->at = 0;
}

static void sweep_end(struct sweep *sweep, kw_status status)
{
    page_clear(sweep);
    sweep->done(sweep->ctx, status, sweep->purged);
    free(sweep);
}

static void sweep_next(struct sweep *sweep);

static void on_swept(void *ctx, struct store_result *result)
{
    struct sweep *sweep = ctx;
    /* recovered, or purged by somebody else, in the meantime: not due any more */
    bool gone = result->status == KW_E_NOT_FOUND || result->status == KW_E_CONFLICT;
    if (result->status != KW_OK && !gone) {
        sweep_end(sweep, result->status);
        return;
    }
    sweep->purged += result->status == KW_OK;
    sweep_next(sweep);
}

static void sweep_next(struct sweep *sweep)
{
    if (sweep->at == sweep->page.row_count) {
        bool more = sweep->page.more;
        page_clear(sweep);
        sweep->step += !more;
        sweep_page(sweep);
        return;
    }
    const struct store_row *row = &sweep->page.rows[sweep->at++];
    struct store_ref ref = {.vault = row->vault, .kind = row->kind, .name = row->name};
    /* with the time that was seen: one that was recovered and deleted again stays */
    struct store_change model = {.op = STORE_CHANGE_PURGE, .purge_at = row->purge_at};
    move_all(sweep->vault, sweep->loop, &ref, &model, on_swept, sweep);
}

static void on_due(void *ctx, struct store_result *result)
{
    struct sweep *sweep = ctx;
    if (result->status != KW_OK) {
        sweep_end(sweep, result->status);
        return;
    }
    sweep->page = *result; /* taken over: the rows are needed after this call */
    *result = (struct store_result){.status = KW_OK};
    sweep_next(sweep);
}

static void sweep_page(struct sweep *sweep)
{
    if (sweep->step == SWEEP_STEPS) {
        sweep_end(sweep, KW_OK);
        return;
    }
    store_due(sweep->vault->store, sweep->loop, sweep_order[sweep->step], STORE_DUE_PURGE,
              sweep->now, SWEEP_PAGE, on_due, sweep);
}

void vault_sweep(struct vault *vault, struct gw_loop *loop, int64_t now, vault_sweep_fn *done,
                 void *ctx)
{
    struct sweep *sweep = calloc(1, sizeof *sweep);
    if (!sweep) {
        done(ctx, KW_E_NOMEM, 0);
        return;
    }
    *sweep = (struct sweep){.vault = vault, .loop = loop, .done = done, .ctx = ctx, .now = now};
    sweep_page(sweep);
}
