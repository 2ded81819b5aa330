#include "gateway/obs/metrics_pool.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"

void gw_metric_head(struct gw_text *text, const char *name, const char *type, const char *help)
{
    gw_text_add(text, "# HELP keyward_%s %s\n# TYPE keyward_%s %s\n", name, help, name, type);
}

void gw_metric_label(struct gw_text *text, const char *value)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            gw_text_add(text, "\\%c", *value);
        else if (*value == '\n')
            gw_text_add(text, "\\n");
        else
            gw_text_add(text, "%c", *value);
    }
}

/* --- single numbers: one row a metric
 * ------------------------------------------------------------- */

#define STATS(field)  offsetof(struct pool_stats, field)
#define MEMBER(field) offsetof(struct pool_member_stats, field)

static const struct {
    const char *name, *type, *help;
    size_t offset; /* of a uint64_t in struct pool_stats */
} numbers[] = {
    {"failovers_total", "counter", "Operations that went to another member.", STATS(failovers)},
    {"retries_total", "counter", "Attempts after the first of an operation.", STATS(retries)},
    {"hedges_total", "counter", "Operations sent to a second member for their tail.",
     STATS(hedges)},
    {"wrong_answers_total", "counter", "Results of members that did not verify and never left.",
     STATS(wrong_answers)},
    {"queue_depth", "gauge", "Operations waiting in the pool.", STATS(queue_depth)},
};

/* of a uint64_t in struct pool_member_stats, with the label member */
static const struct {
    const char *name, *type, *help;
    size_t offset;
} member_numbers[] = {
    {"member_in_flight", "gauge", "Operations a member works on.", MEMBER(in_flight)},
    {"member_in_flight_limit", "gauge",
     "Operations a member is given at once, by the latency measured.", MEMBER(in_flight_limit)},
    {"member_ejections_total", "counter",
     "Times a member was clearly worse than the others and was asked last.", MEMBER(ejections)},
    {"member_queue_depth", "gauge", "Operations that wait for a member.", MEMBER(queued)},
};

static uint64_t number_at(const void *base, size_t offset)
{
    uint64_t value;
    memcpy(&value, (const char *)base + offset, sizeof value);
    return value;
}

static void add_numbers(struct gw_text *text, const struct pool_stats *stats)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        gw_metric_head(text, numbers[i].name, numbers[i].type, numbers[i].help);
        gw_text_add(text, "keyward_%s %llu\n", numbers[i].name,
                    (unsigned long long)number_at(stats, numbers[i].offset));
    }
    gw_metric_head(text, "members_up", "gauge", "Members that may take work now.");
    gw_text_add(text, "keyward_members_up %u\n", stats->members_up);
    for (size_t i = 0; i < sizeof member_numbers / sizeof *member_numbers; i++) {
        gw_metric_head(text, member_numbers[i].name, member_numbers[i].type,
                       member_numbers[i].help);
        for (size_t m = 0; m < stats->member_count; m++)
            gw_text_add(
                text, "keyward_%s{member=\"%s\"} %llu\n", member_numbers[i].name,
                stats->members[m].name,
                (unsigned long long)number_at(&stats->members[m], member_numbers[i].offset));
    }
}

/* --- per member, with more labels
 * ------------------------------------------------------------------- */

static void add_states(struct gw_text *text, const struct pool_stats *stats)
{
    gw_metric_head(text, "member_state", "gauge",
                   "1 for the state a member is in: health, or drain and maintenance.");
    for (size_t m = 0; m < stats->member_count; m++) {
        const struct pool_member_stats *member = &stats->members[m];
        bool ready = strcmp(member->admin, "ready") == 0;
        gw_text_add(text, "keyward_member_state{member=\"%s\",state=\"%s\"} 1\n", member->name,
                    ready ? member->health : member->admin);
    }
    gw_metric_head(text, "login_attempts_left", "gauge",
                   "PIN tries a token has left, as it says itself.");
    for (size_t m = 0; m < stats->member_count; m++) {
        if (stats->members[m].login_attempts_left >= 0)
            gw_text_add(text, "keyward_login_attempts_left{member=\"%s\"} %d\n",
                        stats->members[m].name, stats->members[m].login_attempts_left);
    }
}

