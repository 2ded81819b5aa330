#include "gateway/store/sqlite_objects.h"

#include <openssl/evp.h>
#include <stdlib.h>

/* Every query that gives rows gives these columns (take_row). ?1 vault, ?2 kind, ?3 name. */
#define ROW                                                                                        \
    "SELECT o.name, v.version, v.created, o.deleted_at, o.purge_at, v.record "                     \
    "FROM objects o JOIN versions v ON v.object = o.id "
#define OF_OBJECT "WHERE o.vault = ?1 AND o.kind = ?2 AND o.name = ?3 "
#define NEWEST    "ORDER BY v.seq DESC LIMIT 1"
#define PAGE                                                                                       \
    "SELECT o.name, v.version, v.created, o.deleted_at, o.purge_at, v.record "                     \
    "FROM objects o JOIN versions v "                                                              \
    "ON v.seq = (SELECT max(seq) FROM versions WHERE object = o.id) "                              \
    "WHERE o.vault = ?1 AND o.kind = ?2 AND o.name > ?3 "

enum statement {
    FIND_OBJECT,
    ADD_OBJECT,
    ADD_VERSION,
    SET_RECORD,
    SET_STATE,
    DROP_VERSIONS,
    DROP_OBJECT,
    ROW_LIVE_NEWEST,
    ROW_LIVE_VERSION,
    ROW_DELETED_NEWEST,
    LIST_LIVE,
    LIST_DELETED,
    LIST_OF_VERSIONS,
    SETTING_GET,
    SETTING_PUT,
    STATEMENT_COUNT
};
_Static_assert(STATEMENT_COUNT <= SQLITE_STATEMENTS_MAX, "room for every statement");

static const char *const sql[STATEMENT_COUNT] = {
    [FIND_OBJECT] = "SELECT id, deleted_at FROM objects "
                    "WHERE vault = ?1 AND kind = ?2 AND name = ?3",
    [ADD_OBJECT] = "INSERT INTO objects(vault, kind, name) VALUES(?1, ?2, ?3)",
    [ADD_VERSION] = "INSERT INTO versions(object, version, created, record) VALUES(?1, ?2, ?3, ?4)",
    [SET_RECORD] = "UPDATE versions SET record = ?3 WHERE object = ?1 AND version = ?2",
    [SET_STATE] = "UPDATE objects SET deleted_at = ?2, purge_at = ?3 WHERE id = ?1",
    [DROP_VERSIONS] = "DELETE FROM versions WHERE object = ?1",
    [DROP_OBJECT] = "DELETE FROM objects WHERE id = ?1",
    [ROW_LIVE_NEWEST] = ROW OF_OBJECT "AND o.deleted_at = 0 " NEWEST,
    [ROW_LIVE_VERSION] = ROW OF_OBJECT "AND o.deleted_at = 0 AND v.version = ?4",
    [ROW_DELETED_NEWEST] = ROW OF_OBJECT "AND o.deleted_at <> 0 " NEWEST,
    [LIST_LIVE] = PAGE "AND o.deleted_at = 0 ORDER BY o.name LIMIT ?4",
    [LIST_DELETED] = PAGE "AND o.deleted_at <> 0 ORDER BY o.name LIMIT ?4",
    [LIST_OF_VERSIONS] =
        ROW OF_OBJECT "AND o.deleted_at = 0 AND (?5 = '' OR v.seq > "
                      "(SELECT a.seq FROM versions a WHERE a.object = o.id AND a.version = ?5)) "
                      "ORDER BY v.seq LIMIT ?4",
    [SETTING_GET] = "SELECT value FROM settings WHERE name = ?1",
    [SETTING_PUT] = "INSERT INTO settings(name, value) VALUES(?1, ?2) "
                    "ON CONFLICT(name) DO UPDATE SET value = excluded.value",
};

