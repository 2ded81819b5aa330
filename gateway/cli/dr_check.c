/* keyward dr check: would a recovery succeed today? Reads only: files, the place of backups, the
 * store beside its gateway, and the gateway's status. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto/base/clock.h"
#include "gateway/cli/dr.h"
#include "gateway/store/peek.h"

#define DAY_S 86400

/* --- backups --- */

static void say_age(struct dr *dr, const char *part, const struct dr_backup *backup)
{
    char age[32], most[32];
    int64_t every = dr->config && dr->config->backup.to ? dr->config->backup.every_s : DAY_S;
    int64_t old = kw_wall_s() - backup->created;
    old = old > 0 ? old : 0;
    dr_add(&dr->report, old > 2 * every ? DR_WARN : DR_OK, part, "age",
           "what was made since would be lost; see why no newer one is there: keyward status, the "
           "log",
           "%s: %s old, one is expected every %s", backup->folder, dr_span(age, old),
           dr_span(most, every));
}

static bool say_whole(struct dr *dr, const char *part, const struct dr_backup *backup,
                      struct dr_inventory *inventory)
{
    char error[BACKUP_ERROR] = "";
    kw_status status =
        dr_backup_check(backup, &dr->place, dr->domain, dr->domain ? inventory : NULL, error);
    if (status != KW_OK)
        return dr_add(&dr->report, DR_FAIL, part, "whole",
                      "take a new one: keyward backup --to PLACE; look for an older one with: "
                      "keyward backup verify",
                      "%s", error[0] ? error : kw_status_name(status));
    if (!dr->domain)
        return dr_add(&dr->report, DR_WARN, part, "whole",
                      "give the operators' keys with --keys to see whether it opens",
                      "the digest is right; without the security domain it cannot be opened");
    return dr_add(&dr->report, DR_OK, part, "whole", "",
                  "%llu objects, %llu versions, %llu bytes: digest right, opened to the last byte "
                  "with %s",
                  (unsigned long long)backup->objects, (unsigned long long)backup->versions,
                  (unsigned long long)backup->size,
                  dr->joined ? "the operators' keys" : "the instance's own key");
}

static void say_domain(struct dr *dr, const char *part, const struct dr_backup *backup)
{
    const char *expected = dr->has_file ? dr->quorum.file.check : dr->live;
    if (!expected[0])
        return;
    dr_add(&dr->report, strcmp(expected, backup->domain) == 0 ? DR_OK : DR_FAIL, part, "domain",
           "find the security-domain file of that domain, or take a new backup",
           "the backup is of security domain %s, the %s of %s", backup->domain,
           dr->has_file ? "file" : "instance", expected);
}

/* What is in the store and not in the backup, although it is older. */
struct lacking {
    int64_t created;
    size_t count;
    char first[STORE_NAME_MAX + 1];
};

static void on_difference(void *ctx, const struct dr_object *backup, const struct dr_object *live)
{
    struct lacking *lacking = ctx;
    if (backup || !live || live->created >= lacking->created)
        return;
    if (lacking->count++ == 0)
        memcpy(lacking->first, live->name, sizeof lacking->first);
}

static void compare_live(struct dr *dr, const char *part, const struct dr_backup *backup,
                         const struct dr_inventory *held, const struct dr_inventory *live)
{
    struct dr_difference d;
    struct lacking lacking = {.created = backup->created};
    dr_compare(&d, held, live, backup->vault, on_difference, &lacking);
    dr_add(&dr->report, lacking.count > 0 ? DR_WARN : DR_OK, part, "against the store",
           "take a new backup: keyward backup --to PLACE",
           "%zu versions equal; since the backup %zu changed, %zu made, %zu removed%s%s", d.same,
           d.changed, d.only_second, d.only_first,
           lacking.count > 0 ? "; older than it and not in it: " : "",
           lacking.count > 0 ? lacking.first : "");
}

static void say_resident(struct dr *dr, const char *part, const struct dr_inventory *held)
{
    size_t resident = 0;
    for (size_t i = 0; i < held->count; i++)
        resident += held->list[i].key && held->list[i].key->resident;
    if (resident > 0)
        dr_add(&dr->report, DR_WARN, part, "keys on the tokens",
               "back these tokens up with the vendor's own tool",
               "%zu key versions live on the tokens alone: the backup has their records, not the "
               "keys",
               resident);
}

