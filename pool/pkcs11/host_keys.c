#include <stdlib.h>

#include "pool/pkcs11/host.h"

#define BUCKETS 512u

struct pool_host_key {
    uint8_t id[KW_KEY_ID_LEN];
    struct pool_host_key *bucket_next;
    struct pool_host_key *newer, *older; /* by last use */
    unsigned holders;                    /* under the cache's lock */
    bool forgotten;                      /* out of the cache; goes with its last holder */

    pthread_mutex_t lock; /* for the handles: unwrapped by one thread, used by all */
    CK_OBJECT_HANDLE handle, hmac_handle;
    enum kw_kty kty;
    bool resident; /* the objects are the token's own; `blob` is the reference */
    enum kc_blob_kind kind;
    size_t blob_len;
    uint8_t blob[KC_BLOB_MAX];
};

struct pool_host_keys {
    pthread_mutex_t lock;
    size_t limit, count;
    struct pool_host_key *buckets[BUCKETS];
    struct pool_host_key *newest, *oldest;
};

struct pool_host_keys *pool_host_keys_create(size_t limit)
{
    struct pool_host_keys *keys = calloc(1, sizeof(*keys));
    if (keys != NULL) {
        pthread_mutex_init(&keys->lock, NULL);
        keys->limit = limit == 0 ? 1 : limit;
    }
    return keys;
}

static void key_free(struct pool_host_key *key)
{
    pthread_mutex_destroy(&key->lock);
    free(key);
}

void pool_host_keys_destroy(struct pool_host_keys *keys)
{
    if (keys == NULL) {
        return;
    }
    while (keys->newest != NULL) {
        struct pool_host_key *key = keys->newest;
        keys->newest = key->older;
        key_free(key);
    }
    pthread_mutex_destroy(&keys->lock);
    free(keys);
}

/* --- under the cache's lock --- */

static struct pool_host_key **bucket_of(struct pool_host_keys *keys, const uint8_t *id)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < KW_KEY_ID_LEN; i++) {
        hash = (hash ^ id[i]) * 16777619u;
    }
    return &keys->buckets[hash % BUCKETS];
}

static struct pool_host_key *find(struct pool_host_keys *keys, const uint8_t *id)
{
    struct pool_host_key *key = *bucket_of(keys, id);
    while (key != NULL && memcmp(key->id, id, KW_KEY_ID_LEN) != 0) {
        key = key->bucket_next;
    }
    return key;
}

static void unlist(struct pool_host_keys *keys, struct pool_host_key *key)
{
    *(key->newer != NULL ? &key->newer->older : &keys->newest) = key->older;
    *(key->older != NULL ? &key->older->newer : &keys->oldest) = key->newer;
    key->newer = key->older = NULL;
}

static void list_newest(struct pool_host_keys *keys, struct pool_host_key *key)
{
    key->older = keys->newest;
    *(keys->newest != NULL ? &keys->newest->newer : &keys->oldest) = key;
    keys->newest = key;
}

static void take_out(struct pool_host_keys *keys, struct pool_host_key *key)
{
    unlist(keys, key);
    struct pool_host_key **at = bucket_of(keys, key->id);
    while (*at != key) {
        at = &(*at)->bucket_next;
    }
    *at = key->bucket_next;
    keys->count--;
}

/** Takes the least recently used idle key out; NULL when there is room or all are in use. */
static struct pool_host_key *evict(struct pool_host_keys *keys)
{
    if (keys->count <= keys->limit) {
        return NULL;
    }
    struct pool_host_key *key = keys->oldest;
    while (key != NULL && key->holders > 0) {
        key = key->newer;
    }
    if (key == NULL) {
        return NULL;
    }
    take_out(keys, key);
    return key;
}

static void add(struct pool_host_keys *keys, struct pool_host_key *key)
{
    struct pool_host_key **bucket = bucket_of(keys, key->id);
    key->bucket_next = *bucket;
    *bucket = key;
    list_newest(keys, key);
    keys->count++;
}

/* --- the cache --- */

static void discard(struct pool_host *host, struct pool_host_key *key)
{
    if (key->resident) {
        key_free(key); /* what its handle stands for was there before and stays */
        return;
    }
    pthread_mutex_lock(&host->objects);
    if (key->handle != CK_INVALID_HANDLE) {
        host->p11->C_DestroyObject(host->anchor, key->handle);
    }
    if (key->hmac_handle != CK_INVALID_HANDLE) {
        host->p11->C_DestroyObject(host->anchor, key->hmac_handle);
    }
    pthread_mutex_unlock(&host->objects);
    key_free(key);
}

