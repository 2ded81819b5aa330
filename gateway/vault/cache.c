#include "gateway/vault/cache.h"

#include <pthread.h>
#include <stdlib.h>

#include "gateway/vault/keys/object.h"

#define SHARDS       64 /* a power of two */
#define BUCKETS      128
#define VERSIONS_MAX 32 /* kept of one object; a longer list would slow its walk */

struct version {
    struct version *next;
    struct vault_object *item; /* one reference */
};

struct object {
    struct object *chain;         /* of the bucket */
    struct object *newer, *older; /* by use */
    uint64_t hash;
    struct version *versions; /* lately used first */
    size_t count;
    struct vault_object *newest; /* one of the versions, or NULL: not known */
    char vault[STORE_VAULT_MAX + 1];
    char name[STORE_NAME_MAX + 1];
};

struct shard {
    pthread_mutex_t lock;
    /* under lock */
    uint64_t generation;
    size_t count; /* versions */
    struct object *buckets[BUCKETS];
    struct object *used_last, *used_first;
} __attribute__((aligned(64)));

struct vault_cache {
    uint64_t seed;
    size_t shard_capacity;
    struct shard shards[SHARDS];
};

/* --- names --- */

/* FNV-1a with a secret start and a final mix. Only names that exist in the store come in, and a
 * bucket's chain is bounded by the shard's capacity: flooding one buys nothing. */
static uint64_t hash_of(const struct vault_cache *cache, const char *vault, struct kw_span name)
{
    uint64_t h = cache->seed;
    for (; *vault; vault++)
        h = (h ^ (uint8_t)vault_fold(*vault)) * 0x100000001b3u;
    h = (h ^ 0xff) * 0x100000001b3u;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (uint8_t)vault_fold((char)name.data[i])) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

static bool same_text(const char *kept, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (vault_fold(kept[i]) != vault_fold(text[i]))
            return false;
    return kept[len] == '\0';
}

static struct shard *shard_of(struct vault_cache *cache, uint64_t hash)
{
    return &cache->shards[hash & (SHARDS - 1)];
}

static struct object **bucket_of(struct shard *shard, uint64_t hash)
{
    return &shard->buckets[(hash >> 8) & (BUCKETS - 1)];
}

static struct object *find(struct shard *shard, uint64_t hash, const char *vault,
                           struct kw_span name)
{
    struct object *object = *bucket_of(shard, hash);
    while (object && !(object->hash == hash && name.len <= STORE_NAME_MAX &&
                       same_text(object->name, (const char *)name.data, name.len) &&
                       same_text(object->vault, vault, strlen(vault))))
        object = object->chain;
    return object;
}

/* --- order of use --- */

static void unlink_use(struct shard *shard, struct object *object)
{
    *(object->newer ? &object->newer->older : &shard->used_last) = object->older;
    *(object->older ? &object->older->newer : &shard->used_first) = object->newer;
    object->newer = object->older = NULL;
}

static void link_use(struct shard *shard, struct object *object)
{
    object->older = shard->used_last;
    *(object->older ? &object->older->newer : &shard->used_first) = object;
    shard->used_last = object;
}

static void touch(struct shard *shard, struct object *object)
{
    if (shard->used_last == object)
        return;
    unlink_use(shard, object);
    link_use(shard, object);
}

/* --- taking out: objects are released after the lock is, wiping takes time
 * -------------------------
 */

static void release(struct version *list)
{
    while (list) {
        struct version *next = list->next;
        vault_object_unref(list->item);
        free(list);
        list = next;
    }
}

static void move_all(struct version **out, struct version *list)
{
    while (list) {
        struct version *next = list->next;
        list->next = *out;
        *out = list;
        list = next;
    }
}

static void remove_object(struct shard *shard, struct object *object, struct version **out)
{
    struct object **at = bucket_of(shard, object->hash);
    while (*at != object)
        at = &(*at)->chain;
    *at = object->chain;
    unlink_use(shard, object);
    shard->count -= object->count;
    move_all(out, object->versions);
    free(object);
}

/** Takes the version used longest ago, but not the newest, out of an object that has too many. */
static void trim(struct shard *shard, struct object *object, struct version **out)
{
    struct version **last = NULL;
    for (struct version **at = &object->versions; *at; at = &(*at)->next)
        if ((*at)->item != object->newest)
            last = at;
    if (object->count <= VERSIONS_MAX || !last)
        return;
    struct version *version = *last;
    *last = version->next;
    version->next = *out;
    *out = version;
    object->count--;
    shard->count--;
}

/* --- putting in --- */

static struct object *add_object(struct shard *shard, uint64_t hash,
                                 const struct vault_object *item)
{
    struct object *object = calloc(1, sizeof *object);
    if (!object)
        return NULL;
    object->hash = hash;
    memcpy(object->vault, item->vault, sizeof object->vault);
    memcpy(object->name, item->name, sizeof object->name);
    struct object **bucket = bucket_of(shard, hash);
    object->chain = *bucket;
    *bucket = object;
    link_use(shard, object);
    return object;
}

static struct version **find_version(struct object *object, const char *version, size_t len)
{
    struct version **at = &object->versions;
    while (*at && !(len == STORE_VERSION_LEN &&
                    memcmp((*at)->item->version, version, STORE_VERSION_LEN) == 0))
        at = &(*at)->next;
    return at;
}