static void add_ops(struct gw_text *text, const struct pool_stats *stats)
{
    gw_metric_head(text, "ops_total", "counter", "Operations by member, kind and result.");
    for (size_t m = 0; m < stats->member_count; m++) {
        for (int k = 0; k < KW_KIND_COUNT; k++) {
            const char *name = stats->members[m].name, *kind = kw_kind_name((enum kw_kind)k);
            const struct {
                const char *result;
                uint64_t count;
            } results[] = {{"ok", stats->members[m].kinds[k].ok},
                           {"caller_error", stats->members[m].kinds[k].caller_error},
                           {"failed", stats->members[m].kinds[k].failed}};
            for (size_t r = 0; r < 3; r++) {
                if (results[r].count > 0)
                    gw_text_add(
                        text, "keyward_ops_total{member=\"%s\",kind=\"%s\",result=\"%s\"} %llu\n",
                        name, kind, results[r].result, (unsigned long long)results[r].count);
            }
        }
    }
}

static void add_op_seconds_of(struct gw_text *text, const struct pool_member_stats *member, int k)
{
    const char *kind = kw_kind_name((enum kw_kind)k);
    unsigned long long running = 0;
    for (int b = 0; b < POOL_LATENCY_BUCKETS; b++)
        running += member->kinds[k].buckets[b];
    if (running == 0)
        return;
    running = 0;
    for (int b = 0; b < POOL_LATENCY_BUCKETS; b++) {
        running += member->kinds[k].buckets[b];
        gw_text_add(text, "keyward_op_seconds_bucket{member=\"%s\",kind=\"%s\",le=\"", member->name,
                    kind);
        if (pool_latency_bounds_ns[b] == 0)
            gw_text_add(text, "+Inf");
        else
            gw_text_add(text, "%g", (double)pool_latency_bounds_ns[b] / 1e9);
        gw_text_add(text, "\"} %llu\n", running);
    }
    gw_text_add(text,
                "keyward_op_seconds_sum{member=\"%s\",kind=\"%s\"} %.9f\n"
                "keyward_op_seconds_count{member=\"%s\",kind=\"%s\"} %llu\n",
                member->name, kind, (double)member->kinds[k].seconds_ns_sum / 1e9, member->name,
                kind, running);
}

static void add_lanes(struct gw_text *text, const struct pool_stats *stats)
{
    unsigned long long running = 0;
    gw_metric_head(text, "batch_lanes", "histogram", "Operations that shared one batch.");
    for (int b = 0; b < POOL_LANE_BUCKETS; b++) {
        running += stats->batch_lanes[b];
        if (b + 1 < POOL_LANE_BUCKETS)
            gw_text_add(text, "keyward_batch_lanes_bucket{le=\"%d\"} %llu\n", b + 1, running);
    }
    gw_text_add(text,
                "keyward_batch_lanes_bucket{le=\"+Inf\"} %llu\nkeyward_batch_lanes_sum %llu\n"
                "keyward_batch_lanes_count %llu\n",
                running, (unsigned long long)stats->batch_lanes_sum, running);
}

void gw_metrics_pool_certificates(struct gw_text *text, struct pool *pool)
{
    struct pool_stats *stats = pool ? calloc(1, sizeof *stats) : NULL;
    if (!stats)
        return;
    pool_stats_read(pool, stats);
    for (size_t m = 0; m < stats->member_count; m++) {
        const struct pool_member_stats *member = &stats->members[m];
        if (member->certificate_not_after != 0)
            gw_text_add(text,
                        "keyward_certificate_expiry_seconds{subject=\"%s\",member=\"%s\"} %lld\n",
                        member->endpoint, member->name,
                        (long long)(member->certificate_not_after - kw_wall_s()));
    }
    free(stats);
}

void gw_metrics_pool(struct gw_text *text, struct pool *pool)
{
    if (!pool)
        return;
    struct pool_stats *stats = calloc(1, sizeof *stats);
    if (!stats) {
        text->failed = true;
        return;
    }
    pool_stats_read(pool, stats);
    add_numbers(text, stats);
    add_states(text, stats);
    add_ops(text, stats);
    gw_metric_head(text, "op_seconds", "histogram", "Time of an operation in a member.");
    for (size_t m = 0; m < stats->member_count; m++) {
        for (int k = 0; k < KW_KIND_COUNT; k++)
            add_op_seconds_of(text, &stats->members[m], k);
    }
    add_lanes(text, stats);
    free(stats);
}