static struct pool_host_key *key_new(const uint8_t *id, struct kw_span kept)
{
    struct pool_host_key *key = calloc(1, sizeof(*key));
    if (key == NULL) {
        return NULL;
    }
    pthread_mutex_init(&key->lock, NULL);
    memcpy(key->id, id, sizeof(key->id));
    memcpy(key->blob, kept.data, kept.len);
    key->blob_len = kept.len;
    return key;
}

/** Bytes before the CKA_ID. */
static size_t reference_head(struct kw_span reference)
{
    return reference.data[0] == POOL_REFERENCE ? 1 : POOL_RESIDENT_CHECK_LEN;
}

static struct pool_host_key *from_reference(const uint8_t *id, enum kw_kty kty,
                                            struct kw_span reference)
{
    size_t head = reference_head(reference);
    struct pool_host_key *key = reference.len > head && reference.len - head <= POOL_RESIDENT_ID_MAX
                                    ? key_new(id, reference)
                                    : NULL;
    if (key != NULL) {
        key->kty = kty;
        key->resident = true;
    }
    return key;
}

/** Checks a blob's header; NULL when it is none for a member. */
static struct pool_host_key *from_blob(const uint8_t *id, enum kw_kty wanted, struct kw_span blob)
{
    if (blob.data[0] >= POOL_REFERENCE && blob.data[0] <= POOL_CHECK_BY_DECRYPT) {
        return from_reference(id, wanted, blob);
    }
    if (blob.len <= KC_BLOB_HEADER || blob.len > KC_BLOB_MAX || blob.data[0] != 1 ||
        blob.data[2] > KW_KTY_OCT) {
        return NULL;
    }
    enum kw_kty kty = (enum kw_kty)blob.data[2];
    enum kc_blob_kind kind = (enum kc_blob_kind)blob.data[1];
    if (kind != (kty == KW_KTY_OCT ? KC_BLOB_MEMBER_KW : KC_BLOB_MEMBER_KWP)) {
        return NULL;
    }
    struct pool_host_key *key = key_new(id, blob);
    if (key != NULL) {
        key->kty = kty;
        key->kind = kind;
    }
    return key;
}

/** Under the cache's lock: out of the cache; onto `idle` when nobody holds it. */
static void forget_one(struct pool_host_keys *keys, struct pool_host_key *key,
                       struct pool_host_key **idle)
{
    take_out(keys, key);
    key->forgotten = true;
    if (key->holders == 0) {
        key->older = *idle;
        *idle = key;
    }
}

/** What a blob says counts, not what is loaded under its id: a key that was made here and never
 *  answered for has the id of the one that another member made in its place. */
static bool is_of(const struct pool_host_key *key, struct kw_span blob)
{
    return blob.len == 0 || kw_span_equal(kw_span_of(key->blob, key->blob_len), blob);
}

struct pool_host_key *pool_host_key_get(struct pool_host *host, const struct pool_wire_request *req,
                                        bool *bad_blob)
{
    struct pool_host_keys *keys = host->keys;
    struct pool_host_key *gone = NULL, *other = NULL;
    *bad_blob = false;
    pthread_mutex_lock(&keys->lock);
    struct pool_host_key *key = find(keys, req->key_id);
    if (key != NULL && is_of(key, req->blob)) {
        unlist(keys, key);
        list_newest(keys, key);
    } else if (req->blob.len > 0) {
        struct pool_host_key *before = key;
        key = from_blob(req->key_id, req->kty, req->blob);
        *bad_blob = key == NULL;
        if (key != NULL && before != NULL) {
            forget_one(keys, before, &other);
        }
        if (key != NULL) {
            add(keys, key);
        }
    }
    if (key != NULL) {
        key->holders++;
        gone = evict(keys);
    }
    pthread_mutex_unlock(&keys->lock);
    if (other != NULL) {
        discard(host, other);
    }
    if (gone != NULL) {
        discard(host, gone);
    }
    return key;
}

void pool_host_key_put(struct pool_host *host, struct pool_host_key *key)
{
    pthread_mutex_lock(&host->keys->lock);
    bool last = --key->holders == 0;
    struct pool_host_key *gone = last && key->forgotten ? key : evict(host->keys);
    pthread_mutex_unlock(&host->keys->lock);
    if (gone != NULL) {
        discard(host, gone);
    }
}

void pool_host_keys_forget(struct pool_host *host, struct kw_span ids)
{
    struct pool_host_keys *keys = host->keys;
    struct pool_host_key *idle = NULL;
    pthread_mutex_lock(&keys->lock);
    while (ids.len == 0 && keys->newest != NULL) {
        forget_one(keys, keys->newest, &idle);
    }
    for (size_t at = 0; at + KW_KEY_ID_LEN <= ids.len; at += KW_KEY_ID_LEN) {
        struct pool_host_key *key = find(keys, ids.data + at);
        if (key != NULL) {
            forget_one(keys, key, &idle);
        }
    }
    pthread_mutex_unlock(&keys->lock);
    while (idle != NULL) {
        struct pool_host_key *key = idle;
        idle = key->older;
        discard(host, key);
    }
}

