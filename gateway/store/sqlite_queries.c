#include "gateway/store/sqlite_queries.h"

#include <stdlib.h>

#include "gateway/store/sqlite_sql.h"

static kw_status setting_get(struct sqlite_conn *conn, struct store_request *req)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(sqlite_sql_get(conn, SQL_SETTING_GET, &st));
    KW_TRY(sqlite_sql_text(conn, st, 1, req->name));
    int rc = sqlite3_step(st);
    kw_status status = sqlite_conn_status(conn, rc);
    if (status == KW_OK && rc != SQLITE_ROW)
        status = KW_E_NOT_FOUND;
    if (status == KW_OK) {
        struct store_row *row = store_result_add(&req->result);
        const void *text = sqlite3_column_text(st, 0);
        size_t len = (size_t)sqlite3_column_bytes(st, 0);
        if (row)
            row->record = malloc(len + 1);
        if (!row || !row->record || !text) {
            status = KW_E_NOMEM;
        } else {
            memcpy(row->record, text, len + 1);
            row->record_len = len;
        }
    }
    sqlite3_reset(st);
    return status;
}

static kw_status list(struct sqlite_conn *conn, struct store_request *req)
{
    sqlite3_stmt *st = NULL;
    enum sqlite_sql which = req->deleted ? SQL_LIST_DELETED : SQL_LIST_LIVE;
    KW_TRY(sqlite_sql_object(conn, which, req, req->after, &st));
    KW_TRY(sqlite_sql_int(conn, st, 4, (int64_t)req->limit + 1));
    return sqlite_sql_take_rows(conn, st, req->limit, &req->result);
}

static kw_status list_versions(struct sqlite_conn *conn, struct store_request *req)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(sqlite_sql_object(conn, SQL_LIST_OF_VERSIONS, req, req->name, &st));
    KW_TRY(sqlite_sql_int(conn, st, 4, (int64_t)req->limit + 1));
    KW_TRY(sqlite_sql_text(conn, st, 5, req->after));
    KW_TRY(sqlite_sql_take_rows(conn, st, req->limit, &req->result));
    /* an object always has a version: no rows from the start means there is no live object */
    return req->result.row_count == 0 && !req->after[0] ? KW_E_NOT_FOUND : KW_OK;
}

static kw_status due(struct sqlite_conn *conn, struct store_request *req)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(sqlite_sql_get(conn, req->due == STORE_DUE_PURGE ? SQL_DUE_PURGE : SQL_DUE_WAKE, &st));
    KW_TRY(sqlite_sql_int(conn, st, 1, req->created));
    KW_TRY(sqlite_sql_int(conn, st, 2, req->kind));
    KW_TRY(sqlite_sql_int(conn, st, 4, (int64_t)req->limit + 1));
    return sqlite_sql_take_rows(conn, st, req->limit, &req->result);
}

/* --- all of some objects --- */

static kw_status all_versions(struct sqlite_conn *conn, const struct store_request *part,
                              struct store_request *req, size_t *bytes)
{
    sqlite3_stmt *st = NULL;
    kw_status status = KW_OK;
    int rc;
    KW_TRY(sqlite_sql_object(conn, SQL_ALL_VERSIONS, part, part->name, &st));
    while ((rc = sqlite3_step(st)) == SQLITE_ROW && status == KW_OK) {
        *bytes += sqlite_sql_record_len(st);
        status = *bytes > req->max_bytes ? KW_E_TOO_LARGE : sqlite_sql_take_row(&req->result, st);
    }
    if (status == KW_OK)
        status = sqlite_conn_status(conn, rc);
    sqlite3_reset(st);
    return status;
}

static kw_status read_parts(struct sqlite_conn *conn, struct store_request *req)
{
    size_t bytes = 0;
    for (const struct store_request *part = req->parts; part; part = part->next) {
        KW_TRY(all_versions(conn, part, req, &bytes));
        if (part == req->parts && req->result.row_count == 0)
            return KW_E_NOT_FOUND;
    }
    return KW_OK;
}

/** One read transaction around all statements: one moment. */
static kw_status read_all(struct sqlite_conn *conn, struct store_request *req)
{
    KW_TRY(sqlite_conn_exec(conn, "BEGIN"));
    kw_status status = read_parts(conn, req);
    kw_status ended = sqlite_conn_exec(conn, "COMMIT");
    return status != KW_OK ? status : ended;
}

