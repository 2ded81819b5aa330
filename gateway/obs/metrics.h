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

/** Sets the end of a served certificate, shown as seconds left. A second call with the same subject
 *  replaces. Any thread. */
void gw_metrics_certificate(struct gw_metrics *metrics, const char *subject, int64_t not_after);

/** What came of the last reload: nothing stayed as it was; something in the file needs a restart.
 *  Any thread. */
void gw_metrics_reload(struct gw_metrics *metrics, bool ok, bool restart_needed);

/** Connections open now, of all loops. Any thread. */
int64_t gw_metrics_connections(const struct gw_metrics *metrics);
/** Requests answered since start, of all loops. Any thread. */
uint64_t gw_metrics_requests(const struct gw_metrics *metrics);

/** One more part of what is rendered: writes rows of its own. */
struct gw_text;
typedef void gw_metrics_part_fn(struct gw_text *text, void *ctx);
/** Before the first scrape; the last one that is set counts. */
void gw_metrics_part(struct gw_metrics *metrics, gw_metrics_part_fn *part, void *ctx);

/** Renders everything, pool included, in the Prometheus text format; malloc'd, NUL-terminated. Any
 *  thread. */
char *gw_metrics_render(struct gw_metrics *metrics, struct pool *pool, size_t *len);