static kw_status statement(struct sqlite_conn *conn, enum statement which, sqlite3_stmt **out)
{
    return sqlite_conn_statement(conn, which, sql[which], out);
}

/* The strings of a request outlive the statement's run: SQLite need not copy them. */
static kw_status bind_text(struct sqlite_conn *conn, sqlite3_stmt *st, int at, const char *text)
{
    return sqlite_conn_status(conn, sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC));
}

static kw_status bind_int(struct sqlite_conn *conn, sqlite3_stmt *st, int at, int64_t value)
{
    return sqlite_conn_status(conn, sqlite3_bind_int64(st, at, value));
}

static kw_status bind_record(struct sqlite_conn *conn, sqlite3_stmt *st, int at,
                             const struct store_request *req)
{
    return sqlite_conn_status(
        conn, sqlite3_bind_blob64(st, at, req->record, req->record_len, SQLITE_STATIC));
}

static kw_status object_statement(struct sqlite_conn *conn, enum statement which,
                                  const struct store_request *req, const char *name,
                                  sqlite3_stmt **out)
{
    KW_TRY(statement(conn, which, out));
    KW_TRY(bind_text(conn, *out, 1, req->vault));
    KW_TRY(bind_int(conn, *out, 2, req->kind));
    return bind_text(conn, *out, 3, name);
}

/** Runs a statement that gives no rows. */
static kw_status run(struct sqlite_conn *conn, sqlite3_stmt *st)
{
    kw_status status = sqlite_conn_status(conn, sqlite3_step(st));
    sqlite3_reset(st);
    return status;
}

static kw_status copy_text(char *out, size_t room, sqlite3_stmt *st, int column)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    size_t len = text ? (size_t)sqlite3_column_bytes(st, column) : 0;
    if (!text || len >= room)
        return KW_E_INTEGRITY;
    memcpy(out, text, len);
    out[len] = '\0';
    return KW_OK;
}

static kw_status take_row(struct store_result *result, sqlite3_stmt *st)
{
    struct store_row *row = store_result_add(result);
    if (!row)
        return KW_E_NOMEM;
    KW_TRY(copy_text(row->name, sizeof row->name, st, 0));
    KW_TRY(copy_text(row->version, sizeof row->version, st, 1));
    row->created = sqlite3_column_int64(st, 2);
    row->deleted_at = sqlite3_column_int64(st, 3);
    row->purge_at = sqlite3_column_int64(st, 4);
    const void *record = sqlite3_column_blob(st, 5);
    size_t len = (size_t)sqlite3_column_bytes(st, 5);
    row->record = malloc(len ? len : 1);
    if (!row->record || (len > 0 && !record))
        return KW_E_NOMEM;
    if (len > 0)
        memcpy(row->record, record, len);
    row->record_len = len;
    return KW_OK;
}

/** Takes up to `limit` rows and notes whether there was one more. */
static kw_status take_rows(struct sqlite_conn *conn, sqlite3_stmt *st, unsigned limit,
                           struct store_result *result)
{
    kw_status status = KW_OK;
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (result->row_count == limit) {
            result->more = true;
            rc = SQLITE_DONE;
            break;
        }
        status = take_row(result, st);
        if (status != KW_OK)
            break;
    }
    if (status == KW_OK)
        status = sqlite_conn_status(conn, rc);
    sqlite3_reset(st);
    return status;
}

/** The one row of an object that a statement chooses; KW_E_NOT_FOUND without one. */
static kw_status one_row(struct sqlite_conn *conn, enum statement which, struct store_request *req,
                         const char *version)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(object_statement(conn, which, req, req->name, &st));
    if (which == ROW_LIVE_VERSION)
        KW_TRY(bind_text(conn, st, 4, version));
    KW_TRY(take_rows(conn, st, 1, &req->result));
    return req->result.row_count == 1 ? KW_OK : KW_E_NOT_FOUND;
}

