#pragma once
/* What the maker and the reader of backup blobs share; see backup.h. */

#include "crypto/domain/domain.h"
#include "gateway/vault/archive/backup.h"

#define BACKUP_MAGIC  "KWBK"
#define BACKUP_FORMAT 1
#define BACKUP_LABEL  "keyward backup blob v1"
#define BACKUP_SLICE  64 /* records of one turn of the loop: well under a millisecond */

/** Of one entry: kind, version, created, wake_at, length of its plain record. */
#define BACKUP_ENTRY_FIXED (1 + STORE_VERSION_LEN + 8 + 8 + 4)

struct backup_aad {
    uint8_t bytes[sizeof BACKUP_LABEL + VAULT_BACKUP_HEADER];
};

/** The additional data of the seal: the label with its NUL, then the header. */
struct kw_span backup_aad_of(struct backup_aad *aad, const uint8_t header[VAULT_BACKUP_HEADER]);

/** The check value of the domain as its 8 bytes. */
void backup_check_bytes(const struct kc_domain *domain, uint8_t out[KC_DOMAIN_CHECK_LEN]);
