#include "pool/stats.h"

#include <stdio.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "pool/core/engine.h"
#include "pool/limit.h"
#include "pool/member_state.h"

static unsigned bucket_of(uint64_t ns)
{
    unsigned i = 0;
    while (i < POOL_LATENCY_BUCKETS - 1 && ns > pool_latency_bounds_ns[i]) {
        i++;
    }
    return i;
}

static bool caller_fault(kw_status status)
{
    return status >= KW_E_INPUT && status <= KW_E_TOO_LARGE;
}

void pool_stats_attempt(const struct pool_op *op, bool failed)
{
    if (op->flags & POOL_OP_INTERNAL) {
        return;
    }
    struct pool_port *port = op->port;
    int64_t took = port->now_ns - op->sent_ns;
    uint64_t ns = took > 0 ? (uint64_t)took : 0;
    struct pool_counters *counters = &port->counters[op->serving->index];
    enum kw_kind kind = op->lane.kind;
    if (failed) {
        pool_count(&counters->kinds[kind].failed, 1);
    } else if (op->lane.status == KW_OK) {
        pool_count(&counters->kinds[kind].ok, 1);
    } else if (caller_fault(op->lane.status)) {
        pool_count(&counters->kinds[kind].caller_error, 1);
    } else {
        pool_count(&counters->kinds[kind].failed, 1);
    }
    pool_count(&counters->kinds[kind].seconds_ns_sum, ns);
    pool_count(&counters->kinds[kind].buckets[bucket_of(ns)], 1);
}

static uint64_t read_one(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void pool_stats_retire(struct pool_port *port)
{
    for (unsigned m = 0; m <= port->pool->member_count; m++) {
        for (unsigned k = 0; k < KW_KIND_COUNT; k++) {
            /* ports lock held: the one writer of `retired` */
            pool_count(&port->pool->retired[m].kinds[k].ok,
                       read_one(&port->counters[m].kinds[k].ok));
            pool_count(&port->pool->retired[m].kinds[k].caller_error,
                       read_one(&port->counters[m].kinds[k].caller_error));
            pool_count(&port->pool->retired[m].kinds[k].failed,
                       read_one(&port->counters[m].kinds[k].failed));
            pool_count(&port->pool->retired[m].kinds[k].seconds_ns_sum,
                       read_one(&port->counters[m].kinds[k].seconds_ns_sum));
            for (unsigned b = 0; b < POOL_LATENCY_BUCKETS; b++) {
                pool_count(&port->pool->retired[m].kinds[k].buckets[b],
                           read_one(&port->counters[m].kinds[k].buckets[b]));
            }
        }
    }
}

static void add_counters(struct pool_member_stats *out, const struct pool_counters *from)
{
    for (unsigned k = 0; k < KW_KIND_COUNT; k++) {
        out->kinds[k].ok += read_one(&from->kinds[k].ok);
        out->kinds[k].caller_error += read_one(&from->kinds[k].caller_error);
        out->kinds[k].failed += read_one(&from->kinds[k].failed);
        out->kinds[k].seconds_ns_sum += read_one(&from->kinds[k].seconds_ns_sum);
        for (unsigned b = 0; b < POOL_LATENCY_BUCKETS; b++) {
            out->kinds[k].buckets[b] += read_one(&from->kinds[k].buckets[b]);
        }
    }
}

static void describe(struct pool_member *member, struct pool_member_stats *out, int64_t now_ns)
{
    snprintf(out->name, sizeof out->name, "%s", member->config.name);
    out->kind = member->type->kind;
    out->role = pool_role_name(pool_member_role(member));
    out->admin = pool_admin_name(pool_member_admin(member));
    out->health = pool_health_name(pool_member_health(member));
    out->serving = pool_member_accepts(member);
    out->login_attempts_left = -1;
    int64_t busy = atomic_load_explicit(&member->in_flight, memory_order_relaxed);
    out->in_flight = busy > 0 ? (uint64_t)busy : 0;
    out->in_flight_limit = pool_limit_now(member);
    pool_member_sense(member, now_ns, out->sense, sizeof out->sense, out->reason,
                      sizeof out->reason);
    if (member->type->stats != NULL) {
        member->type->stats(member, out);
    }
}

void pool_stats_read(struct pool *pool, struct pool_stats *out)
{
    memset(out, 0, sizeof *out);
    int64_t now = kw_now_ns();
    out->member_count = pool->member_count + 1;
    pthread_mutex_lock(&pool->ports_lock);
    for (unsigned m = 0; m <= pool->member_count; m++) {
        add_counters(&out->members[m], &pool->retired[m]);
        for (struct pool_port *port = pool->ports; port != NULL; port = port->next) {
            add_counters(&out->members[m], &port->counters[m]);
        }
    }
    pthread_mutex_unlock(&pool->ports_lock);
    for (unsigned m = 0; m <= pool->member_count; m++) {
        struct pool_member_stats *member = &out->members[m];
        describe(&pool->members[m], member, now);
        out->queue_depth += member->queued;
        if (m < pool->member_count) {
            out->members_up += member->serving;
            out->hsm = out->hsm || pool->members[m].config.kind != POOL_MEMBER_CORE;
        }
    }
    if (pool_is_core_alone(pool)) {
        out->members_up = 1;
    }
    int64_t waiting = atomic_load_explicit(&pool->line_count, memory_order_relaxed);
    out->queue_depth += waiting > 0 ? (uint64_t)waiting : 0;
    out->can_serve = out->members_up > 0;
    out->failovers = read_one(&pool->failovers);
    out->retries = read_one(&pool->retries);
    out->hedges = read_one(&pool->hedges);
    out->wrong_answers = read_one(&pool->wrong_answers);
    core_engine_stats(pool->engine, out);
}
