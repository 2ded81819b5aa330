/* Keys for operators: those of the gateway with the members that hold them, and what is on the
 * tokens. */

#include <stdlib.h>

#include "crypto/base/hex.h"
#include "gateway/admin/admin.h"
#include "gateway/admin/token_keys.h"
#include "gateway/api/crypto/alg_names.h"

static json_t *members_json(const struct pool_inventory *inventory)
{
    json_t *out = json_array();
    for (size_t i = 0; i < inventory->member_count; i++) {
        const struct pool_inventory_member *member = &inventory->members[i];
        if (member->name[0] == '\0')
            continue;
        json_array_append_new(out, json_pack("{s:s,s:s,s:b,s:s}", "name", member->name, "type",
                                             member->kind, "read", member->complete, "reason",
                                             member->why));
    }
    return out;
}

static void set_size(json_t *out, enum kw_kty kty, enum kw_curve curve, unsigned bits)
{
    json_object_set_new(out, "bits", json_integer((json_int_t)bits));
    if (kty == KW_KTY_EC && curve != KW_CURVE_NONE)
        json_object_set_new(out, "curve", json_string(gw_curve_name(curve)));
}

/* --- GET /tokens/keys --- */

static const char *source_name(const struct pool_found_key *found)
{
    static const char *const names[] = {[POOL_FOUND_NOWHERE] = "none",
                                        [POOL_FOUND_KEY] = "private key",
                                        [POOL_FOUND_PUBLIC_KEY] = "public key",
                                        [POOL_FOUND_CERTIFICATE] = "certificate"};
    return found->secret ? "none" : names[found->source];
}

static json_t *token_key_json(const struct gw_key_scan *scan, const struct gw_token_key *key)
{
    const struct pool_inventory *inventory = scan->inventory;
    const struct pool_found_key *shown = gw_token_key_shown(key);
    const struct gw_scanned_key *adopted = key->adopted;
    char id[2 * POOL_RESIDENT_ID_MAX + 1], problem[GW_PROBLEM_TEXT];
    json_t *members = json_array();
    for (size_t i = 0; i < key->count; i++)
        json_array_append_new(members, json_string(inventory->members[key->found[i]->member].name));
    kw_hex_write(id, shown->id, shown->id_len);
    gw_token_key_problem(inventory, key, problem);
    json_t *out =
        json_pack("{s:s,s:s%,s:s,s:o,s:o,s:b,s:s,s:o}", "id", id, "label", shown->label,
                  strlen(shown->label), "class", shown->secret ? "secret" : "private", "type",
                  gw_type_json(shown), "ops", gw_ops_json(gw_token_key_ops(key)), "extractable",
                  shown->extractable, "public", source_name(shown), "members", members);
    if (!out)
        return NULL;
    if (shown->known)
        set_size(out, shown->pub.kty, shown->pub.curve, shown->pub.bits);
    if (adopted)
        json_object_set_new(out, "adopted",
                            json_pack("{s:s,s:s,s:s,s:b}", "vault", adopted->site->name, "name",
                                      adopted->name, "version", adopted->version, "deleted",
                                      adopted->deleted));
    if (problem[0])
        json_object_set_new(out, "problem", json_string(problem));
    return out;
}

static void on_tokens(struct gw_key_scan *scan)
{
    struct gw_token_key *keys = NULL;
    size_t count = 0;
    kw_status status = scan->status;
    if (status == KW_OK)
        status = gw_token_keys(scan, &keys, &count);
    if (status != KW_OK) {
        gw_reply_scan_failed(scan->req, status);
    } else {
        json_t *list = json_array();
        for (size_t i = 0; i < count; i++)
            json_array_append_new(list, token_key_json(scan, &keys[i]));
        gw_reply_dump(
            scan->req, 200,
            json_pack("{s:o,s:o}", "keys", list, "members", members_json(scan->inventory)));
    }
    free(keys);
    gw_key_scan_free(scan);
}

void gw_admin_token_keys(struct gw_request *req)
{
    kw_status status = gw_key_scan_start(req, true, on_tokens, NULL);
    if (status != KW_OK)
        gw_reply_scan_failed(req, status);
}

/* --- GET /keys --- */

/** Members that can use it: for a resident key those where it was seen; every HSM of the domain
 * opens a wrapped one. */
static json_t *holders_json(const struct pool_inventory *inventory,
                            const struct gw_scanned_key *key, const struct gw_token_key *there)
{
    json_t *out = json_array();
    bool any = false;
    for (size_t i = 0; i < inventory->member_count; i++)
        any = any || inventory->members[i].hsm;
    if (!key->hsm || (!any && !key->resident))
        json_array_append_new(out, json_string("core"));
    for (size_t i = 0; i < inventory->member_count && key->hsm; i++) {
        const struct pool_inventory_member *member = &inventory->members[i];
        if (!key->resident && member->hsm && member->complete)
            json_array_append_new(out, json_string(member->name));
    }
    size_t last = SIZE_MAX; /* twice on one token: it does not serve there */
    for (size_t i = 0; there && i < there->count; i++) {
        const struct pool_found_key *found = there->found[i];
        if (!found->twice && found->member != last)
            json_array_append_new(out, json_string(inventory->members[found->member].name));
        last = found->member;
    }
    return out;
}

