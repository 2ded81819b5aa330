#pragma once
/* What every answer carries, and the request's id. */

#include "gateway/api/json/write.h"
#include "gateway/http/request.h"

#define GW_JSON_TYPE "application/json; charset=utf-8"

/** A random (version 4) GUID, 36 characters and NUL. Unique, not secret. Any thread. */
void gw_request_id(char out[37]);

/** Answers with what was written, or 503 when the writer ran out of memory. */
void gw_reply_json(struct gw_request *req, int status, const struct gw_out *out);
