#pragma once
/* The vaults of a gateway by host name. NAME.localhost and the names of `vaults[].hosts` select a
 * vault; an address, "localhost" and every name that is nobody's select the default one. A
 * NAME.localhost that no vault has is refused: what was meant for one vault must not land in
 * another. */

#include "gateway/api/site.h"
#include "gateway/config/config.h"

#define GW_DEFAULT_VAULT "default"

struct gw_sites;

/** `vault` is borrowed for the life of the result, `config` is not. With config->dev a vault is
 * made when its name is first asked for (at most GW_SITES_MAX). NULL when memory is short. */
struct gw_sites *gw_sites_create(const struct gw_config *config, struct vault *vault);
/** NULL is allowed. */
void gw_sites_destroy(struct gw_sites *sites);

/** The vault of a host (with or without port; empty: the default). NULL: there is none of that
 * name. Any thread. */
const struct gw_site *gw_sites_find(struct gw_sites *sites, struct kw_span authority);
/** The vault of that name, without case; NULL: none. Any thread. */
const struct gw_site *gw_sites_named(struct gw_sites *sites, struct kw_span name);

/** What a file that was read again says of a vault. */
enum gw_site_change {
    GW_SITE_SAME,
    GW_SITE_ADDED,
    GW_SITE_CHANGED, /* its terms or host names are others from here on */
    GW_SITE_LEFT     /* taken out of the file: served as before until the next start */
};
typedef void gw_sites_note_fn(void *ctx, const char *name, enum gw_site_change change);

/** Takes over what `config` says of vaults, all of it at once, and notes each that is not the same;
 *  requests under way end on the terms they began with. A vault keeps the members it had at the
 *  start, and a new one with members of its own waits for the next start
 * (gw_config_vault_members_changed). KW_E_NOMEM (or over GW_SITES_MAX): nothing changed. One caller
 * at a time, not with config->dev. */
KW_MUST_CHECK kw_status gw_sites_reload(struct gw_sites *sites, const struct gw_config *config,
                                        gw_sites_note_fn *note, void *ctx);

/** Vault `index` in the order of the file, the default first; NULL after the last. Any thread. */
const struct gw_site *gw_sites_at(struct gw_sites *sites, size_t index);

#define GW_SITES_MAX 1024
