#pragma once
#include "gateway/config/config.h"
#include "gateway/obs/metrics.h"

/** Reads the served certificates' ends into the metrics. Main thread. */
void gw_certificates_note(struct gw_metrics *metrics, const struct gw_config *config);
