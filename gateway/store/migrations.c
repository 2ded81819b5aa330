#include "gateway/store/migrations.h"

#include <stdio.h>

/* A step that was released is never edited; a change of the schema is a new step at the end.
 *
 * objects.name compares without case and keeps the spelling of its creation. versions.seq only
 * grows, also over purges (AUTOINCREMENT): the newest version is the one with the highest seq,
 * whatever the clock said. The two partial indexes serve the two lists. */
static const char *const steps[] = {
    /* 1: objects with versions, settings */
    "CREATE TABLE settings("
    "  name TEXT NOT NULL PRIMARY KEY,"
    "  value NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE objects("
    "  id INTEGER PRIMARY KEY,"
    "  vault TEXT NOT NULL COLLATE NOCASE,"
    "  kind INTEGER NOT NULL,"
    "  name TEXT NOT NULL COLLATE NOCASE,"
    "  deleted_at INTEGER NOT NULL DEFAULT 0,"
    "  purge_at INTEGER NOT NULL DEFAULT 0,"
    "  UNIQUE(vault, kind, name));"
    "CREATE INDEX objects_live ON objects(vault, kind, name) WHERE deleted_at = 0;"
    "CREATE INDEX objects_deleted ON objects(vault, kind, name) WHERE deleted_at <> 0;"
    "CREATE TABLE versions("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  object INTEGER NOT NULL REFERENCES objects(id),"
    "  version TEXT NOT NULL,"
    "  created INTEGER NOT NULL,"
    "  record BLOB NOT NULL,"
    "  UNIQUE(object, version));"
    "CREATE INDEX versions_order ON versions(object, seq);",
    /* 2: what is due. Partial: most objects are neither deleted nor woken. */
    "ALTER TABLE objects ADD COLUMN wake_at INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX objects_purge ON objects(kind, purge_at) WHERE deleted_at <> 0;"
    "CREATE INDEX objects_wake ON objects(kind, wake_at) WHERE wake_at <> 0 AND deleted_at = 0;",
    /* 3: the newest version's seq beside its object, and the two lists' indexes with all that a
     * list says of an object: a page of a list, or a look-up without a version, reads one run of
     * the index and the rows of the versions. */
    "ALTER TABLE objects ADD COLUMN newest INTEGER NOT NULL DEFAULT 0;"
    "UPDATE objects SET newest ="
    "  (SELECT coalesce(max(seq), 0) FROM versions WHERE object = objects.id);"
    "DROP INDEX objects_live;"
    "DROP INDEX objects_deleted;"
    "CREATE INDEX objects_live ON objects"
    "  (vault, kind, name, deleted_at, purge_at, wake_at, newest) WHERE deleted_at = 0;"
    "CREATE INDEX objects_deleted ON objects"
    "  (vault, kind, name, deleted_at, purge_at, wake_at, newest) WHERE deleted_at <> 0;",
    /* 4: what lists say, in their order: a page reads one run of this table and nothing else,
     * however many versions lie between its rows in theirs. It follows from objects and versions
     * (sqlite_changes.c) and stands in the place of the two indexes. `record` only where it is
     * short: one that does not stay on the page of its row gains nothing by being there. */
    "DROP INDEX objects_live;"
    "DROP INDEX objects_deleted;"
    "CREATE TABLE shown("
    "  vault TEXT NOT NULL COLLATE NOCASE,"
    "  kind INTEGER NOT NULL,"
    "  deleted INTEGER NOT NULL,"
    "  name TEXT NOT NULL COLLATE NOCASE,"
    "  deleted_at INTEGER NOT NULL,"
    "  purge_at INTEGER NOT NULL,"
    "  wake_at INTEGER NOT NULL,"
    "  seq INTEGER NOT NULL,"
    "  version TEXT NOT NULL,"
    "  created INTEGER NOT NULL,"
    "  record BLOB,"
    "  PRIMARY KEY(vault, kind, deleted, name)) WITHOUT ROWID;"
    "INSERT INTO shown SELECT o.vault, o.kind, o.deleted_at <> 0, o.name, o.deleted_at,"
    "  o.purge_at, o.wake_at, v.seq, v.version, v.created,"
    "  CASE WHEN length(v.record) <= 768 THEN v.record END"
    "  FROM objects o CROSS JOIN versions v ON v.seq = o.newest"
    "  ORDER BY o.vault, o.kind, o.deleted_at <> 0, o.name;",
};

unsigned store_schema_version(void)
{
    return sizeof steps / sizeof steps[0];
}

static kw_status current_version(struct sqlite_conn *conn, unsigned *out)
{
    sqlite3_stmt *statement = NULL;
    KW_TRY(sqlite_conn_exec(conn, "CREATE TABLE IF NOT EXISTS migrations("
                                  "  version INTEGER PRIMARY KEY,"
                                  "  applied_at INTEGER NOT NULL)"));
    KW_TRY(sqlite_conn_status(
        conn, sqlite3_prepare_v2(conn->db, "SELECT coalesce(max(version), 0) FROM migrations", -1,
                                 &statement, NULL)));
    int rc = sqlite3_step(statement);
    kw_status status = sqlite_conn_status(conn, rc);
    sqlite3_int64 version = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
    sqlite3_finalize(statement);
    if (status == KW_OK && (version < 0 || version > 1000000))
        status = KW_E_INTEGRITY;
    *out = status == KW_OK ? (unsigned)version : 0;
    return status;
}

static kw_status run_step(struct sqlite_conn *conn, unsigned version)
{
    char record[128];
    snprintf(record, sizeof record,
             "INSERT INTO migrations(version, applied_at) VALUES(%u, unixepoch())", version);
    kw_status status = sqlite_conn_exec(conn, "BEGIN IMMEDIATE");
    if (status == KW_OK)
        status = sqlite_conn_exec(conn, steps[version - 1]);
    if (status == KW_OK)
        status = sqlite_conn_exec(conn, record);
    if (status == KW_OK)
        status = sqlite_conn_exec(conn, "COMMIT");
    return status;
}

kw_status store_migrate(struct sqlite_conn *conn, char *error, size_t error_len)
{
    unsigned version = 0;
    kw_status status = current_version(conn, &version);
    if (status == KW_OK && version > store_schema_version()) {
        snprintf(error, error_len,
                 "the database has schema %u, this program knows up to %u: it was written by a "
                 "newer keyward; run that one, or restore a backup made before the upgrade",
                 version, store_schema_version());
        return KW_E_UNSUPPORTED;
    }
    while (status == KW_OK && version < store_schema_version()) {
        version++;
        status = run_step(conn, version);
    }
    if (status != KW_OK) {
        snprintf(error, error_len, "cannot bring the database to schema %u: %s", version,
                 sqlite3_errmsg(conn->db));
        if (!sqlite3_get_autocommit(conn->db))
            sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return status;
}
