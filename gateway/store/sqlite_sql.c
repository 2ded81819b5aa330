#include "gateway/store/sqlite_sql.h"

#include <stdlib.h>

/* Every query that gives rows gives these columns (sqlite_sql_take_row). ?1 vault, ?2 kind, ?3
 * name. CROSS JOIN keeps SQLite to the order of the tables: object first, its versions by their
 * index. */
#define COLUMNS                                                                                    \
    "SELECT o.kind, o.vault, o.name, v.version, v.created, o.deleted_at, o.purge_at, o.wake_at, "  \
    "v.record FROM objects o CROSS JOIN versions v "
#define ROW       COLUMNS "ON v.object = o.id "
#define ROW_LAST  COLUMNS "ON v.seq = o.newest "
#define OF_OBJECT "WHERE o.vault = ?1 AND o.kind = ?2 AND o.name = ?3 "
/* one object, and SQLite knows it: the versions come in the order of their index, unsorted */
#define OF_ONE  "WHERE o.id = (SELECT id FROM objects WHERE vault = ?1 AND kind = ?2 AND name = ?3) "
#define REACHED "AND substr(o.vault, 1, 1) <> '~' " /* vaults.h */
/* all of a page from one run of one table, but for records too long to be in there */
#define PAGE(deleted)                                                                              \
    "SELECT kind, vault, name, version, created, deleted_at, purge_at, wake_at, "                  \
    "coalesce(record, (SELECT v.record FROM versions v WHERE v.seq = s.seq)) FROM shown s "        \
    "WHERE vault = ?1 AND kind = ?2 AND deleted = " deleted " AND name > ?3 "                      \
    "ORDER BY name LIMIT ?4"

/* Bytes of a record that is kept in `shown` too. With the longest names it is about all that a row
 * of such a table may have (1,002 bytes of a page of 4,096) without a page of its own. As in step 4
 * of the migrations. */
#define SHOWN_MAX "768"

enum column { C_KIND, C_VAULT, C_NAME, C_VERSION, C_CREATED, C_DELETED, C_PURGE, C_WAKE, C_RECORD };

