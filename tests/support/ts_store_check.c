#include "tests/support/ts_store_check.h"

#include <sqlite3.h>
#include <stdio.h>

/** What lists have to say, from the tables that it follows from. 768: the longest record that is
 *  kept there. */
#define EXPECTED                                                                                   \
    "SELECT o.vault, o.kind, o.deleted_at <> 0, o.name COLLATE BINARY, o.deleted_at, o.purge_at, " \
    "o.wake_at, v.seq, v.version, v.created, "                                                     \
    "CASE WHEN length(v.record) <= 768 THEN v.record END FROM objects o "                          \
    "JOIN versions v ON v.seq = (SELECT max(seq) FROM versions WHERE object = o.id)"

static const char *const uneven[] = {
    "SELECT 'shown, and not so: ' || name FROM (SELECT * FROM shown EXCEPT " EXPECTED ")",
    "SELECT 'not shown: ' || name FROM (" EXPECTED " EXCEPT SELECT * FROM shown)",
    "SELECT 'without a version: ' || name FROM objects "
    "WHERE newest IS NOT (SELECT max(seq) FROM versions WHERE object = id)",
};

static _Thread_local char why[512];

/** Takes the query's first text, or what kept it from running; empty when it gave no row. */
static void ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    why[0] = '\0';
    if (rc == SQLITE_ROW)
        snprintf(why, sizeof why, "%s", (const char *)sqlite3_column_text(statement, 0));
    else if (rc != SQLITE_DONE)
        snprintf(why, sizeof why, "%s", sqlite3_errmsg(db));
    sqlite3_finalize(statement);
}

const char *ts_store_damage(const char *dir)
{
    static const char sound[] = "SELECT integrity_check FROM pragma_integrity_check(20) "
                                "WHERE integrity_check <> 'ok'";
    char path[512];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/keyward.db", dir);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        snprintf(why, sizeof why, "%s", db ? sqlite3_errmsg(db) : "out of memory");
    } else {
        sqlite3_busy_timeout(db, 5000);
        ask(db, sound);
        for (size_t i = 0; i < sizeof uneven / sizeof uneven[0] && !why[0]; i++)
            ask(db, uneven[i]);
    }
    sqlite3_close(db);
    return why[0] ? why : NULL;
}
