#pragma once
/* Objects and versions in SQL. Both fill `req->result`; the status is returned as well. */

#include "gateway/store/sqlite_conn.h"

/** Runs one change. The caller holds a transaction and takes it back on failure. */
KW_MUST_CHECK kw_status sqlite_objects_change(struct sqlite_conn *conn, struct store_request *req);
/** Runs one query. */
KW_MUST_CHECK kw_status sqlite_objects_query(struct sqlite_conn *conn, struct store_request *req);
