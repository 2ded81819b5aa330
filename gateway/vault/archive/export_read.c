/* The way back: an archive is read through once, authenticated to its last byte and compared with
 * the names of the vault; then it is read again and stored under a name that no request reaches,
 * and moved into the vault in one transaction. */

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "crypto/base/hex.h"
#include "gateway/vault/archive/export_job.h"
#include "gateway/vault/archive/record.h"
#include "gateway/vault/seal.h"
#include "gateway/vault/vault.h"

/* No host name selects it, because '~' is in none; due work leaves it alone (store_due). */
#define STAGING "~import"

#define BATCH_CHANGES 256
#define BATCH_BYTES   (2u << 20)
#define SLICE_ENTRIES 64

struct importing {
    struct transfer *t;
    struct archive_reader *reader;
    uint64_t offset; /* in the file */
    EVP_MD_CTX *digest;
    struct store_row last;   /* the record before; kind 0: none */
    struct store_row stored; /* the one that was stored before; kind 0: none */
    struct transfer_stretch stretch;
    unsigned since_rest;
    uint64_t rested_at;

    /* names of the vault, in the same order (compare) */
    struct store_cursor *cursor;
    struct store_result theirs;
    size_t their_at;
    bool their_end;

    /* what waits to be stored */
    struct store_change changes[BATCH_CHANGES];
    char names[BATCH_CHANGES][STORE_NAME_MAX + 1];
    char versions[BATCH_CHANGES][STORE_VERSION_LEN + 1];
    size_t change_count, change_bytes;
};

/* --- reading the file --- */

