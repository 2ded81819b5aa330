#pragma once
/* Inside gateway/config: the defaults that the file and --dev share. */

#include "crypto/base/clock.h"
#include "gateway/config/config.h"

void gw_config_defaults(struct gw_config *config);
