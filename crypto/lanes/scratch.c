#include "crypto/lanes/scratch.h"

#include <stdlib.h>

struct kc_scratch *kc_scratch_create(void)
{
    struct kc_scratch *scratch = calloc(1, sizeof(*scratch));
    if (!scratch) {
        return NULL;
    }
    bool ok = true;
    for (int i = 0; i < KC_CIPHER_SLOTS; i++) {
        scratch->cipher[i] = EVP_CIPHER_CTX_new();
        ok = ok && scratch->cipher[i];
    }
    scratch->md = EVP_MD_CTX_new();
    scratch->mac = EVP_MD_CTX_new();
    scratch->rsa = kw_secret_alloc(sizeof(*scratch->rsa));
    scratch->kernel_len = kc_dispatch_scratch_len();
    if (scratch->kernel_len != 0) {
        scratch->kernel = kw_secret_alloc(scratch->kernel_len);
        ok = ok && scratch->kernel;
    }
    if (!ok || !scratch->md || !scratch->mac || !scratch->rsa) {
        kc_scratch_destroy(scratch);
        return NULL;
    }
    return scratch;
}

void kc_scratch_destroy(struct kc_scratch *scratch)
{
    if (!scratch) {
        return;
    }
    for (int i = 0; i < KC_CIPHER_SLOTS; i++) {
        EVP_CIPHER_CTX_free(scratch->cipher[i]);
    }
    EVP_MD_CTX_free(scratch->md);
    EVP_MD_CTX_free(scratch->mac);
    kw_secret_free(scratch->rsa);
    kw_secret_free(scratch->kernel);
    if (scratch->kept) {
        scratch->free_kept(scratch->kept);
    }
    free(scratch);
}

EVP_CIPHER_CTX *kc_scratch_cipher(struct kc_scratch *scratch, enum kc_cipher_slot slot,
                                  const struct kc_key *key)
{
    if (scratch->cipher_serial[slot] == key->serial) {
        return scratch->cipher[slot];
    }
    const struct kc_oct_contexts *from = &key->contexts;
    const EVP_CIPHER_CTX *const sources[KC_CIPHER_SLOTS] = {
        [KC_CIPHER_ECB_ENC] = from->ecb_enc, [KC_CIPHER_ECB_DEC] = from->ecb_dec,
        [KC_CIPHER_CBC_ENC] = from->cbc_enc, [KC_CIPHER_CBC_DEC] = from->cbc_dec,
        [KC_CIPHER_GCM] = from->gcm,
    };
    scratch->cipher_serial[slot] = 0;
    if (EVP_CIPHER_CTX_copy(scratch->cipher[slot], sources[slot]) != 1) {
        return NULL;
    }
    scratch->cipher_serial[slot] = key->serial;
    return scratch->cipher[slot];
}

void kc_scratch_reset(struct kc_scratch *scratch)
{
    for (int i = 0; i < KC_CIPHER_SLOTS; i++) {
        if (scratch->cipher_serial[i] != 0) {
            EVP_CIPHER_CTX_reset(scratch->cipher[i]);
            scratch->cipher_serial[i] = 0;
        }
    }
}
