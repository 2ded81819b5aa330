#pragma once
/* Queries of objects and versions in SQL, and cursors, which have a connection of their own. */

#include "gateway/store/sqlite_conn.h"

/** Runs one query and fills `req->result`. */
KW_MUST_CHECK kw_status sqlite_query(struct sqlite_conn *conn, struct store_request *req);

/** The cursors of one database; used by the reader's thread alone. */
struct sqlite_cursors {
    const char *path; /* of the database; borrowed */
    struct store_snapshot *list;
    unsigned count;
};

/** STORE_OP_CURSOR_OPEN, _NEXT, _CLOSE. */
KW_MUST_CHECK kw_status sqlite_cursor(struct sqlite_cursors *cursors, struct store_request *req);
/** Ends what is still open. */
void sqlite_cursors_close(struct sqlite_cursors *cursors);
