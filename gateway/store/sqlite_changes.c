#include "gateway/store/sqlite_changes.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "gateway/store/sqlite_sql.h"
#include "gateway/store/sqlite_vaults.h"

/** The object that a change is about; `id` is 0 when there is none, live or deleted. */
struct object {
    sqlite3_int64 id;
    bool deleted;
    int64_t purge_at, wake_at;
    char name[STORE_NAME_MAX + 1]; /* as it was spelled at creation */
};

/** One change at its work: where its row goes, and why it was refused. */
struct work {
    struct sqlite_conn *conn;
    struct store_request *req;
    struct store_result *result;
    struct object object;
};

static kw_status refuse(struct work *work, enum store_conflict why)
{
    work->result->conflict = why;
    return KW_E_CONFLICT;
}

static kw_status find_object(struct work *work)
{
    struct object *object = &work->object;
    sqlite3_stmt *st = NULL;
    KW_TRY(sqlite_sql_object(work->conn, SQL_FIND_OBJECT, work->req, work->req->name, &st));
    int rc = sqlite3_step(st);
    kw_status status = sqlite_conn_status(work->conn, rc);
    if (rc == SQLITE_ROW) {
        object->id = sqlite3_column_int64(st, 0);
        object->deleted = sqlite3_column_int64(st, 1) != 0;
        object->purge_at = sqlite3_column_int64(st, 2);
        object->wake_at = sqlite3_column_int64(st, 3);
        status = sqlite_sql_copy(object->name, sizeof object->name, st, 4);
    }
    sqlite3_reset(st);
    return status;
}

/** KW_E_NOT_FOUND unless the object is there and in the wanted state. */
static kw_status need_object(struct work *work, bool deleted)
{
    KW_TRY(find_object(work));
    return work->object.id != 0 && work->object.deleted == deleted ? KW_OK : KW_E_NOT_FOUND;
}

static kw_status run_on(struct work *work, enum sqlite_sql which, const int64_t *values,
                        int value_count)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(sqlite_sql_get(work->conn, which, &st));
    KW_TRY(sqlite_sql_int(work->conn, st, 1, work->object.id));
    for (int i = 0; i < value_count; i++)
        KW_TRY(sqlite_sql_int(work->conn, st, 2 + i, values[i]));
    return sqlite_sql_run(work->conn, st);
}

static kw_status set_wake(struct work *work)
{
    work->object.wake_at = work->req->wake_at;
    return run_on(work, SQL_SET_WAKE, &work->req->wake_at, 1);
}

static kw_status add_object(struct work *work)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(sqlite_sql_object(work->conn, SQL_ADD_OBJECT, work->req, work->req->name, &st));
    KW_TRY(sqlite_sql_run(work->conn, st));
    work->object.id = sqlite3_last_insert_rowid(work->conn->db);
    memcpy(work->object.name, work->req->name, sizeof work->object.name);
    return KW_OK;
}

/** Is the version that the change was made from still the newest? */
static kw_status check_base(struct work *work)
{
    sqlite3_stmt *st = NULL;
    char newest[STORE_VERSION_LEN + 1] = "";
    KW_TRY(sqlite_sql_get(work->conn, SQL_NEWEST_VERSION, &st));
    KW_TRY(sqlite_sql_int(work->conn, st, 1, work->object.id));
    int rc = sqlite3_step(st);
    kw_status status = sqlite_conn_status(work->conn, rc);
    if (rc == SQLITE_ROW)
        status = sqlite_sql_copy(newest, sizeof newest, st, 0);
    sqlite3_reset(st);
    KW_TRY(status);
    return strcmp(newest, work->req->base) == 0 ? KW_OK : refuse(work, STORE_CONFLICT_CHANGED);
}

static kw_status add_version(struct work *work)
{
    const struct store_request *req = work->req;
    sqlite3_stmt *st = NULL;
    KW_TRY(sqlite_sql_get(work->conn, SQL_ADD_VERSION, &st));
    KW_TRY(sqlite_sql_int(work->conn, st, 1, work->object.id));
    KW_TRY(sqlite_sql_text(work->conn, st, 2, req->version));
    KW_TRY(sqlite_sql_int(work->conn, st, 3, req->created));
    KW_TRY(sqlite_sql_record(work->conn, st, 4, req));
    kw_status status = sqlite_sql_run(work->conn, st);
    if (status == KW_E_CONFLICT)
        return refuse(work, STORE_CONFLICT_EXISTS);
    KW_TRY(status);
    const int64_t newest = sqlite3_last_insert_rowid(work->conn->db);
    return run_on(work, SQL_SET_NEWEST, &newest, 1);
}

