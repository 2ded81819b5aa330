/* The export of a vault: everything that it holds at one moment, into an archive. */

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "gateway/vault/archive/export_job.h"
#include "gateway/vault/archive/record.h"
#include "gateway/vault/seal.h"
#include "gateway/vault/vault.h"

struct exporting {
    struct transfer *t;
    struct archive_writer *writer;
    EVP_MD_CTX *digest;
    enum store_kind kind; /* of the object before */
    char name[STORE_NAME_MAX + 1];
};

static kw_status take(void *ctx, struct kw_span bytes)
{
    struct exporting *e = ctx;
    if (EVP_DigestUpdate(e->digest, bytes.data, bytes.len) != 1)
        return KW_E_INTERNAL;
    size_t whole = bytes.len;
    while (bytes.len > 0) {
        ssize_t n = write(e->t->fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return transfer_fail(e->t, KW_E_IO, "the export's file cannot be written (errno %d)",
                                 errno);
        bytes = kw_span_of(bytes.data + n, bytes.len - (size_t)n);
    }
    pthread_mutex_lock(&e->t->all->lock);
    e->t->info.size += whole;
    pthread_mutex_unlock(&e->t->all->lock);
    return KW_OK;
}

static void count(struct exporting *e, const struct store_row *row)
{
    struct vault_transfer_info *info = &e->t->info;
    pthread_mutex_lock(&e->t->all->lock);
    if (e->kind != row->kind || strcasecmp(e->name, row->name) != 0)
        info->objects[row->kind]++;
    info->versions[row->kind]++;
    pthread_mutex_unlock(&e->t->all->lock);
    e->kind = row->kind;
    memcpy(e->name, row->name, sizeof e->name);
}

static kw_status add_row(struct exporting *e, const struct store_row *row)
{
    uint8_t head_room[ARCHIVE_RECORD_HEAD];
    struct kw_buf head = {.data = head_room, .cap = sizeof head_room}, plain;
    if (row->kind < 1 || row->kind > STORE_KIND_MAX)
        return KW_E_INTEGRITY;
    KW_TRY(archive_record_head(&head, row));
    kw_status status = vault_unseal(e->t->all->vault->domain, row->kind, row->vault, row, &plain);
    if (status != KW_OK)
        return transfer_fail(e->t, status, "the record of %s, version %s, does not open", row->name,
                             row->version);
    status = archive_put(e->writer, ARCHIVE_RECORD, kw_buf_span(&head), kw_buf_span(&plain));
    vault_plain_free(&plain);
    if (status == KW_OK)
        count(e, row);
    return status;
}

static kw_status add_slice(struct exporting *e, struct store_cursor *cursor, bool *more)
{
    struct transfer_stretch stretch;
    struct store_result slice;
    uint64_t before = e->t->info.size;
    KW_TRY(transfer_go_on(e->t));
    KW_TRY(transfer_cursor_next(e->t, cursor, &slice));
    kw_status status = KW_OK;
    transfer_stretch_begin(&stretch);
    for (size_t i = 0; i < slice.row_count && status == KW_OK; i++)
        status = add_row(e, &slice.rows[i]);
    *more = slice.more;
    store_result_clear(&slice);
    if (status == KW_OK)
        transfer_rest(e->t, &stretch, e->t->info.size - before);
    return status;
}

static kw_status write_all(struct exporting *e)
{
    struct transfer *t = e->t;
    struct store_cursor *cursor = NULL;
    struct archive_manifest manifest;
    bool more = true;
    KW_TRY(archive_put(e->writer, ARCHIVE_ORIGIN, kw_span_str(t->info.vault), (struct kw_span){0}));
    KW_TRY(transfer_cursor_open(t, t->info.vault, &cursor));
    kw_status status = KW_OK;
    while (more && status == KW_OK)
        status = add_slice(e, cursor, &more);
    store_cursor_close(cursor);
    KW_TRY(status);
    KW_TRY(archive_finish(e->writer, &manifest));
    return fsync(t->fd) == 0
               ? KW_OK
               : transfer_fail(t, KW_E_IO, "the export's file cannot be made durable");
}

kw_status transfer_export(struct transfer *t)
{
    struct exporting e = {.t = t, .digest = EVP_MD_CTX_new()};
    uint8_t digest[32];
    kw_status status =
        e.digest && EVP_DigestInit_ex(e.digest, EVP_sha256(), NULL) == 1 ? KW_OK : KW_E_NOMEM;
    if (status == KW_OK)
        status =
            archive_writer_create(&e.writer, t->all->vault->domain,
                                  t->terms ? ARCHIVE_FULL : ARCHIVE_VAULT, kw_wall_s(), take, &e);
    if (status == KW_OK) {
        pthread_mutex_lock(&t->all->lock);
        t->info.head = *archive_writer_head(e.writer);
        memcpy(t->info.origin, t->info.vault, sizeof t->info.origin);
        t->info.has_head = true;
        pthread_mutex_unlock(&t->all->lock);
        status = write_all(&e);
    }
    if (status == KW_OK && EVP_DigestFinal_ex(e.digest, digest, NULL) != 1)
        status = KW_E_INTERNAL;
    if (status == KW_OK) {
        pthread_mutex_lock(&t->all->lock);
        memcpy(t->info.digest, digest, sizeof digest);
        pthread_mutex_unlock(&t->all->lock);
    }
    archive_writer_destroy(e.writer);
    EVP_MD_CTX_free(e.digest);
    return status;
}
