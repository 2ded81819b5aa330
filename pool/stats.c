#include "pool/stats.h"

#include <stdio.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "crypto/base/text.h"
#include "pool/core/engine.h"
#include "pool/limit.h"
#include "pool/member_state.h"
#include "pool/outlier.h"
#include "pool/slot.h"

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

static void move_one(_Atomic uint64_t *to, _Atomic uint64_t *from)
{
    pool_count(to, read_one(from));
    atomic_store_explicit(from, 0, memory_order_relaxed);
}

/* Ports lock held: the one writer of `to`; nobody writes `from` any more. */
static void move_counters(struct pool_counters *to, struct pool_counters *from)
{
    for (unsigned k = 0; k < KW_KIND_COUNT; k++) {
        move_one(&to->kinds[k].ok, &from->kinds[k].ok);
        move_one(&to->kinds[k].caller_error, &from->kinds[k].caller_error);
        move_one(&to->kinds[k].failed, &from->kinds[k].failed);
        move_one(&to->kinds[k].seconds_ns_sum, &from->kinds[k].seconds_ns_sum);
        for (unsigned b = 0; b < POOL_LATENCY_BUCKETS; b++) {
            move_one(&to->kinds[k].buckets[b], &from->kinds[k].buckets[b]);
        }
    }
}

void pool_stats_retire(struct pool_port *port)
{
    for (unsigned m = 0; m <= POOL_MAX_MEMBERS; m++) {
        move_counters(&port->pool->retired[m], &port->counters[m]);
    }
}

void pool_stats_bury(struct pool *pool, unsigned index)
{
    struct pool_counters none = {0}, *to = &none;
    struct pool_member *next = pool_slot_find(pool, pool->members[index].config.name, false);
    pthread_mutex_lock(&pool->ports_lock);
    if (next != NULL) { /* the name's counters go on */
        to = &pool->retired[next->index];
    }
    move_counters(to, &pool->retired[index]);
    for (struct pool_port *port = pool->ports; port != NULL; port = port->next) {
        move_counters(to, &port->counters[index]);
    }
    pthread_mutex_unlock(&pool->ports_lock);
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
    out->priority = atomic_load(&member->priority);
    out->role = pool_role_name(pool_member_role(member));
    out->admin = pool_slot(member) == POOL_SLOT_LEAVING
                     ? "leaving"
                     : pool_admin_name(pool_member_admin(member));
    out->health = pool_health_name(pool_member_health(member));
    out->serving = pool_member_accepts(member);
    out->login_attempts_left = -1;
    int64_t busy = atomic_load_explicit(&member->in_flight, memory_order_relaxed);
    out->in_flight = busy > 0 ? (uint64_t)busy : 0;
    out->in_flight_limit = pool_limit_now(member);
    out->ejections = read_one(&member->outlier.ejections);
    out->outlier = pool_outlier_is_out(member, now_ns);
    pool_member_sense(member, now_ns, out->sense, sizeof out->sense, out->reason,
                      sizeof out->reason);
    if (member->type->stats != NULL) {
        member->type->stats(member, out);
    }
}

static void add_member(struct pool *pool, unsigned m, struct pool_member_stats *out)
{
    pthread_mutex_lock(&pool->ports_lock);
    add_counters(out, &pool->retired[m]);
    for (struct pool_port *port = pool->ports; port != NULL; port = port->next) {
        add_counters(out, &port->counters[m]);
    }
    pthread_mutex_unlock(&pool->ports_lock);
}

/* One entry for each name: an heir is a word about the one whose place it will take, and the work
 * of one that leaves is its heir's. */
static struct pool_member_stats *entry_of(struct pool *pool, unsigned m, struct pool_stats *out,
                                          int64_t now_ns)
{
    struct pool_member *member = &pool->members[m];
    struct pool_member_stats *entry = NULL;
    for (size_t i = 0; i < out->member_count && entry == NULL; i++) {
        if (strcmp(out->members[i].name, member->config.name) == 0) {
            entry = &out->members[i];
        }
    }
    if (entry == NULL) {
        entry = &out->members[out->member_count++];
        describe(member, entry, now_ns);
    } else if (pool_slot(member) == POOL_SLOT_HEIR) {
        char sense[96], reason[192];
        pool_member_sense(member, now_ns, sense, sizeof sense, reason, sizeof reason);
        snprintf(entry->reason, sizeof entry->reason, "its new settings: %.60s%s%.100s", sense,
                 reason[0] != '\0' ? ": " : "", reason);
        kw_text_clean(entry->reason);
    } else {
        int64_t busy = atomic_load_explicit(&member->in_flight, memory_order_relaxed);
        entry->in_flight += busy > 0 ? (uint64_t)busy : 0;
    }
    return entry;
}

static void add_members(struct pool *pool, struct pool_stats *out, int64_t now_ns)
{
    static const enum pool_slot_state order[] = {POOL_SLOT_MEMBER, POOL_SLOT_HEIR,
                                                 POOL_SLOT_LEAVING};
    for (size_t pass = 0; pass < sizeof order / sizeof order[0]; pass++) {
        for (unsigned m = 0; m < pool->member_count; m++) {
            if (pool_slot(&pool->members[m]) != order[pass]) {
                continue;
            }
            add_member(pool, m, entry_of(pool, m, out, now_ns));
            out->hsm = out->hsm || pool->members[m].config.kind != POOL_MEMBER_CORE;
        }
    }
}

void pool_stats_read(struct pool *pool, struct pool_stats *out)
{
    memset(out, 0, sizeof *out);
    int64_t now = kw_now_ns();
    pthread_rwlock_rdlock(&pool->slots_lock);
    add_members(pool, out, now);
    struct pool_member_stats *core = &out->members[out->member_count++];
    describe(pool_core(pool), core, now);
    add_member(pool, POOL_MAX_MEMBERS, core);
    pthread_rwlock_unlock(&pool->slots_lock);
    for (size_t m = 0; m < out->member_count; m++) {
        out->queue_depth += out->members[m].queued;
        out->members_up += m + 1 < out->member_count && out->members[m].serving;
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
