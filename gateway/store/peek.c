#include "gateway/store/peek.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void text_column(sqlite3_stmt *statement, int column, char *out, size_t len)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    snprintf(out, len, "%s", text ? (const char *)text : "");
}

static int read_check(sqlite3 *db, char *check, size_t len)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT value FROM settings WHERE name = 'domain_check'", -1,
                                &statement, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW)
        text_column(statement, 0, check, len);
    sqlite3_finalize(statement);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int read_rows(sqlite3 *db, enum store_kind kind,
                     void (*row)(void *, const char *, const struct store_row *), void *ctx)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(
        db,
        "SELECT o.vault, o.name, v.version, v.created, v.record, "
        "o.deleted_at FROM versions v JOIN objects o ON o.id = v.object WHERE o.kind = ?",
        -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int(statement, 1, (int)kind);
    while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        struct store_row one = {.kind = kind,
                                .created = sqlite3_column_int64(statement, 3),
                                .deleted_at = sqlite3_column_int64(statement, 5)};
        char vault[STORE_VAULT_MAX + 1];
        text_column(statement, 0, vault, sizeof vault);
        text_column(statement, 1, one.name, sizeof one.name);
        text_column(statement, 2, one.version, sizeof one.version);
        one.record = (uint8_t *)(uintptr_t)sqlite3_column_blob(statement, 4);
        one.record_len = (size_t)sqlite3_column_bytes(statement, 4);
        row(ctx, vault, &one);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

kw_status store_peek(const char *dir, enum store_kind kind, char *check, size_t check_len,
                     void (*row)(void *ctx, const char *vault, const struct store_row *row),
                     void *ctx, char *error, size_t error_len)
{
    char path[PATH_MAX];
    sqlite3 *db = NULL;
    check[0] = '\0';
    if (snprintf(path, sizeof path, "%s/keyward.db", dir) >= (int)sizeof path ||
        access(path, F_OK) != 0) {
        snprintf(error, error_len, "there is no store in %s yet", dir);
        return KW_E_NOT_FOUND;
    }
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(db, 2000);
        rc = read_check(db, check, check_len);
    }
    if (rc == SQLITE_OK && row)
        rc = read_rows(db, kind, row, ctx);
    if (rc != SQLITE_OK)
        snprintf(error, error_len, "%s: %s", path, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    sqlite3_close(db);
    return rc == SQLITE_OK                               ? KW_OK
           : rc == SQLITE_NOTADB || rc == SQLITE_CORRUPT ? KW_E_INTEGRITY
                                                         : KW_E_IO;
}