/** The row that is given back carries the new record: the request's copy has done its work. */
static void give_record(struct store_row *row, struct store_request *req)
{
    free(row->record);
    row->record = req->record;
    row->record_len = req->record_len;
    req->record = NULL;
    req->record_len = 0;
}

static kw_status put(struct work *work)
{
    struct store_request *req = work->req;
    KW_TRY(find_object(work));
    if (work->object.deleted)
        return refuse(work, STORE_CONFLICT_DELETED);
    if (req->op == STORE_OP_ADD && work->object.id != 0)
        return refuse(work, STORE_CONFLICT_EXISTS);
    if (req->has_base)
        KW_TRY(check_base(work));
    if (work->object.id == 0)
        KW_TRY(add_object(work));
    KW_TRY(add_version(work));
    if (req->sets_wake)
        KW_TRY(set_wake(work));
    struct store_row *row = store_result_add(work->result);
    if (!row)
        return KW_E_NOMEM;
    row->kind = req->kind;
    row->created = req->created;
    row->wake_at = work->object.wake_at;
    memcpy(row->vault, req->vault, sizeof row->vault);
    memcpy(row->name, work->object.name, sizeof row->name);
    memcpy(row->version, req->version, sizeof row->version);
    give_record(row, req);
    return KW_OK;
}

static kw_status check_expected(struct work *work, const struct store_row *row)
{
    uint8_t hash[STORE_HASH_LEN];
    if (!work->req->has_expected)
        return KW_OK;
    if (EVP_Digest(row->record, row->record_len, hash, NULL, EVP_sha256(), NULL) != 1)
        return KW_E_INTERNAL;
    return memcmp(hash, work->req->expected, sizeof hash) == 0
               ? KW_OK
               : refuse(work, STORE_CONFLICT_CHANGED);
}

static kw_status check_wake(struct work *work)
{
    const struct store_request *req = work->req;
    return !req->checks_wake || req->was_wake == work->object.wake_at
               ? KW_OK
               : refuse(work, STORE_CONFLICT_CHANGED);
}

static kw_status update(struct work *work)
{
    struct store_request *req = work->req;
    sqlite3_stmt *st = NULL;
    KW_TRY(need_object(work, false));
    KW_TRY(sqlite_sql_live_row(work->conn, req, work->result));
    struct store_row *row = &work->result->rows[work->result->row_count - 1];
    KW_TRY(check_expected(work, row));
    KW_TRY(check_wake(work));
    KW_TRY(sqlite_sql_get(work->conn, SQL_SET_RECORD, &st));
    KW_TRY(sqlite_sql_int(work->conn, st, 1, work->object.id));
    KW_TRY(sqlite_sql_text(work->conn, st, 2, row->version));
    KW_TRY(sqlite_sql_record(work->conn, st, 3, req));
    KW_TRY(sqlite_sql_run(work->conn, st));
    if (req->sets_wake)
        KW_TRY(set_wake(work));
    row->wake_at = work->object.wake_at;
    give_record(row, req);
    return KW_OK;
}

static kw_status soft_delete(struct work *work)
{
    const int64_t state[2] = {work->req->deleted_at, work->req->purge_at};
    KW_TRY(need_object(work, false));
    KW_TRY(run_on(work, SQL_SET_STATE, state, 2));
    return sqlite_sql_one_row(work->conn, SQL_DELETED_NEWEST, work->req, work->result);
}

static kw_status recover(struct work *work)
{
    static const int64_t live[2] = {0, 0};
    KW_TRY(need_object(work, true));
    KW_TRY(run_on(work, SQL_SET_STATE, live, 2));
    return sqlite_sql_one_row(work->conn, SQL_LIVE_NEWEST, work->req, work->result);
}

static kw_status drop(struct work *work)
{
    KW_TRY(run_on(work, SQL_DROP_VERSIONS, NULL, 0));
    return run_on(work, SQL_DROP_OBJECT, NULL, 0);
}

static kw_status purge(struct work *work)
{
    KW_TRY(need_object(work, true));
    if (work->req->purge_at != 0 && work->req->purge_at != work->object.purge_at)
        return refuse(work, STORE_CONFLICT_CHANGED);
    return drop(work);
}

