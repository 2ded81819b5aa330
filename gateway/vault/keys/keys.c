/* Keys among the kinds: how their records open, and the common calls under their types. */

#include "gateway/vault/keys/keys.h"

#include <stdlib.h>

#include "gateway/vault/vault.h"

static struct vault_key *of(struct vault_object *object)
{
    return (struct vault_key *)object;
}

/* --- the kind --- */

kw_status vault_key_make_usable(struct vault *vault, struct vault_key *key,
                                const struct kc_public *pub)
{
    struct pool_key_desc desc = {.hsm = key->hsm,
                                 .pub = *pub,
                                 .blob = kw_span_of(key->blob, key->blob_len),
                                 .scope = vault_scope(vault, key->vault),
                                 .name = key->name};
    if (key->resident) {
        desc.resident = kw_span_of(key->resident->id, key->resident->id_len);
        desc.check = kw_span_of(key->resident->check, key->resident->check_len);
    }
    key->kty = pub->kty;
    key->curve = pub->curve;
    key->bits = pub->bits;
    if (vault_version_id(desc.id, key->version) != KW_OK)
        return KW_E_INTEGRITY;
    return pool_key_create(&key->key, vault->pool, &desc);
}

kw_status vault_row_open(struct vault *vault, const char *vault_name, const struct store_row *row,
                         bool usable, struct vault_key **out)
{
    struct kc_public pub;
    struct vault_key *key = NULL;
    KW_TRY(vault_record_open(vault->domain, vault_name, row, &key, &pub));
    kw_status status = usable ? vault_key_make_usable(vault, key, &pub) : KW_OK;
    if (status != KW_OK) {
        vault_key_unref(key);
        return status;
    }
    *out = key;
    return KW_OK;
}

static kw_status open_row(struct vault *vault, const char *vault_name, const struct store_row *row,
                          bool usable, struct vault_object **out)
{
    struct vault_key *key = NULL;
    KW_TRY(vault_row_open(vault, vault_name, row, usable, &key));
    *out = &key->object;
    return KW_OK;
}

static kw_status seal(struct vault *vault, const struct vault_object *object, uint8_t **out,
                      size_t *out_len)
{
    const struct vault_key *key = (const struct vault_key *)object;
    return vault_record_seal(vault->domain, key, pool_key_public(key->key), out, out_len);
}

static void clear(struct vault_object *object)
{
    struct vault_key *key = of(object);
    if (key->key)
        pool_key_unref(key->key);
    free(key->blob);
    free(key->resident);
}

static void answer(vault_any_fn *done, void *ctx, kw_status status, struct vault_object *object)
{
    ((vault_key_fn *)done)(ctx, status, of(object));
}

static void answer_page(vault_any_fn *done, void *ctx, kw_status status,
                        struct vault_object *const *objects, size_t count, bool more)
{
    ((vault_page_fn *)done)(ctx, status, (struct vault_key *const *)objects, count, more);
}

const struct vault_kind vault_key_kind = {
    .store = STORE_KEY,
    .size = sizeof(struct vault_key),
    .open = open_row,
    .seal = seal,
    .clear = clear,
    .answer = answer,
    .answer_page = answer_page,
};

/* --- the calls --- */

#define CALL(...) VAULT_CALL(&vault_key_kind, __VA_ARGS__)
#define PAGE(...) VAULT_PAGE_CALL(&vault_key_kind, __VA_ARGS__)

struct vault_key *vault_key_peek(struct vault *vault, const char *vault_name, struct kw_span name,
                                 struct kw_span version)
{
    return of(vault_cache_peek(vault->caches[STORE_KEY], vault_name, name, version));
}

void vault_key_get(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                   struct kw_span name, struct kw_span version, vault_key_fn *done, void *ctx)
{
    vault_object_get(&CALL(.version = version));
}

void vault_key_get_deleted(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                           struct kw_span name, vault_key_fn *done, void *ctx)
{
    vault_object_get_deleted(&CALL());
}

void vault_key_delete(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                      struct kw_span name, unsigned retention_days, vault_key_fn *done, void *ctx)
{
    vault_object_delete(&CALL(.retention_days = retention_days));
}

void vault_key_recover(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                       struct kw_span name, vault_key_fn *done, void *ctx)
{
    vault_object_recover(&CALL());
}

void vault_key_purge(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                     struct kw_span name, vault_key_fn *done, void *ctx)
{
    vault_object_purge(&CALL());
}

void vault_key_list(struct vault *vault, struct gw_loop *loop, const char *vault_name, bool deleted,
                    const char *after, unsigned limit, vault_page_fn *done, void *ctx)
{
    vault_object_list(&PAGE(.deleted = deleted));
}

void vault_key_versions(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                        struct kw_span name, const char *after, unsigned limit, vault_page_fn *done,
                        void *ctx)
{
    vault_object_versions(&PAGE(), name);
}

static kw_status apply(struct vault_object *object, const void *more)
{
    const struct vault_key_change *change = more;
    struct vault_key *key = of(object);
    if (change->has_ops) {
        /* settled when it is made: what came wrapped for an exchange key is opened by an import
         * alone, whoever may change operations afterwards */
        if (change->op_import != key->op_import || (key->op_import && change->ops != key->ops))
            return KW_E_INPUT;
        key->ops = change->ops;
        key->op_import = change->op_import;
        key->op_export = change->op_export;
    }
    return KW_OK;
}

void vault_key_update(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                      struct kw_span name, struct kw_span version,
                      const struct vault_key_change *change, vault_key_fn *done, void *ctx)
{
    vault_object_update(&CALL(.version = version), &change->common, apply, change, sizeof *change);
}
