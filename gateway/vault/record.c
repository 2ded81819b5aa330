#include "gateway/vault/record.h"

#include <stdlib.h>

#include "gateway/vault/object.h"
#include "gateway/vault/seal.h"

/* The plain form: byte 0 is the format; then fields, each a tag byte, a big-endian 16-bit length
 * and that many bytes. A reader refuses a field it does not know: it would mean a right or a
 * restriction that it cannot honour. */
#define FORMAT 1

enum field {
    F_KTY = 1,
    F_CURVE,
    F_BITS,
    F_HSM,
    F_OPS,
    F_OP_IMPORT,
    F_OP_EXPORT,
    F_ENABLED,
    F_NBF,
    F_EXP,
    F_CREATED,
    F_UPDATED,
    F_EXPORTABLE,
    F_N,
    F_E,
    F_X,
    F_Y,
    F_BLOB,
    F_TAG /* name, NUL, value, NUL; one field for each tag */
};

#define FIELD_HEADER 3
#define FIXED_ROOM   256 /* format and every field of fixed size, generously */

/* --- writing -----------------------------------------------------------------------------------
 */

static void put_head(struct kw_buf *buf, enum field field, size_t len)
{
    buf->data[buf->len++] = (uint8_t)field;
    buf->data[buf->len++] = (uint8_t)(len >> 8);
    buf->data[buf->len++] = (uint8_t)len;
}

static void put_bytes(struct kw_buf *buf, enum field field, const void *data, size_t len)
{
    if (len == 0)
        return;
    put_head(buf, field, len);
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}

static void put_number(struct kw_buf *buf, enum field field, int64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)value >> (56 - 8 * i));
    put_bytes(buf, field, bytes, sizeof bytes);
}

static void put_tag(struct kw_buf *buf, const struct vault_tag *tag)
{
    size_t name_len = strlen(tag->name) + 1, value_len = strlen(tag->value) + 1;
    put_head(buf, F_TAG, name_len + value_len);
    memcpy(buf->data + buf->len, tag->name, name_len);
    memcpy(buf->data + buf->len + name_len, tag->value, value_len);
    buf->len += name_len + value_len;
}

static kw_status room_for(const struct vault_key *key, const struct kc_public *pub, size_t *room)
{
    size_t len = FIXED_ROOM + pub->n_len + pub->e_len + 2 * pub->coord_len + 5 * FIELD_HEADER;
    if (key->blob_len > KC_BLOB_MAX || key->tag_count > VAULT_MAX_TAGS)
        return KW_E_INPUT;
    len += key->blob_len;
    for (size_t i = 0; i < key->tag_count; i++) {
        size_t name_len = strlen(key->tags[i].name), value_len = strlen(key->tags[i].value);
        if (name_len > VAULT_TAG_TEXT_MAX || value_len > VAULT_TAG_TEXT_MAX)
            return KW_E_INPUT;
        len += FIELD_HEADER + name_len + value_len + 2;
    }
    *room = len;
    return KW_OK;
}

static void encode(struct kw_buf *buf, const struct vault_key *key, const struct kc_public *pub)
{
    const struct vault_attributes *a = &key->attributes;
    buf->data[buf->len++] = FORMAT;
    put_number(buf, F_KTY, pub->kty);
    put_number(buf, F_CURVE, pub->curve);
    put_number(buf, F_BITS, pub->bits);
    put_number(buf, F_HSM, key->hsm);
    put_number(buf, F_OPS, key->ops);
    put_number(buf, F_OP_IMPORT, key->op_import);
    put_number(buf, F_OP_EXPORT, key->op_export);
    put_number(buf, F_ENABLED, a->enabled);
    put_number(buf, F_NBF, a->nbf);
    put_number(buf, F_EXP, a->exp);
    put_number(buf, F_CREATED, a->created);
    put_number(buf, F_UPDATED, a->updated);
    put_number(buf, F_EXPORTABLE, a->exportable);
    put_bytes(buf, F_N, pub->n, pub->n_len);
    put_bytes(buf, F_E, pub->e, pub->e_len);
    put_bytes(buf, F_X, pub->x, pub->coord_len);
    put_bytes(buf, F_Y, pub->y, pub->coord_len);
    put_bytes(buf, F_BLOB, key->blob, key->blob_len);
    for (size_t i = 0; i < key->tag_count; i++)
        put_tag(buf, &key->tags[i]);
}

kw_status vault_record_seal(const struct kc_domain *domain, const struct vault_key *key,
                            const struct kc_public *pub, uint8_t **out, size_t *out_len)
{
    struct store_ref place = {
        .vault = key->vault, .kind = STORE_KEY, .name = key->name, .version = key->version};
    size_t room = 0;
    KW_TRY(room_for(key, pub, &room));
    struct kw_buf plain = {.data = malloc(room), .cap = room};
    if (!plain.data)
        return KW_E_NOMEM;
    encode(&plain, key, pub);
    kw_status status = vault_seal(domain, &place, kw_buf_span(&plain), out, out_len);
    free(plain.data);
    return status;
}

/* --- reading -----------------------------------------------------------------------------------
 */

struct reading {
    struct vault_key *key;
    struct kc_public *pub;
    struct vault_tag tags[VAULT_MAX_TAGS];
    size_t tag_count;
};

static bool number(struct kw_span field, int64_t *out)
{
    uint64_t value = 0;
    if (field.len != 8)
        return false;
    for (size_t i = 0; i < 8; i++)
        value = value << 8 | field.data[i];
    *out = (int64_t)value;
    return true;
}

