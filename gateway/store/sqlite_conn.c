#include "gateway/store/sqlite_conn.h"

#include <errno.h>
#include <stdio.h>

#define READER_CACHE_KIB "131072"
#define WRITER_CACHE_KIB "16384"
#define BUSY_TIMEOUT_MS  5000 /* only an operator's own sqlite3 shell can hold the lock */

static int last_errno(sqlite3_file *file)
{
    int why = 0;
    if (!file || !file->pMethods ||
        file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &why) != SQLITE_OK)
        return 0;
    return why;
}

/** Did a write fail for want of room, by what the system said of the log and of the database? */
static bool no_room(sqlite3 *db)
{
    static const int which[] = {SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_FCNTL_FILE_POINTER};
    bool full = false;
    for (size_t i = 0; i < 2; i++) {
        sqlite3_file *file = NULL;
        if (sqlite3_file_control(db, "main", which[i], &file) != SQLITE_OK)
            return false;
        int why = last_errno(file);
        if (why == EFBIG || why == EDQUOT || why == ENOSPC)
            full = true;
        else if (why != 0)
            return false;
    }
    return full;
}

/* A write that met EFBIG or EDQUOT is a full disk by another name; SQLite reports it as an I/O
 * error. Every other write or fsync error is lost ground: the kernel may have dropped the pages and
 * will report the next fsync as good, so nothing may be retried on this file. */
static enum store_fault fault_of(sqlite3 *db, int rc)
{
    int code = rc & 0xff;
    if (code == SQLITE_FULL)
        return STORE_FAULT_FULL;
    if (rc == SQLITE_IOERR_WRITE && no_room(db))
        return STORE_FAULT_FULL;
    if (rc == SQLITE_IOERR_NOMEM)
        return STORE_FAULT_NONE;
    switch (code) {
    case SQLITE_IOERR:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return STORE_FAULT_LOST;
    default:
        return STORE_FAULT_NONE;
    }
}

kw_status sqlite_conn_status(struct sqlite_conn *conn, int rc)
{
    if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
        return KW_OK;
    enum store_fault fault = fault_of(conn->db, rc);
    if (fault > conn->fault) {
        conn->fault = fault;
        snprintf(conn->fault_text, sizeof conn->fault_text, "%s (%d)", sqlite3_errstr(rc), rc);
    }
    if (rc == SQLITE_IOERR_NOMEM)
        return KW_E_NOMEM;
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
        return KW_E_CONFLICT;
    case SQLITE_NOMEM:
        return KW_E_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return KW_E_BUSY;
    case SQLITE_TOOBIG:
        return KW_E_TOO_LARGE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return KW_E_INTEGRITY;
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_ERROR:
        return KW_E_INTERNAL;
    default:
        return KW_E_IO;
    }
}

kw_status sqlite_conn_exec(struct sqlite_conn *conn, const char *sql)
{
    return sqlite_conn_status(conn, sqlite3_exec(conn->db, sql, NULL, NULL, NULL));
}

kw_status sqlite_conn_statement(struct sqlite_conn *conn, unsigned index, const char *sql,
                                sqlite3_stmt **out)
{
    sqlite3_stmt **kept = &conn->statements[index];
    if (!*kept)
        KW_TRY(sqlite_conn_status(
            conn, sqlite3_prepare_v3(conn->db, sql, -1, SQLITE_PREPARE_PERSISTENT, kept, NULL)));
    sqlite3_reset(*kept);
    sqlite3_clear_bindings(*kept);
    *out = *kept;
    return KW_OK;
}

/** journal_mode answers with what it became: anything but "wal" is a refusal. */
static kw_status set_wal(struct sqlite_conn *conn)
{
    sqlite3_stmt *statement = NULL;
    KW_TRY(sqlite_conn_status(
        conn, sqlite3_prepare_v2(conn->db, "PRAGMA journal_mode=WAL", -1, &statement, NULL)));
    int rc = sqlite3_step(statement);
    kw_status status = sqlite_conn_status(conn, rc);
    if (status == KW_OK) {
        const char *mode = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : "";
        if (!mode || strcmp(mode, "wal") != 0)
            status = KW_E_IO;
    }
    sqlite3_finalize(statement);
    return status;
}

static kw_status configure(struct sqlite_conn *conn, bool reader)
{
    KW_TRY(sqlite_conn_status(conn, sqlite3_busy_timeout(conn->db, BUSY_TIMEOUT_MS)));
    KW_TRY(set_wal(conn));
    /* synchronous=FULL: every commit fsyncs the log. Checkpoints are run by hand (sqlite.c),
     * because the automatic ones swallow their errors. mmap stays off: an I/O error would be a
     * SIGBUS. */
    KW_TRY(sqlite_conn_exec(conn, "PRAGMA synchronous=FULL;"
                                  "PRAGMA wal_autocheckpoint=0;"
                                  "PRAGMA journal_size_limit=67108864;"
                                  "PRAGMA foreign_keys=ON;"
                                  "PRAGMA trusted_schema=OFF;"
                                  "PRAGMA secure_delete=ON;"
                                  "PRAGMA cell_size_check=ON;"
                                  "PRAGMA mmap_size=0;"
                                  "PRAGMA temp_store=MEMORY"));
    /* each keeps the inner pages of its indexes even with a million versions: a look-up then reads
     * the one page of its row; the reader has room for what lists read of 100,000 objects too (70
     * MB). Memory is taken as pages are read, up to the bound. */
    if (!reader)
        return sqlite_conn_exec(conn, "PRAGMA cache_size=-" WRITER_CACHE_KIB);
    return sqlite_conn_exec(conn, "PRAGMA query_only=ON;"
                                  "PRAGMA cache_size=-" READER_CACHE_KIB);
}

kw_status sqlite_conn_open(struct sqlite_conn *conn, const char *path, bool reader, char *error,
                           size_t error_len)
{
    memset(conn, 0, sizeof *conn);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    kw_status status = sqlite_conn_status(conn, sqlite3_open_v2(path, &conn->db, flags, NULL));
    if (status == KW_OK)
        status = configure(conn, reader);
    if (status != KW_OK) {
        snprintf(error, error_len, "cannot open the database %s: %s", path,
                 conn->db ? sqlite3_errmsg(conn->db) : "out of memory");
        sqlite_conn_close(conn);
    }
    return status;
}

void sqlite_conn_close(struct sqlite_conn *conn)
{
    for (unsigned i = 0; i < SQLITE_STATEMENTS_MAX; i++)
        sqlite3_finalize(conn->statements[i]);
    sqlite3_close(conn->db);
    memset(conn, 0, sizeof *conn);
}
