#include "gateway/vault/object.h"

#include <stdlib.h>

static bool copy_name(char *out, size_t room, const char *text)
{
    size_t len = strlen(text);
    if (len >= room)
        return false;
    memcpy(out, text, len + 1);
    return true;
}

struct vault_key *vault_key_new(const char *vault, const char *name, const char *version)
{
    struct vault_key *key = calloc(1, sizeof *key);
    if (!key)
        return NULL;
    atomic_init(&key->refs, 1);
    if (!copy_name(key->vault, sizeof key->vault, vault) ||
        !copy_name(key->name, sizeof key->name, name) ||
        !copy_name(key->version, sizeof key->version, version)) {
        free(key);
        return NULL;
    }
    return key;
}

struct vault_key *vault_key_ref(struct vault_key *key)
{
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    return key;
}

void vault_key_unref(struct vault_key *key)
{
    if (!key || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (key->key)
        pool_key_unref(key->key);
    free(key->tags);
    free(key->blob);
    free(key);
}

kw_status vault_key_set_tags(struct vault_key *key, const struct vault_tag *tags, size_t count)
{
    size_t room = count * sizeof *tags;
    if (count > VAULT_MAX_TAGS)
        return KW_E_INPUT;
    if (count == 0)
        return KW_OK;
    for (size_t i = 0; i < count; i++)
        room += strlen(tags[i].name) + strlen(tags[i].value) + 2;
    /* one block: the array, then its strings */
    struct vault_tag *copy = malloc(room);
    if (!copy)
        return KW_E_NOMEM;
    char *text = (char *)(copy + count);
    for (size_t i = 0; i < count; i++) {
        copy[i].name = text;
        text = stpcpy(text, tags[i].name) + 1;
        copy[i].value = text;
        text = stpcpy(text, tags[i].value) + 1;
    }
    key->tags = copy;
    key->tag_count = count;
    return KW_OK;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

kw_status vault_version_id(uint8_t id[KW_KEY_ID_LEN], const char *version)
{
    if (strlen(version) != STORE_VERSION_LEN)
        return KW_E_INPUT;
    for (size_t i = 0; i < KW_KEY_ID_LEN; i++) {
        int high = hex_value(version[2 * i]), low = hex_value(version[2 * i + 1]);
        if (high < 0 || low < 0)
            return KW_E_INPUT;
        id[i] = (uint8_t)(high << 4 | low);
    }
    return KW_OK;
}

void vault_version_text(char out[STORE_VERSION_LEN + 1], const uint8_t id[KW_KEY_ID_LEN])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < KW_KEY_ID_LEN; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[STORE_VERSION_LEN] = '\0';
}
