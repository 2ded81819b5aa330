#pragma once
/* Changes of objects and versions in SQL. */

#include "gateway/store/sqlite_conn.h"

/** Runs one change, which may have many parts, and fills `req->result`. The caller holds a
 *  transaction and takes the change back on failure. */
KW_MUST_CHECK kw_status sqlite_change(struct sqlite_conn *conn, struct store_request *req);
