/* Backup blobs back into objects; the format is described in backup.h and made in backup.c. */

#include <stdio.h>
#include <stdlib.h>

#include "crypto/base/hex.h"
#include "crypto/base/secret.h"
#include "gateway/vault/archive/backup.h"
#include "gateway/vault/archive/format.h"
#include "gateway/vault/lifecycle.h"
#include "gateway/vault/seal.h"
#include "gateway/vault/vault.h"

struct restoring {
    struct vault *vault;
    struct gw_loop *loop;
    vault_restore_fn *done;
    void *ctx;
    enum store_kind kind;
    struct kw_buf plain;
    size_t next;        /* where in `plain` the next entry begins */
    size_t count, at;   /* entries: in all, and made into changes */
    enum store_kind of; /* of the entry before */
    struct store_change *changes;
    char (*versions)[STORE_VERSION_LEN + 1];
    char vault_name[STORE_VAULT_MAX + 1];
    char name[STORE_NAME_MAX + 1];
    char check[2 * KC_DOMAIN_CHECK_LEN + 1];
};

static void restoring_end(struct restoring *r, struct vault_restored *what)
{
    what->name = r->name[0] ? r->name : NULL;
    what->check = r->check[0] ? r->check : NULL;
    r->done(r->ctx, what);
    for (size_t i = 0; r->changes && i < r->at; i++)
        free((void *)(uintptr_t)r->changes[i].record.data);
    free(r->changes);
    free(r->versions);
    vault_plain_free(&r->plain);
    free(r);
}

static void restoring_fail(struct restoring *r, kw_status status)
{
    restoring_end(r, &(struct vault_restored){.status = status});
}

/* --- reading --- */

static bool take(struct restoring *r, struct kw_span *out, size_t len)
{
    if (r->plain.len - r->next < len)
        return false;
    *out = kw_span_of(r->plain.data + r->next, len);
    r->next += len;
    return true;
}

static bool take_be(struct restoring *r, uint64_t *out, size_t bytes)
{
    struct kw_span span;
    *out = 0;
    if (!take(r, &span, bytes))
        return false;
    for (size_t i = 0; i < bytes; i++)
        *out = *out << 8 | span.data[i];
    return true;
}

static kw_status open_blob(struct restoring *r, struct kw_span blob)
{
    struct backup_aad aad;
    uint8_t check[KC_DOMAIN_CHECK_LEN];
    if (blob.len < VAULT_BACKUP_HEADER + KC_SEAL_OVERHEAD || blob.len > VAULT_BACKUP_MAX ||
        memcmp(blob.data, BACKUP_MAGIC, 4) != 0 || blob.data[6] || blob.data[7])
        return KW_E_INPUT;
    if (blob.data[4] != BACKUP_FORMAT)
        return KW_E_UNSUPPORTED;
    backup_check_bytes(r->vault->domain, check);
    if (memcmp(check, blob.data + 8, sizeof check) != 0) {
        kw_hex_write(r->check, blob.data + 8, sizeof check);
        return KW_E_FORBIDDEN;
    }
    if (blob.data[5] != r->kind)
        return KW_E_INPUT;
    struct kw_span body =
        kw_span_of(blob.data + VAULT_BACKUP_HEADER, blob.len - VAULT_BACKUP_HEADER);
    r->plain = (struct kw_buf){.data = malloc(body.len), .cap = body.len};
    if (!r->plain.data)
        return KW_E_NOMEM;
    kw_status status = kc_open(r->vault->domain, backup_aad_of(&aad, blob.data), body, &r->plain);
    return status == KW_E_INTEGRITY ? KW_E_INPUT : status;
}

/** What is read here was sealed by a gateway of this domain: a fault in it is a fault of ours. */
static kw_status read_head(struct restoring *r)
{
    uint64_t name_len = 0, count = 0;
    struct kw_span name;
    if (!take_be(r, &name_len, 1) || name_len == 0 || name_len > STORE_NAME_MAX ||
        !take(r, &name, name_len) || !take_be(r, &count, 4) || count == 0 ||
        count > STORE_CHANGES_MAX || memchr(name.data, 0, name.len))
        return KW_E_INTEGRITY;
    memcpy(r->name, name.data, name.len);
    r->count = count;
    r->changes = calloc(count, sizeof *r->changes);
    r->versions = calloc(count, sizeof *r->versions);
    return r->changes && r->versions ? KW_OK : KW_E_NOMEM;
}

