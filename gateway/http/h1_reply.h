#pragma once
#include "gateway/http/reply_fields.h"

enum gw_h1_persist { GW_H1_KEEP, GW_H1_KEEP_10, GW_H1_CLOSE };

/** Writes status line and header fields of req->reply with the empty line. 0 when `cap` is too
 * small or a field has a CR or LF in it. */
size_t gw_h1_reply_head(struct gw_request *req, enum gw_h1_persist persist, const char *date,
                        uint8_t *out, size_t cap);
