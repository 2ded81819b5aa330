#include "gateway/vault/kind.h"

#include <stdlib.h>

#include "crypto/base/clock.h"

static bool copy_name(char *out, size_t room, const char *text)
{
    size_t len = strlen(text);
    if (len >= room)
        return false;
    memcpy(out, text, len + 1);
    return true;
}

struct vault_object *vault_object_new(const struct vault_kind *kind, const char *vault,
                                      const char *name, const char *version)
{
    struct vault_object *object = calloc(1, kind->size);
    if (!object)
        return NULL;
    atomic_init(&object->refs, 1);
    object->kind = kind;
    if (!copy_name(object->vault, sizeof object->vault, vault) ||
        !copy_name(object->name, sizeof object->name, name) ||
        !copy_name(object->version, sizeof object->version, version)) {
        free(object);
        return NULL;
    }
    return object;
}

struct vault_object *vault_object_ref(struct vault_object *object)
{
    atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed);
    return object;
}

void vault_object_unref(struct vault_object *object)
{
    if (!object || atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel) != 1)
        return;
    object->kind->clear(object);
    free(object->tags);
    free(object);
}

kw_status vault_object_set_tags(struct vault_object *object, const struct vault_tag *tags,
                                size_t count)
{
    size_t room = count * sizeof *tags;
    struct vault_tag *copy = NULL;
    if (count > VAULT_MAX_TAGS)
        return KW_E_INPUT;
    for (size_t i = 0; i < count; i++)
        room += strlen(tags[i].name) + strlen(tags[i].value) + 2;
    if (count > 0) {
        /* one block: the array, then its strings */
        copy = malloc(room);
        if (!copy)
            return KW_E_NOMEM;
        char *text = (char *)(copy + count);
        for (size_t i = 0; i < count; i++) {
            copy[i].name = text;
            text = stpcpy(text, tags[i].name) + 1;
            copy[i].value = text;
            text = stpcpy(text, tags[i].value) + 1;
        }
    }
    free(object->tags);
    object->tags = copy;
    object->tag_count = count;
    return KW_OK;
}

kw_status vault_object_apply(struct vault_object *object, const struct vault_change *change)
{
    struct vault_attributes *a = &object->attributes;
    if (change->has_enabled)
        a->enabled = change->enabled;
    if (change->has_nbf)
        a->nbf = change->nbf;
    if (change->has_exp)
        a->exp = change->exp;
    a->updated = kw_wall_s();
    return change->has_tags ? vault_object_set_tags(object, change->tags, change->tag_count)
                            : KW_OK;
}
