#include "gateway/obs/status_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "gateway/app.h"
#include "gateway/backup/runs.h"
#include "gateway/obs/process.h"

static json_t *reasons_of(const struct gw_app *app, const struct pool_stats *stats)
{
    json_t *reasons = json_array();
    if (atomic_load(&app->draining))
        json_array_append_new(reasons, json_string("draining"));
    if (store_read_only(app->store))
        json_array_append_new(reasons, json_string("the store cannot be written"));
    if (app->awaiting)
        json_array_append_new(reasons,
                              json_string("no security domain yet: download or upload one"));
    if (atomic_load(&app->closed))
        json_array_append_new(reasons, json_string("another security domain is being installed"));
    if (!stats->can_serve)
        json_array_append_new(reasons, json_string("no member of the group can serve"));
    return reasons;
}

static json_t *member_json(const struct pool_member_stats *member)
{
    uint64_t ok = 0, failed = 0;
    for (int k = 0; k < KW_KIND_COUNT; k++) {
        ok += member->kinds[k].ok + member->kinds[k].caller_error;
        failed += member->kinds[k].failed;
    }
    json_t *out = json_pack(
        "{s:s,s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:b,s:I,s:I,s:I,s:I}", "name", member->name, "type",
        member->kind, "role", member->role, "priority", (int)member->priority, "admin",
        member->admin, "health", member->health, "state", member->sense, "reason", member->reason,
        "serving", member->serving, "in_flight", (json_int_t)member->in_flight, "queued",
        (json_int_t)member->queued, "operations", (json_int_t)ok, "failed", (json_int_t)failed);
    if (out)
        json_object_set_new(out, "in_flight_limit",
                            json_integer((json_int_t)member->in_flight_limit));
    if (out && member->outlier)
        json_object_set_new(out, "outlier", json_true());
    if (out && member->login_attempts_left >= 0)
        json_object_set_new(out, "login_attempts_left", json_integer(member->login_attempts_left));
    if (out && member->host_pid > 0)
        json_object_set_new(out, "host_pid", json_integer((json_int_t)member->host_pid));
    if (out && member->endpoint[0])
        json_object_set_new(out, "endpoint", json_string(member->endpoint));
    if (out && member->certificate_not_after != 0)
        json_object_set_new(out, "certificate_not_after",
                            json_integer(member->certificate_not_after));
    if (out && member->token_label[0])
        json_object_set_new(out, "token",
                            json_pack("{s:s,s:s,s:s,s:s,s:s}", "label", member->token_label,
                                      "serial", member->token_serial, "manufacturer",
                                      member->manufacturer, "model", member->model, "firmware",
                                      member->firmware));
    return out;
}

static json_t *members_json(const struct pool_stats *stats)
{
    json_t *members = json_array();
    for (size_t i = 0; i < stats->member_count; i++)
        json_array_append_new(members, member_json(&stats->members[i]));
    return members;
}

static json_t *reload_json(struct gw_app *app)
{
    struct gw_reload_state reload;
    gw_app_reload_state(app, &reload);
    return json_pack("{s:I,s:s,s:s}", "at", (json_int_t)reload.at_s, "error", reload.error,
                     "restart_needed", reload.restart);
}

static json_t *status_json(struct gw_app *app, const struct pool_stats *stats)
{
    char check[2 * KC_DOMAIN_CHECK_LEN + 1];
    struct gw_process process;
    json_t *reasons = reasons_of(app, stats);
    kc_domain_check(app->domain, check);
    if (app->awaiting)
        check[0] = '\0';
    gw_process_read(&process);
    json_t *out =
        json_pack("{s:s,s:b,s:o,s:I,s:I,s:I,s:s,s:b,s:b,s:o}", "version", KEYWARD_VERSION, "ready",
                  json_array_size(reasons) == 0, "reasons", reasons, "uptime_seconds",
                  (json_int_t)(kw_wall_s() - app->started_wall_s), "connections",
                  (json_int_t)gw_metrics_connections(app->metrics), "requests",
                  (json_int_t)gw_metrics_requests(app->metrics), "domain", check, "hsm", stats->hsm,
                  "store_writable", !store_read_only(app->store), "members", members_json(stats));
    if (out)
        json_object_set_new(
            out, "pool",
            json_pack("{s:I,s:I,s:I,s:I,s:I}", "queue_depth", (json_int_t)stats->queue_depth,
                      "failovers", (json_int_t)stats->failovers, "retries",
                      (json_int_t)stats->retries, "wrong_answers", (json_int_t)stats->wrong_answers,
                      "members_up", (json_int_t)stats->members_up));
    if (out)
        json_object_set_new(out, "reload", reload_json(app));
    if (out)
        json_object_set_new(out, "backups", gw_backup_runs_json(app->backup_runs));
    if (out)
        json_object_set_new(out, "process",
                            json_pack("{s:I,s:f,s:i}", "resident_bytes",
                                      (json_int_t)process.resident_bytes, "cpu_seconds",
                                      process.cpu_seconds, "open_fds", (int)process.open_fds));
    return out;
}

static char *dump(json_t *json, size_t *len)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(json);
    *len = text ? strlen(text) : 0;
    return text;
}

char *gw_status_json(struct gw_app *app, size_t *len)
{
    struct pool_stats *stats = calloc(1, sizeof *stats);
    *len = 0;
    if (!stats)
        return NULL;
    pool_stats_read(app->pool, stats);
    char *text = dump(status_json(app, stats), len);
    free(stats);
    return text;
}

char *gw_ready_json(struct gw_app *app, bool *ready, size_t *len)
{
    struct pool_stats *stats = calloc(1, sizeof *stats);
    *len = 0;
    *ready = false;
    if (!stats)
        return NULL;
    pool_stats_read(app->pool, stats);
    json_t *reasons = reasons_of(app, stats);
    *ready = json_array_size(reasons) == 0;
    char *text = dump(json_pack("{s:b,s:o}", "ready", *ready, "reasons", reasons), len);
    free(stats);
    return text;
}