static kw_status live_row(struct sqlite_conn *conn, struct store_request *req)
{
    return req->version[0] ? one_row(conn, ROW_LIVE_VERSION, req, req->version)
                           : one_row(conn, ROW_LIVE_NEWEST, req, NULL);
}

/** `*id` is 0 when there is no such object, live or deleted. */
static kw_status find_object(struct sqlite_conn *conn, const struct store_request *req,
                             sqlite3_int64 *id, bool *deleted)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(object_statement(conn, FIND_OBJECT, req, req->name, &st));
    int rc = sqlite3_step(st);
    *id = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    *deleted = rc == SQLITE_ROW && sqlite3_column_int64(st, 1) != 0;
    kw_status status = sqlite_conn_status(conn, rc);
    sqlite3_reset(st);
    return status;
}

/** KW_E_NOT_FOUND unless the object is there and in the wanted state. */
static kw_status need_object(struct sqlite_conn *conn, const struct store_request *req,
                             bool deleted, sqlite3_int64 *id)
{
    bool is_deleted = false;
    KW_TRY(find_object(conn, req, id, &is_deleted));
    return *id != 0 && is_deleted == deleted ? KW_OK : KW_E_NOT_FOUND;
}

static kw_status put(struct sqlite_conn *conn, struct store_request *req)
{
    sqlite3_int64 id = 0;
    bool deleted = false;
    sqlite3_stmt *st = NULL;
    KW_TRY(find_object(conn, req, &id, &deleted));
    if (deleted)
        return KW_E_CONFLICT;
    if (id == 0) {
        KW_TRY(object_statement(conn, ADD_OBJECT, req, req->name, &st));
        KW_TRY(run(conn, st));
        id = sqlite3_last_insert_rowid(conn->db);
    }
    KW_TRY(statement(conn, ADD_VERSION, &st));
    KW_TRY(bind_int(conn, st, 1, id));
    KW_TRY(bind_text(conn, st, 2, req->version));
    KW_TRY(bind_int(conn, st, 3, req->created));
    KW_TRY(bind_record(conn, st, 4, req));
    KW_TRY(run(conn, st));
    return live_row(conn, req);
}

static kw_status check_expected(const struct store_request *req)
{
    const struct store_row *row = &req->result.rows[0];
    uint8_t hash[STORE_HASH_LEN];
    if (!req->has_expected)
        return KW_OK;
    if (EVP_Digest(row->record, row->record_len, hash, NULL, EVP_sha256(), NULL) != 1)
        return KW_E_INTERNAL;
    return memcmp(hash, req->expected, sizeof hash) == 0 ? KW_OK : KW_E_CONFLICT;
}

static kw_status update(struct sqlite_conn *conn, struct store_request *req)
{
    sqlite3_int64 id = 0;
    sqlite3_stmt *st = NULL;
    KW_TRY(need_object(conn, req, false, &id));
    KW_TRY(live_row(conn, req));
    KW_TRY(check_expected(req));
    struct store_row *row = &req->result.rows[0];
    KW_TRY(statement(conn, SET_RECORD, &st));
    KW_TRY(bind_int(conn, st, 1, id));
    KW_TRY(bind_text(conn, st, 2, row->version));
    KW_TRY(bind_record(conn, st, 3, req));
    KW_TRY(run(conn, st));
    /* the row given back carries the new record: the request's copy has done its work */
    free(row->record);
    row->record = req->record;
    row->record_len = req->record_len;
    req->record = NULL;
    req->record_len = 0;
    return KW_OK;
}

static kw_status set_state(struct sqlite_conn *conn, sqlite3_int64 id, int64_t deleted_at,
                           int64_t purge_at)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(statement(conn, SET_STATE, &st));
    KW_TRY(bind_int(conn, st, 1, id));
    KW_TRY(bind_int(conn, st, 2, deleted_at));
    KW_TRY(bind_int(conn, st, 3, purge_at));
    return run(conn, st);
}

