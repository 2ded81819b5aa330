#include "crypto/keys/ossl.h"

#include <openssl/kdf.h>
#include <pthread.h>

static struct kc_ossl table;
static bool complete;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool fetch_ciphers(EVP_CIPHER *out[3], const char *const names[3])
{
    bool ok = true;
    for (int i = 0; i < 3; i++) {
        out[i] = EVP_CIPHER_fetch(NULL, names[i], NULL);
        ok &= out[i] != NULL;
    }
    return ok;
}

static void fetch_all(void)
{
    static const char *const ecb[3] = {"AES-128-ECB", "AES-192-ECB", "AES-256-ECB"};
    static const char *const cbc[3] = {"AES-128-CBC", "AES-192-CBC", "AES-256-CBC"};
    static const char *const gcm[3] = {"AES-128-GCM", "AES-192-GCM", "AES-256-GCM"};
    static const char *const md[] = {
        [KW_HASH_NONE] = NULL,         [KW_HASH_SHA1] = "SHA1",       [KW_HASH_SHA256] = "SHA2-256",
        [KW_HASH_SHA384] = "SHA2-384", [KW_HASH_SHA512] = "SHA2-512",
    };
    bool ok = fetch_ciphers(table.ecb, ecb);
    ok &= fetch_ciphers(table.cbc, cbc);
    ok &= fetch_ciphers(table.gcm, gcm);
    for (int i = KW_HASH_SHA1; i <= KW_HASH_SHA512; i++) {
        table.md[i] = EVP_MD_fetch(NULL, md[i], NULL);
        ok &= table.md[i] != NULL;
    }
    table.hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    complete = ok && table.hkdf != NULL;
}

const struct kc_ossl *kc_ossl(void)
{
    pthread_once(&once, fetch_all);
    return complete ? &table : NULL;
}
