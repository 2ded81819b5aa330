#include "pool/pkcs11/identity.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "crypto/base/hex.h"
#include "crypto/base/secret.h"
#include "pool/pkcs11/state_file.h"

kw_status pool_domain_check(char out[2 * POOL_DOMAIN_CHECK_LEN + 1], const struct kc_domain *domain)
{
    static const char text[] = "keyward domain check value 1";
    struct kw_secret key = {0};
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    KW_TRY(kc_domain_member_key(domain, &key));
    bool ok = HMAC(EVP_sha256(), key.data, (int)key.len, (const uint8_t *)text, sizeof text - 1,
                   mac, &len) != NULL &&
              len >= POOL_DOMAIN_CHECK_LEN;
    kw_secret_clear(&key);
    if (ok) {
        kw_hex_write(out, mac, POOL_DOMAIN_CHECK_LEN);
    }
    kw_wipe(mac, sizeof mac);
    return ok ? KW_OK : KW_E_INTERNAL;
}

/* Serial numbers are text of the token: what is no plain character is written as '?'. */
void pool_identity_serial(char out[17], const char *text)
{
    size_t i = 0;
    for (; i < 16 && text[i] != '\0'; i++) {
        bool fine = text[i] > 0x20 && text[i] < 0x7f && text[i] != '"' && text[i] != '\\';
        out[i] = fine ? text[i] : '?';
    }
    out[i] = '\0';
}

kw_status pool_identity_load(struct pool_identity *out, const char *dir, const char *member)
{
    char path[POOL_STATE_PATH], text[256], serial[18];
    size_t len = 0;
    memset(out, 0, sizeof *out);
    KW_TRY(pool_state_path(path, dir, "member-", member));
    KW_TRY(pool_state_read(path, text, sizeof text, &len));
    if (sscanf(text, "{\"serial\":\"%17[^\"]\",\"domain\":\"%32[0-9a-f]\"}", serial, out->domain) !=
            2 ||
        strlen(out->domain) != 2 * (size_t)POOL_DOMAIN_CHECK_LEN || serial[0] != '#') {
        return KW_E_IO;
    }
    snprintf(out->serial, sizeof out->serial, "%s", serial + 1);
    return KW_OK;
}

kw_status pool_identity_store(const char *dir, const char *member,
                              const struct pool_identity *identity)
{
    char path[POOL_STATE_PATH], text[256];
    KW_TRY(pool_state_path(path, dir, "member-", member));
    /* the mark lets an empty serial be read back */
    int len = snprintf(text, sizeof text, "{\"serial\":\"#%s\",\"domain\":\"%s\"}\n",
                       identity->serial, identity->domain);
    return pool_state_write(dir, path, text, (size_t)len);
}

kw_status pool_identity_remove(const char *dir, const char *member)
{
    char path[POOL_STATE_PATH];
    KW_TRY(pool_state_path(path, dir, "member-", member));
    return pool_state_remove(dir, path);
}
