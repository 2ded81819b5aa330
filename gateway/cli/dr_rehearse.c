/* keyward dr rehearse: a recovery from the security-domain file, the operators' keys and the newest
 * backups into a scratch instance; what it then holds and can do is compared with the backups and,
 * where it is there, with the live store. The live instance is only read. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto/base/clock.h"
#include "crypto/lanes/lanes.h"
#include "gateway/cli/dr.h"
#include "gateway/cli/dr_scratch.h"
#include "gateway/cli/dr_try.h"

struct rehearsal {
    struct dr *dr;
    struct dr_scratch scratch;
    struct dr_inventory held, live, recovered; /* of the backups, the live store, the scratch one */
    bool has_live;
    int64_t begun_ns, began_wall;
    double started, domain, restored, recovery, tried; /* seconds */
    char why[DR_WHY];
};

static double since(int64_t ns)
{
    return (double)(kw_now_ns() - ns) / 1e9;
}

static bool problem(struct rehearsal *r, const char *part, const char *item, const char *next)
{
    return dr_add(&r->dr->report, DR_FAIL, part, item, next, "%s",
                  r->why[0] ? r->why : "it failed");
}

/* --- before --- */

/** Every backup is read through here first: what it holds is what has to come back. */
static bool read_backups(struct rehearsal *r)
{
    struct dr *dr = r->dr;
    for (size_t i = 0; i < dr->backup_count; i++) {
        char error[BACKUP_ERROR] = "", part[80], age[32];
        int64_t old = kw_wall_s() - dr->backups[i].created;
        snprintf(part, sizeof part, "backup of %s", dr->backups[i].vault);
        kw_status status =
            dr_backup_check(&dr->backups[i], &dr->place, dr->domain, &r->held, error);
        if (dr_interrupted())
            status = KW_E_UNAVAILABLE;
        if (status != KW_OK)
            return dr_add(&dr->report, DR_FAIL, part, "whole",
                          "take a new one, or name an older one", "%s",
                          error[0] ? error : kw_status_name(status));
        dr_add(&dr->report, DR_OK, part, "whole", "", "%s, %s old: %llu objects, %llu versions",
               dr->backups[i].folder, dr_span(age, old > 0 ? old : 0),
               (unsigned long long)dr->backups[i].objects,
               (unsigned long long)dr->backups[i].versions);
    }
    return true;
}

static void read_live(struct rehearsal *r)
{
    char error[1024], check[2 * KC_DOMAIN_CHECK_LEN + 1];
    struct dr *dr = r->dr;
    kc_domain_check(dr->domain, check);
    if (!dr->config || strcmp(check, dr->live) != 0)
        return;
    r->has_live =
        dr_inventory_of_store(&r->live, dr->config->data, dr->domain, error, sizeof error) == KW_OK;
    if (!r->has_live)
        dr_add(&dr->report, DR_WARN, "live store", "records", "look at it with: keyward doctor",
               "%s", error);
}

/* --- the recovery --- */

static bool recover(struct rehearsal *r)
{
    struct dr *dr = r->dr;
    uint64_t bytes = 0;
    int64_t from = kw_now_ns();
    for (size_t i = 0; i < dr->backup_count; i++)
        bytes += dr->backups[i].size;
    r->begun_ns = from;
    r->began_wall = kw_wall_s();
    kw_status status = dr_scratch_make(&r->scratch, dr->options->scratch, bytes, &dr->place,
                                       dr->backups, dr->backup_count, r->why);
    if (status == KW_OK)
        status = dr_scratch_start(&r->scratch, r->why);
    r->started = since(from);
    if (status != KW_OK)
        return problem(r, "recovery", "new instance",
                       "see that the folder has room: --scratch DIR");
    dr_add(&dr->report, DR_OK, "recovery", "new instance", "", "started in %.2f s", r->started);
    from = kw_now_ns();
    status = dr_scratch_recover(&r->scratch, &dr->quorum, r->why);
    r->domain = since(from);
    if (status != KW_OK)
        return problem(r, "recovery", "security domain", "see what keyward dr check says of it");
    dr_add(&dr->report, DR_OK, "recovery", "security domain", "",
           "recovered from the shares of %zu operators in %.2f s", dr->quorum.count, r->domain);
    return true;
}

