/* The embedded engine: SQLite in WAL mode, one connection that writes and one that reads, so that a
 * list or a cache miss never waits behind an fsync. */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/store/data_dir.h"
#include "gateway/store/migrations.h"
#include "gateway/store/sqlite_changes.h"
#include "gateway/store/sqlite_queries.h"

#define CHECKPOINT_PAGES 1000 /* about 4 MB of log */

struct sqlite_engine {
    struct store_engine base;
    int lock_fd;
    struct sqlite_conn writer;
    struct sqlite_conn reader;
    char path[PATH_MAX];
    struct sqlite_cursors cursors; /* the reader's thread */
    int log_pages;                 /* length of the log after the last commit */
    int checkpoint_at;             /* length at which the next checkpoint is due */
};

static struct sqlite_engine *of(struct store_engine *engine)
{
    return (struct sqlite_engine *)engine;
}

static int log_grew(void *ctx, sqlite3 *db, const char *name, int pages)
{
    struct sqlite_engine *engine = ctx;
    (void)db;
    (void)name;
    engine->log_pages = pages;
    return SQLITE_OK;
}

static kw_status begin(struct store_engine *base)
{
    struct sqlite_engine *engine = of(base);
    engine->writer.fault = STORE_FAULT_NONE;
    return sqlite_conn_exec(&engine->writer, "BEGIN IMMEDIATE");
}

static kw_status change(struct store_engine *base, struct store_request *req)
{
    struct sqlite_conn *conn = &of(base)->writer;
    KW_TRY(sqlite_conn_exec(conn, "SAVEPOINT one"));
    kw_status status = sqlite_change(conn, req);
    /* a full disk or an I/O error concerns everybody in the transaction, and SQLite may have taken
     * all of it back already */
    if (status != KW_OK && (conn->fault != STORE_FAULT_NONE || sqlite3_get_autocommit(conn->db)))
        return status;
    if (status != KW_OK) {
        store_result_clear(&req->result);
        KW_TRY(sqlite_conn_exec(conn, "ROLLBACK TO one"));
    }
    KW_TRY(sqlite_conn_exec(conn, "RELEASE one"));
    req->result.status = status;
    return KW_OK;
}

static kw_status commit(struct store_engine *base)
{
    return sqlite_conn_exec(&of(base)->writer, "COMMIT");
}

static void rollback(struct store_engine *base)
{
    struct sqlite_conn *conn = &of(base)->writer;
    /* its own failure changes nothing: the transaction that it would have ended is reported lost,
     * and a connection that stays inside one fails its next begin */
    if (!sqlite3_get_autocommit(conn->db))
        sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
}

static enum store_fault fault(const struct store_engine *base)
{
    return ((const struct sqlite_engine *)base)->writer.fault;
}

static const char *fault_text(const struct store_engine *base)
{
    return ((const struct sqlite_engine *)base)->writer.fault_text;
}

static kw_status tidy(struct store_engine *base)
{
    struct sqlite_engine *engine = of(base);
    struct sqlite_conn *conn = &engine->writer;
    int in_log = 0, moved = 0;
    if (engine->log_pages < engine->checkpoint_at)
        return KW_OK;
    conn->fault = STORE_FAULT_NONE;
    int rc = sqlite3_wal_checkpoint_v2(conn->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
    if (rc == SQLITE_BUSY)
        rc = SQLITE_OK;
    /* what a reader still holds back is moved later, not at every commit until then */
    engine->checkpoint_at = moved < in_log ? in_log + CHECKPOINT_PAGES : CHECKPOINT_PAGES;
    engine->log_pages = 0;
    return sqlite_conn_status(conn, rc);
}

static kw_status probe(struct store_engine *base)
{
    struct sqlite_conn *conn = &of(base)->writer;
    conn->fault = STORE_FAULT_NONE;
    /* each is its own durable transaction: room for a few dozen records is there again */
    KW_TRY(sqlite_conn_exec(conn, "INSERT OR REPLACE INTO settings(name, value) "
                                  "VALUES('room probe', zeroblob(65536))"));
    return sqlite_conn_exec(conn, "DELETE FROM settings WHERE name = 'room probe'");
}

static void query(struct store_engine *base, struct store_request *req)
{
    struct sqlite_engine *engine = of(base);
    bool cursor = req->op >= STORE_OP_CURSOR_OPEN && req->op <= STORE_OP_CURSOR_CLOSE;
    engine->reader.fault = STORE_FAULT_NONE;
    req->result.status =
        cursor ? sqlite_cursor(&engine->cursors, req) : sqlite_query(&engine->reader, req);
    if (req->result.status != KW_OK)
        store_result_clear(&req->result);
}

static void engine_close(struct store_engine *base)
{
    struct sqlite_engine *engine = of(base);
    /* the last close moves the log into the database; after a lost write the files stay as they
     * are, for recovery at the next start */
    if (engine->writer.db && engine->writer.fault == STORE_FAULT_LOST) {
        sqlite3_db_config(engine->writer.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        if (engine->reader.db)
            sqlite3_db_config(engine->reader.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    sqlite_cursors_close(&engine->cursors);
    sqlite_conn_close(&engine->reader);
    sqlite_conn_close(&engine->writer);
    if (engine->lock_fd >= 0)
        close(engine->lock_fd);
    free(engine);
}

static const struct store_engine_type sqlite_type = {
    .name = "sqlite",
    .begin = begin,
    .change = change,
    .commit = commit,
    .rollback = rollback,
    .fault = fault,
    .fault_text = fault_text,
    .tidy = tidy,
    .probe = probe,
    .query = query,
    .close = engine_close,
};

static kw_status open_all(struct sqlite_engine *engine, const char *dir, char *error,
                          size_t error_len)
{
    char *path = engine->path;
    KW_TRY(store_dir_open(&engine->lock_fd, dir, error, error_len));
    if (snprintf(path, sizeof engine->path, "%s/keyward.db", dir) >= (int)sizeof engine->path) {
        snprintf(error, error_len, "the path of the data directory is too long");
        return KW_E_INPUT;
    }
    KW_TRY(store_file_prepare(path, error, error_len));
    KW_TRY(sqlite_conn_open(&engine->writer, path, false, error, error_len));
    KW_TRY(store_migrate(&engine->writer, error, error_len));
    KW_TRY(sqlite_conn_open(&engine->reader, path, true, error, error_len));
    sqlite3_wal_hook(engine->writer.db, log_grew, engine);
    if (store_dir_sync(dir) != KW_OK) {
        snprintf(error, error_len, "cannot fsync the data directory %s", dir);
        return KW_E_IO;
    }
    return KW_OK;
}

kw_status store_sqlite_open(struct store_engine **out, const char *dir, char *error,
                            size_t error_len)
{
    struct sqlite_engine *engine = calloc(1, sizeof *engine);
    if (!engine) {
        snprintf(error, error_len, "out of memory");
        return KW_E_NOMEM;
    }
    engine->base.type = &sqlite_type;
    engine->lock_fd = -1;
    engine->checkpoint_at = CHECKPOINT_PAGES;
    engine->cursors.path = engine->path;
    kw_status status = open_all(engine, dir, error, error_len);
    if (status != KW_OK) {
        engine_close(&engine->base);
        return status;
    }
    *out = &engine->base;
    return KW_OK;
}
