#pragma once
/* Backups at a place, looked at from outside of any gateway: which there are, and whether one is
 * whole. Reads only. */

#include "gateway/backup/place.h"
#include "gateway/cli/dr_inventory.h"

struct dr_place {
    struct backup_place *place;
    struct backup_rules rules;
    char *folder; /* of `rules` */
    char uri[BACKUP_URI_MAX + 1], token[BACKUP_TOKEN_MAX + 1];
};

/** `uri`: an address or a folder. `sas_file`, `ca` may be NULL. `error` (BACKUP_ERROR bytes) gets a
 *  sentence. dr_place_close in both cases. */
KW_MUST_CHECK kw_status dr_place_open(struct dr_place *out, const char *uri, const char *sas_file,
                                      const char *ca, char *error);
void dr_place_close(struct dr_place *place);

/** What the manifest of a backup says. */
struct dr_backup {
    char folder[BACKUP_FOLDER_MAX + 1];
    char vault[STORE_VAULT_MAX + 1];
    char domain[2 * KC_DOMAIN_CHECK_LEN + 1];
    char digest[65]; /* SHA-256 of the archive, hex */
    int64_t created; /* wall seconds */
    uint64_t size, objects, versions;
};

/** Reads the manifest. KW_E_NOT_FOUND: there is none: no backup, or one that did not come to its
 *  end. KW_E_INTEGRITY. */
KW_MUST_CHECK kw_status dr_backup_open(struct dr_backup *out, struct dr_place *place,
                                       const char *folder, char *error);

/** The newest backup of each vault, by their manifests; of `vault` alone when it is not NULL.
 *  malloc'd list. `unfinished` counts folders without a usable manifest among those that were
 * looked at. */
KW_MUST_CHECK kw_status dr_backups_newest(struct dr_backup **out, size_t *count, size_t *unfinished,
                                          struct dr_place *place, const char *vault, char *error);

/** Fetches the archive and holds it against the manifest. With `domain` it is opened to its last
 *  byte and what it holds is added to `inventory` (sorted; may be NULL), otherwise only its digest
 *  is compared. KW_E_INTEGRITY, KW_E_FORBIDDEN (another security domain) with a sentence. */
KW_MUST_CHECK kw_status dr_backup_check(const struct dr_backup *backup, struct dr_place *place,
                                        const struct kc_domain *domain,
                                        struct dr_inventory *inventory, char *error);
