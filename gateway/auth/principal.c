#include "gateway/auth/principal.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "crypto/base/secret.h"

#define LABEL "keyward principal of token:"

static void set_version(uint8_t guid[GW_GUID_LEN], unsigned version)
{
    guid[6] = (uint8_t)(version << 4 | (guid[6] & 0x0f));
    guid[8] = (uint8_t)(0x80 | (guid[8] & 0x3f));
}

kw_status gw_principal_new(uint8_t out[GW_GUID_LEN])
{
    KW_TRY(kw_random(out, GW_GUID_LEN));
    set_version(out, 4);
    return KW_OK;
}

kw_status gw_principal_of_token(uint8_t out[GW_GUID_LEN], const char *id)
{
    char text[sizeof LABEL + 64];
    uint8_t hash[32];
    int len = snprintf(text, sizeof text, LABEL "%s", id);
    if (len < 0 || (size_t)len >= sizeof text)
        return KW_E_INPUT;
    if (EVP_Digest(text, (size_t)len, hash, NULL, EVP_sha256(), NULL) != 1)
        return KW_E_INTERNAL;
    memcpy(out, hash, GW_GUID_LEN);
    set_version(out, 8);
    return KW_OK;
}
