#include "gateway/vault/archive/backup.h"

#include <stdlib.h>

#include "crypto/base/secret.h"
#include "gateway/vault/archive/format.h"
#include "gateway/vault/lifecycle.h"
#include "gateway/vault/seal.h"
#include "gateway/vault/vault.h"

struct kw_span backup_aad_of(struct backup_aad *aad, const uint8_t header[VAULT_BACKUP_HEADER])
{
    memcpy(aad->bytes, BACKUP_LABEL, sizeof BACKUP_LABEL);
    memcpy(aad->bytes + sizeof BACKUP_LABEL, header, VAULT_BACKUP_HEADER);
    return kw_span_of(aad->bytes, sizeof aad->bytes);
}

static void put_be(struct kw_buf *buf, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0)
        buf->data[buf->len++] = (uint8_t)(value >> (8 * bytes));
}

static void put_bytes(struct kw_buf *buf, const void *data, size_t len)
{
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}

void backup_check_bytes(const struct kc_domain *domain, uint8_t out[KC_DOMAIN_CHECK_LEN])
{
    char text[2 * KC_DOMAIN_CHECK_LEN + 1], pair[3] = "";
    kc_domain_check(domain, text);
    for (size_t i = 0; i < KC_DOMAIN_CHECK_LEN; i++) {
        memcpy(pair, text + 2 * i, 2);
        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
}

/* --- making one --- */

struct making {
    struct vault *vault;
    struct gw_loop *loop;
    vault_backup_fn *done;
    void *ctx;
    enum store_kind kind;
    struct store_result rows; /* taken over from the store */
    size_t at;
    struct kw_buf plain; /* has room for everything */
};

static void making_end(struct making *making, kw_status status, struct kw_span blob)
{
    making->done(making->ctx, status, blob);
    store_result_clear(&making->rows);
    vault_plain_free(&making->plain);
    free(making);
}

static kw_status add_entry(struct making *making, const struct store_row *row)
{
    struct kw_buf plain, *out = &making->plain;
    if (strlen(row->version) != STORE_VERSION_LEN)
        return KW_E_INTEGRITY;
    KW_TRY(vault_unseal(making->vault->domain, row->kind, row->vault, row, &plain));
    put_be(out, row->kind, 1);
    put_bytes(out, row->version, STORE_VERSION_LEN);
    put_be(out, (uint64_t)row->created, 8);
    put_be(out, (uint64_t)row->wake_at, 8);
    put_be(out, plain.len, 4);
    put_bytes(out, plain.data, plain.len);
    vault_plain_free(&plain);
    return KW_OK;
}

static void seal_blob(struct making *making)
{
    struct backup_aad aad;
    size_t room = VAULT_BACKUP_HEADER + making->plain.len + KC_SEAL_OVERHEAD;
    uint8_t *blob = calloc(1, room);
    if (!blob) {
        making_end(making, KW_E_NOMEM, (struct kw_span){0});
        return;
    }
    memcpy(blob, BACKUP_MAGIC, 4);
    blob[4] = BACKUP_FORMAT;
    blob[5] = (uint8_t)making->kind;
    backup_check_bytes(making->vault->domain, blob + 8);
    struct kw_buf body = {.data = blob + VAULT_BACKUP_HEADER, .cap = room - VAULT_BACKUP_HEADER};
    kw_status status = kc_seal(making->vault->domain, backup_aad_of(&aad, blob),
                               kw_buf_span(&making->plain), &body);
    making_end(making, status,
               kw_span_of(blob, status == KW_OK ? VAULT_BACKUP_HEADER + body.len : 0));
    free(blob);
}

static void make_slice(void *arg)
{
    struct making *making = arg;
    kw_status status = KW_OK;
    for (unsigned i = 0; i < BACKUP_SLICE && making->at < making->rows.row_count && status == KW_OK;
         i++)
        status = add_entry(making, &making->rows.rows[making->at++]);
    if (status == KW_OK && making->at < making->rows.row_count)
        status = store_post(making->vault->store, making->loop, make_slice, making);
    else if (status == KW_OK)
        seal_blob(making);
    if (status != KW_OK)
        making_end(making, status, (struct kw_span){0});
}

/** Room for the name and every entry; what is sealed is a little longer than what is in it. */
static kw_status make_room(struct making *making)
{
    const struct store_result *rows = &making->rows;
    size_t name_len = strlen(rows->rows[0].name), room = 1 + name_len + 4;
    for (size_t i = 0; i < rows->row_count; i++)
        room += BACKUP_ENTRY_FIXED + rows->rows[i].record_len;
    if (room > VAULT_BACKUP_MAX - VAULT_BACKUP_HEADER - KC_SEAL_OVERHEAD ||
        rows->row_count > STORE_CHANGES_MAX)
        return KW_E_TOO_LARGE;
    making->plain = (struct kw_buf){.data = malloc(room), .cap = room};
    if (!making->plain.data)
        return KW_E_NOMEM;
    put_be(&making->plain, name_len, 1);
    put_bytes(&making->plain, rows->rows[0].name, name_len);
    put_be(&making->plain, rows->row_count, 4);
    return KW_OK;
}

static void on_all_read(void *ctx, struct store_result *result)
{
    struct making *making = ctx;
    kw_status status = result->status;
    if (status == KW_OK) {
        making->rows = *result;
        *result = (struct store_result){.status = KW_OK};
        status = make_room(making);
    }
    if (status != KW_OK)
        making_end(making, status, (struct kw_span){0});
    else
        make_slice(making);
}

void vault_backup(struct vault *vault, struct gw_loop *loop, const struct store_ref *ref,
                  vault_backup_fn *done, void *ctx)
{
    enum store_kind kinds[VAULT_COMPANIONS_MAX];
    struct store_ref refs[VAULT_COMPANIONS_MAX];
    struct making *making = calloc(1, sizeof *making);
    if (!making) {
        done(ctx, KW_E_NOMEM, (struct kw_span){0});
        return;
    }
    *making =
        (struct making){.vault = vault, .loop = loop, .done = done, .ctx = ctx, .kind = ref->kind};
    size_t count = vault_companions(ref->kind, kinds);
    for (size_t i = 0; i < count; i++) {
        refs[i] = *ref;
        refs[i].kind = kinds[i];
    }
    store_read_all(vault->store, loop, refs, count, VAULT_BACKUP_MAX, on_all_read, making);
}
