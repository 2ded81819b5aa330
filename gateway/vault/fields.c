#include "gateway/vault/fields.h"

#include <stdlib.h>

/* --- writing --- */

static void put_head(struct kw_buf *buf, unsigned field, size_t len)
{
    buf->data[buf->len++] = (uint8_t)field;
    buf->data[buf->len++] = (uint8_t)(len >> 8);
    buf->data[buf->len++] = (uint8_t)len;
}

void vault_put_bytes(struct kw_buf *buf, unsigned field, const void *data, size_t len)
{
    if (len == 0)
        return;
    put_head(buf, field, len);
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}

void vault_put_number(struct kw_buf *buf, unsigned field, int64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)value >> (56 - 8 * i));
    vault_put_bytes(buf, field, bytes, sizeof bytes);
}

kw_status vault_common_room(const struct vault_object *object, size_t *room)
{
    size_t len = 6 * VAULT_NUMBER_ROOM;
    if (object->tag_count > VAULT_MAX_TAGS)
        return KW_E_INPUT;
    for (size_t i = 0; i < object->tag_count; i++) {
        size_t name_len = strlen(object->tags[i].name), value_len = strlen(object->tags[i].value);
        if (name_len > VAULT_TAG_TEXT_MAX || value_len > VAULT_TAG_TEXT_MAX)
            return KW_E_INPUT;
        len += VAULT_FIELD_HEADER + name_len + value_len + 2;
    }
    *room = len;
    return KW_OK;
}

void vault_put_attributes(struct kw_buf *buf, const struct vault_object *object)
{
    const struct vault_attributes *a = &object->attributes;
    vault_put_number(buf, VAULT_F_ENABLED, a->enabled);
    vault_put_number(buf, VAULT_F_NBF, a->nbf);
    vault_put_number(buf, VAULT_F_EXP, a->exp);
    vault_put_number(buf, VAULT_F_CREATED, a->created);
    vault_put_number(buf, VAULT_F_UPDATED, a->updated);
    vault_put_number(buf, VAULT_F_EXPORTABLE, a->exportable);
}

void vault_put_tags(struct kw_buf *buf, const struct vault_object *object)
{
    for (size_t i = 0; i < object->tag_count; i++) {
        const struct vault_tag *tag = &object->tags[i];
        size_t name_len = strlen(tag->name) + 1, value_len = strlen(tag->value) + 1;
        put_head(buf, VAULT_F_TAG, name_len + value_len);
        memcpy(buf->data + buf->len, tag->name, name_len);
        memcpy(buf->data + buf->len + name_len, tag->value, value_len);
        buf->len += name_len + value_len;
    }
}

/* --- reading --- */

bool vault_take_number(struct kw_span field, int64_t *out)
{
    uint64_t value = 0;
    if (field.len != 8)
        return false;
    for (size_t i = 0; i < 8; i++)
        value = value << 8 | field.data[i];
    *out = (int64_t)value;
    return true;
}

bool vault_take_below(struct kw_span field, int64_t limit, int64_t *out)
{
    return vault_take_number(field, out) && *out >= 0 && *out < limit;
}

bool vault_take_flag(struct kw_span field, bool *out)
{
    int64_t value = 0;
    bool good = vault_take_below(field, 2, &value);
    *out = value == 1;
    return good;
}

bool vault_take_bytes(struct kw_span field, uint8_t *out, size_t room, size_t *len)
{
    if (field.len > room)
        return false;
    memcpy(out, field.data, field.len);
    *len = field.len;
    return true;
}

bool vault_take_copy(struct kw_span field, size_t max, uint8_t **out, size_t *len)
{
    if (field.len > max || *out)
        return false;
    *out = malloc(field.len + 1);
    if (!*out)
        return false;
    memcpy(*out, field.data, field.len);
    (*out)[field.len] = 0;
    *len = field.len;
    return true;
}

struct tags {
    struct vault_tag list[VAULT_MAX_TAGS];
    size_t count;
};

static bool take_tag(struct kw_span field, struct tags *tags)
{
    const uint8_t *middle = field.len ? memchr(field.data, 0, field.len) : NULL;
    if (!middle || tags->count == VAULT_MAX_TAGS)
        return false;
    size_t name_len = (size_t)(middle - field.data) + 1;
    if (field.len == name_len ||
        memchr(middle + 1, 0, field.len - name_len) != field.data + field.len - 1)
        return false;
    tags->list[tags->count++] =
        (struct vault_tag){.name = (const char *)field.data, .value = (const char *)middle + 1};
    return true;
}

/** `*mine`: the field is one that all kinds share. */
static bool take_common(struct vault_attributes *a, struct tags *tags, unsigned which,
                        struct kw_span field, bool *mine)
{
    *mine = true;
    switch (which) {
    case VAULT_F_ENABLED:
        return vault_take_flag(field, &a->enabled);
    case VAULT_F_NBF:
        return vault_take_number(field, &a->nbf);
    case VAULT_F_EXP:
        return vault_take_number(field, &a->exp);
    case VAULT_F_CREATED:
        return vault_take_number(field, &a->created);
    case VAULT_F_UPDATED:
        return vault_take_number(field, &a->updated);
    case VAULT_F_EXPORTABLE:
        return vault_take_flag(field, &a->exportable);
    case VAULT_F_TAG:
        return take_tag(field, tags);
    default:
        *mine = false;
        return false;
    }
}

kw_status vault_fields_read(struct vault_object *object, struct kw_span plain, uint8_t format,
                            unsigned last, vault_take_fn *take, void *ctx)
{
    struct tags tags = {.count = 0};
    if (plain.len == 0)
        return KW_E_INTEGRITY;
    if (plain.data[0] != format)
        return KW_E_UNSUPPORTED;
    size_t at = 1;
    while (at < plain.len) {
        if (plain.len - at < VAULT_FIELD_HEADER)
            return KW_E_INTEGRITY;
        unsigned which = plain.data[at];
        size_t len = (size_t)plain.data[at + 1] << 8 | plain.data[at + 2];
        at += VAULT_FIELD_HEADER;
        if (which > last)
            return KW_E_UNSUPPORTED;
        if (len > plain.len - at)
            return KW_E_INTEGRITY;
        struct kw_span field = kw_span_of(plain.data + at, len);
        bool mine = false;
        bool good = take_common(&object->attributes, &tags, which, field, &mine);
        if (!(mine ? good : take(ctx, which, field)))
            return KW_E_INTEGRITY;
        at += len;
    }
    return vault_object_set_tags(object, tags.list, tags.count);
}
