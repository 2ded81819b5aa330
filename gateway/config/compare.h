#pragma once
#include "gateway/config/config.h"

/** Which sections differ, as "listeners, members"; false when none does. */
bool gw_config_changed(const struct gw_config *running, const struct gw_config *fresh,
                       char *sections, size_t len);
