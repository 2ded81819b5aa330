#include "crypto/keys/key.h"

#include <stdlib.h>

#include "crypto/keys/key_internal.h"

static _Atomic uint64_t next_serial = 1;
static const struct kc_key_extension *extensions[KC_KEY_SLOT_COUNT];

void kc_key_extend(enum kc_key_slot slot, const struct kc_key_extension *extension)
{
    extensions[slot] = extension;
}

struct kc_key *kc_key_alloc(enum kw_kty kty, unsigned bits, enum kw_curve curve)
{
    struct kc_key *key = calloc(1, sizeof(*key));
    if (!key) {
        return NULL;
    }
    atomic_init(&key->refs, 1);
    key->serial = atomic_fetch_add_explicit(&next_serial, 1, memory_order_relaxed);
    key->pub.kty = kty;
    key->pub.bits = bits;
    key->pub.curve = curve;
    return key;
}

kw_status kc_key_finish(struct kc_key **out, struct kc_key *key)
{
    *out = NULL;
    for (int i = 0; i < KC_KEY_SLOT_COUNT; i++) {
        if (!extensions[i]) {
            continue;
        }
        kw_status status = extensions[i]->build(&key->slots[i].prepared, key);
        if (status != KW_OK) {
            kc_key_unref(key);
            return status;
        }
        key->slots[i].destroy = extensions[i]->destroy;
    }
    *out = key;
    return KW_OK;
}

struct kc_key *kc_key_ref(struct kc_key *key)
{
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    return key;
}

void kc_key_unref(struct kc_key *key)
{
    if (!key || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (int i = 0; i < KC_KEY_SLOT_COUNT; i++) {
        if (key->slots[i].prepared && key->slots[i].destroy) {
            key->slots[i].destroy(key->slots[i].prepared);
        }
    }
    EVP_PKEY_CTX_free(key->public_ctx);
    EVP_PKEY_CTX_free(key->private_ctx);
    EVP_PKEY_free(key->pkey);
    kc_oct_contexts_clear(&key->contexts);
    kw_secret_free(key->rsa);
    kw_secret_free(key->ec_d);
    kw_secret_free(key->oct);
    kw_wipe(key, sizeof(*key));
    free(key);
}

const struct kc_public *kc_key_public(const struct kc_key *key)
{
    return &key->pub;
}

bool kc_key_has_private(const struct kc_key *key)
{
    return key->has_private;
}
