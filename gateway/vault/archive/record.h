#pragma once
/* One version of one object as an entry of an archive: its place in the store without the vault,
 * and its plain record, so that it can be sealed anew where it is put. */

#include "gateway/store/store.h"

#define ARCHIVE_RECORD_HEAD (2 + STORE_NAME_MAX + STORE_VERSION_LEN + 4 * 8)

/** Everything of the entry before the plain record. KW_E_INTEGRITY for a row that cannot be. */
KW_MUST_CHECK kw_status archive_record_head(struct kw_buf *out, const struct store_row *row);
/** `row` gets name, version, kind and times; `plain` is borrowed from the entry. KW_E_INTEGRITY. */
KW_MUST_CHECK kw_status archive_record_read(struct kw_span entry, struct store_row *row,
                                            struct kw_span *plain);
