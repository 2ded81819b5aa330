/* What a record says of a secret, beside what every kind says. */

#include <stdlib.h>

#include "gateway/vault/fields.h"
#include "gateway/vault/seal.h"
#include "gateway/vault/secrets/secret.h"

#define FORMAT 1

/* Beside enum vault_field. */
enum field { F_MANAGED = 1, F_CONTENT_TYPE, F_BLOB, F_PREVIOUS, F_LAST = VAULT_F_TAG };

kw_status vault_secret_record_seal(const struct kc_domain *domain,
                                   const struct vault_secret *secret, uint8_t **out,
                                   size_t *out_len)
{
    size_t room = 0;
    if (secret->blob_len > VAULT_SECRET_MAX + KC_SEAL_OVERHEAD ||
        secret->content_type_len > VAULT_CONTENT_TYPE_MAX)
        return KW_E_INPUT;
    KW_TRY(vault_common_room(&secret->object, &room));
    room += 1 + VAULT_NUMBER_ROOM + 3 * VAULT_FIELD_HEADER + secret->content_type_len +
            secret->blob_len + strlen(secret->previous);
    struct kw_buf plain = {.data = malloc(room), .cap = room};
    if (!plain.data)
        return KW_E_NOMEM;
    plain.data[plain.len++] = FORMAT;
    vault_put_number(&plain, F_MANAGED, secret->managed);
    vault_put_bytes(&plain, F_CONTENT_TYPE, secret->content_type, secret->content_type_len);
    vault_put_bytes(&plain, F_BLOB, secret->blob, secret->blob_len);
    vault_put_bytes(&plain, F_PREVIOUS, secret->previous, strlen(secret->previous));
    vault_put_attributes(&plain, &secret->object);
    vault_put_tags(&plain, &secret->object);
    return vault_seal(domain, &secret->object, &plain, out, out_len);
}

static bool take_field(void *ctx, unsigned which, struct kw_span field)
{
    struct vault_secret *secret = ctx;
    size_t len = 0;
    switch (which) {
    case F_MANAGED:
        return vault_take_flag(field, &secret->managed);
    case F_CONTENT_TYPE:
        return vault_take_copy(field, VAULT_CONTENT_TYPE_MAX, (uint8_t **)&secret->content_type,
                               &secret->content_type_len);
    case F_BLOB:
        return vault_take_copy(field, VAULT_SECRET_MAX + KC_SEAL_OVERHEAD, &secret->blob,
                               &secret->blob_len);
    case F_PREVIOUS:
        return field.len == STORE_VERSION_LEN &&
               vault_take_bytes(field, (uint8_t *)secret->previous, STORE_VERSION_LEN, &len);
    default:
        return false;
    }
}

kw_status vault_secret_record_open(const struct kc_domain *domain, const char *vault_name,
                                   const struct store_row *row, struct vault_secret **out)
{
    struct kw_buf plain;
    struct vault_secret *secret = (struct vault_secret *)vault_object_new(
        &vault_secret_kind, vault_name, row->name, row->version);
    if (!secret)
        return KW_E_NOMEM;
    kw_status status = vault_unseal(domain, STORE_SECRET, vault_name, row, &plain);
    if (status == KW_OK)
        status = vault_fields_read(&secret->object, kw_buf_span(&plain), FORMAT, F_LAST, take_field,
                                   secret);
    vault_plain_free(&plain);
    if (status == KW_OK && !secret->blob)
        status = KW_E_INTEGRITY;
    if (status != KW_OK) {
        vault_object_unref(&secret->object);
        return status;
    }
    secret->deleted_at = row->deleted_at;
    secret->purge_at = row->purge_at;
    *out = secret;
    return KW_OK;
}
