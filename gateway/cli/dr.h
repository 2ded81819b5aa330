#pragma once
/* keyward dr: what its files share.
 *
 *   dr.c            options, finding the instance, the place and the operators' files
 *   dr_check.c      would a recovery succeed today?
 *   dr_rehearse.c   a recovery into a scratch instance
 *   dr_scratch.c    that instance: its folder, its process
 *   dr_try.c        a use of each of its keys
 *   dr_backup.c     backups at a place; dr_inventory.c: what they and stores hold
 *   dr_report.c     what was found */

#include "gateway/cli/dr_backup.h"
#include "gateway/cli/dr_report.h"
#include "gateway/cli/operators.h"
#include "gateway/config/config.h"

struct dr_options {
    const char *file, *data, *domain, *keys, *from, *sas_file, *vault, *scratch;
    bool json;
};

struct dr {
    const struct dr_options *options;
    struct gw_config *config;               /* of the instance; NULL: there is none here */
    json_t *status;                         /* of the running gateway; NULL: none runs */
    char live[2 * KC_DOMAIN_CHECK_LEN + 1]; /* the instance's domain; empty: not known */
    struct cli_quorum quorum;
    bool has_file;
    struct kc_domain *domain; /* joined from the shares, or the instance's; NULL: none at hand */
    bool joined;
    struct dr_place place;              /* place.place NULL: none */
    char folder[BACKUP_FOLDER_MAX + 1]; /* --from named this backup; else empty */
    struct dr_backup *backups;          /* the newest of each vault */
    size_t backup_count;
    struct dr_report report;
};

/** Reads the domain file and the keys into the report; with enough keys the domain is joined. */
void dr_read_domain(struct dr *dr);
/** Opens the place and finds the newest backup of each vault. False: none of it is usable. */
bool dr_read_place(struct dr *dr);

int dr_check(struct dr *dr);
int dr_rehearse(struct dr *dr);

/** "3 h", "2 days". */
const char *dr_span(char out[32], int64_t seconds);
