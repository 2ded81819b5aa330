#pragma once
/* One SQLite connection: opened the same way everywhere, statements prepared once and kept, every
 * return code turned into a status in one place. A connection is used by one thread at a time. */

#include <sqlite3.h>

#include "gateway/store/engine.h"

#define SQLITE_STATEMENTS_MAX 40

struct sqlite_conn {
    sqlite3 *db;
    sqlite3_stmt *statements[SQLITE_STATEMENTS_MAX];
    enum store_fault fault; /* the gravest since the owner last cleared it */
    char fault_text[128];   /* of the last failure that was one */
};

/** Opens `path` with WAL, synchronous=FULL and the other settings; `reader` makes it query-only. */
KW_MUST_CHECK kw_status sqlite_conn_open(struct sqlite_conn *conn, const char *path, bool reader,
                                         char *error, size_t error_len);
void sqlite_conn_close(struct sqlite_conn *conn);

/** The status of a return code; notes the fault. SQLITE_OK, ROW and DONE are KW_OK. */
kw_status sqlite_conn_status(struct sqlite_conn *conn, int rc);

/** Runs one SQL text without results. */
KW_MUST_CHECK kw_status sqlite_conn_exec(struct sqlite_conn *conn, const char *sql);

/** The kept statement number `index`, prepared from `sql` at first use, reset and without bindings.
 */
KW_MUST_CHECK kw_status sqlite_conn_statement(struct sqlite_conn *conn, unsigned index,
                                              const char *sql, sqlite3_stmt **out);
