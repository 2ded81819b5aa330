/* What nobody asks for: operations that a crash left open are finished, certificates are renewed as
 * their policies say. The store keeps when each is due, so a restart forgets nothing; what counts
 * is decided by compare-and-set, so several gateways may do this at the same time. */

#include <stdatomic.h>
#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/vault/cert_job.h"

#define AT_ONCE 8 /* each may make a key */

/* one sweep at a time in a process: the next one sees what this one leaves */
static atomic_bool under_way;

struct sweep {
    struct vault *vault;
    struct gw_loop *loop;
    int64_t now;
    unsigned open; /* parts that are not back yet */
};

static void part_done(struct sweep *sweep)
{
    if (--sweep->open > 0)
        return;
    gw_loop_unhold(sweep->loop);
    free(sweep);
    atomic_store(&under_way, false);
}

static void on_part(void *ctx, const struct vault_cert_answer *answer)
{
    (void)answer; /* who polls the operation is told; what failed for now is due again */
    part_done(ctx);
}

/* --- renewal -----------------------------------------------------------------------------------
 */

struct renewal {
    struct cert_job job;
    struct sweep *sweep;
};

static void on_wake(void *ctx, struct store_result *result)
{
    struct cert_job *job = ctx;
    cert_job_end(job, result->status);
}

/** Not now: with the right time, or never. */
static void put_off(struct renewal *r, int64_t at)
{
    struct cert_job *job = &r->job;
    struct store_change change = {
        .op = STORE_CHANGE_WAKE, .ref = cert_ref(job, STORE_CERTIFICATE, NULL), .wake_at = at};
    store_apply(job->vault->store, job->loop, &change, 1, on_wake, job);
}

static void on_loaded(struct cert_job *job)
{
    struct renewal *r = (struct renewal *)job;
    struct sweep *sweep = r->sweep;
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
        put_off(r, at);
        return;
    }
    if (cert_in_progress(job->pending)) { /* by hand, or by another gateway */
        put_off(r, sweep->now + 60);
        return;
    }
    sweep->open++;
    cert_renew(&(struct vault_cert_call){.vault = job->vault,
                                         .loop = job->loop,
                                         .vault_name = job->vault_name,
                                         .name = kw_span_str(job->name),
                                         .done = on_part,
                                         .ctx = sweep},
               job->cert->version);
    cert_job_end(job, KW_OK);
}

static void look_at(struct sweep *sweep, const struct store_row *row)
{
    const struct vault_cert_call call = {.vault = sweep->vault,
                                         .loop = sweep->loop,
                                         .vault_name = row->vault,
                                         .name = kw_span_str(row->name),
                                         .done = on_part,
                                         .ctx = sweep};
    sweep->open++;
    struct renewal *r = cert_job_new(sizeof *r, &call);
    if (!r)
        return;
    r->sweep = sweep;
    cert_job_load(&r->job, on_loaded);
}

/* --- the sweep ---------------------------------------------------------------------------------
 */

static void on_certs(void *ctx, struct store_result *result)
{
    struct sweep *sweep = ctx;
    for (size_t i = 0; result->status == KW_OK && i < result->row_count; i++)
        look_at(sweep, &result->rows[i]);
    part_done(sweep);
}

static void on_operations(void *ctx, struct store_result *result)
{
    struct sweep *sweep = ctx;
    for (size_t i = 0; result->status == KW_OK && i < result->row_count; i++) {
        sweep->open++;
        vault_cert_finish(&(struct vault_cert_call){.vault = sweep->vault,
                                                    .loop = sweep->loop,
                                                    .vault_name = result->rows[i].vault,
                                                    .name = kw_span_str(result->rows[i].name),
                                                    .done = on_part,
                                                    .ctx = sweep});
    }
    store_due(sweep->vault->store, sweep->loop, STORE_CERTIFICATE, STORE_DUE_WAKE, sweep->now,
              AT_ONCE, on_certs, sweep);
}

void vault_cert_due(struct vault *vault, struct gw_loop *loop, int64_t now)
{
    if (atomic_exchange(&under_way, true))
        return;
    struct sweep *sweep = calloc(1, sizeof *sweep);
    if (!sweep) {
        atomic_store(&under_way, false);
        return;
    }
    *sweep = (struct sweep){.vault = vault, .loop = loop, .now = now, .open = 1};
    gw_loop_hold(loop);
    store_due(vault->store, loop, STORE_PENDING, STORE_DUE_WAKE, now, AT_ONCE, on_operations,
              sweep);
}
