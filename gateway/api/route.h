#pragma once
/* The route table: readable as the API. One row per method and pattern; the handler's file is named
 * after the resource. */

#include "gateway/http/request.h"
#include "gateway/store/store.h"

typedef void gw_handler(struct gw_request *req);

struct gw_route {
    enum gw_method method;
    const char *pattern; /* "/keys/{}/{?}/sign"; {} takes one segment, {?} one or none (a parameter
                            that is then empty). Words compare without case. */
    const char *label;   /* of the metric, e.g. "keys_sign" */
    gw_handler *run;
    enum gw_face face;
    bool open;       /* answered without identity: health checks */
    bool no_version; /* api-version is not asked for */
    size_t body_max; /* bytes; 0: limits.max_body */
    bool hsm;        /* a Managed HSM's own: not served to vaults of type `vault` */
    bool bare;       /* answered without a security domain */
    bool batch;      /* limits.max_batch_body instead of max_body */
    /* streaming routes: called per piece of body instead of gathering it */
    void (*piece)(struct gw_request *req, struct kw_span piece);
    void (*begin)(struct gw_request *req);
    enum store_kind kind; /* what its objects are called; 0: keys */
    const char *action;   /* data action of roles, e.g. "keys/sign/action" */
};

extern const struct gw_route gw_routes[];
extern const size_t gw_route_count;

/** Index into gw_routes; gw_route_count for NULL: a request that no route took (401, 404, 405). */
unsigned gw_route_index(const struct gw_route *route);
