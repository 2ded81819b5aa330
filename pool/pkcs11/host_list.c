/* The keys on the token, for operators: what each is, what it may do, and its public half, read
 * from its own object, from a public key or from a certificate with the same id. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "pool/pkcs11/control.h"
#include "pool/pkcs11/host.h"

#define CERTIFICATE_MAX 16384u
#define BIT(kind)       (1u << (kind))

/** One attribute; the length, or 0 when the token has or shows none. */
static size_t read_one(struct pool_host *host, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                       void *out, size_t cap)
{
    CK_ATTRIBUTE part = {type, out, cap};
    CK_RV rv = host->p11->C_GetAttributeValue(host->finder, object, &part, 1);
    return rv == CKR_OK && part.ulValueLen <= cap ? part.ulValueLen : 0;
}

static bool read_rsa(struct pool_host *host, CK_OBJECT_HANDLE object, struct kc_public *pub)
{
    size_t n_len = read_one(host, object, CKA_MODULUS, pub->n, sizeof(pub->n));
    size_t e_len = read_one(host, object, CKA_PUBLIC_EXPONENT, pub->e, sizeof(pub->e));
    pub->n_len = n_len > 0 ? pool_host_strip_zeros(pub->n, n_len) : 0;
    pub->e_len = e_len > 0 ? pool_host_strip_zeros(pub->e, e_len) : 0;
    pub->bits = (unsigned)(8 * pub->n_len);
    return pub->n_len > 0 && pub->e_len > 0;
}

static bool read_ec(struct pool_host *host, CK_OBJECT_HANDLE object, struct kc_public *pub)
{
    uint8_t point[160];
    size_t len = read_one(host, object, CKA_EC_POINT, point, sizeof(point));
    return len > 0 && pool_host_read_point(pub, point, len, kw_curve_bytes(pub->curve));
}

static bool read_from(struct pool_host *host, CK_OBJECT_HANDLE object, struct kc_public *pub)
{
    return pub->kty == KW_KTY_RSA ? read_rsa(host, object, pub) : read_ec(host, object, pub);
}

static size_t number_of(const EVP_PKEY *key, const char *name, uint8_t *out, size_t cap)
{
    BIGNUM *number = NULL;
    size_t len = 0;
    if (EVP_PKEY_get_bn_param(key, name, &number) == 1 && (size_t)BN_num_bytes(number) <= cap) {
        len = (size_t)BN_bn2bin(number, out);
    }
    BN_free(number);
    return len;
}

static bool from_certificate(struct pool_host *host, CK_OBJECT_HANDLE object, struct kc_public *pub)
{
    uint8_t *der = malloc(CERTIFICATE_MAX);
    size_t len = der != NULL ? read_one(host, object, CKA_VALUE, der, CERTIFICATE_MAX) : 0;
    const uint8_t *at = der;
    X509 *certificate = len > 0 ? d2i_X509(NULL, &at, (long)len) : NULL;
    const EVP_PKEY *key = certificate != NULL ? X509_get0_pubkey(certificate) : NULL;
    bool good = false;
    if (key != NULL && pub->kty == KW_KTY_RSA && EVP_PKEY_is_a(key, "RSA")) {
        pub->n_len = number_of(key, OSSL_PKEY_PARAM_RSA_N, pub->n, sizeof(pub->n));
        pub->e_len = number_of(key, OSSL_PKEY_PARAM_RSA_E, pub->e, sizeof(pub->e));
        pub->bits = (unsigned)(8 * pub->n_len);
        good = pub->n_len > 0 && pub->e_len > 0;
    } else if (key != NULL && pub->kty == KW_KTY_EC && EVP_PKEY_is_a(key, "EC")) {
        uint8_t point[160];
        size_t point_len = 0;
        good = EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
                                               &point_len) == 1 &&
               pool_host_read_point(pub, point, point_len, kw_curve_bytes(pub->curve));
    }
    X509_free(certificate);
    free(der);
    return good;
}

static void read_public(struct pool_host *host, const struct pool_host_objects *objects,
                        const struct pool_host_object *object, struct pool_found_key *key)
{
    struct kw_span id = kw_span_of(object->id, object->id_len);
    size_t count;
    if (read_from(host, object->handle, &key->pub)) {
        key->source = POOL_FOUND_KEY;
        return;
    }
    unsigned own_bits = key->pub.bits;
    if (id.len == 0) {
        return;
    }
    const struct pool_host_object *other =
        pool_host_objects_with(objects, CKO_PUBLIC_KEY, id, &count);
    for (size_t i = 0; i < count; i++) {
        if (other[i].type == object->type && read_from(host, other[i].handle, &key->pub)) {
            key->source = POOL_FOUND_PUBLIC_KEY;
            return;
        }
    }
    other = pool_host_objects_with(objects, CKO_CERTIFICATE, id, &count);
    for (size_t i = 0; i < count; i++) {
        if (from_certificate(host, other[i].handle, &key->pub)) {
            key->source = POOL_FOUND_CERTIFICATE;
            return;
        }
    }
    key->pub.n_len = key->pub.e_len = key->pub.coord_len = 0;
    key->pub.bits = own_bits;
    if (key->pub.kty == KW_KTY_RSA && !read_rsa(host, object->handle, &key->pub) &&
        key->pub.n_len > 0) {
        /* a modulus without an exponent: it is 65537, or the trial at the adoption shows that not
         */
        static const uint8_t usual[] = {0x01, 0x00, 0x01};
        memcpy(key->pub.e, usual, sizeof(usual));
        key->pub.e_len = sizeof(usual);
        key->source = POOL_FOUND_KEY;
    }
}

