#pragma once
#include "gateway/config/config.h"

bool gw_limits_equal(const struct gw_limits *a, const struct gw_limits *b);

/** Which sections that need a restart differ, as "listeners, loops"; false when none does. */
bool gw_config_changed(const struct gw_config *running, const struct gw_config *fresh,
                       char *sections, size_t len);