static kw_status remove_all(struct work *work)
{
    KW_TRY(find_object(work));
    return work->object.id != 0 ? drop(work) : KW_E_NOT_FOUND;
}

static kw_status wake(struct work *work)
{
    KW_TRY(need_object(work, false));
    KW_TRY(check_wake(work));
    KW_TRY(set_wake(work));
    return sqlite_sql_one_row(work->conn, SQL_LIVE_NEWEST, work->req, work->result);
}

static kw_status need(struct work *work)
{
    KW_TRY(need_object(work, false));
    if (work->req->has_base)
        KW_TRY(check_base(work));
    return sqlite_sql_one_row(work->conn, SQL_LIVE_NEWEST, work->req, work->result);
}

static kw_status setting_put(struct sqlite_conn *conn, struct store_request *req)
{
    sqlite3_stmt *st = NULL;
    KW_TRY(sqlite_sql_get(conn, SQL_SETTING_PUT, &st));
    KW_TRY(sqlite_sql_text(conn, st, 1, req->name));
    KW_TRY(
        sqlite_conn_status(conn, sqlite3_bind_text64(st, 2, (const char *)req->record,
                                                     req->record_len, SQLITE_STATIC, SQLITE_UTF8)));
    return sqlite_sql_run(conn, st);
}

static kw_status run_change(struct work *work)
{
    switch (work->req->op) {
    case STORE_OP_PUT:
    case STORE_OP_ADD:
        return put(work);
    case STORE_OP_UPDATE:
        return update(work);
    case STORE_OP_DELETE:
        return soft_delete(work);
    case STORE_OP_RECOVER:
        return recover(work);
    case STORE_OP_PURGE:
        return purge(work);
    case STORE_OP_REMOVE:
        return remove_all(work);
    case STORE_OP_WAKE:
        return wake(work);
    case STORE_OP_NEED:
        return need(work);
    default:
        return KW_E_INTERNAL;
    }
}

/** Has the object another place in the lists now, or none? */
static bool is_moved(enum store_op op)
{
    return op == STORE_OP_DELETE || op == STORE_OP_RECOVER || op == STORE_OP_PURGE ||
           op == STORE_OP_REMOVE;
}

/** What lists say of an object is made anew from its rows after each change of it, here and nowhere
 *  else (and for whole vaults in sqlite_vaults.c). */
static kw_status show(struct work *work)
{
    sqlite3_stmt *st = NULL;
    if (is_moved(work->req->op)) {
        KW_TRY(sqlite_sql_object(work->conn, SQL_HIDE, work->req, work->req->name, &st));
        KW_TRY(sqlite_sql_run(work->conn, st));
    }
    return run_on(work, SQL_SHOW, NULL, 0);
}

static kw_status change_object(struct sqlite_conn *conn, struct store_request *req,
                               struct store_result *result)
{
    struct work work = {.conn = conn, .req = req, .result = result};
    KW_TRY(run_change(&work));
    return req->op == STORE_OP_NEED ? KW_OK : show(&work);
}

static kw_status change_part(struct sqlite_conn *conn, struct store_request *part,
                             struct store_result *result)
{
    size_t before = result->row_count;
    kw_status status = change_object(conn, part, result);
    if (status == KW_E_NOT_FOUND && part->optional)
        status = KW_OK;
    KW_TRY(status);
    return result->row_count > before || store_result_add(result) ? KW_OK : KW_E_NOMEM;
}

static kw_status apply(struct sqlite_conn *conn, struct store_request *req)
{
    size_t at = 0;
    for (struct store_request *part = req->parts; part; part = part->next, at++) {
        kw_status status = change_part(conn, part, &req->result);
        if (status != KW_OK) {
            req->result.failed = at;
            return status;
        }
    }
    return KW_OK;
}

kw_status sqlite_change(struct sqlite_conn *conn, struct store_request *req)
{
    if (req->op == STORE_OP_SETTING_PUT)
        return setting_put(conn, req);
    if (req->op == STORE_OP_VAULT_MOVE)
        return sqlite_vault_move(conn, req);
    if (req->op == STORE_OP_VAULT_DROP)
        return sqlite_vault_drop(conn, req->vault);
    if (req->op == STORE_OP_VAULT_REPLACE)
        return sqlite_vault_replace(conn, req);
    if (req->op == STORE_OP_APPLY)
        return apply(conn, req);
    return change_object(conn, req, &req->result);
}
