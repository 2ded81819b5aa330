/* What the token holds by itself. Searches are slow on many tokens (some look at every object for
 * each one), so the ids of all keys are read once and asked from memory then; a handle that went
 * stale is searched for alone. */
#include <stdlib.h>

#include "pool/pkcs11/host.h"

#define HANDLES_AT_ONCE 256u

CK_RV pool_host_finder(struct pool_host *host)
{
    CK_SESSION_INFO info;
    if (host->finder != CK_INVALID_HANDLE &&
        host->p11->C_GetSessionInfo(host->finder, &info) == CKR_OK) {
        return CKR_OK;
    }
    host->finder = CK_INVALID_HANDLE;
    return pool_host_open_session(host, &host->finder);
}

void pool_host_objects_free(struct pool_host_objects *objects)
{
    if (objects != NULL) {
        free(objects->list);
        free(objects);
    }
}

static struct pool_host_object *add(struct pool_host_objects *objects)
{
    if (objects->count == objects->cap) {
        size_t cap = objects->cap == 0 ? 64 : 2 * objects->cap;
        struct pool_host_object *list = realloc(objects->list, cap * sizeof(*list));
        if (list == NULL) {
            return NULL;
        }
        objects->list = list;
        objects->cap = cap;
    }
    struct pool_host_object *object = &objects->list[objects->count++];
    memset(object, 0, sizeof(*object));
    return object;
}

/** Type and id; an object without them is one that cannot be found by them. */
static void describe(struct pool_host *host, struct pool_host_object *object)
{
    object->type = CK_UNAVAILABLE_INFORMATION;
    bool key = object->class != CKO_CERTIFICATE;
    CK_ATTRIBUTE parts[] = {
        {CKA_ID, object->id, sizeof(object->id)},
        {CKA_KEY_TYPE, &object->type, sizeof(object->type)},
    };
    CK_RV rv = host->p11->C_GetAttributeValue(host->finder, object->handle, parts, key ? 2 : 1);
    CK_ULONG len = parts[0].ulValueLen;
    object->id_len = len <= sizeof(object->id) ? (uint8_t)len : 0;
    object->long_id = rv == CKR_BUFFER_TOO_SMALL && len > sizeof(object->id);
}

static CK_RV handles_of(struct pool_host *host, struct pool_host_objects *objects,
                        CK_ATTRIBUTE *wanted, CK_ULONG wanted_count, CK_OBJECT_CLASS class)
{
    CK_OBJECT_HANDLE found[HANDLES_AT_ONCE];
    size_t first = objects->count;
    CK_ULONG count = 0;
    CK_RV rv = host->p11->C_FindObjectsInit(host->finder, wanted, wanted_count);
    if (rv != CKR_OK) {
        return rv;
    }
    do {
        rv = host->p11->C_FindObjects(host->finder, found, HANDLES_AT_ONCE, &count);
        count = rv == CKR_OK && count <= HANDLES_AT_ONCE ? count : 0;
        for (CK_ULONG i = 0; i < count && !objects->cut; i++) {
            if (objects->count - first >= POOL_FOUND_MAX) {
                objects->cut = true;
                break;
            }
            struct pool_host_object *object = add(objects);
            if (object == NULL) {
                rv = CKR_HOST_MEMORY;
                break;
            }
            object->class = class;
            object->handle = found[i];
        }
    } while (rv == CKR_OK && count > 0 && !objects->cut);
    CK_RV ended = host->p11->C_FindObjectsFinal(host->finder);
    return rv != CKR_OK ? rv : ended;
}

CK_RV pool_host_objects_read(struct pool_host *host, struct pool_host_objects *objects,
                             CK_OBJECT_CLASS class)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_TOKEN, &yes, sizeof(yes)}};
    size_t first = objects->count;
    CK_RV rv = handles_of(host, objects, wanted, 2, class);
    for (size_t i = first; rv == CKR_OK && i < objects->count; i++) {
        describe(host, &objects->list[i]);
    }
    return rv;
}

static int compare(CK_OBJECT_CLASS class, struct kw_span id, const struct pool_host_object *with)
{
    if (class != with->class) {
        return class < with->class ? -1 : 1;
    }
    if (id.len != with->id_len) {
        return id.len < with->id_len ? -1 : 1;
    }
    return id.len > 0 ? memcmp(id.data, with->id, id.len) : 0;
}

static int in_order(const void *a, const void *b)
{
    const struct pool_host_object *left = a;
    return compare(left->class, kw_span_of(left->id, left->id_len), b);
}

void pool_host_objects_sort(struct pool_host_objects *objects)
{
    if (objects->count > 0) {
        qsort(objects->list, objects->count, sizeof(*objects->list), in_order);
    }
}

const struct pool_host_object *pool_host_objects_with(const struct pool_host_objects *objects,
                                                      CK_OBJECT_CLASS class, struct kw_span id,
                                                      size_t *count)
{
    size_t low = 0, high = objects->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(class, id, &objects->list[middle]) > 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *count = 0;
    while (low + *count < objects->count && compare(class, id, &objects->list[low + *count]) == 0) {
        ++*count;
    }
    return *count > 0 ? &objects->list[low] : NULL;
}

static CK_KEY_TYPE type_of(enum kw_kty kty)
{
    return kty == KW_KTY_RSA ? CKK_RSA : kty == KW_KTY_EC ? CKK_EC : CKK_AES;
}

