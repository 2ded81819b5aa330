#pragma once
/* Inside gateway/config: the vaults section. */

#include "gateway/config/config.h"
#include "gateway/config/document.h"

/** Fills config->vaults; problems are added to `doc`. KW_E_NOMEM is the only failure. */
KW_MUST_CHECK kw_status gw_config_vaults(struct gw_document *doc, const struct raw_config *raw,
                                         struct gw_config *config);
void gw_config_vault_fini(struct gw_vault_config *vault);
