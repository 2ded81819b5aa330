#pragma once
/* What belongs to a certificate is changed through that certificate alone. */

#include "gateway/api/route.h"

/** Calls `next` unless the newest version of the key or secret that the request names (by its
 * route's kind) belongs to a certificate: then 403. `deleted`: looks among the deleted ones. `next`
 * is called also when there is nothing of that name. Loop thread. */
void gw_unless_managed(struct gw_request *req, bool deleted, gw_handler *next);