static CK_RV read_keys(struct pool_host *host)
{
    struct pool_host_objects *objects = calloc(1, sizeof(*objects));
    if (objects == NULL) {
        return CKR_HOST_MEMORY;
    }
    CK_RV rv = pool_host_objects_read(host, objects, CKO_PRIVATE_KEY);
    if (rv == CKR_OK) {
        rv = pool_host_objects_read(host, objects, CKO_SECRET_KEY);
    }
    /* a token that was logged out shows no private objects, and no error */
    if (rv == CKR_OK && !pool_host_anchored(host)) {
        rv = CKR_USER_NOT_LOGGED_IN;
    }
    if (rv != CKR_OK) {
        pool_host_objects_free(objects);
        return rv;
    }
    pool_host_objects_sort(objects);
    pool_host_objects_free(host->objects_known);
    host->objects_known = objects;
    return CKR_OK;
}

/** Asks the token for this one again and puts what it says into the list. */
static CK_RV search(struct pool_host *host, struct pool_host_object *object)
{
    struct pool_host_objects found = {0};
    CK_ATTRIBUTE wanted[] = {
        {CKA_CLASS, &object->class, sizeof(object->class)},
        {CKA_KEY_TYPE, &object->type, sizeof(object->type)},
        {CKA_ID, object->id, object->id_len},
    };
    CK_RV rv = handles_of(host, &found, wanted, 3, object->class);
    if (rv == CKR_OK && found.count != 1) {
        rv = pool_host_anchored(host) ? POOL_HOST_LACKS : CKR_USER_NOT_LOGGED_IN;
    }
    object->handle = rv == CKR_OK ? found.list[0].handle : CK_INVALID_HANDLE;
    free(found.list);
    return rv;
}

static CK_RV find(struct pool_host *host, CK_OBJECT_HANDLE *out, enum kw_kty kty, struct kw_span id)
{
    CK_OBJECT_CLASS class = kty == KW_KTY_OCT ? CKO_SECRET_KEY : CKO_PRIVATE_KEY;
    CK_RV rv = pool_host_finder(host);
    if (rv == CKR_OK && host->objects_known == NULL) {
        rv = read_keys(host);
    }
    if (rv != CKR_OK) {
        return rv;
    }
    size_t count = 0, right = 0;
    const struct pool_host_object *first =
        pool_host_objects_with(host->objects_known, class, id, &count);
    struct pool_host_object *object = NULL;
    for (size_t i = 0; i < count; i++) {
        if (first[i].type == type_of(kty)) {
            object = &host->objects_known->list[(size_t)(first - host->objects_known->list) + i];
            right++;
        }
    }
    if (right != 1) {
        return POOL_HOST_LACKS;
    }
    if (object->handle == CK_INVALID_HANDLE) {
        rv = search(host, object);
    }
    *out = object->handle;
    return rv;
}

/** Is it the secret key that was adopted? */
static CK_RV compare_check(struct pool_host *host, CK_OBJECT_HANDLE key, struct kw_span check)
{
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    uint8_t block[2 * KW_AES_BLOCK_LEN], value[POOL_RESIDENT_CHECK_LEN];
    CK_ULONG len = sizeof(block);
    CK_BYTE_PTR in = (CK_BYTE_PTR)pool_check_block;
    bool encrypts = check.data[0] == POOL_CHECK_BY_ENCRYPT;
    CK_RV rv = encrypts ? host->p11->C_EncryptInit(host->finder, &ecb, key)
                        : host->p11->C_DecryptInit(host->finder, &ecb, key);
    if (rv == CKR_OK) {
        rv = encrypts ? host->p11->C_Encrypt(host->finder, in, KW_AES_BLOCK_LEN, block, &len)
                      : host->p11->C_Decrypt(host->finder, in, KW_AES_BLOCK_LEN, block, &len);
    }
    if (rv != CKR_OK) {
        return rv;
    }
    if (len != KW_AES_BLOCK_LEN || pool_check_value(value, check.data[0], block) != KW_OK) {
        return CKR_FUNCTION_FAILED;
    }
    return kw_span_equal(check, kw_span_of(value, sizeof(value))) ? CKR_OK : POOL_HOST_LACKS;
}

CK_RV pool_host_object_find(struct pool_host *host, CK_OBJECT_HANDLE *out, enum kw_kty kty,
                            struct kw_span id, struct kw_span check)
{
    pthread_mutex_lock(&host->finding);
    CK_RV rv = find(host, out, kty, id);
    if (rv == CKR_OK && check.len > 0) {
        rv = compare_check(host, *out, check);
    }
    if (rv != CKR_OK) {
        *out = CK_INVALID_HANDLE;
    }
    pthread_mutex_unlock(&host->finding);
    return rv;
}

void pool_host_object_stale(struct pool_host *host, CK_OBJECT_HANDLE handle)
{
    pthread_mutex_lock(&host->finding);
    struct pool_host_objects *known = host->objects_known;
    for (size_t i = 0; known != NULL && i < known->count; i++) {
        if (known->list[i].handle == handle) {
            known->list[i].handle = CK_INVALID_HANDLE;
        }
    }
    pthread_mutex_unlock(&host->finding);
}

void pool_host_objects_forget(struct pool_host *host)
{
    pthread_mutex_lock(&host->finding);
    pool_host_objects_free(host->objects_known);
    host->objects_known = NULL;
    pthread_mutex_unlock(&host->finding);
}
