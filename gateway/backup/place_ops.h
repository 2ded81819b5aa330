#pragma once
/* Inside the places: what each kind of place does. */

#include "gateway/backup/place.h"

struct place_ops {
    kw_status (*put)(struct backup_place *place, const char *folder, const char *name, int fd,
                     uint64_t size, char *error);
    kw_status (*get)(struct backup_place *place, const char *folder, const char *name, int fd,
                     uint64_t max, uint64_t *size, char *error);
    kw_status (*probe)(struct backup_place *place, bool writes, char *error);
    kw_status (*remove)(struct backup_place *place, const char *folder, const char *const *names,
                        size_t count, char *error);
    kw_status (*list)(struct backup_place *place, const char *prefix, backup_found_fn *found,
                      void *ctx, char *error);
    void (*close)(struct backup_place *place);
};

/** First member of each kind's structure. */
struct backup_place {
    const struct place_ops *ops;
    const struct backup_rules *rules;
    backup_go_on_fn *go_on;
    void *ctx;
};

static inline kw_status place_go_on(const struct backup_place *place)
{
    return place->go_on ? place->go_on(place->ctx) : KW_OK;
}

KW_MUST_CHECK kw_status place_open_folder(struct backup_place **out,
                                          const struct backup_rules *rules, const char *uri,
                                          char *error);
KW_MUST_CHECK kw_status place_open_blob(struct backup_place **out, const struct backup_rules *rules,
                                        const char *uri, const char *token, char *error);
