#include "gateway/vault/archive/record.h"

#include "gateway/vault/bytes.h"

/* kind 1, length of the name 1, name, version 32, created 8, deleted 8, purge 8, wake 8 */

kw_status archive_record_head(struct kw_buf *out, const struct store_row *row)
{
    size_t name_len = strlen(row->name);
    if (name_len == 0 || strlen(row->version) != STORE_VERSION_LEN ||
        out->cap - out->len < ARCHIVE_RECORD_HEAD)
        return KW_E_INTEGRITY;
    vault_put_be(out, row->kind, 1);
    vault_put_be(out, name_len, 1);
    vault_put_span(out, kw_span_of(row->name, name_len));
    vault_put_span(out, kw_span_of(row->version, STORE_VERSION_LEN));
    vault_put_be(out, (uint64_t)row->created, 8);
    vault_put_be(out, (uint64_t)row->deleted_at, 8);
    vault_put_be(out, (uint64_t)row->purge_at, 8);
    vault_put_be(out, (uint64_t)row->wake_at, 8);
    return KW_OK;
}

static bool take_text(struct kw_span *entry, char *out, size_t len)
{
    struct kw_span text;
    if (!vault_get_span(entry, &text, len) || memchr(text.data, 0, len))
        return false;
    memcpy(out, text.data, len);
    out[len] = '\0';
    return true;
}

kw_status archive_record_read(struct kw_span entry, struct store_row *row, struct kw_span *plain)
{
    uint64_t kind = 0, name_len = 0, created = 0, deleted_at = 0, purge_at = 0, wake_at = 0;
    *row = (struct store_row){.record = NULL};
    if (!vault_get_be(&entry, &kind, 1) || kind == 0 || kind > STORE_KIND_MAX ||
        !vault_get_be(&entry, &name_len, 1) || name_len == 0 || name_len > STORE_NAME_MAX ||
        !take_text(&entry, row->name, name_len) ||
        !take_text(&entry, row->version, STORE_VERSION_LEN) || !vault_get_be(&entry, &created, 8) ||
        !vault_get_be(&entry, &deleted_at, 8) || !vault_get_be(&entry, &purge_at, 8) ||
        !vault_get_be(&entry, &wake_at, 8))
        return KW_E_INTEGRITY;
    row->kind = (enum store_kind)kind;
    row->created = (int64_t)created;
    row->deleted_at = (int64_t)deleted_at;
    row->purge_at = (int64_t)purge_at;
    row->wake_at = (int64_t)wake_at;
    *plain = entry;
    return KW_OK;
}