size_t pool_host_keys_ids(struct pool_host_keys *keys, uint8_t (*ids)[KW_KEY_ID_LEN], size_t max)
{
    size_t count = 0;
    pthread_mutex_lock(&keys->lock);
    for (const struct pool_host_key *key = keys->newest; key != NULL && count < max;
         key = key->older) {
        memcpy(ids[count++], key->id, KW_KEY_ID_LEN);
    }
    pthread_mutex_unlock(&keys->lock);
    return count;
}

static CK_RV find_resident(struct pool_host *host, const struct pool_host_key *key, bool hmac,
                           CK_OBJECT_HANDLE *out)
{
    size_t head = reference_head(kw_span_of(key->blob, key->blob_len));
    struct kw_span check = kw_span_of(key->blob, head > 1 ? head : 0);
    return hmac ? CKR_KEY_TYPE_INCONSISTENT
                : pool_host_object_find(host, out, key->kty,
                                        kw_span_of(key->blob + head, key->blob_len - head), check);
}

static CK_RV unwrap(struct pool_host *host, struct pool_host_key *key, bool hmac,
                    CK_OBJECT_HANDLE *out)
{
    CK_OBJECT_CLASS class = key->kty == KW_KTY_OCT ? CKO_SECRET_KEY : CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = key->kty == KW_KTY_RSA  ? CKK_RSA
                       : key->kty == KW_KTY_EC ? CKK_EC
                       : hmac                  ? CKK_GENERIC_SECRET
                                               : CKK_AES;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    bool cipher = key->kty == KW_KTY_RSA || (key->kty == KW_KTY_OCT && !hmac);
    CK_BBOOL can_decrypt = cipher, can_sign = key->kty != KW_KTY_OCT || hmac;
    CK_ATTRIBUTE attributes[12] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_KEY_TYPE, &type, sizeof(type)},
        {CKA_TOKEN, &no, sizeof(no)},
        {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_SENSITIVE, &yes, sizeof(yes)},
        {CKA_EXTRACTABLE, &no, sizeof(no)},
        {CKA_ID, key->id, sizeof(key->id)},
        {CKA_DECRYPT, &can_decrypt, sizeof(can_decrypt)},
        {CKA_SIGN, &can_sign, sizeof(can_sign)},
    };
    CK_ULONG count = 9;
    if (key->kty == KW_KTY_OCT) {
        attributes[count++] = (CK_ATTRIBUTE){CKA_ENCRYPT, &can_decrypt, sizeof(can_decrypt)};
        attributes[count++] = (CK_ATTRIBUTE){CKA_VERIFY, &can_sign, sizeof(can_sign)};
    }
    CK_MECHANISM mechanism = {key->kind == KC_BLOB_MEMBER_KW ? CKM_AES_KEY_WRAP : host->transport,
                              NULL, 0};
    pthread_mutex_lock(&host->objects);
    CK_RV rv = host->p11->C_UnwrapKey(host->anchor, &mechanism, host->wrapping_key,
                                      key->blob + KC_BLOB_HEADER, key->blob_len - KC_BLOB_HEADER,
                                      attributes, count, out);
    pthread_mutex_unlock(&host->objects);
    return rv;
}

CK_RV pool_host_key_handle(struct pool_host *host, struct pool_host_key *key, bool hmac,
                           CK_OBJECT_HANDLE *out)
{
    CK_RV rv = CKR_OK;
    pthread_mutex_lock(&key->lock);
    CK_OBJECT_HANDLE *handle = hmac ? &key->hmac_handle : &key->handle;
    if (*handle == CK_INVALID_HANDLE) {
        CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
        rv = key->resident ? find_resident(host, key, hmac, &made) : unwrap(host, key, hmac, &made);
        if (rv == CKR_OK) {
            *handle = made;
        }
    }
    *out = *handle;
    pthread_mutex_unlock(&key->lock);
    return rv;
}

void pool_host_key_stale(struct pool_host *host, struct pool_host_key *key, CK_OBJECT_HANDLE handle)
{
    if (key->resident) {
        pool_host_object_stale(host, handle);
    }
    pthread_mutex_lock(&key->lock);
    if (key->handle == handle) {
        key->handle = CK_INVALID_HANDLE;
    }
    if (key->hmac_handle == handle) {
        key->hmac_handle = CK_INVALID_HANDLE;
    }
    pthread_mutex_unlock(&key->lock);
}
