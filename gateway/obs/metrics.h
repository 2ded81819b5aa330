#pragma once
/* Counters of the front side. Each loop writes its own block without locks; a scrape adds them up.
 * Names are the contract of DESIGN section 8. */

#include "gateway/http/request.h"

struct gw_metrics;

struct gw_metrics *gw_metrics_create(unsigned loops);
void gw_metrics_destroy(struct gw_metrics *metrics);

/** Counts one answered request. Loop thread. `route` is the route's label, static. */
void gw_metrics_request(struct gw_metrics *metrics, unsigned loop, unsigned route_index, int status,
                        int64_t ns);
/** Connections: +1 and -1. Loop thread. */
void gw_metrics_connection(struct gw_metrics *metrics, unsigned loop, int change);

/** Renders everything, pool included, in the Prometheus text format; malloc'd, NUL-terminated. Any
 *  thread. */
char *gw_metrics_render(struct gw_metrics *metrics, struct pool *pool, size_t *len);