/** What of it is for keyward: signing, and for what can be given out, decryption. Unwrapping gives
 *  the wrapped bytes to the client, which CKA_UNWRAP alone does not allow. */
static uint16_t ops_of(const struct pool_found_key *key, bool sign, bool encrypt, bool decrypt)
{
    unsigned ops = 0;
    if (!key->secret && sign) {
        ops |= BIT(KW_KIND_SIGN) | BIT(KW_KIND_VERIFY);
    }
    if (key->secret) {
        ops |= encrypt ? BIT(KW_KIND_ENCRYPT) | BIT(KW_KIND_WRAP) : 0;
        ops |= decrypt ? BIT(KW_KIND_DECRYPT) | BIT(KW_KIND_UNWRAP) : 0;
    } else if (key->pub.kty == KW_KTY_RSA && decrypt) {
        ops |=
            BIT(KW_KIND_ENCRYPT) | BIT(KW_KIND_DECRYPT) | BIT(KW_KIND_WRAP) | BIT(KW_KIND_UNWRAP);
    }
    return (uint16_t)ops;
}

static void read_rights(struct pool_host *host, CK_OBJECT_HANDLE object, struct pool_found_key *key)
{
    CK_BBOOL sign = CK_FALSE, encrypt = CK_FALSE, decrypt = CK_FALSE, asks = CK_FALSE,
             extractable = CK_FALSE;
    /* one call: a token answers those it has, whatever it says of the others */
    CK_ATTRIBUTE parts[] = {{CKA_DECRYPT, &decrypt, sizeof(decrypt)},
                            {CKA_EXTRACTABLE, &extractable, sizeof(extractable)},
                            {CKA_SIGN, &sign, sizeof(sign)},
                            {CKA_ENCRYPT, &encrypt, sizeof(encrypt)},
                            {CKA_ALWAYS_AUTHENTICATE, &asks, sizeof(asks)}};
    (void)host->p11->C_GetAttributeValue(host->finder, object, parts, key->secret ? 4 : 5);
    key->asks_pin = asks != CK_FALSE;
    key->extractable = extractable != CK_FALSE;
    if (key->known) {
        key->ops = ops_of(key, sign != CK_FALSE, encrypt != CK_FALSE, decrypt != CK_FALSE);
    }
}

static void read_secret(struct pool_host *host, CK_OBJECT_HANDLE object, struct pool_found_key *key)
{
    CK_ULONG len = 0;
    if (read_one(host, object, CKA_VALUE_LEN, &len, sizeof(len)) == sizeof(len) && len <= 32) {
        key->pub.bits = (unsigned)(8 * len);
    }
    key->check_len = read_one(host, object, CKA_CHECK_VALUE, key->check, sizeof(key->check));
}

static void describe(struct pool_host *host, const struct pool_host_objects *objects,
                     const struct pool_host_object *object, struct pool_found_key *key)
{
    uint8_t oid[64];
    size_t count = 0;
    memset(key, 0, sizeof(*key));
    key->secret = object->class == CKO_SECRET_KEY;
    key->type = object->type;
    key->long_id = object->long_id;
    key->id_len = object->id_len;
    memcpy(key->id, object->id, object->id_len);
    size_t len = read_one(host, object->handle, CKA_LABEL, key->label, POOL_LABEL_MAX);
    key->label[len] = '\0';
    const struct pool_host_object *same = pool_host_objects_with(
        objects, object->class, kw_span_of(object->id, object->id_len), &count);
    size_t alike = 0;
    for (size_t i = 0; i < count; i++) {
        alike += same[i].type == object->type;
    }
    key->twice = object->id_len > 0 && alike > 1;
    if (key->secret ? object->type == CKK_AES : object->type == CKK_RSA || object->type == CKK_EC) {
        key->known = true;
        key->pub.kty = key->secret ? KW_KTY_OCT : object->type == CKK_RSA ? KW_KTY_RSA : KW_KTY_EC;
    }
    if (key->known && key->pub.kty == KW_KTY_EC) {
        len = read_one(host, object->handle, CKA_EC_PARAMS, oid, sizeof(oid));
        key->pub.curve = pool_host_curve_of(kw_span_of(oid, len));
        key->pub.bits = kw_curve_bits(key->pub.curve);
    }
    if (key->known && key->secret) {
        read_secret(host, object->handle, key);
    } else if (key->known) {
        read_public(host, objects, object, key);
    }
    read_rights(host, object->handle, key);
}

