/* What a record says of a certificate, beside what every kind says. */

#include <stdlib.h>

#include "gateway/vault/certificates/job.h"
#include "gateway/vault/fields.h"
#include "gateway/vault/seal.h"

#define FORMAT 1

/* Beside enum vault_field. */
enum field { F_PEM = 1, F_KEEP_ORDER, F_CERT /* one each, the leaf first */, F_LAST = VAULT_F_TAG };

kw_status vault_cert_record_seal(const struct kc_domain *domain, const struct vault_cert *cert,
                                 uint8_t **out, size_t *out_len)
{
    size_t room = 0;
    KW_TRY(vault_common_room(&cert->object, &room));
    room += 1 + 2 * VAULT_NUMBER_ROOM;
    for (size_t i = 0; i < cert->count; i++) {
        if (cert->certs[i].len == 0 || cert->certs[i].len > GW_X509_CERT_MAX)
            return KW_E_INPUT;
        room += VAULT_FIELD_HEADER + cert->certs[i].len;
    }
    struct kw_buf plain = {.data = malloc(room), .cap = room};
    if (!plain.data)
        return KW_E_NOMEM;
    plain.data[plain.len++] = FORMAT;
    vault_put_number(&plain, F_PEM, cert->pem);
    vault_put_number(&plain, F_KEEP_ORDER, cert->keep_order);
    for (size_t i = 0; i < cert->count; i++)
        vault_put_bytes(&plain, F_CERT, cert->certs[i].data, cert->certs[i].len);
    vault_put_attributes(&plain, &cert->object);
    vault_put_tags(&plain, &cert->object);
    return vault_seal(domain, &cert->object, &plain, out, out_len);
}

static bool take_field(void *ctx, unsigned which, struct kw_span field)
{
    struct vault_cert *cert = ctx;
    switch (which) {
    case F_PEM:
        return vault_take_flag(field, &cert->pem);
    case F_KEEP_ORDER:
        return vault_take_flag(field, &cert->keep_order);
    case F_CERT:
        if (cert->count == GW_X509_CHAIN_MAX)
            return false;
        if (!vault_take_copy(field, GW_X509_CERT_MAX, &cert->certs[cert->count].data,
                             &cert->certs[cert->count].len))
            return false;
        cert->count++;
        return true;
    default:
        return false;
    }
}

kw_status vault_cert_record_open(const struct kc_domain *domain, const char *vault_name,
                                 const struct store_row *row, struct vault_cert **out)
{
    struct kw_buf plain;
    struct vault_cert *cert = (struct vault_cert *)vault_object_new(&vault_cert_kind, vault_name,
                                                                    row->name, row->version);
    if (!cert)
        return KW_E_NOMEM;
    kw_status status = vault_unseal(domain, STORE_CERTIFICATE, vault_name, row, &plain);
    if (status == KW_OK)
        status =
            vault_fields_read(&cert->object, kw_buf_span(&plain), FORMAT, F_LAST, take_field, cert);
    vault_plain_free(&plain);
    if (status == KW_OK && cert->count == 0)
        status = KW_E_INTEGRITY;
    if (status == KW_OK)
        status = gw_x509_thumbprint(cert->thumbprint,
                                    kw_span_of(cert->certs[0].data, cert->certs[0].len));
    if (status != KW_OK) {
        vault_object_unref(&cert->object);
        return status;
    }
    cert->deleted_at = row->deleted_at;
    cert->purge_at = row->purge_at;
    *out = cert;
    return KW_OK;
}

/* --- the kind --- */

static kw_status open_row(struct vault *vault, const char *vault_name, const struct store_row *row,
                          bool usable, struct vault_object **out)
{
    struct vault_cert *cert = NULL;
    (void)usable;
    KW_TRY(vault_cert_record_open(vault->domain, vault_name, row, &cert));
    *out = &cert->object;
    return KW_OK;
}

static kw_status seal(struct vault *vault, const struct vault_object *object, uint8_t **out,
                      size_t *out_len)
{
    return vault_cert_record_seal(vault->domain, (const struct vault_cert *)object, out, out_len);
}

static void clear(struct vault_object *object)
{
    struct vault_cert *cert = (struct vault_cert *)object;
    for (size_t i = 0; i < cert->count; i++)
        free(cert->certs[i].data);
}

/* Certificates are read one by one through job.c; the calls of every kind that are used
 * (delete and its like, pages) give plain objects. */
static void answer(vault_any_fn *done, void *ctx, kw_status status, struct vault_object *object)
{
    ((vault_cert_object_fn *)done)(ctx, status, object);
}

static void answer_page(vault_any_fn *done, void *ctx, kw_status status,
                        struct vault_object *const *objects, size_t count, bool more)
{
    ((vault_cert_page_fn *)done)(ctx, status, objects, count, more);
}

const struct vault_kind vault_cert_kind = {
    .store = STORE_CERTIFICATE,
    .size = sizeof(struct vault_cert),
    .open = open_row,
    .seal = seal,
    .clear = clear,
    .answer = answer,
    .answer_page = answer_page,
};
