#pragma once
/* The schema's history. */

#include "gateway/store/sqlite_conn.h"

/** The schema version this program writes. */
unsigned store_schema_version(void);

/** Brings the database forward, one transaction per step, each step recorded in `migrations`.
 *  KW_E_UNSUPPORTED with a sentence when the database is newer than the program. */
KW_MUST_CHECK kw_status store_migrate(struct sqlite_conn *conn, char *error, size_t error_len);
