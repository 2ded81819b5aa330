#pragma once
/* Working room of one thread. Contexts and blocks are reused within a batch and emptied after it.
 */

#include <openssl/evp.h>

#include "crypto/keys/key_internal.h"
#include "crypto/lanes/dispatch.h"

/** Which prepared context of a key is wanted. */
enum kc_cipher_slot {
    KC_CIPHER_ECB_ENC,
    KC_CIPHER_ECB_DEC,
    KC_CIPHER_CBC_ENC,
    KC_CIPHER_CBC_DEC,
    KC_CIPHER_GCM,
    KC_CIPHER_SLOTS
};

/** Blocks of one RSA chunk, in secret memory. */
struct kc_rsa_room {
    uint8_t block[KC_RSA_BATCH][KW_RSA_MAX_BYTES];  /* encoded inputs */
    uint8_t result[KC_RSA_BATCH][KW_RSA_MAX_BYTES]; /* decrypted blocks before decoding */
    uint8_t back[KC_RSA_BATCH][KW_RSA_MAX_BYTES];   /* public operation on the answers */
};

struct kc_scratch {
    EVP_CIPHER_CTX *cipher[KC_CIPHER_SLOTS];
    uint64_t cipher_serial[KC_CIPHER_SLOTS]; /* key whose context was copied in, 0: none */
    EVP_MD_CTX *md;                          /* padding */
    EVP_MD_CTX *mac;                         /* HMAC */
    struct kc_rsa_room *rsa;
    void *kernel; /* for multi-buffer kernels: kernel_len bytes of secret memory, 64-byte aligned */
    size_t kernel_len;
    void
        *kept; /* what the EC kernels keep from batch to batch, nothing secret; NULL: nothing yet */
    void (*free_kept)(void *kept);
};

/** The key's context, copied into this thread's. Borrowed until the batch ends. NULL on failure. */
EVP_CIPHER_CTX *kc_scratch_cipher(struct kc_scratch *scratch, enum kc_cipher_slot slot,
                                  const struct kc_key *key);

/** Forgets every key: called at the end of each batch. */
void kc_scratch_reset(struct kc_scratch *scratch);
