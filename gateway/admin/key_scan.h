#pragma once
/* Every key of the store and what the members say of keys, gathered for an operator. */

#include "gateway/api/sites.h"

/** What the store says of one key version, in few bytes. */
struct gw_scanned_key {
    const struct gw_site *site; /* its vault */
    char name[STORE_NAME_MAX + 1];
    char version[STORE_VERSION_LEN + 1];
    bool hsm, enabled, deleted;
    bool newest; /* of its name */
    enum kw_kty kty;
    enum kw_curve curve;
    unsigned bits;
    struct vault_resident *resident; /* owned; NULL: not resident */
};

struct gw_key_scan;
typedef void gw_key_scan_fn(struct gw_key_scan *scan);

/** Freed by gw_key_scan_free. `done` runs once, later, on the request's loop. */
struct gw_key_scan {
    struct gw_request *req; /* a reference is held */
    void *ctx;              /* the caller's */
    kw_status status;
    struct gw_scanned_key *keys; /* by vault: newest versions by name; older ones of resident keys
                                    behind them all */
    size_t count, cap;
    struct pool_inventory *inventory;

    /* the scan's own */
    gw_key_scan_fn *done;
    const struct gw_site *site; /* that is read, the site_index-th */
    size_t site_index;
    bool tokens, deleted;
    size_t at; /* key whose versions are read */
    char after[STORE_NAME_MAX + 1];
};

/** Reads the names, then the members. `tokens`: also what is on the tokens. KW_E_NOMEM: nothing was
 *  begun. Loop thread. */
KW_MUST_CHECK kw_status gw_key_scan_start(struct gw_request *req, bool tokens, gw_key_scan_fn *done,
                                          void *ctx);
void gw_key_scan_free(struct gw_key_scan *scan);

/** Do two members hold the same key, as far as the tokens show it? */
bool gw_found_same(const struct pool_found_key *a, const struct pool_found_key *b);