static bool restore(struct rehearsal *r)
{
    struct dr *dr = r->dr;
    int64_t all = kw_now_ns();
    for (size_t i = 0; i < dr->backup_count; i++) {
        char part[80];
        int64_t from = kw_now_ns();
        snprintf(part, sizeof part, "restore of %s", dr->backups[i].vault);
        if (dr_scratch_restore(&r->scratch, &dr->place, &dr->backups[i], r->why) != KW_OK)
            return problem(r, part, "restored", "see what keyward dr check says of the backup");
        dr_add(&dr->report, DR_OK, part, "restored", "", "in %.2f s", since(from));
    }
    r->restored = since(all);
    r->recovery = since(r->begun_ns);
    return true;
}

/* --- what came back --- */

/* What a gateway does by itself with what it has just restored: purges what was deleted long ago,
 * rotates and renews what is due. */
struct strange {
    const struct rehearsal *r;
    size_t due, count;
    char first[STORE_NAME_MAX + 1];
};

static void on_difference(void *ctx, const struct dr_object *held, const struct dr_object *back)
{
    struct strange *strange = ctx;
    const struct dr_object *one = held ? held : back;
    bool purged = held && !back && held->deleted_at != 0;
    bool made = !held && back->created >= strange->r->began_wall;
    if (purged || made) {
        strange->due++;
        return;
    }
    if (strange->count++ == 0)
        memcpy(strange->first, one->name, sizeof strange->first);
}

static bool compare_backup(struct rehearsal *r)
{
    struct strange strange = {.r = r};
    struct dr_difference d;
    kw_status status =
        dr_inventory_of_store(&r->recovered, r->scratch.data, r->dr->domain, r->why, sizeof r->why);
    if (status != KW_OK)
        return problem(r, "recovered", "against the backup", "report this as a fault of keyward");
    dr_inventory_sort(&r->held);
    dr_compare(&d, &r->held, &r->recovered, NULL, on_difference, &strange);
    if (strange.count > 0)
        return dr_add(&r->dr->report, DR_FAIL, "recovered", "against the backup",
                      "report this as a fault of keyward",
                      "%zu of %zu versions are not as in the backup: %s", strange.count,
                      r->held.count, strange.first);
    return dr_add(&r->dr->report, DR_OK, "recovered", "against the backup", "",
                  "%zu versions, each with the digest that it has in the backup%s", d.same,
                  strange.due > 0 ? "; others were due and were purged, rotated or renewed" : "");
}

static void compare_live(struct rehearsal *r)
{
    struct dr_difference d, all = {.same = 0};
    if (!r->has_live)
        return;
    for (size_t i = 0; i < r->dr->backup_count; i++) {
        dr_compare(&d, &r->held, &r->live, r->dr->backups[i].vault, NULL, NULL);
        all.same += d.same;
        all.changed += d.changed;
        all.only_first += d.only_first;
        all.only_second += d.only_second;
    }
    dr_add(&r->dr->report, DR_OK, "recovered", "against the live store", "",
           "%zu versions equal; since the backup %zu changed, %zu made, %zu removed", all.same,
           all.changed, all.only_second, all.only_first);
}

