#pragma once
/* The plain form of a record: byte 0 is the format; then fields, each a byte that names it, a
 * big-endian 16-bit length and that many bytes. A reader refuses a field it does not know: it would
 * mean a right or a restriction that it cannot honour. What every kind has is written and read
 * here, under the same names in all of them. */

#include "gateway/vault/kind.h"

#define VAULT_FIELD_HEADER 3
#define VAULT_FIELD_MAX    65535

/** Names of the fields that all kinds share; a kind chooses its own from the others. */
enum vault_field {
    VAULT_F_ENABLED = 8,
    VAULT_F_NBF,
    VAULT_F_EXP,
    VAULT_F_CREATED,
    VAULT_F_UPDATED,
    VAULT_F_EXPORTABLE,
    VAULT_F_TAG = 19 /* name, NUL, value, NUL; one field for each tag */
};

/** Bytes that vault_put_common writes. KW_E_INPUT when a tag is too long or there are too many. */
KW_MUST_CHECK kw_status vault_common_room(const struct vault_object *object, size_t *room);

/* Writers; the caller has made room. Nothing is written for empty bytes. */
void vault_put_bytes(struct kw_buf *buf, unsigned field, const void *data, size_t len);
void vault_put_number(struct kw_buf *buf, unsigned field, int64_t value);
#define VAULT_NUMBER_ROOM (VAULT_FIELD_HEADER + 8)
void vault_put_attributes(struct kw_buf *buf, const struct vault_object *object);
void vault_put_tags(struct kw_buf *buf, const struct vault_object *object);

/* Readers of one field: false when its length or value is out of range. */
bool vault_take_number(struct kw_span field, int64_t *out);
bool vault_take_below(struct kw_span field, int64_t limit, int64_t *out);
bool vault_take_flag(struct kw_span field, bool *out);
bool vault_take_bytes(struct kw_span field, uint8_t *out, size_t room, size_t *len);
/** A malloc'd copy with a NUL behind it; `*out` must be NULL before (a field may come once). */
bool vault_take_copy(struct kw_span field, size_t max, uint8_t **out, size_t *len);

/** A kind's reader of the fields that are not shared; false: not one of them, or not valid. */
typedef bool vault_take_fn(void *ctx, unsigned field, struct kw_span bytes);

/** Reads a plain record: shared fields into `object`, the others through `take`. KW_E_UNSUPPORTED
 *  for another format or a field above `last` (a newer program wrote it), KW_E_INTEGRITY, NOMEM. */
KW_MUST_CHECK kw_status vault_fields_read(struct vault_object *object, struct kw_span plain,
                                          uint8_t format, unsigned last, vault_take_fn *take,
                                          void *ctx);