static bool kind_belongs(const struct restoring *r, enum store_kind kind)
{
    enum store_kind kinds[VAULT_COMPANIONS_MAX];
    size_t count = vault_companions(r->kind, kinds);
    for (size_t i = 0; i < count; i++)
        if (kinds[i] == kind)
            return true;
    return false;
}

static kw_status read_entry(struct restoring *r)
{
    uint64_t kind = 0, created = 0, wake_at = 0, len = 0;
    struct kw_span version, plain;
    char *version_text = r->versions[r->at];
    uint8_t *record = NULL;
    size_t record_len = 0;
    if (!take_be(r, &kind, 1) || !take(r, &version, STORE_VERSION_LEN) ||
        !take_be(r, &created, 8) || !take_be(r, &wake_at, 8) || !take_be(r, &len, 4) ||
        !take(r, &plain, len) || !kind_belongs(r, (enum store_kind)kind))
        return KW_E_INTEGRITY;
    memcpy(version_text, version.data, version.len);
    struct store_ref ref = {.vault = r->vault_name,
                            .kind = (enum store_kind)kind,
                            .name = r->name,
                            .version = version_text};
    KW_TRY(vault_seal_at(r->vault->domain, &ref, plain, &record, &record_len));
    /* the first version of an object makes it, and is refused where one is */
    bool first = r->at == 0 || r->of != ref.kind;
    r->of = ref.kind;
    r->changes[r->at++] = (struct store_change){.op = first ? STORE_CHANGE_ADD : STORE_CHANGE_PUT,
                                                .ref = ref,
                                                .created = (int64_t)created,
                                                .record = kw_span_of(record, record_len),
                                                .sets_wake = wake_at != 0,
                                                .wake_at = (int64_t)wake_at};
    return KW_OK;
}

/* --- storing --- */

static void on_applied(void *ctx, struct store_result *result)
{
    struct restoring *r = ctx;
    struct vault_restored what = {.status = result->status, .conflict = result->conflict};
    struct store_ref ref = {.vault = r->vault_name, .kind = r->kind, .name = r->name};
    if (result->status == KW_OK || result->status == KW_E_IO)
        vault_ref_changed(r->vault, &ref);
    for (size_t i = 0; i < result->row_count; i++)
        if (result->rows[i].kind == r->kind)
            what.newest = &result->rows[i];
    restoring_end(r, &what);
}

static void restore_slice(void *arg)
{
    struct restoring *r = arg;
    kw_status status = KW_OK;
    for (unsigned i = 0; i < BACKUP_SLICE && r->at < r->count && status == KW_OK; i++)
        status = read_entry(r);
    if (status == KW_OK && r->at < r->count)
        status = store_post(r->vault->store, r->loop, restore_slice, r);
    else if (status == KW_OK && r->next == r->plain.len)
        store_apply(r->vault->store, r->loop, r->changes, r->count, on_applied, r);
    else if (status == KW_OK)
        status = KW_E_INTEGRITY;
    if (status != KW_OK)
        restoring_fail(r, status);
}

void vault_restore(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                   enum store_kind kind, struct kw_span blob, vault_restore_fn *done, void *ctx)
{
    size_t vault_len = strlen(vault_name);
    struct restoring *r = vault_len <= STORE_VAULT_MAX ? calloc(1, sizeof *r) : NULL;
    if (!r) {
        done(ctx, &(struct vault_restored){.status = vault_len <= STORE_VAULT_MAX ? KW_E_NOMEM
                                                                                  : KW_E_INPUT});
        return;
    }
    *r = (struct restoring){.vault = vault, .loop = loop, .done = done, .ctx = ctx, .kind = kind};
    memcpy(r->vault_name, vault_name, vault_len);
    kw_status status = open_blob(r, blob);
    if (status == KW_OK)
        status = read_head(r);
    if (status != KW_OK)
        restoring_fail(r, status);
    else
        restore_slice(r);
}