static const char *const sql[SQL_COUNT] = {
    [SQL_FIND_OBJECT] = "SELECT id, deleted_at, purge_at, wake_at, name FROM objects "
                        "WHERE vault = ?1 AND kind = ?2 AND name = ?3",
    [SQL_ADD_OBJECT] = "INSERT INTO objects(vault, kind, name) VALUES(?1, ?2, ?3)",
    [SQL_ADD_VERSION] =
        "INSERT INTO versions(object, version, created, record) VALUES(?1, ?2, ?3, ?4)",
    [SQL_SET_RECORD] = "UPDATE versions SET record = ?3 WHERE object = ?1 AND version = ?2",
    [SQL_SET_STATE] = "UPDATE objects SET deleted_at = ?2, purge_at = ?3 WHERE id = ?1",
    [SQL_SET_WAKE] = "UPDATE objects SET wake_at = ?2 WHERE id = ?1",
    [SQL_DROP_VERSIONS] = "DELETE FROM versions WHERE object = ?1",
    [SQL_DROP_OBJECT] = "DELETE FROM objects WHERE id = ?1",
    [SQL_SET_NEWEST] = "UPDATE objects SET newest = ?2 WHERE id = ?1",
    [SQL_NEWEST_VERSION] = "SELECT v.version FROM objects o CROSS JOIN versions v "
                           "ON v.seq = o.newest WHERE o.id = ?1",
    [SQL_LIVE_NEWEST] = ROW_LAST OF_OBJECT "AND o.deleted_at = 0",
    [SQL_LIVE_VERSION] = ROW OF_ONE "AND o.deleted_at = 0 AND v.version = ?4",
    [SQL_DELETED_NEWEST] = ROW_LAST OF_OBJECT "AND o.deleted_at <> 0",
    [SQL_HIDE] = "DELETE FROM shown WHERE vault = ?1 AND kind = ?2 AND deleted IN (0, 1) "
                 "AND name = ?3",
    [SQL_SHOW] = "REPLACE INTO shown SELECT o.vault, o.kind, o.deleted_at <> 0, o.name, "
                 "o.deleted_at, o.purge_at, o.wake_at, v.seq, v.version, v.created, "
                 "CASE WHEN length(v.record) <= " SHOWN_MAX " THEN v.record END "
                 "FROM objects o CROSS JOIN versions v ON v.seq = o.newest WHERE o.id = ?1",
    [SQL_LIST_LIVE] = PAGE("0"),
    [SQL_LIST_DELETED] = PAGE("1"),
    /* a version that is not there compares as NULL: no rows */
    [SQL_LIST_OF_VERSIONS] =
        ROW OF_ONE "AND o.deleted_at = 0 AND v.seq > CASE WHEN ?5 = '' THEN 0 ELSE "
                   "(SELECT a.seq FROM versions a WHERE a.object = o.id AND a.version = ?5) END "
                   "ORDER BY v.seq LIMIT ?4",
    [SQL_ALL_VERSIONS] = ROW OF_ONE "AND o.deleted_at = 0 ORDER BY v.seq",
    [SQL_DUE_PURGE] = ROW_LAST "WHERE o.kind = ?2 AND o.deleted_at <> 0 AND o.purge_at > 0 "
                               "AND o.purge_at <= ?1 " REACHED "ORDER BY o.purge_at LIMIT ?4",
    [SQL_DUE_WAKE] = ROW_LAST "WHERE o.kind = ?2 AND o.wake_at <> 0 AND o.deleted_at = 0 "
                              "AND o.wake_at <= ?1 " REACHED "ORDER BY o.wake_at LIMIT ?4",
    [SQL_CURSOR] = ROW "WHERE o.vault = ?1 AND (o.kind, o.name) > (?2, ?3) "
                       "ORDER BY o.kind, o.name, v.seq",
    [SQL_VAULT_MOVE] = "UPDATE objects SET vault = ?2 WHERE vault = ?1",
    [SQL_VAULT_MOVE_SHOWN] = "UPDATE shown SET vault = ?2 WHERE vault = ?1",
    [SQL_VAULT_DROP_VERSIONS] =
        "DELETE FROM versions WHERE object IN (SELECT id FROM objects WHERE vault = ?1)",
    [SQL_VAULT_DROP_OBJECTS] = "DELETE FROM objects WHERE vault = ?1",
    [SQL_VAULT_DROP_SHOWN] = "DELETE FROM shown WHERE vault = ?1",
    [SQL_SETTING_GET] = "SELECT value FROM settings WHERE name = ?1",
    [SQL_SETTING_PUT] = "INSERT INTO settings(name, value) VALUES(?1, ?2) "
                        "ON CONFLICT(name) DO UPDATE SET value = excluded.value",
};

kw_status sqlite_sql_get(struct sqlite_conn *conn, enum sqlite_sql which, sqlite3_stmt **out)
{
    return sqlite_conn_statement(conn, which, sql[which], out);
}

kw_status sqlite_sql_text(struct sqlite_conn *conn, sqlite3_stmt *st, int at, const char *text)
{
    return sqlite_conn_status(conn, sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC));
}

kw_status sqlite_sql_int(struct sqlite_conn *conn, sqlite3_stmt *st, int at, int64_t value)
{
    return sqlite_conn_status(conn, sqlite3_bind_int64(st, at, value));
}

kw_status sqlite_sql_record(struct sqlite_conn *conn, sqlite3_stmt *st, int at,
                            const struct store_request *req)
{
    return sqlite_conn_status(
        conn, sqlite3_bind_blob64(st, at, req->record, req->record_len, SQLITE_STATIC));
}

