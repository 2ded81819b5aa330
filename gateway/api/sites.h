#pragma once
/* The vaults of a gateway by host name. NAME.localhost and the names of `vaults[].hosts` select a
 * vault; an address, "localhost" and every name that is nobody's select the default one. A
 * NAME.localhost that no vault has is refused: what was meant for one vault must not land in
 * another. */

#include "gateway/api/site.h"
#include "gateway/config/config.h"

#define GW_DEFAULT_VAULT "default"

struct gw_sites;

/** `config` and `vault` are borrowed for the life of the result. With config->dev a vault is made
 * when its name is first asked for (at most GW_SITES_MAX). NULL when memory is short. */
struct gw_sites *gw_sites_create(const struct gw_config *config, struct vault *vault);
/** NULL is allowed. */
void gw_sites_destroy(struct gw_sites *sites);

/** The vault of a host (with or without port; empty: the default). NULL: there is none of that
 * name. Any thread. */
const struct gw_site *gw_sites_find(struct gw_sites *sites, struct kw_span authority);
/** The vault of that name, without case; NULL: none. Any thread. */
const struct gw_site *gw_sites_named(struct gw_sites *sites, struct kw_span name);

/** Vault `index` in the order of the file, the default first; NULL after the last. Any thread. */
const struct gw_site *gw_sites_at(struct gw_sites *sites, size_t index);

#define GW_SITES_MAX 1024
