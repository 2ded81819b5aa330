#include "gateway/cli/dr_inventory.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/store/peek.h"
#include "gateway/vault/keys/record.h"
#include "gateway/vault/seal.h"

/* --- gathering --- */

static void fail(struct dr_inventory *inventory, kw_status status)
{
    if (inventory->status == KW_OK)
        inventory->status = status;
}

static struct dr_object *add(struct dr_inventory *inventory)
{
    if (inventory->count == inventory->cap) {
        size_t cap = inventory->cap ? inventory->cap * 2 : 256;
        struct dr_object *more = realloc(inventory->list, cap * sizeof *more);
        if (!more) {
            fail(inventory, KW_E_NOMEM);
            return NULL;
        }
        inventory->list = more;
        inventory->cap = cap;
    }
    struct dr_object *object = &inventory->list[inventory->count++];
    *object = (struct dr_object){.key = NULL};
    return object;
}

/** `row` has its sealed record. */
static kw_status read_key(struct dr_object *object, const struct kc_domain *domain,
                          const char *vault, const struct store_row *row)
{
    struct vault_key *key = NULL;
    object->key = calloc(1, sizeof *object->key);
    if (!object->key)
        return KW_E_NOMEM;
    KW_TRY(vault_record_open(domain, vault, row, &key, &object->key->pub));
    object->key->ops = key->ops;
    object->key->hsm = key->hsm;
    object->key->managed = key->managed;
    object->key->resident = key->resident != NULL;
    object->key->exchange = key->op_import;
    object->key->enabled = key->attributes.enabled;
    object->key->nbf = key->attributes.nbf;
    object->key->exp = key->attributes.exp;
    vault_key_unref(key);
    return KW_OK;
}

static struct dr_object *describe(struct dr_inventory *inventory, const char *vault,
                                  const struct store_row *row, struct kw_span plain)
{
    unsigned len = 0;
    struct dr_object *object = add(inventory);
    if (!object)
        return NULL;
    snprintf(object->vault, sizeof object->vault, "%s", vault);
    memcpy(object->name, row->name, sizeof object->name);
    memcpy(object->version, row->version, sizeof object->version);
    object->kind = row->kind;
    object->created = row->created;
    object->deleted_at = row->deleted_at;
    if (EVP_Digest(plain.data, plain.len, object->digest, &len, EVP_sha256(), NULL) != 1)
        fail(inventory, KW_E_INTERNAL);
    return object;
}

void dr_inventory_add(struct dr_inventory *inventory, const struct kc_domain *domain,
                      const char *vault, const struct store_row *row, struct kw_span plain)
{
    struct dr_object *object = describe(inventory, vault, row, plain);
    if (!object || row->kind != STORE_KEY)
        return;
    struct store_ref place = {
        .vault = vault, .kind = row->kind, .name = row->name, .version = row->version};
    struct store_row sealed = *row;
    kw_status status = vault_seal_at(domain, &place, plain, &sealed.record, &sealed.record_len);
    if (status == KW_OK) {
        status = read_key(object, domain, vault, &sealed);
        free(sealed.record);
    }
    if (status != KW_OK)
        fail(inventory, status);
}

struct gathering {
    struct dr_inventory *inventory;
    const struct kc_domain *domain;
    enum store_kind kind;
};

static void on_row(void *ctx, const char *vault, const struct store_row *row)
{
    struct gathering *g = ctx;
    struct store_row one = *row;
    struct kw_buf plain;
    if (vault[0] == '~')
        return; /* what an import that was broken off has left out of reach */
    one.kind = g->kind;
    kw_status status = vault_unseal(g->domain, g->kind, vault, &one, &plain);
    struct dr_object *object =
        status == KW_OK ? describe(g->inventory, vault, &one, kw_buf_span(&plain)) : NULL;
    if (status == KW_OK)
        vault_plain_free(&plain);
    if (object && g->kind == STORE_KEY)
        status = read_key(object, g->domain, vault, &one);
    if (status != KW_OK)
        fail(g->inventory, status);
}