struct loaded {
    uint8_t id[KW_KEY_ID_LEN];
    size_t member;
};

static int by_id(const void *a, const void *b)
{
    int order = memcmp(a, b, KW_KEY_ID_LEN);
    const struct loaded *left = a, *right = b;
    return order ? order : left->member < right->member ? -1 : left->member > right->member;
}

/** What all members have loaded, sorted; malloc'd. */
static struct loaded *gather_loaded(const struct pool_inventory *inventory, size_t *count)
{
    size_t total = 0;
    for (size_t i = 0; i < inventory->member_count; i++)
        total += inventory->members[i].loaded_count;
    struct loaded *all = malloc((total + 1) * sizeof *all);
    *count = 0;
    for (size_t i = 0; all && i < inventory->member_count; i++) {
        for (size_t k = 0; k < inventory->members[i].loaded_count; k++) {
            struct loaded *at = &all[(*count)++];
            memcpy(at->id, inventory->members[i].loaded[k], sizeof at->id);
            at->member = i;
        }
    }
    if (*count > 0)
        qsort(all, *count, sizeof *all, by_id);
    return all;
}

static bool hex_is(const char *version, const uint8_t id[KW_KEY_ID_LEN], int *order)
{
    char text[2 * KW_KEY_ID_LEN + 1];
    kw_hex_write(text, id, KW_KEY_ID_LEN);
    *order = strcmp(text, version);
    return *order == 0;
}

static json_t *loaded_json(const struct pool_inventory *inventory, const struct loaded *all,
                           size_t count, const struct gw_scanned_key *key)
{
    json_t *out = json_array();
    size_t low = 0, high = count, last = SIZE_MAX;
    int order;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        (void)hex_is(key->version, all[middle].id, &order);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < count && hex_is(key->version, all[low].id, &order); low++) {
        if (all[low].member != last) /* several hosts of one member */
            json_array_append_new(out, json_string(inventory->members[all[low].member].name));
        last = all[low].member;
    }
    return out;
}

static json_t *key_json(const struct pool_inventory *inventory, const struct gw_scanned_key *key,
                        const struct gw_token_key *there, const struct loaded *all, size_t count)
{
    json_t *out = json_pack("{s:s,s:s,s:s,s:s,s:s,s:b,s:o,s:o}", "vault", key->site->name, "name",
                            key->name, "version", key->version, "kind",
                            key->resident ? "resident"
                            : key->hsm    ? "hsm"
                                          : "software",
                            "type", gw_kty_name(key->kty, key->hsm), "enabled", key->enabled,
                            "members", holders_json(inventory, key, there), "loaded",
                            loaded_json(inventory, all, count, key));
    if (out)
        set_size(out, key->kty, key->curve, key->bits);
    if (out && key->resident) {
        char id[2 * POOL_RESIDENT_ID_MAX + 1];
        kw_hex_write(id, key->resident->id, key->resident->id_len);
        json_object_set_new(out, "id", json_string(id));
        json_object_set_new(out, "label", json_string(key->resident->label));
    }
    return out;
}

static void on_keys(struct gw_key_scan *scan)
{
    size_t loaded_count = 0, count = 0;
    struct gw_token_key *there = NULL;
    struct loaded *loaded =
        scan->status == KW_OK ? gather_loaded(scan->inventory, &loaded_count) : NULL;
    if (loaded && gw_token_keys(scan, &there, &count) == KW_OK) {
        json_t *list = json_array();
        for (size_t i = 0; i < scan->count; i++) {
            const struct gw_scanned_key *key = &scan->keys[i];
            if (key->newest && !key->deleted)
                json_array_append_new(
                    list, key_json(scan->inventory, key,
                                   key->resident ? gw_token_key_of(there, count, key) : NULL,
                                   loaded, loaded_count));
        }
        gw_reply_dump(
            scan->req, 200,
            json_pack("{s:o,s:o}", "keys", list, "members", members_json(scan->inventory)));
    } else {
        gw_reply_scan_failed(scan->req, scan->status == KW_OK ? KW_E_NOMEM : scan->status);
    }
    free(there);
    free(loaded);
    gw_key_scan_free(scan);
}

void gw_admin_keys(struct gw_request *req)
{
    kw_status status = gw_key_scan_start(req, false, on_keys, NULL);
    if (status != KW_OK)
        gw_reply_scan_failed(req, status);
}
