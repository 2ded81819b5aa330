#include "pool/remote/remote.h"

#include <stdio.h>

#define LACKS_NS KW_S(30)

/* A table with one place for each hash: a key that is driven out is asked for again. */
static struct pool_remote_key *place_of(struct pool_remote *remote, const struct pool_key *key)
{
    uint32_t hash;
    memcpy(&hash, pool_key_id(key), sizeof hash);
    return &remote->keys[hash % POOL_REMOTE_KEYS];
}

enum pool_remote_knows pool_remote_key_find(struct pool_remote *remote, const struct pool_key *key,
                                            char version[POOL_REMOTE_VERSION_MAX + 1])
{
    enum pool_remote_knows knows = POOL_REMOTE_UNKNOWN;
    pthread_mutex_lock(&remote->lock);
    const struct pool_remote_key *place = place_of(remote, key);
    if (memcmp(place->id, pool_key_id(key), KW_KEY_ID_LEN) == 0) {
        knows = place->knows;
        if (knows == POOL_REMOTE_LACKS_KEY && kw_now_ns() >= place->until_ns) {
            knows = POOL_REMOTE_UNKNOWN;
        }
        if (knows == POOL_REMOTE_HOLDS) {
            memcpy(version, place->version, sizeof place->version);
        }
    }
    pthread_mutex_unlock(&remote->lock);
    return knows;
}

void pool_remote_key_set(struct pool_remote *remote, const struct pool_key *key,
                         enum pool_remote_knows knows, const char *version)
{
    pthread_mutex_lock(&remote->lock);
    struct pool_remote_key *place = place_of(remote, key);
    memcpy(place->id, pool_key_id(key), KW_KEY_ID_LEN);
    place->knows = knows;
    place->until_ns = kw_now_ns() + LACKS_NS;
    snprintf(place->version, sizeof place->version, "%s", version != NULL ? version : "");
    pthread_mutex_unlock(&remote->lock);
}

void pool_remote_keys_forget(struct pool_remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    memset(remote->keys, 0, sizeof remote->keys);
    pthread_mutex_unlock(&remote->lock);
}
