#include "gateway/store/sqlite_vaults.h"

#include "gateway/store/sqlite_sql.h"

static kw_status move(struct sqlite_conn *conn, enum sqlite_sql which, struct store_request *req)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(sqlite_sql_get(conn, which, &st));
    KW_TRY(sqlite_sql_text(conn, st, 1, req->vault));
    KW_TRY(sqlite_sql_text(conn, st, 2, req->name));
    kw_status status = sqlite_sql_run(conn, st);
    if (status == KW_E_CONFLICT)
        req->result.conflict = STORE_CONFLICT_EXISTS;
    return status;
}

kw_status sqlite_vault_move(struct sqlite_conn *conn, struct store_request *req)
{
    KW_TRY(move(conn, SQL_VAULT_MOVE, req));
    return move(conn, SQL_VAULT_MOVE_SHOWN, req);
}

static kw_status run(struct sqlite_conn *conn, enum sqlite_sql which, const char *vault)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(sqlite_sql_get(conn, which, &st));
    KW_TRY(sqlite_sql_text(conn, st, 1, vault));
    return sqlite_sql_run(conn, st);
}

kw_status sqlite_vault_drop(struct sqlite_conn *conn, const char *vault)
{
    KW_TRY(run(conn, SQL_VAULT_DROP_SHOWN, vault));
    KW_TRY(run(conn, SQL_VAULT_DROP_VERSIONS, vault));
    return run(conn, SQL_VAULT_DROP_OBJECTS, vault);
}

kw_status sqlite_vault_replace(struct sqlite_conn *conn, struct store_request *req)
{
    KW_TRY(sqlite_vault_drop(conn, req->name));
    return sqlite_vault_move(conn, req);
}
