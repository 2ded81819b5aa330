#include "gateway/vault/keys/object.h"

#include "crypto/base/hex.h"

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

kw_status vault_version_id(uint8_t id[KW_KEY_ID_LEN], const char *version)
{
    /* lower case alone: a version has one spelling */
    if (strspn(version, "0123456789abcdef") != STORE_VERSION_LEN || version[STORE_VERSION_LEN])
        return KW_E_INPUT;
    return kw_hex_read(id, KW_KEY_ID_LEN, version) ? KW_OK : KW_E_INPUT;
}

void vault_version_text(char out[STORE_VERSION_LEN + 1], const uint8_t id[KW_KEY_ID_LEN])
{
    kw_hex_write(out, id, KW_KEY_ID_LEN);
}
