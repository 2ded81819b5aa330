#include "gateway/vault/keys/record.h"

#include <stdlib.h>

#include "gateway/vault/fields.h"
#include "gateway/vault/keys/object.h"
#include "gateway/vault/seal.h"

#define FORMAT 1

/* Beside enum vault_field. */
enum field {
    F_KTY = 1,
    F_CURVE,
    F_BITS,
    F_HSM,
    F_OPS,
    F_OP_IMPORT,
    F_OP_EXPORT,
    F_N = 14,
    F_E,
    F_X,
    F_Y,
    F_BLOB,
    /* of keys that live on tokens */
    F_RESIDENT_ID = VAULT_F_TAG + 1,
    F_RESIDENT_LABEL,
    F_RESIDENT_CHECK,
    F_MANAGED, /* only where it is true: what has no use for it stays readable */
    F_LAST = F_MANAGED
};

#define NUMBERS 8 /* fields of fixed size */

/* --- writing --- */

static kw_status room_for(const struct vault_key *key, const struct kc_public *pub, size_t *room)
{
    if (key->blob_len > KC_BLOB_MAX)
        return KW_E_INPUT;
    KW_TRY(vault_common_room(&key->object, room));
    *room += 1 + NUMBERS * VAULT_NUMBER_ROOM + 5 * VAULT_FIELD_HEADER + pub->n_len + pub->e_len +
             2 * pub->coord_len + key->blob_len;
    if (key->resident)
        *room += 3 * VAULT_FIELD_HEADER + key->resident->id_len + key->resident->check_len +
                 strlen(key->resident->label);
    return KW_OK;
}

static void encode(struct kw_buf *buf, const struct vault_key *key, const struct kc_public *pub)
{
    buf->data[buf->len++] = FORMAT;
    vault_put_number(buf, F_KTY, pub->kty);
    vault_put_number(buf, F_CURVE, pub->curve);
    vault_put_number(buf, F_BITS, pub->bits);
    vault_put_number(buf, F_HSM, key->hsm);
    vault_put_number(buf, F_OPS, key->ops);
    vault_put_number(buf, F_OP_IMPORT, key->op_import);
    vault_put_number(buf, F_OP_EXPORT, key->op_export);
    if (key->managed)
        vault_put_number(buf, F_MANAGED, 1);
    vault_put_attributes(buf, &key->object);
    vault_put_bytes(buf, F_N, pub->n, pub->n_len);
    vault_put_bytes(buf, F_E, pub->e, pub->e_len);
    vault_put_bytes(buf, F_X, pub->x, pub->coord_len);
    vault_put_bytes(buf, F_Y, pub->y, pub->coord_len);
    vault_put_bytes(buf, F_BLOB, key->blob, key->blob_len);
    if (key->resident) {
        const char *label = key->resident->label;
        vault_put_bytes(buf, F_RESIDENT_ID, key->resident->id, key->resident->id_len);
        vault_put_bytes(buf, F_RESIDENT_LABEL, label, strlen(label));
        vault_put_bytes(buf, F_RESIDENT_CHECK, key->resident->check, key->resident->check_len);
    }
    vault_put_tags(buf, &key->object);
}

kw_status vault_record_seal(const struct kc_domain *domain, const struct vault_key *key,
                            const struct kc_public *pub, uint8_t **out, size_t *out_len)
{
    size_t room = 0;
    KW_TRY(room_for(key, pub, &room));
    struct kw_buf plain = {.data = malloc(room), .cap = room};
    if (!plain.data)
        return KW_E_NOMEM;
    encode(&plain, key, pub);
    return vault_seal(domain, &key->object, &plain, out, out_len);
}

/* --- reading --- */

struct reading {
    struct vault_key *key;
    struct kc_public *pub;
};