/** Each key version that is live in the backup is used once. */
static bool use_keys(struct rehearsal *r)
{
    struct dr_tries tries = {.failed = 0};
    size_t deleted = 0;
    int64_t from = kw_now_ns();
    struct dr_trial *trial = dr_trial_create(&r->scratch);
    if (!trial)
        return problem(r, "recovered", "keys", "free some memory");
    for (size_t i = 0; i < r->recovered.count && !dr_interrupted(); i++) {
        const struct dr_object *key = &r->recovered.list[i];
        const struct dr_object *source = r->has_live ? dr_inventory_find(&r->live, key) : NULL;
        if (!source)
            source = dr_inventory_find(&r->held, key);
        if (!key->key || !source || !source->key)
            continue;
        if (key->deleted_at != 0)
            deleted++;
        else
            dr_try_key(trial, &tries, key, source);
    }
    dr_trial_destroy(trial);
    r->tried = since(from);
    if (dr_interrupted()) {
        snprintf(r->why, sizeof r->why, "interrupted");
        return problem(r, "recovered", "keys", "");
    }
    if (tries.elsewhere > 0)
        dr_add(&r->dr->report, DR_WARN, "recovered", "keys on the tokens",
               "back these tokens up with the vendor's own tool",
               "%zu key versions live on the tokens alone and cannot be tried here",
               tries.elsewhere);
    if (tries.failed > 0)
        return dr_add(&r->dr->report, DR_FAIL, "recovered", "keys",
                      "report this as a fault of keyward", "%zu key versions do not work: %s",
                      tries.failed, tries.first);
    return dr_add(&r->dr->report, DR_OK, "recovered", "keys", "",
                  "each used once in %.2f s: %zu signatures (verified with the source's public "
                  "keys), %zu decryptions, %zu wraps and unwraps; %zu deleted ones and %zu key "
                  "exchange keys were not",
                  r->tried, tries.signed_, tries.decrypted, tries.wrapped, deleted, tries.exchange);
}

/* --- the whole --- */

static bool rehearse(struct rehearsal *r)
{
    struct dr *dr = r->dr;
    if (kc_lanes_init() != KW_OK)
        return dr_add(&dr->report, DR_FAIL, "program", "crypto core", "do not use this machine",
                      "the crypto core failed its self-test");
    dr_read_domain(dr);
    if (!dr->joined)
        return false; /* the report says why; nothing was begun */
    if (!dr_read_place(dr) || !read_backups(r))
        return false;
    read_live(r);
    if (!recover(r) || !restore(r) || !compare_backup(r))
        return false;
    compare_live(r);
    return use_keys(r);
}

static void clear_away(struct rehearsal *r)
{
    bool there = r->scratch.dir[0] != '\0';
    if (!dr_scratch_remove(&r->scratch, r->why))
        problem(r, "scratch instance", "removed", "remove this folder by hand: it may hold a key");
    else if (there)
        dr_add(&r->dr->report, DR_OK, "scratch instance", "removed", "",
               "ended; its files were overwritten and removed");
}

int dr_rehearse(struct dr *dr)
{
    static struct rehearsal r;
    r.dr = dr;
    bool good = rehearse(&r);
    clear_away(&r);
    if (good)
        dr_add(&dr->report, DR_OK, "time", "recovery", "",
               "%.2f s: start %.2f, security domain %.2f, restore %.2f; keys tried in %.2f more",
               r.recovery, r.started, r.domain, r.restored, r.tried);
    const char *verdict = dr_interrupted()                ? "the rehearsal was interrupted"
                          : good && !dr_code(&dr->report) ? "the recovery was rehearsed: it works"
                                                          : "the rehearsal FAILED";
    if (dr->options->json)
        dr_print_json(&dr->report, verdict,
                      json_pack("{s:f,s:f,s:f,s:f,s:f}", "recovery_seconds", r.recovery,
                                "start_seconds", r.started, "domain_seconds", r.domain,
                                "restore_seconds", r.restored, "keys_seconds", r.tried));
    else
        dr_print(&dr->report, verdict);
    dr_inventory_clear(&r.held);
    dr_inventory_clear(&r.live);
    dr_inventory_clear(&r.recovered);
    return good && dr_code(&dr->report) == 0 && !dr_interrupted() ? 0 : 1;
}