static bool number_below(struct kw_span field, int64_t limit, int64_t *out)
{
    return number(field, out) && *out >= 0 && *out < limit;
}

static bool flag(struct kw_span field, bool *out)
{
    int64_t value = 0;
    bool good = number_below(field, 2, &value);
    *out = value == 1;
    return good;
}

static bool bytes(struct kw_span field, uint8_t *out, size_t room, size_t *len)
{
    if (field.len > room)
        return false;
    memcpy(out, field.data, field.len);
    *len = field.len;
    return true;
}

static bool tag(struct kw_span field, struct reading *r)
{
    const uint8_t *middle = field.len ? memchr(field.data, 0, field.len) : NULL;
    if (!middle || r->tag_count == VAULT_MAX_TAGS)
        return false;
    size_t name_len = (size_t)(middle - field.data) + 1;
    if (field.len == name_len ||
        memchr(middle + 1, 0, field.len - name_len) != field.data + field.len - 1)
        return false;
    r->tags[r->tag_count++] =
        (struct vault_tag){.name = (const char *)field.data, .value = (const char *)middle + 1};
    return true;
}

static bool blob(struct kw_span field, struct vault_key *key)
{
    if (field.len > KC_BLOB_MAX || key->blob)
        return false;
    key->blob = malloc(field.len ? field.len : 1);
    if (!key->blob)
        return false;
    memcpy(key->blob, field.data, field.len);
    key->blob_len = field.len;
    return true;
}

static bool public_field(struct reading *r, unsigned which, struct kw_span field)
{
    struct kc_public *pub = r->pub;
    int64_t value = 0;
    bool good = false;
    switch (which) {
    case F_KTY:
        good = number_below(field, KW_KTY_OCT + 1, &value);
        pub->kty = (enum kw_kty)value;
        return good;
    case F_CURVE:
        good = number_below(field, KW_CURVE_P256K + 1, &value);
        pub->curve = (enum kw_curve)value;
        return good;
    case F_BITS:
        good = number_below(field, 8 * KW_RSA_MAX_BYTES + 1, &value);
        pub->bits = (unsigned)value;
        return good;
    case F_N:
        return bytes(field, pub->n, sizeof pub->n, &pub->n_len);
    case F_E:
        return bytes(field, pub->e, sizeof pub->e, &pub->e_len);
    case F_X:
        return bytes(field, pub->x, sizeof pub->x, &pub->coord_len);
    case F_Y:
        return bytes(field, pub->y, sizeof pub->y, &pub->coord_len);
    default:
        return false;
    }
}

static bool take_field(struct reading *r, unsigned which, struct kw_span field)
{
    struct vault_key *key = r->key;
    struct vault_attributes *a = &key->attributes;
    int64_t value = 0;
    bool good = false;
    switch (which) {
    case F_HSM:
        return flag(field, &key->hsm);
    case F_OPS:
        good = number_below(field, 1 << KW_KIND_COUNT, &value);
        key->ops = (uint16_t)value;
        return good;
    case F_OP_IMPORT:
        return flag(field, &key->op_import);
    case F_OP_EXPORT:
        return flag(field, &key->op_export);
    case F_ENABLED:
        return flag(field, &a->enabled);
    case F_NBF:
        return number(field, &a->nbf);
    case F_EXP:
        return number(field, &a->exp);
    case F_CREATED:
        return number(field, &a->created);
    case F_UPDATED:
        return number(field, &a->updated);
    case F_EXPORTABLE:
        return flag(field, &a->exportable);
    case F_BLOB:
        return blob(field, key);
    case F_TAG:
        return tag(field, r);
    default:
        return public_field(r, which, field);
    }
}

static kw_status decode(struct reading *r, struct kw_span plain)
{
    if (plain.len == 0)
        return KW_E_INTEGRITY;
    if (plain.data[0] != FORMAT)
        return KW_E_UNSUPPORTED;
    size_t at = 1;
    while (at < plain.len) {
        if (plain.len - at < FIELD_HEADER)
            return KW_E_INTEGRITY;
        unsigned which = plain.data[at];
        size_t len = (size_t)plain.data[at + 1] << 8 | plain.data[at + 2];
        at += FIELD_HEADER;
        if (which > F_TAG)
            return KW_E_UNSUPPORTED;
        if (len > plain.len - at || !take_field(r, which, kw_span_of(plain.data + at, len)))
            return KW_E_INTEGRITY;
        at += len;
    }
    return vault_key_set_tags(r->key, r->tags, r->tag_count);
}

kw_status vault_record_open(const struct kc_domain *domain, const char *vault,
                            const struct store_row *row, struct vault_key **out,
                            struct kc_public *pub)
{
    struct store_ref place = {
        .vault = vault, .kind = STORE_KEY, .name = row->name, .version = row->version};
    struct kw_buf plain;
    KW_TRY(vault_unseal(domain, &place, kw_span_of(row->record, row->record_len), &plain));
    struct vault_key *key = vault_key_new(vault, row->name, row->version);
    kw_status status = key ? KW_OK : KW_E_NOMEM;
    if (status == KW_OK) {
        struct reading r = {.key = key, .pub = pub};
        memset(pub, 0, sizeof *pub);
        status = decode(&r, kw_buf_span(&plain));
    }
    vault_plain_free(&plain);
    if (status != KW_OK) {
        if (key)
            vault_key_unref(key);
        return status;
    }
    key->deleted_at = row->deleted_at;
    key->purge_at = row->purge_at;
    *out = key;
    return KW_OK;
}