kw_status dr_inventory_of_store(struct dr_inventory *out, const char *data,
                                const struct kc_domain *domain, char *error, size_t error_len)
{
    char check[2 * KC_DOMAIN_CHECK_LEN + 1];
    struct gathering g = {.inventory = out, .domain = domain};
    *out = (struct dr_inventory){.status = KW_OK};
    for (int kind = STORE_KEY; kind <= STORE_KIND_MAX; kind++) {
        g.kind = (enum store_kind)kind;
        KW_TRY(store_peek(data, g.kind, check, sizeof check, on_row, &g, error, error_len));
    }
    if (out->status != KW_OK)
        snprintf(error, error_len, "records of the store in %s do not open (%s)", data,
                 kw_status_name(out->status));
    else
        dr_inventory_sort(out);
    return out->status;
}

/* --- counting --- */

struct counting {
    const char *vault;
    size_t versions;
};

static void count_row(void *ctx, const char *vault, const struct store_row *row)
{
    struct counting *c = ctx;
    (void)row;
    c->versions += vault[0] != '~' && (!c->vault || strcasecmp(c->vault, vault) == 0);
}

kw_status dr_count_of_store(size_t *versions, const char *data, const char *vault, char *error,
                            size_t error_len)
{
    char check[2 * KC_DOMAIN_CHECK_LEN + 1];
    struct counting c = {.vault = vault};
    for (int kind = STORE_KEY; kind <= STORE_KIND_MAX; kind++)
        KW_TRY(store_peek(data, (enum store_kind)kind, check, sizeof check, count_row, &c, error,
                          error_len));
    *versions = c.versions;
    return KW_OK;
}

/* --- comparing --- */

static int order(const struct dr_object *a, const struct dr_object *b)
{
    int by = strcasecmp(a->vault, b->vault);
    if (by == 0 && a->kind != b->kind)
        by = a->kind < b->kind ? -1 : 1;
    if (by == 0)
        by = strcasecmp(a->name, b->name);
    return by ? by : strcmp(a->version, b->version);
}

static int order_any(const void *a, const void *b)
{
    return order(a, b);
}

void dr_inventory_sort(struct dr_inventory *inventory)
{
    if (inventory->count > 0)
        qsort(inventory->list, inventory->count, sizeof *inventory->list, order_any);
}

const struct dr_object *dr_inventory_find(const struct dr_inventory *inventory,
                                          const struct dr_object *like)
{
    return inventory->count == 0 ? NULL
                                 : bsearch(like, inventory->list, inventory->count,
                                           sizeof *inventory->list, order_any);
}

static bool equal(const struct dr_object *a, const struct dr_object *b)
{
    return a->created == b->created && a->deleted_at == b->deleted_at &&
           memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

static const struct dr_object *at(const struct dr_inventory *inventory, size_t *i,
                                  const char *vault)
{
    while (*i < inventory->count && vault && strcasecmp(inventory->list[*i].vault, vault) != 0)
        ++*i;
    return *i < inventory->count ? &inventory->list[*i] : NULL;
}

void dr_compare(struct dr_difference *out, const struct dr_inventory *first,
                const struct dr_inventory *second, const char *vault, dr_tell_fn *tell, void *ctx)
{
    size_t i = 0, j = 0;
    *out = (struct dr_difference){.same = 0};
    for (;;) {
        const struct dr_object *a = at(first, &i, vault), *b = at(second, &j, vault);
        if (!a && !b)
            return;
        int by = !a ? 1 : !b ? -1 : order(a, b);
        bool same = by == 0 && equal(a, b);
        out->same += same;
        out->changed += by == 0 && !same;
        out->only_first += by < 0;
        out->only_second += by > 0;
        if (tell && !same)
            tell(ctx, by <= 0 ? a : NULL, by >= 0 ? b : NULL);
        i += by <= 0;
        j += by >= 0;
    }
}

void dr_inventory_clear(struct dr_inventory *inventory)
{
    for (size_t i = 0; i < inventory->count; i++)
        free(inventory->list[i].key);
    free(inventory->list);
    *inventory = (struct dr_inventory){.list = NULL};
}
