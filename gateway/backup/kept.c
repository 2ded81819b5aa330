#include "gateway/backup/kept.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S 86400

static const char *const names[] = {"writing", "good", "bad", "going"};

/* --- text --- */

static bool read_entry(struct backup_kept_entry *out, const json_t *json)
{
    const char *folder = json_string_value(json_object_get(json, "folder"));
    const char *state = json_string_value(json_object_get(json, "state"));
    json_int_t at = json_integer_value(json_object_get(json, "at"));
    json_int_t bytes = json_integer_value(json_object_get(json, "bytes"));
    size_t i = 0;
    while (state && i < sizeof names / sizeof *names && strcmp(state, names[i]) != 0)
        i++;
    if (!folder || !backup_folder_ok(folder) || !state || i == sizeof names / sizeof *names ||
        bytes < 0)
        return false;
    *out = (struct backup_kept_entry){
        .at = at, .bytes = (uint64_t)bytes, .state = (enum backup_kept_state)i};
    memcpy(out->folder, folder, strlen(folder) + 1);
    return true;
}

static bool read_list(struct backup_kept *out, const json_t *list)
{
    size_t i;
    const json_t *entry;
    if (!json_is_array(list) || json_array_size(list) > BACKUP_KEPT_MAX)
        return false;
    out->list = calloc(json_array_size(list) + 1, sizeof *out->list);
    if (!out->list)
        return false;
    json_array_foreach(list, i, entry)
    {
        if (!read_entry(&out->list[i], entry))
            return false;
        out->count = i + 1;
    }
    return true;
}

kw_status backup_kept_read(struct backup_kept *out, const char *text)
{
    *out = (struct backup_kept){.list = NULL};
    json_t *root = json_loads(text, 0, NULL);
    const char *to = json_string_value(json_object_get(root, "to"));
    const char *domain = json_string_value(json_object_get(root, "domain"));
    bool ok = to && strlen(to) < sizeof out->to && domain && strlen(domain) < sizeof out->domain &&
              read_list(out, json_object_get(root, "list"));
    if (ok) {
        memcpy(out->to, to, strlen(to) + 1);
        memcpy(out->domain, domain, strlen(domain) + 1);
    } else {
        backup_kept_clear(out);
    }
    json_decref(root);
    return ok ? KW_OK : KW_E_INTEGRITY;
}

char *backup_kept_text(const struct backup_kept *kept)
{
    json_t *list = json_array();
    for (size_t i = 0; i < kept->count; i++) {
        const struct backup_kept_entry *entry = &kept->list[i];
        json_array_append_new(list,
                              json_pack("{s:s,s:I,s:I,s:s}", "folder", entry->folder, "at",
                                        (json_int_t)entry->at, "bytes", (json_int_t)entry->bytes,
                                        "state", names[entry->state]));
    }
    bool whole = list && json_array_size(list) == kept->count;
    json_t *root = json_pack("{s:s,s:s,s:o}", "to", kept->to, "domain", kept->domain, "list", list);
    char *text = root && whole ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

void backup_kept_clear(struct backup_kept *kept)
{
    free(kept->list);
    *kept = (struct backup_kept){.list = NULL};
}

/* --- entries --- */

static struct backup_kept_entry *find(struct backup_kept *kept, const char *folder)
{
    for (size_t i = 0; i < kept->count; i++) {
        if (strcmp(kept->list[i].folder, folder) == 0)
            return &kept->list[i];
    }
    return NULL;
}

kw_status backup_kept_add(struct backup_kept *kept, const char *folder, int64_t at)
{
    if (!backup_folder_ok(folder) || find(kept, folder))
        return KW_E_INPUT;
    if (kept->count >= BACKUP_KEPT_MAX)
        return KW_E_TOO_LARGE;
    struct backup_kept_entry *more = realloc(kept->list, (kept->count + 1) * sizeof *more);
    if (!more)
        return KW_E_NOMEM;
    kept->list = more;
    struct backup_kept_entry *entry = &more[kept->count++];
    *entry = (struct backup_kept_entry){.at = at, .state = BACKUP_WRITING};
    memcpy(entry->folder, folder, strlen(folder) + 1);
    return KW_OK;
}

void backup_kept_mark(struct backup_kept *kept, const char *folder, enum backup_kept_state state,
                      uint64_t bytes)
{
    struct backup_kept_entry *entry = find(kept, folder);
    if (!entry)
        return;
    entry->state = state;
    entry->bytes = bytes;
}

void backup_kept_drop(struct backup_kept *kept, const char *folder)
{
    struct backup_kept_entry *entry = find(kept, folder);
    if (!entry)
        return;
    size_t behind = kept->count - (size_t)(entry - kept->list) - 1;
    memmove(entry, entry + 1, behind * sizeof *entry);
    kept->count--;
}

const struct backup_kept_entry *backup_kept_newest(const struct backup_kept *kept)
{
    for (size_t i = kept->count; i > 0; i--) {
        if (kept->list[i - 1].state == BACKUP_GOOD)
            return &kept->list[i - 1];
    }
    return NULL;
}

size_t backup_kept_good(const struct backup_kept *kept)
{
    size_t good = 0;
    for (size_t i = 0; i < kept->count; i++)
        good += kept->list[i].state == BACKUP_GOOD;
    return good;
}

/* Order in the list counts, not the clock, which may have been set back in between. */
size_t backup_kept_expire(struct backup_kept *kept, int64_t now, unsigned keep, unsigned days)
{
    size_t good = 0, going = 0;
    int64_t oldest = now - (int64_t)days * DAY_S;
    for (size_t i = kept->count; i > 0; i--) {
        struct backup_kept_entry *entry = &kept->list[i - 1];
        bool is_good = entry->state == BACKUP_GOOD;
        bool needed = is_good ? good < keep || good == 0 || entry->at >= oldest : good == 0;
        good += is_good;
        if (!needed)
            entry->state = BACKUP_GOING;
        going += entry->state == BACKUP_GOING;
    }
    return going;
}