kw_status sqlite_query(struct sqlite_conn *conn, struct store_request *req)
{
    switch (req->op) {
    case STORE_OP_GET:
        return sqlite_sql_live_row(conn, req, &req->result);
    case STORE_OP_GET_DELETED:
        return sqlite_sql_one_row(conn, SQL_DELETED_NEWEST, req, &req->result);
    case STORE_OP_LIST:
        return list(conn, req);
    case STORE_OP_LIST_VERSIONS:
        return list_versions(conn, req);
    case STORE_OP_DUE:
        return due(conn, req);
    case STORE_OP_READ_ALL:
        return read_all(conn, req);
    case STORE_OP_SETTING_GET:
        return setting_get(conn, req);
    default:
        return KW_E_INTERNAL;
    }
}

/* --- cursors --- */

#define CURSORS_MAX      4
#define CURSOR_CACHE_KIB "16384" /* it reads each row once, nearly in their order */

struct store_snapshot {
    struct store_snapshot *next;
    struct sqlite_conn conn;
    sqlite3_stmt *rows; /* one of the connection's; stands where the next slice begins */
    bool on_row, ended; /* on_row: it stands on a row that was not taken yet */
    char vault[STORE_VAULT_MAX + 1], name[STORE_NAME_MAX + 1]; /* bound to `rows` */
};

static void snapshot_free(struct store_snapshot *snapshot)
{
    sqlite_conn_close(&snapshot->conn);
    free(snapshot);
}

/** The first step takes the snapshot, so that it is of the moment of the opening. */
static kw_status snapshot_begin(struct store_snapshot *snapshot, const struct store_request *req)
{
    struct sqlite_conn *conn = &snapshot->conn;
    memcpy(snapshot->vault, req->vault, sizeof snapshot->vault);
    memcpy(snapshot->name, req->name, sizeof snapshot->name);
    KW_TRY(sqlite_conn_exec(conn, "PRAGMA cache_size=-" CURSOR_CACHE_KIB "; BEGIN"));
    KW_TRY(sqlite_sql_get(conn, SQL_CURSOR, &snapshot->rows));
    KW_TRY(sqlite_sql_text(conn, snapshot->rows, 1, snapshot->vault));
    KW_TRY(sqlite_sql_int(conn, snapshot->rows, 2, req->kind));
    KW_TRY(sqlite_sql_text(conn, snapshot->rows, 3, snapshot->name));
    int rc = sqlite3_step(snapshot->rows);
    snapshot->on_row = rc == SQLITE_ROW;
    snapshot->ended = rc == SQLITE_DONE;
    return sqlite_conn_status(conn, rc);
}

static kw_status cursor_open(struct sqlite_cursors *cursors, struct store_request *req)
{
    char error[256];
    if (cursors->count >= CURSORS_MAX)
        return KW_E_BUSY;
    struct store_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (!snapshot)
        return KW_E_NOMEM;
    kw_status status = sqlite_conn_open(&snapshot->conn, cursors->path, true, error, sizeof error);
    if (status == KW_OK)
        status = snapshot_begin(snapshot, req);
    if (status != KW_OK) {
        snapshot_free(snapshot);
        return status;
    }
    snapshot->next = cursors->list;
    cursors->list = snapshot;
    cursors->count++;
    req->result.snapshot = snapshot;
    return KW_OK;
}

static kw_status cursor_next(struct store_request *req)
{
    struct store_snapshot *snapshot = req->cursor;
    struct store_result *result = &req->result;
    size_t bytes = 0;
    while (snapshot->on_row) {
        bytes += sqlite_sql_record_len(snapshot->rows);
        if (result->row_count == req->limit || (result->row_count > 0 && bytes > req->max_bytes))
            break;
        KW_TRY(sqlite_sql_take_row(result, snapshot->rows));
        int rc = sqlite3_step(snapshot->rows);
        snapshot->on_row = rc == SQLITE_ROW;
        snapshot->ended = rc == SQLITE_DONE;
        KW_TRY(sqlite_conn_status(&snapshot->conn, rc));
    }
    result->more = snapshot->on_row;
    return snapshot->on_row || snapshot->ended ? KW_OK : KW_E_IO;
}

static kw_status cursor_close(struct sqlite_cursors *cursors, struct store_snapshot *snapshot)
{
    struct store_snapshot **at = &cursors->list;
    while (*at != snapshot)
        at = &(*at)->next;
    *at = snapshot->next;
    cursors->count--;
    snapshot_free(snapshot);
    return KW_OK;
}

kw_status sqlite_cursor(struct sqlite_cursors *cursors, struct store_request *req)
{
    if (req->op == STORE_OP_CURSOR_OPEN)
        return cursor_open(cursors, req);
    return req->op == STORE_OP_CURSOR_NEXT ? cursor_next(req) : cursor_close(cursors, req->cursor);
}

void sqlite_cursors_close(struct sqlite_cursors *cursors)
{
    while (cursors->list)
        (void)cursor_close(cursors, cursors->list);
}
