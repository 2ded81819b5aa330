#include "crypto/base/jose.h"

#include <stddef.h>

static const char *const algs[KW_ALG_COUNT] = {
    [KW_ALG_RS256] = "RS256",
    [KW_ALG_RS384] = "RS384",
    [KW_ALG_RS512] = "RS512",
    [KW_ALG_PS256] = "PS256",
    [KW_ALG_PS384] = "PS384",
    [KW_ALG_PS512] = "PS512",
    [KW_ALG_RSNULL] = "RSNULL",
    [KW_ALG_ES256] = "ES256",
    [KW_ALG_ES384] = "ES384",
    [KW_ALG_ES512] = "ES512",
    [KW_ALG_ES256K] = "ES256K",
    [KW_ALG_HS256] = "HS256",
    [KW_ALG_HS384] = "HS384",
    [KW_ALG_HS512] = "HS512",
    [KW_ALG_RSA1_5] = "RSA1_5",
    [KW_ALG_RSA_OAEP] = "RSA-OAEP",
    [KW_ALG_RSA_OAEP_256] = "RSA-OAEP-256",
    [KW_ALG_A128KW] = "A128KW",
    [KW_ALG_A192KW] = "A192KW",
    [KW_ALG_A256KW] = "A256KW",
    [KW_ALG_AES_KW] = "CKM_AES_KEY_WRAP",
    [KW_ALG_AES_KWP] = "CKM_AES_KEY_WRAP_PAD",
    [KW_ALG_A128GCM] = "A128GCM",
    [KW_ALG_A192GCM] = "A192GCM",
    [KW_ALG_A256GCM] = "A256GCM",
    [KW_ALG_A128CBC] = "A128CBC",
    [KW_ALG_A192CBC] = "A192CBC",
    [KW_ALG_A256CBC] = "A256CBC",
    [KW_ALG_A128CBCPAD] = "A128CBCPAD",
    [KW_ALG_A192CBCPAD] = "A192CBCPAD",
    [KW_ALG_A256CBCPAD] = "A256CBCPAD",
};

static const char *const curves[] = {
    [KW_CURVE_P256] = "P-256",
    [KW_CURVE_P384] = "P-384",
    [KW_CURVE_P521] = "P-521",
    [KW_CURVE_P256K] = "P-256K",
};

const char *kw_alg_jose(enum kw_alg alg)
{
    return (unsigned)alg < KW_ALG_COUNT ? algs[alg] : NULL;
}

const char *kw_curve_jose(enum kw_curve curve)
{
    return (unsigned)curve < sizeof curves / sizeof curves[0] ? curves[curve] : NULL;
}