kw_status sqlite_sql_object(struct sqlite_conn *conn, enum sqlite_sql which,
                            const struct store_request *req, const char *name, sqlite3_stmt **out)
{
    KW_TRY(sqlite_sql_get(conn, which, out));
    KW_TRY(sqlite_sql_text(conn, *out, 1, req->vault));
    KW_TRY(sqlite_sql_int(conn, *out, 2, req->kind));
    return sqlite_sql_text(conn, *out, 3, name);
}

kw_status sqlite_sql_run(struct sqlite_conn *conn, sqlite3_stmt *st)
{
    kw_status status = sqlite_conn_status(conn, sqlite3_step(st));
    sqlite3_reset(st);
    return status;
}

kw_status sqlite_sql_copy(char *out, size_t room, sqlite3_stmt *st, int column)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    size_t len = text ? (size_t)sqlite3_column_bytes(st, column) : 0;
    if (!text || len >= room)
        return KW_E_INTEGRITY;
    memcpy(out, text, len);
    out[len] = '\0';
    return KW_OK;
}

size_t sqlite_sql_record_len(sqlite3_stmt *st)
{
    return (size_t)sqlite3_column_bytes(st, C_RECORD);
}

kw_status sqlite_sql_take_row(struct store_result *result, sqlite3_stmt *st)
{
    struct store_row *row = store_result_add(result);
    if (!row)
        return KW_E_NOMEM;
    row->kind = (enum store_kind)sqlite3_column_int(st, C_KIND);
    KW_TRY(sqlite_sql_copy(row->vault, sizeof row->vault, st, C_VAULT));
    KW_TRY(sqlite_sql_copy(row->name, sizeof row->name, st, C_NAME));
    KW_TRY(sqlite_sql_copy(row->version, sizeof row->version, st, C_VERSION));
    row->created = sqlite3_column_int64(st, C_CREATED);
    row->deleted_at = sqlite3_column_int64(st, C_DELETED);
    row->purge_at = sqlite3_column_int64(st, C_PURGE);
    row->wake_at = sqlite3_column_int64(st, C_WAKE);
    const void *record = sqlite3_column_blob(st, C_RECORD);
    size_t len = sqlite_sql_record_len(st);
    row->record = malloc(len ? len : 1);
    if (!row->record || (len > 0 && !record))
        return KW_E_NOMEM;
    if (len > 0)
        memcpy(row->record, record, len);
    row->record_len = len;
    return KW_OK;
}

kw_status sqlite_sql_take_rows(struct sqlite_conn *conn, sqlite3_stmt *st, unsigned limit,
                               struct store_result *result)
{
    size_t before = result->row_count;
    kw_status status = KW_OK;
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (result->row_count - before == limit) {
            result->more = true;
            rc = SQLITE_DONE;
            break;
        }
        status = sqlite_sql_take_row(result, st);
        if (status != KW_OK)
            break;
    }
    if (status == KW_OK)
        status = sqlite_conn_status(conn, rc);
    sqlite3_reset(st);
    return status;
}

kw_status sqlite_sql_one_row(struct sqlite_conn *conn, enum sqlite_sql which,
                             const struct store_request *req, struct store_result *result)
{
    sqlite3_stmt *st = NULL;
    size_t before = result->row_count;
    KW_TRY(sqlite_sql_object(conn, which, req, req->name, &st));
    if (which == SQL_LIVE_VERSION)
        KW_TRY(sqlite_sql_text(conn, st, 4, req->version));
    KW_TRY(sqlite_sql_take_rows(conn, st, 1, result));
    return result->row_count == before + 1 ? KW_OK : KW_E_NOT_FOUND;
}

kw_status sqlite_sql_live_row(struct sqlite_conn *conn, const struct store_request *req,
                              struct store_result *result)
{
    return sqlite_sql_one_row(conn, req->version[0] ? SQL_LIVE_VERSION : SQL_LIVE_NEWEST, req,
                              result);
}