static kw_status give(void *ctx, uint8_t *out, size_t len, size_t *got)
{
    struct importing *m = ctx;
    ssize_t n;
    do {
        n = pread(m->t->fd, out, len, (off_t)m->offset);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return transfer_fail(m->t, KW_E_IO, "the archive cannot be read back (errno %d)", errno);
    m->offset += (uint64_t)n;
    *got = (size_t)n;
    if (m->digest && EVP_DigestUpdate(m->digest, out, *got) != 1)
        return KW_E_INTERNAL;
    return KW_OK;
}

static kw_status open_archive(struct importing *m)
{
    struct transfer *t = m->t;
    struct archive_head head;
    char theirs[2 * KC_DOMAIN_CHECK_LEN + 1], ours[2 * KC_DOMAIN_CHECK_LEN + 1];
    m->offset = 0;
    m->last.kind = 0;
    kw_status status = archive_reader_create(&m->reader, &head, t->all->vault->domain, give, m);
    if (status == KW_E_INPUT)
        return transfer_fail(t, status, "the file is not an archive of keyward, or is cut");
    if (status == KW_E_UNSUPPORTED)
        return transfer_fail(t, status, "the archive was made by a newer keyward");
    if (status == KW_E_FORBIDDEN) {
        kw_hex_write(theirs, head.check, sizeof head.check);
        kc_domain_check(t->all->vault->domain, ours);
        return transfer_fail(t, status,
                             "the archive is of security domain %s, this gateway of %s; it can be "
                             "read only where the domain is the same",
                             theirs, ours);
    }
    KW_TRY(status);
    if (head.what != (t->terms ? ARCHIVE_FULL : ARCHIVE_VAULT))
        return transfer_fail(t, KW_E_UNSUPPORTED, "the archive is no %s",
                             t->terms ? "full backup" : "export of a vault");
    pthread_mutex_lock(&t->all->lock);
    t->info.head = head;
    t->info.has_head = true;
    pthread_mutex_unlock(&t->all->lock);
    return KW_OK;
}

/** By kind, then by name without case: the order of the store's cursors and of an export. */
static int compare(const struct store_row *a, const struct store_row *b)
{
    return a->kind != b->kind ? (a->kind < b->kind ? -1 : 1) : strcasecmp(a->name, b->name);
}

static kw_status rest(struct importing *m)
{
    if (++m->since_rest < SLICE_ENTRIES)
        return KW_OK;
    m->since_rest = 0;
    transfer_rest(m->t, &m->stretch, m->offset - m->rested_at);
    m->rested_at = m->offset;
    transfer_stretch_begin(&m->stretch);
    return transfer_go_on(m->t);
}

static kw_status note_origin(struct transfer *t, struct kw_span entry)
{
    if (entry.len == 0 || entry.len > STORE_VAULT_MAX)
        return KW_E_INTEGRITY;
    pthread_mutex_lock(&t->all->lock);
    memcpy(t->info.origin, entry.data, entry.len);
    t->info.origin[entry.len] = '\0';
    pthread_mutex_unlock(&t->all->lock);
    return KW_OK;
}

/** Calls `take` for each record; `first`: the first version of its object. */
static kw_status read_records(struct importing *m,
                              kw_status (*take)(struct importing *m, const struct store_row *row,
                                                struct kw_span plain, bool first))
{
    struct kw_span entry, plain;
    enum archive_entry type;
    kw_status status;
    KW_TRY(open_archive(m));
    transfer_stretch_begin(&m->stretch);
    m->rested_at = m->offset;
    while ((status = archive_next(m->reader, &type, &entry)) == KW_OK) {
        struct store_row row;
        if (type == ARCHIVE_ORIGIN) {
            KW_TRY(note_origin(m->t, entry));
            continue;
        }
        if (type != ARCHIVE_RECORD)
            return transfer_fail(m->t, KW_E_UNSUPPORTED,
                                 "the archive holds an entry that this version does not know");
        KW_TRY(archive_record_read(entry, &row, &plain));
        int order = m->last.kind ? compare(&m->last, &row) : -1;
        if (order > 0)
            return KW_E_INTEGRITY;
        KW_TRY(take(m, &row, plain, order != 0));
        m->last = row;
        KW_TRY(rest(m));
    }
    archive_reader_destroy(m->reader);
    m->reader = NULL;
    if (status == KW_E_INTEGRITY)
        return transfer_fail(m->t, status, "the archive was changed, or is cut; nothing was %s",
                             m->t->terms ? "changed" : "imported");
    return status == KW_E_NOT_FOUND ? KW_OK : status;
}

/* --- the first pass: is it whole, are the names free? --- */

/** The next row that the vault has, or its end. */
static kw_status their_next(struct importing *m)
{
    if (m->their_end)
        return KW_OK;
    if (++m->their_at < m->theirs.row_count)
        return KW_OK;
    m->their_end = !m->theirs.more;
    store_result_clear(&m->theirs);
    m->their_at = 0;
    if (m->their_end)
        return KW_OK;
    KW_TRY(transfer_cursor_next(m->t, m->cursor, &m->theirs));
    m->their_end = m->theirs.row_count == 0;
    return KW_OK;
}

static void note_conflict(struct transfer *t, const char *name)
{
    struct vault_transfer_info *info = &t->info;
    pthread_mutex_lock(&t->all->lock);
    if (info->conflict_count < VAULT_TRANSFER_NAMES)
        memcpy(info->conflicts[info->conflict_count], name, STORE_NAME_MAX + 1);
    info->conflict_count++;
    pthread_mutex_unlock(&t->all->lock);
}

static kw_status look_up(struct importing *m, const struct store_row *row)
{
    while (!m->their_end && compare(&m->theirs.rows[m->their_at], row) < 0)
        KW_TRY(their_next(m));
    if (!m->their_end && compare(&m->theirs.rows[m->their_at], row) == 0)
        note_conflict(m->t, row->name);
    return KW_OK;
}

static kw_status check_record(struct importing *m, const struct store_row *row,
                              struct kw_span plain, bool first)
{
    struct vault_transfer_info *info = &m->t->info;
    (void)plain;
    if (m->t->info.kind == VAULT_RESTORE_KEY && row->kind == STORE_CERTIFICATE &&
        strcasecmp(row->name, m->t->terms->key) == 0)
        return transfer_fail(m->t, KW_E_FORBIDDEN,
                             "the key %s belongs to a certificate and is restored with it alone: "
                             "by a full restore",
                             row->name);
    pthread_mutex_lock(&m->t->all->lock);
    info->versions[row->kind]++;
    info->objects[row->kind] += first;
    pthread_mutex_unlock(&m->t->all->lock);
    return first && m->cursor && row->kind != STORE_SETTING ? look_up(m, row) : KW_OK;
}

static kw_status check_all(struct importing *m)
{
    struct transfer *t = m->t;
    if (t->info.kind == VAULT_IMPORT) {
        KW_TRY(transfer_cursor_open(t, t->info.vault, &m->cursor));
        KW_TRY(transfer_cursor_next(t, m->cursor, &m->theirs));
        m->their_end = m->theirs.row_count == 0;
    }
    KW_TRY(read_records(m, check_record));
    if (t->info.conflict_count == 0)
        return KW_OK;
    return transfer_fail(t, KW_E_CONFLICT,
                         "%llu of the names exist in the vault already, live or deleted; nothing "
                         "was imported",
                         (unsigned long long)t->info.conflict_count);
}

/* --- the second pass --- */

static void drop_changes(struct importing *m)
{
    for (size_t i = 0; i < m->change_count; i++)
        free((void *)(uintptr_t)m->changes[i].record.data);
    m->change_count = 0;
    m->change_bytes = 0;
}

static kw_status flush(struct importing *m)
{
    if (m->change_count == 0)
        return KW_OK;
    kw_status status = transfer_apply(m->t, m->changes, m->change_count);
    drop_changes(m);
    return status;
}

static struct store_change *add_change(struct importing *m, enum store_change_op op,
                                       const struct store_row *row)
{
    size_t at = m->change_count++;
    memcpy(m->names[at], row->name, sizeof m->names[at]);
    memcpy(m->versions[at], row->version, sizeof m->versions[at]);
    m->changes[at] = (struct store_change){.op = op,
                                           .ref = {.vault = STAGING,
                                                   .kind = row->kind,
                                                   .name = m->names[at],
                                                   .version = m->versions[at]},
                                           .created = row->created};
    return &m->changes[at];
}

/** What the state of an object is behind its last version. */
static void add_state(struct importing *m)
{
    const struct store_row *last = &m->stored;
    if (last->kind && last->deleted_at != 0) {
        struct store_change *change = add_change(m, STORE_CHANGE_DELETE, last);
        change->deleted_at = last->deleted_at;
        change->purge_at = last->purge_at;
    }
}

/** An import adds to a vault, whose settings stay its own. */
static bool is_asked_for(const struct transfer *t, const struct store_row *row)
{
    if (t->info.kind == VAULT_IMPORT)
        return row->kind != STORE_SETTING;
    return t->info.kind != VAULT_RESTORE_KEY ||
           ((row->kind == STORE_KEY || row->kind == STORE_KEY_POLICY) &&
            strcasecmp(row->name, t->terms->key) == 0);
}

static kw_status store_record(struct importing *m, const struct store_row *row,
                              struct kw_span plain, bool first)
{
    struct transfer *t = m->t;
    struct store_ref place = {
        .vault = t->info.vault, .kind = row->kind, .name = row->name, .version = row->version};
    uint8_t *record = NULL;
    size_t len = 0;
    if (!is_asked_for(t, row))
        return KW_OK;
    if (first)
        add_state(m);
    KW_TRY(vault_seal_at(t->all->vault->domain, &place, plain, &record, &len));
    struct store_change *change = add_change(m, first ? STORE_CHANGE_ADD : STORE_CHANGE_PUT, row);
    change->record = kw_span_of(record, len);
    change->sets_wake = row->wake_at != 0;
    change->wake_at = row->wake_at;
    m->change_bytes += len;
    m->stored = *row;
    /* room for a state and a version */
    return m->change_count > BATCH_CHANGES - 2 || m->change_bytes > BATCH_BYTES ? flush(m) : KW_OK;
}

/** What was stored out of reach for what the vault has. */
static kw_status exchange(struct transfer *t)
{
    kw_status status = transfer_vault_replace(t, STAGING, t->info.vault);
    /* also when it is not known what came of it */
    for (size_t i = 0; i < VAULT_KINDS; i++)
        if (t->all->vault->caches[i])
            vault_cache_drop_vault(t->all->vault->caches[i], t->info.vault);
    return status;
}

/** A vault's roles stand still while others come into their place. */
static kw_status put_in_place(struct transfer *t)
{
    if (t->info.kind == VAULT_RESTORE_KEY)
        return transfer_vault_move(t, STAGING, t->info.vault);
    KW_TRY(transfer_hold_roles(t));
    kw_status status = t->info.kind == VAULT_RESTORE
                           ? exchange(t)
                           : transfer_vault_move(t, STAGING, t->info.vault);
    /* what could not be read is known to nobody; the next who asks reads it */
    if (transfer_release_roles(t) != KW_OK)
        transfer_fail(t, status, "the roles of the vault could not be read back");
    return status;
}

static kw_status store_all(struct importing *m)
{
    struct transfer *t = m->t;
    KW_TRY(transfer_vault_drop(t, STAGING));
    KW_TRY(read_records(m, store_record));
    add_state(m);
    KW_TRY(flush(m));
    if (t->terms && t->info.kind != VAULT_RESTORE && m->stored.kind == 0)
        return transfer_fail(t, KW_E_NOT_FOUND, "the backup has no key %s", t->terms->key);
    kw_status status = put_in_place(t);
    if (t->info.kind == VAULT_RESTORE)
        return status;
    if (status == KW_E_CONFLICT && t->terms)
        return transfer_fail(t, status,
                             "the key %s exists already, live or deleted; purge it first; nothing "
                             "was changed",
                             t->terms->key);
    if (status == KW_E_CONFLICT)
        return transfer_fail(t, status,
                             "a name of the archive came into the vault while it was imported; "
                             "nothing was imported");
    return status;
}

static kw_status note_digest(struct importing *m)
{
    struct transfer *t = m->t;
    uint8_t digest[32];
    if (EVP_DigestFinal_ex(m->digest, digest, NULL) != 1)
        return KW_E_INTERNAL;
    pthread_mutex_lock(&t->all->lock);
    memcpy(t->info.digest, digest, sizeof digest);
    pthread_mutex_unlock(&t->all->lock);
    return KW_OK;
}

static bool changes_something(enum vault_transfer_kind kind)
{
    return kind == VAULT_IMPORT || kind == VAULT_RESTORE || kind == VAULT_RESTORE_KEY;
}

kw_status transfer_import(struct transfer *t)
{
    struct importing *m = calloc(1, sizeof *m);
    if (!m)
        return KW_E_NOMEM;
    m->t = t;
    m->digest = EVP_MD_CTX_new();
    kw_status status =
        m->digest && EVP_DigestInit_ex(m->digest, EVP_sha256(), NULL) == 1 ? KW_OK : KW_E_NOMEM;
    if (status == KW_OK)
        status = check_all(m);
    if (status == KW_OK)
        status = note_digest(m);
    EVP_MD_CTX_free(m->digest);
    m->digest = NULL;
    store_cursor_close(m->cursor);
    store_result_clear(&m->theirs);
    if (status == KW_OK && t->terms)
        status = transfer_full_check(t);
    if (status == KW_OK && changes_something(t->info.kind)) {
        status = store_all(m);
        if (status != KW_OK && transfer_vault_drop(t, STAGING) != KW_OK)
            status = transfer_fail(t, status,
                                   "the import failed; what it had stored out of reach "
                                   "is removed with the next one");
    }
    archive_reader_destroy(m->reader);
    drop_changes(m);
    free(m);
    return status;
}
