/* What a file may make us compute before its password is known to be right. */

#include <openssl/asn1t.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <pthread.h>

#include "gateway/x509/ossl.h"

#define ROUNDS_MAX 2000000 /* about a second and a half */

kw_status gw_pbe_add(int64_t *rounds, int64_t more)
{
    if (more < 1 || more > ROUNDS_MAX - *rounds)
        return KW_E_UNSUPPORTED;
    *rounds += more;
    return KW_OK;
}

static kw_status count_pbkdf2(const X509_ALGOR *kdf, int64_t *rounds)
{
    kw_status status = KW_E_UNSUPPORTED;
    if (OBJ_obj2nid(kdf->algorithm) != NID_id_pbkdf2)
        return status;
    PBKDF2PARAM *param = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), kdf->parameter);
    int64_t iterations = 0;
    if (param && ASN1_INTEGER_get_int64(&iterations, param->iter) == 1)
        status = gw_pbe_add(rounds, iterations);
    PBKDF2PARAM_free(param);
    return status;
}

kw_status gw_pbe_count(const X509_ALGOR *alg, int64_t *rounds)
{
    kw_status status = KW_E_UNSUPPORTED;
    if (OBJ_obj2nid(alg->algorithm) == NID_pbes2) {
        PBE2PARAM *param = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), alg->parameter);
        if (param)
            status = count_pbkdf2(param->keyfunc, rounds);
        PBE2PARAM_free(param);
        return status;
    }
    PBEPARAM *param = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM), alg->parameter);
    int64_t iterations = 1;
    if (param && (!param->iter || ASN1_INTEGER_get_int64(&iterations, param->iter) == 1))
        status = gw_pbe_add(rounds, iterations);
    PBEPARAM_free(param);
    return status;
}

static OSSL_LIB_CTX *context;

static void make_context(void)
{
    OSSL_LIB_CTX *made = OSSL_LIB_CTX_new();
    if (!made || !OSSL_PROVIDER_load(made, "default")) {
        OSSL_LIB_CTX_free(made);
        return;
    }
    (void)OSSL_PROVIDER_load(made, "legacy"); /* RC2; not on every system */
    context = made;
}

OSSL_LIB_CTX *gw_pbe_context(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_context);
    return context;
}
