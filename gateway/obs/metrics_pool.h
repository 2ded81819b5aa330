#pragma once
/* Inside gateway/obs: the pool's part of the metrics, and the form of all of them. */

#include "gateway/obs/text.h"
#include "pool/pool.h"

/** HELP and TYPE lines of keyward_NAME. */
void gw_metric_head(struct gw_text *text, const char *name, const char *type, const char *help);
/** A label's value, escaped as the text format asks (backslash, quote, newline). */
void gw_metric_label(struct gw_text *text, const char *value);

/** Rows of certificate_expiry_seconds for the endpoints of remote members; the caller wrote its
 * head.
 */
void gw_metrics_pool_certificates(struct gw_text *text, struct pool *pool);

/** Everything that comes from pool_stats. `pool` NULL: nothing. */
void gw_metrics_pool(struct gw_text *text, struct pool *pool);
