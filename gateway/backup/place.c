#include "gateway/backup/place.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gateway/backup/place_ops.h"

kw_status backup_place_open(struct backup_place **out, const struct backup_rules *rules,
                            const char *uri, const char *token, char *error)
{
    *out = NULL;
    if (strncasecmp(uri, "file://", 7) == 0)
        return place_open_folder(out, rules, uri, error);
    if (strncasecmp(uri, "https://", 8) == 0)
        return place_open_blob(out, rules, uri, token, error);
    snprintf(error, BACKUP_ERROR,
             "storageResourceUri: allowed are file:///PATH and https://HOST/CONTAINER");
    return KW_E_INPUT;
}

void backup_place_close(struct backup_place *place)
{
    if (place)
        place->ops->close(place);
}

void backup_place_watch(struct backup_place *place, backup_go_on_fn *go_on, void *ctx)
{
    place->go_on = go_on;
    place->ctx = ctx;
}

bool backup_folder_ok(const char *folder)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-_.";
    size_t len = strlen(folder);
    return len >= 1 && len <= BACKUP_FOLDER_MAX && folder[0] != '.' &&
           strspn(folder, allowed) == len;
}

kw_status backup_put(struct backup_place *place, const char *folder, const char *name, int fd,
                     uint64_t size, char *error)
{
    return backup_folder_ok(folder) ? place->ops->put(place, folder, name, fd, size, error)
                                    : KW_E_INPUT;
}

kw_status backup_get(struct backup_place *place, const char *folder, const char *name, int fd,
                     uint64_t max, uint64_t *size, char *error)
{
    return backup_folder_ok(folder) ? place->ops->get(place, folder, name, fd, max, size, error)
                                    : KW_E_INPUT;
}

kw_status backup_remove(struct backup_place *place, const char *folder, const char *const *names,
                        size_t count, char *error)
{
    return backup_folder_ok(folder) ? place->ops->remove(place, folder, names, count, error)
                                    : KW_E_INPUT;
}

kw_status backup_list(struct backup_place *place, const char *prefix, backup_found_fn *found,
                      void *ctx, char *error)
{
    return backup_folder_ok(prefix) ? place->ops->list(place, prefix, found, ctx, error)
                                    : KW_E_INPUT;
}

kw_status backup_probe(struct backup_place *place, bool writes, char *error)
{
    return place->ops->probe(place, writes, error);
}