static kw_status soft_delete(struct sqlite_conn *conn, struct store_request *req)
{
    sqlite3_int64 id = 0;
    KW_TRY(need_object(conn, req, false, &id));
    KW_TRY(set_state(conn, id, req->deleted_at, req->purge_at));
    return one_row(conn, ROW_DELETED_NEWEST, req, NULL);
}

static kw_status recover(struct sqlite_conn *conn, struct store_request *req)
{
    sqlite3_int64 id = 0;
    KW_TRY(need_object(conn, req, true, &id));
    KW_TRY(set_state(conn, id, 0, 0));
    return one_row(conn, ROW_LIVE_NEWEST, req, NULL);
}

static kw_status purge(struct sqlite_conn *conn, struct store_request *req)
{
    static const enum statement order[] = {DROP_VERSIONS, DROP_OBJECT};
    sqlite3_int64 id = 0;
    KW_TRY(need_object(conn, req, true, &id));
    for (size_t i = 0; i < 2; i++) {
        sqlite3_stmt *st = NULL;
        KW_TRY(statement(conn, order[i], &st));
        KW_TRY(bind_int(conn, st, 1, id));
        KW_TRY(run(conn, st));
    }
    return KW_OK;
}

static kw_status setting_put(struct sqlite_conn *conn, struct store_request *req)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(statement(conn, SETTING_PUT, &st));
    KW_TRY(bind_text(conn, st, 1, req->name));
    KW_TRY(
        sqlite_conn_status(conn, sqlite3_bind_text64(st, 2, (const char *)req->record,
                                                     req->record_len, SQLITE_STATIC, SQLITE_UTF8)));
    return run(conn, st);
}

static kw_status setting_get(struct sqlite_conn *conn, struct store_request *req)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(statement(conn, SETTING_GET, &st));
    KW_TRY(bind_text(conn, st, 1, req->name));
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
    KW_TRY(object_statement(conn, req->deleted ? LIST_DELETED : LIST_LIVE, req, req->after, &st));
    KW_TRY(bind_int(conn, st, 4, (int64_t)req->limit + 1));
    return take_rows(conn, st, req->limit, &req->result);
}

static kw_status list_versions(struct sqlite_conn *conn, struct store_request *req)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(object_statement(conn, LIST_OF_VERSIONS, req, req->name, &st));
    KW_TRY(bind_int(conn, st, 4, (int64_t)req->limit + 1));
    KW_TRY(bind_text(conn, st, 5, req->after));
    KW_TRY(take_rows(conn, st, req->limit, &req->result));
    /* an object always has a version: no rows from the start means there is no live object */
    return req->result.row_count == 0 && !req->after[0] ? KW_E_NOT_FOUND : KW_OK;
}

kw_status sqlite_objects_change(struct sqlite_conn *conn, struct store_request *req)
{
    switch (req->op) {
    case STORE_OP_PUT:
        return put(conn, req);
    case STORE_OP_UPDATE:
        return update(conn, req);
    case STORE_OP_DELETE:
        return soft_delete(conn, req);
    case STORE_OP_RECOVER:
        return recover(conn, req);
    case STORE_OP_PURGE:
        return purge(conn, req);
    case STORE_OP_SETTING_PUT:
        return setting_put(conn, req);
    default:
        return KW_E_INTERNAL;
    }
}

kw_status sqlite_objects_query(struct sqlite_conn *conn, struct store_request *req)
{
    switch (req->op) {
    case STORE_OP_GET:
        return live_row(conn, req);
    case STORE_OP_GET_DELETED:
        return one_row(conn, ROW_DELETED_NEWEST, req, NULL);
    case STORE_OP_LIST:
        return list(conn, req);
    case STORE_OP_LIST_VERSIONS:
        return list_versions(conn, req);
    case STORE_OP_SETTING_GET:
        return setting_get(conn, req);
    default:
        return KW_E_INTERNAL;
    }
}
