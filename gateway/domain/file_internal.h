#pragma once
/* What the security-domain file and the transfer blob share. */

#include <stdbool.h>

#include "gateway/domain/file.h"
#include "gateway/domain/jwe.h"

#define GW_DOMAIN_MASTER_LEN 32

/* Label of the one entry that keyward writes; the check value of the domain follows, so that a file
 * says which domain it is of. */
#define GW_DOMAIN_TAG     "keyward-domain-v1."
#define GW_DOMAIN_TAG_MAX 64

/** Appends {"compact_jwe","tag"}: `plain` sealed under SP 800-108(master, tag). */
KW_MUST_CHECK kw_status gw_domain_seal_datum(json_t *data, struct kw_span master, const char *tag,
                                             struct kw_span plain);
/** Opens one entry. */
KW_MUST_CHECK kw_status gw_domain_open_datum(struct kw_secret *out, const json_t *datum,
                                             struct kw_span master);
/** A list of one to sixteen whole entries? */
bool gw_domain_data_ok(const json_t *data);
