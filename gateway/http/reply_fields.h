#pragma once
/* The header fields of an answer, in one constant order for both protocols. */

#include "gateway/http/request.h"

struct gw_field {
    const char *name, *value;
    size_t name_len, value_len;
    bool fresh; /* differs with every answer: not worth a place in a compression table */
};

#define GW_REPLY_FIELDS_MAX (GW_MAX_REPLY_HEADERS + 10)

/** Fills `out`; returns how many. Values live as long as the request; `date` (IMF-fixdate) is
 *  borrowed. No status, no connection fields: those are the protocol's. */
size_t gw_reply_fields(struct gw_request *req, const char *date,
                       struct gw_field out[GW_REPLY_FIELDS_MAX]);

/** Whether an answer of this status carries a body at all (RFC 9110 section 6.4.1). */
static inline bool gw_status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}