static void check_one(struct dr *dr, const struct dr_backup *backup,
                      const struct dr_inventory *live)
{
    char part[80], error[1024];
    size_t versions = 0;
    struct dr_inventory held = {.status = KW_OK};
    snprintf(part, sizeof part, "backup of %s", backup->vault);
    say_age(dr, part, backup);
    say_domain(dr, part, backup);
    if (say_whole(dr, part, backup, &held) && dr->domain) {
        if (live)
            compare_live(dr, part, backup, &held, live);
        say_resident(dr, part, &held);
    }
    if (!live && dr->config &&
        dr_count_of_store(&versions, dr->config->data, backup->vault, error, sizeof error) == KW_OK)
        dr_add(&dr->report, DR_OK, part, "against the store", "",
               "%llu versions in the backup, %zu in the store now",
               (unsigned long long)backup->versions, versions);
    dr_inventory_clear(&held);
}

static bool has_backup(const struct dr *dr, const char *vault)
{
    for (size_t i = 0; i < dr->backup_count; i++) {
        if (strcasecmp(dr->backups[i].vault, vault) == 0)
            return true;
    }
    return false;
}

/** Every vault of the configuration, and the default one. */
static void check_missing(struct dr *dr)
{
    char part[80];
    for (size_t i = 0;
         dr->config && !dr->options->vault && !dr->folder[0] && i <= dr->config->vault_count; i++) {
        const char *vault = i == 0 ? "default" : dr->config->vaults[i - 1].name;
        if ((i > 0 && strcasecmp(vault, "default") == 0) || has_backup(dr, vault))
            continue;
        snprintf(part, sizeof part, "backup of %s", vault);
        dr_add(&dr->report, DR_FAIL, part, "age", "make one with: keyward backup --to PLACE",
               "this vault has no backup at %s", dr->place.uri);
    }
}

static void check_backups(struct dr *dr)
{
    char error[1024] = "", check[2 * KC_DOMAIN_CHECK_LEN + 1] = "";
    struct dr_inventory live = {.status = KW_OK};
    if (!dr_read_place(dr))
        return;
    check_missing(dr);
    if (dr->domain)
        kc_domain_check(dr->domain, check);
    bool opened = dr->config && check[0] && strcmp(check, dr->live) == 0;
    if (opened &&
        dr_inventory_of_store(&live, dr->config->data, dr->domain, error, sizeof error) != KW_OK) {
        dr_add(&dr->report, DR_WARN, "store", "records", "look at it with: keyward doctor", "%s",
               error);
        opened = false;
    }
    for (size_t i = 0; i < dr->backup_count; i++)
        check_one(dr, &dr->backups[i], opened ? &live : NULL);
    dr_inventory_clear(&live);
}

/* --- members and versions --- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static void check_members(struct dr *dr)
{
    size_t i, serving = 0;
    const json_t *member, *members = json_object_get(dr->status, "members");
    if (!dr->config)
        return;
    if (!dr->status) {
        dr_add(&dr->report, DR_WARN, "members", "gateway",
               "start it; without it keyward doctor looks at the members",
               "the gateway does not run: whether members are in the domain is not known");
        return;
    }
    json_array_foreach(members, i, member)
    {
        bool good = json_is_true(json_object_get(member, "serving"));
        const char *reason = text_of(member, "reason");
        serving += good;
        dr_add(
            &dr->report, good ? DR_OK : DR_WARN, "members", text_of(member, "name"),
            strcmp(text_of(member, "health"), "mismatched") == 0
                ? "another token or another domain is there; keyward member replace NAME joins it"
                : "see keyward doctor; then: keyward member recover NAME",
            "%s%s%s%s", text_of(member, "state"), *reason ? ": " : "", reason,
            good ? ", in the domain" : "");
    }
    if (json_array_size(members) > 0 && serving == 0)
        dr_add(&dr->report, DR_FAIL, "members", "group", "bring one back; see: keyward doctor",
               "no member serves: a recovered instance would serve nobody with this group");
}

static void check_versions(struct dr *dr)
{
    const char *running = text_of(dr->status, "version");
    if (*running)
        dr_add(&dr->report, strcmp(running, KEYWARD_VERSION) == 0 ? DR_OK : DR_WARN, "program",
               "version", "recover with the version that made the backup, or a newer one",
               "this program is %s, the gateway that runs %s", KEYWARD_VERSION, running);
    else
        dr_add(&dr->report, DR_OK, "program", "version", "", "this program is %s", KEYWARD_VERSION);
}

int dr_check(struct dr *dr)
{
    dr_read_domain(dr);
    check_backups(dr);
    check_members(dr);
    check_versions(dr);
    int code = dr_code(&dr->report);
    const char *verdict =
        code == 0 ? "a recovery would succeed today" : "a recovery would NOT succeed today";
    if (dr->options->json)
        dr_print_json(&dr->report, verdict, NULL);
    else
        dr_print(&dr->report, verdict);
    return code;
}
