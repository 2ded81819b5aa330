#include "gateway/admin/token_keys.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/api/crypto/alg_names.h"

/* --- taken together --- */

static int by_id(const struct pool_found_key *a, const struct pool_found_key *b)
{
    if (a->known != b->known)
        return a->known ? -1 : 1;
    if (a->secret != b->secret)
        return a->secret ? 1 : -1;
    if (a->known ? a->pub.kty != b->pub.kty : a->type != b->type)
        return (a->known ? a->pub.kty < b->pub.kty : a->type < b->type) ? -1 : 1;
    size_t len = a->id_len < b->id_len ? a->id_len : b->id_len;
    int order = len ? memcmp(a->id, b->id, len) : 0;
    if (order == 0 && a->id_len != b->id_len)
        order = a->id_len < b->id_len ? -1 : 1;
    return order;
}

static int in_order(const void *a, const void *b)
{
    const struct pool_found_key *left = *(const struct pool_found_key *const *)a;
    const struct pool_found_key *right = *(const struct pool_found_key *const *)b;
    int order = by_id(left, right);
    if (order == 0 && left->id_len == 0)
        order = strcmp(left->label, right->label);
    if (order == 0)
        order = left->member < right->member ? -1 : left->member > right->member;
    return order;
}

const struct gw_token_key *gw_token_key_of(const struct gw_token_key *keys, size_t count,
                                           const struct gw_scanned_key *key)
{
    struct pool_found_key wanted = {
        .known = true, .secret = key->kty == KW_KTY_OCT, .id_len = key->resident->id_len};
    size_t low = 0, high = count;
    wanted.pub.kty = key->kty;
    memcpy(wanted.id, key->resident->id, wanted.id_len);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (by_id(keys[middle].found[0], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && by_id(keys[low].found[0], &wanted) == 0 ? &keys[low] : NULL;
}

kw_status gw_token_keys(const struct gw_key_scan *scan, struct gw_token_key **out, size_t *count)
{
    const struct pool_inventory *inventory = scan->inventory;
    size_t n = inventory->key_count;
    struct gw_token_key *keys =
        malloc((n + 1) * (sizeof *keys + sizeof(const struct pool_found_key *)));
    if (!keys)
        return KW_E_NOMEM;
    const struct pool_found_key **found = (const struct pool_found_key **)(keys + n + 1);
    for (size_t i = 0; i < n; i++)
        found[i] = &inventory->keys[i];
    if (n > 0)
        qsort(found, n, sizeof *found, in_order);
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        struct gw_token_key *last = *count > 0 ? &keys[*count - 1] : NULL;
        if (last && found[i]->id_len > 0 && by_id(last->found[0], found[i]) == 0)
            last->count++;
        else
            keys[(*count)++] = (struct gw_token_key){.found = &found[i], .count = 1};
    }
    for (size_t i = 0; i < scan->count; i++) {
        const struct gw_scanned_key *at = &scan->keys[i];
        const struct gw_token_key *key = at->resident ? gw_token_key_of(keys, *count, at) : NULL;
        if (key && !key->adopted)
            keys[key - keys].adopted = at;
    }
    *out = keys;
    return KW_OK;
}

const struct pool_found_key *gw_token_key_shown(const struct gw_token_key *key)
{
    for (size_t i = 0; i < key->count; i++) {
        if (key->found[i]->source != POOL_FOUND_NOWHERE)
            return key->found[i];
    }
    return key->found[0];
}

uint16_t gw_token_key_ops(const struct gw_token_key *key)
{
    uint16_t ops = key->found[0]->ops;
    for (size_t i = 1; i < key->count; i++)
        ops &= key->found[i]->ops;
    return ops;
}

/* --- what is in the way --- */

static bool size_offered(const struct kc_public *pub)
{
    switch (pub->kty) {
    case KW_KTY_RSA:
        return pub->bits == 2048 || pub->bits == 3072 || pub->bits == 4096;
    case KW_KTY_EC:
        return pub->curve != KW_CURVE_NONE;
    case KW_KTY_OCT:
        break;
    }
    return pub->bits == 128 || pub->bits == 192 || pub->bits == 256;
}

static const char *problem_of(const struct pool_found_key *found)
{
    if (!found->known)
        return "keyward does not work with keys of this type";
    if (found->long_id)
        return "its CKA_ID is longer than 128 bytes";
    if (found->id_len == 0)
        return "it has no CKA_ID to find it by";
    if (found->twice)
        return "there are two keys with this CKA_ID";
    if (found->asks_pin)
        return "CKA_ALWAYS_AUTHENTICATE is set: the token would ask for the PIN before each "
               "operation";
    if (!size_offered(&found->pub))
        return "keyward does not offer keys of this size";
    if (found->ops == 0)
        return found->secret ? "it has neither CKA_ENCRYPT nor CKA_DECRYPT"
                             : "it has neither CKA_SIGN nor, for RSA, CKA_DECRYPT";
    return NULL;
}

static const struct pool_found_key *different(const struct gw_token_key *key,
                                              const struct pool_found_key *from)
{
    for (size_t i = 0; i < key->count; i++) {
        if (!gw_found_same(from, key->found[i]))
            return key->found[i];
    }
    return NULL;
}

void gw_token_key_problem(const struct pool_inventory *inventory, const struct gw_token_key *key,
                          char *text)
{
    text[0] = '\0';
    for (size_t i = 0; i < key->count; i++) {
        const char *problem = problem_of(key->found[i]);
        if (problem) {
            snprintf(text, GW_PROBLEM_TEXT, "%s: %s",
                     inventory->members[key->found[i]->member].name, problem);
            return;
        }
    }
    const struct pool_found_key *shown = gw_token_key_shown(key), *other = different(key, shown);
    if (other)
        snprintf(text, GW_PROBLEM_TEXT, "%s and %s hold different keys under this id",
                 inventory->members[shown->member].name, inventory->members[other->member].name);
    else if (!shown->secret && shown->source == POOL_FOUND_NOWHERE)
        snprintf(text, GW_PROBLEM_TEXT,
                 "no member has its public half: neither in the key itself nor in a public key or "
                 "certificate with the same id");
    else if (gw_token_key_ops(key) == 0)
        snprintf(text, GW_PROBLEM_TEXT, "the members allow different operations with it");
}

/* --- words --- */

json_t *gw_ops_json(uint16_t ops)
{
    json_t *out = json_array();
    for (unsigned kind = 0; kind < KW_KIND_COUNT; kind++) {
        if ((ops >> kind & 1) && gw_key_op_name((enum kw_kind)kind))
            json_array_append_new(out, json_string(gw_key_op_name((enum kw_kind)kind)));
    }
    return out;
}

json_t *gw_type_json(const struct pool_found_key *found)
{
    if (!found->known)
        return json_sprintf("0x%llx", (unsigned long long)found->type);
    return json_string(found->pub.kty == KW_KTY_OCT ? "AES" : gw_kty_name(found->pub.kty, false));
}

void gw_reply_dump(struct gw_request *req, int http, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text) {
        gw_reply(req, 503, "application/json", "{\"error\":\"out of memory\"}", 25);
        return;
    }
    gw_reply_header(req, "cache-control", "no-store");
    gw_reply_owned(req, http, "application/json; charset=utf-8", text, strlen(text), free);
}

void gw_reply_scan_failed(struct gw_request *req, kw_status status)
{
    const char *why = status == KW_E_BUSY        ? "another listing is under way; try again"
                      : status == KW_E_INTEGRITY ? "a record of the store does not open"
                                                 : kw_status_name(status);
    gw_reply_dump(req, 503, json_pack("{s:s}", "error", why));
}
