#pragma once
/* The changes of vaults.h in the embedded engine. */

#include "gateway/store/sqlite_conn.h"

KW_MUST_CHECK kw_status sqlite_vault_move(struct sqlite_conn *conn, struct store_request *req);
KW_MUST_CHECK kw_status sqlite_vault_replace(struct sqlite_conn *conn, struct store_request *req);
KW_MUST_CHECK kw_status sqlite_vault_drop(struct sqlite_conn *conn, const char *vault);
