#include "gateway/admin/key_scan.h"

#include <stdlib.h>

#include "gateway/app.h"

#define PAGE 500

static bool same_number(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    /* one that a token does not show says nothing */
    return a_len == 0 || b_len == 0 || kw_span_equal(kw_span_of(a, a_len), kw_span_of(b, b_len));
}

bool gw_found_same(const struct pool_found_key *a, const struct pool_found_key *b)
{
    const struct kc_public *p = &a->pub, *q = &b->pub;
    return p->bits == q->bits && p->curve == q->curve &&
           same_number(p->n, p->n_len, q->n, q->n_len) &&
           same_number(p->e, p->e_len, q->e, q->e_len) &&
           same_number(p->x, p->coord_len, q->x, q->coord_len) &&
           same_number(p->y, p->coord_len, q->y, q->coord_len) &&
           same_number(a->check, a->check_len, b->check, b->check_len);
}

void gw_key_scan_free(struct gw_key_scan *scan)
{
    if (!scan)
        return;
    for (size_t i = 0; i < scan->count; i++)
        free(scan->keys[i].resident);
    free(scan->keys);
    pool_inventory_free(scan->inventory);
    gw_request_unref(scan->req);
    free(scan);
}

static void end(struct gw_key_scan *scan, kw_status status)
{
    scan->status = status;
    scan->done(scan);
}

static kw_status add(struct gw_key_scan *scan, const struct vault_key *key, bool newest)
{
    if (scan->count == scan->cap) {
        size_t cap = scan->cap ? 2 * scan->cap : 64;
        struct gw_scanned_key *keys = realloc(scan->keys, cap * sizeof *keys);
        if (!keys)
            return KW_E_NOMEM;
        scan->keys = keys;
        scan->cap = cap;
    }
    struct gw_scanned_key *out = &scan->keys[scan->count];
    *out = (struct gw_scanned_key){.site = scan->site,
                                   .hsm = key->hsm,
                                   .enabled = key->attributes.enabled,
                                   .deleted = scan->deleted,
                                   .newest = newest,
                                   .kty = key->kty,
                                   .curve = key->curve,
                                   .bits = key->bits};
    memcpy(out->name, key->name, sizeof out->name);
    memcpy(out->version, key->version, sizeof out->version);
    if (key->resident) {
        out->resident = malloc(sizeof *out->resident);
        if (!out->resident)
            return KW_E_NOMEM;
        *out->resident = *key->resident;
    }
    scan->count++;
    return KW_OK;
}

/* --- the members --- */

static void on_inventory(void *ctx, struct pool_inventory *inventory)
{
    struct gw_key_scan *scan = ctx;
    scan->inventory = inventory;
    end(scan, KW_OK);
}

static void read_members(struct gw_key_scan *scan)
{
    bool residents = false; /* only they are looked for on the tokens */
    for (size_t i = 0; i < scan->count; i++)
        residents = residents || scan->keys[i].resident;
    kw_status status = pool_inventory(gw_loop_port(scan->req->loop), scan->tokens || residents,
                                      on_inventory, scan);
    if (status != KW_OK)
        end(scan, status);
}

/* --- older versions of keys that live on tokens --- */

static void read_versions(struct gw_key_scan *scan);

static void on_versions(void *ctx, kw_status status, struct vault_key *const *keys, size_t count,
                        bool more)
{
    struct gw_key_scan *scan = ctx;
    const struct gw_scanned_key *of = &scan->keys[scan->at];
    char newest[STORE_VERSION_LEN + 1];
    memcpy(newest, of->version, sizeof newest);
    for (size_t i = 0; i < count && status == KW_OK; i++) {
        if (keys[i]->resident && strcmp(keys[i]->version, newest) != 0)
            status = add(scan, keys[i], false);
    }
    if (status != KW_OK && status != KW_E_NOT_FOUND) { /* deleted meanwhile */
        end(scan, status);
        return;
    }
    scan->after[0] = '\0';
    if (status == KW_OK && more && count > 0)
        memcpy(scan->after, keys[count - 1]->version, STORE_VERSION_LEN + 1);
    else
        scan->at++;
    read_versions(scan);
}

static void read_versions(struct gw_key_scan *scan)
{
    while (scan->at < scan->count &&
           (!scan->keys[scan->at].newest || !scan->keys[scan->at].resident ||
            scan->keys[scan->at].deleted))
        scan->at++;
    if (scan->at == scan->count) {
        read_members(scan);
        return;
    }
    char name[STORE_NAME_MAX + 1]; /* the array may move meanwhile */
    const struct gw_site *site = scan->site = scan->keys[scan->at].site;
    memcpy(name, scan->keys[scan->at].name, sizeof name);
    vault_key_versions(site->vault, scan->req->loop, site->name, kw_span_str(name),
                       scan->after[0] ? scan->after : NULL, PAGE, on_versions, scan);
}

/* --- names --- */

static void read_names(struct gw_key_scan *scan);

static void on_names(void *ctx, kw_status status, struct vault_key *const *keys, size_t count,
                     bool more)
{
    struct gw_key_scan *scan = ctx;
    for (size_t i = 0; i < count && status == KW_OK; i++)
        status = add(scan, keys[i], true);
    if (status != KW_OK) {
        end(scan, status);
        return;
    }
    scan->after[0] = '\0';
    if (more && count > 0) {
        memcpy(scan->after, keys[count - 1]->name, sizeof scan->after);
    } else if (!scan->deleted) {
        scan->deleted = true;
    } else {
        scan->deleted = false;
        scan->site = gw_sites_at(gw_loop_app(scan->req->loop)->sites, ++scan->site_index);
        if (!scan->site) {
            read_versions(scan);
            return;
        }
    }
    read_names(scan);
}

static void read_names(struct gw_key_scan *scan)
{
    const struct gw_site *site = scan->site;
    vault_key_list(site->vault, scan->req->loop, site->name, scan->deleted,
                   scan->after[0] ? scan->after : NULL, PAGE, on_names, scan);
}

kw_status gw_key_scan_start(struct gw_request *req, bool tokens, gw_key_scan_fn *done, void *ctx)
{
    struct gw_key_scan *scan = calloc(1, sizeof *scan);
    if (!scan)
        return KW_E_NOMEM;
    gw_request_ref(req);
    *scan = (struct gw_key_scan){.req = req, .tokens = tokens, .done = done, .ctx = ctx};
    scan->site = gw_sites_at(gw_loop_app(req->loop)->sites, 0);
    read_names(scan);
    return KW_OK;
}