static void insert(struct vault_cache *cache, struct shard *shard, uint64_t hash,
                   struct vault_object *item, bool newest, struct version **out)
{
    struct version *added = malloc(sizeof *added);
    struct object *object = find(shard, hash, item->vault, kw_span_str(item->name));
    if (added && !object)
        object = add_object(shard, hash, item);
    if (!added || !object) {
        /* not kept; an older state of it must not stay either */
        free(added);
        if (object)
            remove_object(shard, object, out);
        return;
    }
    struct version **old = find_version(object, item->version, strlen(item->version));
    if (*old) {
        struct version *gone = *old;
        newest = newest || object->newest == gone->item;
        *old = gone->next;
        gone->next = *out;
        *out = gone;
        object->count--;
        shard->count--;
    }
    *added = (struct version){.next = object->versions, .item = vault_object_ref(item)};
    object->versions = added;
    object->count++;
    shard->count++;
    if (newest)
        object->newest = item;
    trim(shard, object, out);
    touch(shard, object);
    while (shard->count > cache->shard_capacity && shard->used_first != object)
        remove_object(shard, shard->used_first, out);
}

/* --- the interface --- */

kw_status vault_cache_create(struct vault_cache **out, size_t capacity)
{
    struct vault_cache *cache = aligned_alloc(64, sizeof *cache);
    if (!cache)
        return KW_E_NOMEM;
    memset(cache, 0, sizeof *cache);
    kw_status status = kw_random(&cache->seed, sizeof cache->seed);
    if (status != KW_OK) {
        free(cache);
        return status;
    }
    cache->shard_capacity = capacity / SHARDS ? capacity / SHARDS : 1;
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_init(&cache->shards[i].lock, NULL);
    *out = cache;
    return KW_OK;
}

void vault_cache_destroy(struct vault_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        struct version *gone = NULL;
        while (shard->used_first)
            remove_object(shard, shard->used_first, &gone);
        release(gone);
        pthread_mutex_destroy(&shard->lock);
    }
    free(cache);
}

struct vault_object *vault_cache_peek(struct vault_cache *cache, const char *vault,
                                      struct kw_span name, struct kw_span version)
{
    uint64_t hash = hash_of(cache, vault, name);
    struct shard *shard = shard_of(cache, hash);
    struct vault_object *item = NULL;
    pthread_mutex_lock(&shard->lock);
    struct object *object = find(shard, hash, vault, name);
    if (object && version.len == 0) {
        item = object->newest;
    } else if (object) {
        struct version **at = find_version(object, (const char *)version.data, version.len);
        struct version *found = *at;
        if (found) {
            item = found->item;
            *at = found->next;
            found->next = object->versions;
            object->versions = found;
        }
    }
    if (item) {
        vault_object_ref(item);
        touch(shard, object);
    }
    pthread_mutex_unlock(&shard->lock);
    return item;
}

uint64_t vault_cache_generation(struct vault_cache *cache, const char *vault, struct kw_span name)
{
    struct shard *shard = shard_of(cache, hash_of(cache, vault, name));
    pthread_mutex_lock(&shard->lock);
    uint64_t generation = shard->generation;
    pthread_mutex_unlock(&shard->lock);
    return generation;
}

void vault_cache_fill(struct vault_cache *cache, struct vault_object *item, bool newest,
                      uint64_t generation)
{
    uint64_t hash = hash_of(cache, item->vault, kw_span_str(item->name));
    struct shard *shard = shard_of(cache, hash);
    struct version *gone = NULL;
    pthread_mutex_lock(&shard->lock);
    if (shard->generation == generation)
        insert(cache, shard, hash, item, newest, &gone);
    pthread_mutex_unlock(&shard->lock);
    release(gone);
}

void vault_cache_publish(struct vault_cache *cache, struct vault_object *item, bool newest,
                         uint64_t generation)
{
    uint64_t hash = hash_of(cache, item->vault, kw_span_str(item->name));
    struct shard *shard = shard_of(cache, hash);
    struct version *gone = NULL;
    pthread_mutex_lock(&shard->lock);
    if (shard->generation == generation) {
        insert(cache, shard, hash, item, newest, &gone);
    } else {
        struct object *object = find(shard, hash, item->vault, kw_span_str(item->name));
        if (object)
            remove_object(shard, object, &gone);
    }
    shard->generation++;
    pthread_mutex_unlock(&shard->lock);
    release(gone);
}

void vault_cache_drop(struct vault_cache *cache, const char *vault, struct kw_span name)
{
    uint64_t hash = hash_of(cache, vault, name);
    struct shard *shard = shard_of(cache, hash);
    struct version *gone = NULL;
    pthread_mutex_lock(&shard->lock);
    struct object *object = find(shard, hash, vault, name);
    if (object)
        remove_object(shard, object, &gone);
    shard->generation++;
    pthread_mutex_unlock(&shard->lock);
    release(gone);
}

void vault_cache_drop_vault(struct vault_cache *cache, const char *vault)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        struct version *gone = NULL;
        pthread_mutex_lock(&shard->lock);
        for (struct object *object = shard->used_first, *newer; object; object = newer) {
            newer = object->newer;
            if (same_text(object->vault, vault, strlen(vault)))
                remove_object(shard, object, &gone);
        }
        shard->generation++;
        pthread_mutex_unlock(&shard->lock);
        release(gone);
    }
}

size_t vault_cache_count(struct vault_cache *cache)
{
    size_t count = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&cache->shards[i].lock);
        count += cache->shards[i].count;
        pthread_mutex_unlock(&cache->shards[i].lock);
    }
    return count;
}
