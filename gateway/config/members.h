#pragma once
/* Inside gateway/config: the members of the group. */

#include "gateway/config/config.h"
#include "gateway/config/document.h"

/** Fills config->members; problems are added to `doc`. KW_E_NOMEM is the only failure. */
KW_MUST_CHECK kw_status gw_config_members(struct gw_document *doc, const char *base,
                                          const struct raw_group *raw, struct gw_config *config);