static kw_status send(struct pool_host *host, const struct kw_buf *record)
{
    return pool_control_send(host->control_fd, kw_buf_span(record), -1);
}

static kw_status send_loaded(struct pool_host *host, uint32_t sequence)
{
    uint8_t room[POOL_WIRE_FORGET_MAX * KW_KEY_ID_LEN + 64];
    uint8_t(*ids)[KW_KEY_ID_LEN] = calloc(host->loaded_keys, sizeof(*ids));
    if (ids == NULL) {
        return KW_OK; /* none is shown */
    }
    size_t count = pool_host_keys_ids(host->keys, ids, host->loaded_keys);
    kw_status status = KW_OK;
    for (size_t at = 0; at < count && status == KW_OK; at += POOL_WIRE_FORGET_MAX) {
        size_t n = count - at < POOL_WIRE_FORGET_MAX ? count - at : POOL_WIRE_FORGET_MAX;
        struct kw_buf out = {room, 0, sizeof(room)};
        struct pool_wire_loaded msg = {sequence, kw_span_of(ids[at], n * KW_KEY_ID_LEN)};
        status = pool_wire_put_loaded(&out, &msg);
        if (status == KW_OK) {
            status = send(host, &out);
        }
    }
    free(ids);
    return status;
}

static CK_RV read_all(struct pool_host *host, struct pool_host_objects *objects)
{
    static const CK_OBJECT_CLASS classes[] = {CKO_PRIVATE_KEY, CKO_SECRET_KEY, CKO_PUBLIC_KEY,
                                              CKO_CERTIFICATE};
    CK_RV rv = pool_host_finder(host);
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]) && rv == CKR_OK; i++) {
        rv = pool_host_objects_read(host, objects, classes[i]);
    }
    pool_host_objects_sort(objects);
    return rv;
}

static kw_status send_keys(struct pool_host *host, const struct pool_host_objects *objects,
                           uint32_t sequence)
{
    uint8_t room[POOL_CONTROL_MAX];
    size_t sent = 0;
    for (size_t i = 0; i < objects->count && sent < POOL_FOUND_MAX; i++) {
        const struct pool_host_object *object = &objects->list[i];
        if (object->class != CKO_PRIVATE_KEY && object->class != CKO_SECRET_KEY) {
            continue;
        }
        struct pool_wire_listed msg = {.sequence = sequence};
        struct kw_buf out = {room, 0, sizeof(room)};
        pthread_mutex_lock(&host->finding); /* for one key at a time: operations search as well */
        describe(host, objects, object, &msg.key);
        pthread_mutex_unlock(&host->finding);
        KW_TRY(pool_wire_put_listed(&out, &msg));
        KW_TRY(send(host, &out));
        sent++;
    }
    return KW_OK;
}

/** What is adopted next was seen just now: what was read is what operations go by from here on, so
 *  that none of them reads the whole token again within its deadline. */
static kw_status list_keys(struct pool_host *host, struct pool_wire_listed_all *end)
{
    struct pool_host_objects *objects = calloc(1, sizeof(*objects));
    if (objects == NULL) {
        end->ckr = CKR_HOST_MEMORY;
        return KW_OK;
    }
    pthread_mutex_lock(&host->finding);
    CK_RV rv = read_all(host, objects);
    bool whole =
        rv == CKR_OK && pool_host_anchored(host); /* logged out, it shows no private keys */
    pthread_mutex_unlock(&host->finding);
    end->ckr = rv;
    end->cut = objects->cut;
    kw_status status = rv == CKR_OK ? send_keys(host, objects, end->sequence) : KW_OK;
    pthread_mutex_lock(&host->finding);
    pool_host_objects_free(host->objects_known);
    host->objects_known = whole ? objects : NULL;
    pthread_mutex_unlock(&host->finding);
    if (!whole) {
        pool_host_objects_free(objects);
    }
    return status;
}

kw_status pool_host_list(struct pool_host *host, const struct pool_wire_list *list)
{
    struct pool_wire_listed_all end = {.sequence = list->sequence};
    uint8_t room[64];
    struct kw_buf out = {room, 0, sizeof(room)};
    KW_TRY(send_loaded(host, list->sequence));
    if (list->tokens) {
        KW_TRY(list_keys(host, &end));
    }
    KW_TRY(pool_wire_put_listed_all(&out, &end));
    return send(host, &out);
}
