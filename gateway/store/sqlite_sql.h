#pragma once
/* The statements of the embedded engine, and what running them has in common: binding, rows. Used
 * by the file of the changes and the file of the queries. */

#include "gateway/store/sqlite_conn.h"

enum sqlite_sql {
    SQL_FIND_OBJECT,
    SQL_ADD_OBJECT,
    SQL_ADD_VERSION,
    SQL_SET_RECORD,
    SQL_SET_STATE,
    SQL_SET_WAKE,
    SQL_DROP_VERSIONS,
    SQL_DROP_OBJECT,
    SQL_SET_NEWEST,
    SQL_NEWEST_VERSION,
    SQL_HIDE,
    SQL_SHOW,
    SQL_LIVE_NEWEST,
    SQL_LIVE_VERSION,
    SQL_DELETED_NEWEST,
    SQL_LIST_LIVE,
    SQL_LIST_DELETED,
    SQL_LIST_OF_VERSIONS,
    SQL_ALL_VERSIONS,
    SQL_DUE_PURGE,
    SQL_DUE_WAKE,
    SQL_CURSOR,
    SQL_VAULT_MOVE,
    SQL_VAULT_MOVE_SHOWN,
    SQL_VAULT_DROP_VERSIONS,
    SQL_VAULT_DROP_OBJECTS,
    SQL_VAULT_DROP_SHOWN,
    SQL_SETTING_GET,
    SQL_SETTING_PUT,
    SQL_COUNT
};
_Static_assert(SQL_COUNT <= SQLITE_STATEMENTS_MAX, "room for every statement");

/** The kept statement, reset. */
KW_MUST_CHECK kw_status sqlite_sql_get(struct sqlite_conn *conn, enum sqlite_sql which,
                                       sqlite3_stmt **out);
/** The same with ?1 vault, ?2 kind, ?3 `name` bound. */
KW_MUST_CHECK kw_status sqlite_sql_object(struct sqlite_conn *conn, enum sqlite_sql which,
                                          const struct store_request *req, const char *name,
                                          sqlite3_stmt **out);

/** What is bound has to outlive the statement's run: it is not copied. */
KW_MUST_CHECK kw_status sqlite_sql_text(struct sqlite_conn *conn, sqlite3_stmt *st, int at,
                                        const char *text);
KW_MUST_CHECK kw_status sqlite_sql_int(struct sqlite_conn *conn, sqlite3_stmt *st, int at,
                                       int64_t value);
KW_MUST_CHECK kw_status sqlite_sql_record(struct sqlite_conn *conn, sqlite3_stmt *st, int at,
                                          const struct store_request *req);

/** Runs a statement that gives no rows. */
KW_MUST_CHECK kw_status sqlite_sql_run(struct sqlite_conn *conn, sqlite3_stmt *st);

KW_MUST_CHECK kw_status sqlite_sql_copy(char *out, size_t room, sqlite3_stmt *st, int column);
/** Bytes of the record of the row that the statement stands on. */
size_t sqlite_sql_record_len(sqlite3_stmt *st);
/** Adds the row that the statement stands on. */
KW_MUST_CHECK kw_status sqlite_sql_take_row(struct store_result *result, sqlite3_stmt *st);
/** Takes up to `limit` rows and notes whether there was one more. */
KW_MUST_CHECK kw_status sqlite_sql_take_rows(struct sqlite_conn *conn, sqlite3_stmt *st,
                                             unsigned limit, struct store_result *result);
/** The one row of the request's object that a statement chooses; KW_E_NOT_FOUND without one. */
KW_MUST_CHECK kw_status sqlite_sql_one_row(struct sqlite_conn *conn, enum sqlite_sql which,
                                           const struct store_request *req,
                                           struct store_result *result);
/** The row of the request's version, the newest without one; live objects only. */
KW_MUST_CHECK kw_status sqlite_sql_live_row(struct sqlite_conn *conn,
                                            const struct store_request *req,
                                            struct store_result *result);
