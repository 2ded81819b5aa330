#pragma once
/* Faults in the API's shape: {"error":{"code","message","innererror":{"code"}}}. One table turns a
 * kw_status into them, for single requests and for the elements of a batch alike. */

#include "gateway/api/json/write.h"
#include "gateway/http/request.h"
#include "gateway/store/store.h"

#define GW_FAULT_TEXT 256

struct gw_fault {
    int http;
    const char *code;
    const char *inner; /* NULL: none */
    unsigned retry_after_s;
    char message[GW_FAULT_TEXT];
};

/** Fills a fault; `inner` may be NULL. The message is for people and never holds what was sent in
 *  `value`, `k` or the like. Returns false, so that readers can `return gw_fault_set(...)`. */
bool gw_fault_set(struct gw_fault *fault, int http, const char *code, const char *inner,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
/** 400 BadParameter. */
bool gw_fault_bad(struct gw_fault *fault, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** What came of a call below, by the table of error.c; `subject` names the object where the text
 *  speaks of one ("k1" in "A key with (name/id) k1 was not found..."). */
bool gw_fault_status(struct gw_fault *fault, kw_status status, struct kw_span subject);

/** The same for an object of another kind ("SecretNotFound"). */
bool gw_fault_status_of(struct gw_fault *fault, enum store_kind kind, kw_status status,
                        struct kw_span subject);
/** 409 in the words of the kind: the name is deleted but recoverable, taken, or was changed at the
 *  same time. */
bool gw_fault_conflict(struct gw_fault *fault, enum store_kind kind, enum store_conflict conflict,
                       struct kw_span name);
/** "Key", "Secret", "Certificate". */
const char *gw_kind_title(enum store_kind kind);
/** 404 for what is not among the deleted ("Deleted Secret not found: NAME"). */
bool gw_fault_not_deleted(struct gw_fault *fault, enum store_kind kind, struct kw_span name);

/** Writes {"code":...,"message":...,"innererror":...}. */
void gw_fault_write(struct gw_out *out, const struct gw_fault *fault);

/** Answers a request with the fault. */
void gw_reply_fault(struct gw_request *req, const struct gw_fault *fault);
/** In the words of the route's kind. */
void gw_reply_status(struct gw_request *req, kw_status status, struct kw_span subject);
/** 503 when there is no memory even for the text. */
void gw_reply_nomem(struct gw_request *req);
