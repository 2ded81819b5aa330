#include "pool/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nothing in a MEMBER blob says whose it is (RFC 3394 and 5649 have no associated data), so the
 * opened key is held against the public half of the record. */
static bool same_public(const struct kc_public *a, const struct kc_public *b)
{
    if (a->kty != b->kty || a->bits != b->bits || a->curve != b->curve) {
        return false;
    }
    return kw_span_equal(kw_span_of(a->n, a->n_len), kw_span_of(b->n, b->n_len)) &&
           kw_span_equal(kw_span_of(a->e, a->e_len), kw_span_of(b->e, b->e_len)) &&
           kw_span_equal(kw_span_of(a->x, a->coord_len), kw_span_of(b->x, b->coord_len)) &&
           kw_span_equal(kw_span_of(a->y, a->coord_len), kw_span_of(b->y, b->coord_len));
}

/* The core's part of a key: the private half where the core may hold it, else the public half. */
static kw_status open_core(struct pool_key *key, struct pool *pool, struct kw_span blob)
{
    bool may_open =
        !key->hsm || ((pool_is_core_alone(pool) || pool->core_opens_hsm) && key->lacking == NULL);
    if (may_open && (blob.len > 0 || !key->hsm)) {
        KW_TRY(kc_blob_open(pool->domain, key->id, blob, key->hsm, &key->core));
        return same_public(kc_key_public(key->core), &key->pub) ? KW_OK : KW_E_INTEGRITY;
    }
    if (key->pub.kty == KW_KTY_OCT) {
        return KW_OK;
    }
    return kc_key_from_public(&key->core, &key->pub);
}

kw_status pool_key_create(struct pool_key **out, struct pool *pool,
                          const struct pool_key_desc *desc)
{
    *out = NULL;
    bool resident = desc->resident.len > 0;
    if (desc->blob.len > KC_BLOB_MAX || desc->resident.len > POOL_RESIDENT_ID_MAX ||
        (resident && (!desc->hsm || desc->blob.len > 0)) ||
        (desc->check.len > 0 && (!resident || desc->check.len != POOL_RESIDENT_CHECK_LEN))) {
        return KW_E_INPUT;
    }
    /* software blobs are opened here and not needed again */
    size_t keep = resident    ? POOL_RESIDENT_CHECK_LEN + desc->resident.len
                  : desc->hsm ? desc->blob.len
                              : 0;
    struct pool_key *key = calloc(1, sizeof *key + keep);
    if (key == NULL) {
        return KW_E_NOMEM;
    }
    atomic_init(&key->refs, 1);
    atomic_init(&key->sent, false);
    key->pool = pool;
    key->hsm = desc->hsm;
    key->scope = (uint8_t)(desc->scope <= POOL_SCOPE_MAX ? desc->scope : 0);
    memcpy(key->id, desc->id, sizeof key->id);
    key->pub = desc->pub;
    key->blob_len = keep;
    kw_status status = KW_OK;
    if (resident) {
        size_t head = desc->check.len > 0 ? desc->check.len : 1;
        key->blob[0] = POOL_REFERENCE;
        if (desc->check.len > 0) {
            memcpy(key->blob, desc->check.data, head);
        }
        memcpy(key->blob + head, desc->resident.data, desc->resident.len);
        key->blob_len = head + desc->resident.len;
        key->lacking = calloc(POOL_MAX_MEMBERS, sizeof *key->lacking);
        status = key->lacking == NULL ? KW_E_NOMEM : KW_OK;
    } else if (keep > 0) {
        memcpy(key->blob, desc->blob.data, keep);
    }
    if (desc->name != NULL && (key->name = strdup(desc->name)) == NULL) {
        status = KW_E_NOMEM;
    }
    if (status == KW_OK) {
        status = open_core(key, pool, desc->blob);
    }
    if (status != KW_OK) {
        pool_key_unref(key);
        return status;
    }
    *out = key;
    return KW_OK;
}

struct pool_key *pool_key_ref(struct pool_key *key)
{
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    return key;
}

void pool_key_unref(struct pool_key *key)
{
    if (key == NULL || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (atomic_load_explicit(&key->sent, memory_order_relaxed)) {
        pool_forget(key->pool, key->id);
    }
    kc_key_unref(key->core);
    free(key->name);
    free(key->lacking);
    free(key);
}

const struct kc_public *pool_key_public(const struct pool_key *key)
{
    return &key->pub;
}

const uint8_t *pool_key_id(const struct pool_key *key)
{
    return key->id;
}

const char *pool_key_name(const struct pool_key *key)
{
    return key->name;
}

bool pool_key_is_hsm(const struct pool_key *key)
{
    return key->hsm;
}

struct kw_span pool_key_blob(const struct pool_key *key)
{
    return kw_span_of(key->blob, key->blob_len);
}

bool pool_key_is_resident(const struct pool_key *key)
{
    return key->lacking != NULL;
}

bool pool_key_lacks(const struct pool_key *key, const struct pool_member *member)
{
    if (key->lacking == NULL || member->index >= POOL_MAX_MEMBERS) {
        return false;
    }
    uint32_t known = atomic_load_explicit(&key->lacking[member->index], memory_order_relaxed);
    return known != 0 && known == atomic_load_explicit(&member->holdings, memory_order_relaxed);
}

void pool_key_lacked(struct pool_key *key, struct pool_member *member, const char *why)
{
    if (key->lacking == NULL || member->index >= POOL_MAX_MEMBERS) {
        return;
    }
    uint32_t now = atomic_load_explicit(&member->holdings, memory_order_relaxed);
    if (atomic_exchange_explicit(&key->lacking[member->index], now, memory_order_relaxed) == now) {
        return;
    }
    char text[256];
    snprintf(text, sizeof text, "%s: %s", key->name != NULL ? key->name : "a key", why);
    struct pool_event event = {
        .type = POOL_EVENT_KEY_LACKING, .member = member->config.name, .reason = text};
    pool_emit(key->pool, &event);
}

void pool_member_read_anew(struct pool_member *member)
{
    static _Atomic uint32_t last;
    uint32_t next = atomic_fetch_add(&last, 1) + 1;
    atomic_store(&member->holdings, next != 0 ? next : atomic_fetch_add(&last, 1) + 1);
}

void pool_key_mark_sent(struct pool_key *key)
{
    atomic_store_explicit(&key->sent, true, memory_order_relaxed);
}

const struct kc_key *pool_key_core(const struct pool_key *key)
{
    return key->core;
}

kw_status pool_key_wrap(struct pool *pool, const uint8_t id[KW_KEY_ID_LEN],
                        const struct kc_key *key, bool hsm, struct kw_buf *blob)
{
    return kc_blob_wrap(pool->domain, id, key, hsm, blob);
}
