#pragma once
/* The protocol side's own view of a request: its body as it grows, and who counts it as in flight.
 */

#include "gateway/http/request.h"

/** Requests of one connection whose memory is still in use, those that were reset included. Shared
 * by the connection and its requests, whichever ends last. */
struct gw_in_flight {
    unsigned count;
    bool orphan; /* the connection is gone */
};

struct gw_in_flight *gw_in_flight_create(void);
/** The connection lets go. */
void gw_in_flight_drop(struct gw_in_flight *in_flight);

/** Counts `req` until its last reference is gone. */
void gw_request_count_in(struct gw_request *req, struct gw_in_flight *in_flight);

/** Appends to req->body. KW_E_TOO_LARGE beyond req->body_max, KW_E_NOMEM. */
KW_MUST_CHECK kw_status gw_request_body_append(struct gw_request *req, struct kw_span piece);

/** Answers in the API's error shape without the router: protocol faults (400, 408, 413, 431). */
void gw_request_fault(struct gw_request *req, int status, const char *message);
