#include "pool/inventory.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "pool/port.h"
#include "pool/slot.h"

const uint8_t pool_check_block[KW_AES_BLOCK_LEN] = "keyward resident"; /* 16, without its end */

kw_status pool_check_value(uint8_t out[POOL_RESIDENT_CHECK_LEN], uint8_t how,
                           const uint8_t block[KW_AES_BLOCK_LEN])
{
    uint8_t hash[32];
    if (EVP_Digest(block, KW_AES_BLOCK_LEN, hash, NULL, EVP_sha256(), NULL) != 1) {
        return KW_E_NOMEM;
    }
    out[0] = how;
    memcpy(out + 1, hash, POOL_RESIDENT_CHECK_LEN - 1);
    return KW_OK;
}

/* Members put what they find from the supervisor's thread, one after the other; the lock is for the
 * thread that began, which may still be asking the others. */
struct pool_inventory_read {
    pthread_mutex_t lock;
    unsigned waiting; /* members that have not ended, and the one that asks them */
    bool tokens;
    struct pool_port *port;
    pool_inventory_fn *done;
    void *ctx;
};

void pool_inventory_free(struct pool_inventory *inventory)
{
    if (inventory == NULL) {
        return;
    }
    for (size_t i = 0; inventory->members != NULL && i < inventory->member_count; i++) {
        free(inventory->members[i].loaded);
    }
    if (inventory->read != NULL) {
        pthread_mutex_destroy(&inventory->read->lock);
    }
    free(inventory->read);
    free(inventory->members);
    free(inventory->keys);
    free(inventory);
}

bool pool_inventory_wants_tokens(const struct pool_inventory *inventory)
{
    return inventory->read->tokens;
}

/** Room for one more of `size` bytes in an array that grows by doubling. */
static void *grown(void *array, size_t count, size_t *cap, size_t size)
{
    if (count < *cap) {
        return array;
    }
    size_t next = *cap == 0 ? 64 : 2 * *cap;
    void *more = realloc(array, next * size);
    if (more != NULL) {
        *cap = next;
    }
    return more;
}

bool pool_inventory_put_key(struct pool_inventory *inventory, const struct pool_found_key *key)
{
    pthread_mutex_lock(&inventory->read->lock);
    struct pool_found_key *keys =
        grown(inventory->keys, inventory->key_count, &inventory->key_cap, sizeof *keys);
    if (keys != NULL) {
        inventory->keys = keys;
        keys[inventory->key_count++] = *key;
    }
    pthread_mutex_unlock(&inventory->read->lock);
    return keys != NULL;
}

bool pool_inventory_put_loaded(struct pool_inventory *inventory, const struct pool_member *member,
                               struct kw_span ids)
{
    struct pool_inventory_member *at = &inventory->members[member->index];
    bool good = true;
    pthread_mutex_lock(&inventory->read->lock);
    for (size_t i = 0; good && i + KW_KEY_ID_LEN <= ids.len; i += KW_KEY_ID_LEN) {
        uint8_t(*loaded)[KW_KEY_ID_LEN] =
            grown(at->loaded, at->loaded_count, &at->loaded_cap, sizeof *loaded);
        good = loaded != NULL;
        if (good) {
            at->loaded = loaded;
            memcpy(loaded[at->loaded_count++], ids.data + i, KW_KEY_ID_LEN);
        }
    }
    pthread_mutex_unlock(&inventory->read->lock);
    return good;
}

static void deliver(struct pool_port *port, void *arg)
{
    struct pool_inventory *inventory = arg;
    pool_inventory_fn *done = inventory->read->done;
    void *ctx = inventory->read->ctx;
    atomic_store(&port->pool->inventory, false);
    port->in_flight--;
    done(ctx, inventory);
}

static void release(struct pool_inventory *inventory)
{
    pthread_mutex_lock(&inventory->read->lock);
    bool last = --inventory->read->waiting == 0;
    pthread_mutex_unlock(&inventory->read->lock);
    /* The port waits for it: without memory for the call there is nothing but to try again. */
    const struct timespec pause = {0, 10000000};
    while (last && pool_port_call(inventory->read->port, deliver, inventory) != KW_OK) {
        nanosleep(&pause, NULL);
    }
}

void pool_inventory_end(struct pool_inventory *inventory, const struct pool_member *member,
                        const char *why)
{
    struct pool_inventory_member *at = &inventory->members[member->index];
    at->complete = why == NULL;
    snprintf(at->why, sizeof at->why, "%s", why != NULL ? why : "");
    release(inventory);
}

static kw_status make(struct pool_inventory **out, struct pool *pool)
{
    struct pool_inventory *inventory = calloc(1, sizeof *inventory);
    if (inventory == NULL) {
        return KW_E_NOMEM;
    }
    inventory->member_count = pool->member_count;
    inventory->members = calloc(pool->member_count + 1, sizeof *inventory->members);
    inventory->read = calloc(1, sizeof *inventory->read);
    if (inventory->members == NULL || inventory->read == NULL) {
        free(inventory->read);
        inventory->read = NULL;
        pool_inventory_free(inventory);
        return KW_E_NOMEM;
    }
    pthread_mutex_init(&inventory->read->lock, NULL);
    *out = inventory;
    return KW_OK;
}

static void ask(struct pool_inventory *inventory, struct pool_member *member)
{
    struct pool_inventory_member *at = &inventory->members[member->index];
    if (pool_slot(member) != POOL_SLOT_MEMBER) {
        at->complete = true;
        return;
    }
    snprintf(at->name, sizeof at->name, "%s", member->config.name);
    at->kind = member->type->kind;
    at->hsm = member->type->inventory != NULL;
    if (!at->hsm) {
        at->complete = true;
        return;
    }
    pthread_mutex_lock(&inventory->read->lock);
    inventory->read->waiting++;
    pthread_mutex_unlock(&inventory->read->lock);
    if (!member->type->inventory(member, inventory)) {
        pool_inventory_end(inventory, member, "the member takes no work now");
    }
}

kw_status pool_inventory(struct pool_port *port, bool tokens, pool_inventory_fn *done, void *ctx)
{
    struct pool *pool = port->pool;
    struct pool_inventory *inventory = NULL;
    if (port->closing || atomic_exchange(&pool->inventory, true)) {
        return KW_E_BUSY;
    }
    kw_status status = make(&inventory, pool);
    if (status != KW_OK) {
        atomic_store(&pool->inventory, false);
        return status;
    }
    inventory->read->tokens = tokens;
    inventory->read->port = port;
    inventory->read->done = done;
    inventory->read->ctx = ctx;
    inventory->read->waiting = 1; /* until everyone was asked */
    port->in_flight++;
    pthread_rwlock_rdlock(&pool->slots_lock);
    for (unsigned i = 0; i < inventory->member_count; i++) {
        ask(inventory, &pool->members[i]);
    }
    pthread_rwlock_unlock(&pool->slots_lock);
    pool_supervisor_wake(pool);
    release(inventory);
    return KW_OK;
}
