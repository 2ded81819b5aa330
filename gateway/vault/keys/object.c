#include "gateway/vault/keys/object.h"

struct vault_key *vault_key_new(const char *vault, const char *name, const char *version)
{
    return (struct vault_key *)vault_object_new(&vault_key_kind, vault, name, version);
}

struct vault_key *vault_key_ref(struct vault_key *key)
{
    vault_object_ref(&key->object);
    return key;
}

void vault_key_unref(struct vault_key *key)
{
    if (key)
        vault_object_unref(&key->object);
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
