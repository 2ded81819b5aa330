/* What nobody asks for: operations that a crash left open are finished, certificates are renewed as
 * their policies say. The store keeps when each is due, so a restart forgets nothing; what counts
 * is decided by compare-and-set, so several gateways may do this at the same time. One after the
 * other, so that a hundred that are due together do not keep the members from their clients. */

#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/vault/certificates/job.h"

#define PAGE    100
#define AGAIN_S 60

struct sweep {
    struct vault *vault;
    struct gw_loop *loop;
    vault_cert_due_fn *done;
    void *ctx;
    int64_t now;
    unsigned renewed;
    enum store_kind kind;
    struct store_result page;
    size_t at;
};

static void next_row(struct sweep *sweep);
static void read_page(struct sweep *sweep);

static void page_clear(struct sweep *sweep)
{
    store_result_clear(&sweep->page);
    sweep->at = 0;
}

static void end(struct sweep *sweep, kw_status status)
{
    page_clear(sweep);
    sweep->done(sweep->ctx, status, sweep->renewed);
    free(sweep);
}

/* Who polls an operation is told what came of it; what failed this time is due again. */
static void on_row(void *ctx, const struct vault_cert_answer *answer)
{
    (void)answer;
    next_row(ctx);
}

static void on_renewed(void *ctx, const struct vault_cert_answer *answer)
{
    struct sweep *sweep = ctx;
    sweep->renewed += answer->status == KW_OK;
    next_row(sweep);
}

static struct vault_cert_call call_of(struct sweep *sweep, const char *vault_name, const char *name,
                                      vault_cert_fn *done)
{
    return (struct vault_cert_call){.vault = sweep->vault,
                                    .loop = sweep->loop,
                                    .vault_name = vault_name,
                                    .name = kw_span_str(name),
                                    .done = done,
                                    .ctx = sweep};
}

/* --- renewal --- */

struct look {
    struct cert_job job;
    struct sweep *sweep;
    struct store_change change;
};

static void on_wake(void *ctx, struct store_result *result)
{
    struct cert_job *job = ctx;
    cert_job_end(job, result->status);
}

/** Not now: with the right time, or never. */
static void put_off(struct look *look, int64_t at)
{
    struct cert_job *job = &look->job;
    look->change = (struct store_change){
        .op = STORE_CHANGE_WAKE, .ref = cert_ref(job, STORE_CERTIFICATE, NULL), .wake_at = at};
    store_apply(job->vault->store, job->loop, &look->change, 1, on_wake, job);
}

static void on_loaded(struct cert_job *job)
{
    struct look *look = (struct look *)job;
    struct sweep *sweep = look->sweep;
    if (!job->cert) {
        cert_job_end(job, KW_E_NOT_FOUND);
        return;
    }
    const struct vault_attributes *a = &job->cert->attributes;
    struct vault_policy *policy =
        job->policy ? vault_policy_read(job->policy, job->why_text) : NULL;
    int64_t at = policy ? vault_policy_renew_at(policy, a->nbf, a->exp) : 0;
    free(policy);
    if (at == 0 || at > sweep->now) {
        put_off(look, at);
        return;
    }
    if (cert_in_progress(job->pending)) { /* by hand, or by another gateway */
        put_off(look, sweep->now + AGAIN_S);
        return;
    }
    const struct vault_cert_call call = call_of(sweep, job->vault_name, job->name, on_renewed);
    cert_renew(&call, job->cert->version);
    job->done = NULL; /* the renewal answers */
    cert_job_end(job, KW_OK);
}

static void look_at(struct sweep *sweep, const struct store_row *row)
{
    const struct vault_cert_call call = call_of(sweep, row->vault, row->name, on_row);
    struct look *look = cert_job_new(sizeof *look, &call);
    if (!look)
        return;
    look->sweep = sweep;
    cert_job_load(&look->job, on_loaded);
}

/* --- the sweep --- */

static void next_row(struct sweep *sweep)
{
    if (sweep->at < sweep->page.row_count) {
        const struct store_row *row = &sweep->page.rows[sweep->at++];
        const struct vault_cert_call call = call_of(sweep, row->vault, row->name, on_row);
        if (sweep->kind == STORE_PENDING)
            vault_cert_finish(&call);
        else
            look_at(sweep, row);
        return;
    }
    page_clear(sweep);
    if (sweep->kind == STORE_CERTIFICATE) {
        end(sweep, KW_OK);
        return;
    }
    sweep->kind = STORE_CERTIFICATE;
    read_page(sweep);
}

static void on_due(void *ctx, struct store_result *result)
{
    struct sweep *sweep = ctx;
    if (result->status != KW_OK) {
        end(sweep, result->status);
        return;
    }
    sweep->page = *result; /* taken over: the rows are needed after this call */
    *result = (struct store_result){.status = KW_OK};
    next_row(sweep);
}

/* One page a run: what is left is due with the next one. */
static void read_page(struct sweep *sweep)
{
    store_due(sweep->vault->store, sweep->loop, sweep->kind, STORE_DUE_WAKE, sweep->now, PAGE,
              on_due, sweep);
}

void vault_cert_due(struct vault *vault, struct gw_loop *loop, int64_t now, vault_cert_due_fn *done,
                    void *ctx)
{
    struct sweep *sweep = calloc(1, sizeof *sweep);
    if (!sweep) {
        done(ctx, KW_E_NOMEM, 0);
        return;
    }
    *sweep = (struct sweep){
        .vault = vault, .loop = loop, .done = done, .ctx = ctx, .now = now, .kind = STORE_PENDING};
    read_page(sweep);
}
