/* Key blobs and private keys as they come from members and the store. A blob that was not made here
 * must not open as anything but by the holder of the domain key. */
#include <stdlib.h>

#include "crypto/domain/domain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(enum kw_kty kty, enum kw_curve curve, struct kw_span bytes)
{
    struct kc_key *key = NULL;
    struct kw_secret again = {0};
    if (kc_key_from_private(&key, kty, curve, bytes) == KW_OK &&
        kc_key_to_private(&again, key) != KW_OK)
        abort();
    kw_secret_clear(&again);
    kc_key_unref(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t domain_key[KC_DOMAIN_KEY_LEN] = {7}, id[KW_KEY_ID_LEN] = {1};
    static struct kc_domain *domain;
    struct kw_span input = kw_span_of(data, size);
    struct kc_key *key = NULL;
    uint8_t room[KC_BLOB_MAX];
    struct kw_buf out = {room, 0, sizeof room};
    if (domain == NULL &&
        kc_domain_open(&domain, kw_span_of(domain_key, sizeof domain_key)) != KW_OK)
        abort();
    if (kc_blob_open(domain, id, input, true, &key) == KW_OK)
        kc_key_unref(key);
    if (size <= sizeof room && kc_open(domain, kw_span_of(id, sizeof id), input, &out) == KW_OK &&
        out.len > out.cap)
        abort();
    parse(KW_KTY_OCT, KW_CURVE_NONE, input);
    parse(KW_KTY_EC, KW_CURVE_P256, input);
    parse(KW_KTY_RSA, KW_CURVE_NONE, input);
    return 0;
}
