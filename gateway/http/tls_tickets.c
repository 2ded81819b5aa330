/* Session tickets (RFC 5077, RFC 8446 section 4.6.1) under keys of our own, so that every loop can
 * open them and they change while the process runs. */

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "gateway/http/tls_tickets.h"

#define KEY_LIFE_NS KW_S(12 * 3600)

struct ticket_key {
    uint8_t name[16], cipher[32], mac[32];
    int64_t made_ns;
    bool valid;
};

struct gw_tls_tickets {
    pthread_mutex_t lock;
    struct ticket_key *keys; /* [0] the newest, [1] the one before; kw_secret memory */
};

struct gw_tls_tickets *gw_tls_tickets_create(void)
{
    struct gw_tls_tickets *tickets = calloc(1, sizeof *tickets);
    if (!tickets)
        return NULL;
    pthread_mutex_init(&tickets->lock, NULL);
    tickets->keys = kw_secret_alloc(2 * sizeof *tickets->keys);
    if (!tickets->keys) {
        gw_tls_tickets_destroy(tickets);
        return NULL;
    }
    return tickets;
}

void gw_tls_tickets_destroy(struct gw_tls_tickets *tickets)
{
    if (!tickets)
        return;
    kw_secret_free(tickets->keys);
    pthread_mutex_destroy(&tickets->lock);
    free(tickets);
}

static kw_status rotate(struct gw_tls_tickets *tickets, int64_t now)
{
    struct ticket_key *keys = tickets->keys;
    if (keys[1].valid && now - keys[1].made_ns >= 2 * KEY_LIFE_NS)
        kw_wipe(&keys[1], sizeof keys[1]);
    if (keys[0].valid && now - keys[0].made_ns < KEY_LIFE_NS)
        return KW_OK;
    keys[1] = keys[0];
    if (keys[1].valid && now - keys[1].made_ns >= 2 * KEY_LIFE_NS)
        kw_wipe(&keys[1], sizeof keys[1]);
    keys[0].valid = false;
    KW_TRY(kw_random(keys[0].name, sizeof keys[0].name));
    KW_TRY(kw_random(keys[0].cipher, sizeof keys[0].cipher));
    KW_TRY(kw_random(keys[0].mac, sizeof keys[0].mac));
    keys[0].made_ns = now;
    keys[0].valid = true;
    return KW_OK;
}

static int set_keys(const struct ticket_key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, int encrypt)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac,
                                          sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "sha256", 0),
        OSSL_PARAM_construct_end()};
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, encrypt) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

int gw_tls_ticket_key(struct gw_tls_tickets *tickets, unsigned char *name, unsigned char *iv,
                      EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
    int result = encrypt ? -1 : 0;
    pthread_mutex_lock(&tickets->lock);
    kw_status status = rotate(tickets, kw_now_ns());
    struct ticket_key *keys = tickets->keys;
    if (status == KW_OK && encrypt) {
        memcpy(name, keys[0].name, sizeof keys[0].name);
        if (kw_random(iv, 16) == KW_OK && set_keys(&keys[0], iv, cipher, mac, 1))
            result = 1;
    } else if (status == KW_OK) {
        for (int i = 0; i < 2; i++) {
            if (!keys[i].valid || memcmp(name, keys[i].name, sizeof keys[i].name) != 0)
                continue;
            /* 2: opened, and the client gets a new one (TLS 1.3 always does) */
            if (set_keys(&keys[i], iv, cipher, mac, 0))
                result = i == 0 ? 1 : 2;
        }
    }
    pthread_mutex_unlock(&tickets->lock);
    return result;
}