static bool public_field(struct reading *r, unsigned which, struct kw_span field)
{
    struct kc_public *pub = r->pub;
    int64_t value = 0;
    bool good = false;
    switch (which) {
    case F_KTY:
        good = vault_take_below(field, KW_KTY_OCT + 1, &value);
        pub->kty = (enum kw_kty)value;
        return good;
    case F_CURVE:
        good = vault_take_below(field, KW_CURVE_P256K + 1, &value);
        pub->curve = (enum kw_curve)value;
        return good;
    case F_BITS:
        good = vault_take_below(field, 8 * KW_RSA_MAX_BYTES + 1, &value);
        pub->bits = (unsigned)value;
        return good;
    case F_N:
        return vault_take_bytes(field, pub->n, sizeof pub->n, &pub->n_len);
    case F_E:
        return vault_take_bytes(field, pub->e, sizeof pub->e, &pub->e_len);
    case F_X:
        return vault_take_bytes(field, pub->x, sizeof pub->x, &pub->coord_len);
    case F_Y:
        return vault_take_bytes(field, pub->y, sizeof pub->y, &pub->coord_len);
    default:
        return false;
    }
}

/** Id, label and check value, in any order. */
static bool resident_field(struct vault_key *key, unsigned which, struct kw_span field)
{
    if (!key->resident)
        key->resident = calloc(1, sizeof *key->resident);
    struct vault_resident *resident = key->resident;
    size_t len = 0;
    if (!resident)
        return false;
    if (which == F_RESIDENT_ID)
        return field.len > 0 &&
               vault_take_bytes(field, resident->id, sizeof resident->id, &resident->id_len);
    if (which == F_RESIDENT_CHECK)
        return field.len == sizeof resident->check &&
               vault_take_bytes(field, resident->check, sizeof resident->check,
                                &resident->check_len);
    return vault_take_bytes(field, (uint8_t *)resident->label, POOL_LABEL_MAX, &len) &&
           memchr(resident->label, 0, len) == NULL;
}

static bool take_field(void *ctx, unsigned which, struct kw_span field)
{
    struct reading *r = ctx;
    struct vault_key *key = r->key;
    int64_t value = 0;
    bool good = false;
    switch (which) {
    case F_HSM:
        return vault_take_flag(field, &key->hsm);
    case F_OPS:
        good = vault_take_below(field, 1 << KW_KIND_COUNT, &value);
        key->ops = (uint16_t)value;
        return good;
    case F_OP_IMPORT:
        return vault_take_flag(field, &key->op_import);
    case F_OP_EXPORT:
        return vault_take_flag(field, &key->op_export);
    case F_MANAGED:
        return vault_take_flag(field, &key->managed);
    case F_BLOB:
        return vault_take_copy(field, KC_BLOB_MAX, &key->blob, &key->blob_len);
    case F_RESIDENT_ID:
    case F_RESIDENT_LABEL:
    case F_RESIDENT_CHECK:
        return resident_field(key, which, field);
    default:
        return public_field(r, which, field);
    }
}

/** A key has a blob or lives on tokens. */
static bool is_whole(const struct vault_key *key)
{
    return !key->resident || (key->hsm && key->blob_len == 0 && key->resident->id_len > 0);
}

kw_status vault_record_open(const struct kc_domain *domain, const char *vault,
                            const struct store_row *row, struct vault_key **out,
                            struct kc_public *pub)
{
    struct kw_buf plain;
    struct vault_key *key = vault_key_new(vault, row->name, row->version);
    if (!key)
        return KW_E_NOMEM;
    kw_status status = vault_unseal(domain, STORE_KEY, vault, row, &plain);
    if (status == KW_OK) {
        struct reading r = {.key = key, .pub = pub};
        memset(pub, 0, sizeof *pub);
        status =
            vault_fields_read(&key->object, kw_buf_span(&plain), FORMAT, F_LAST, take_field, &r);
    }
    vault_plain_free(&plain);
    if (status == KW_OK && !is_whole(key))
        status = KW_E_INTEGRITY;
    if (status != KW_OK) {
        vault_key_unref(key);
        return status;
    }
    key->kty = pub->kty;
    key->curve = pub->curve;
    key->bits = pub->bits;
    key->deleted_at = row->deleted_at;
    key->purge_at = row->purge_at;
    *out = key;
    return KW_OK;
}
