#pragma once
/* How a call of the store becomes a request: filled, checked, handed over or answered at once. */

#include "gateway/store/worker.h"

/** A zeroed request that answers `done`; NULL: `done` was called with KW_E_NOMEM. */
struct store_request *store_call_new(enum store_op op, struct gw_loop *loop, store_done_fn *done,
                                     void *ctx);
KW_MUST_CHECK kw_status store_call_text(char *out, size_t room, const char *text);
KW_MUST_CHECK kw_status store_call_ref(struct store_request *req, const struct store_ref *ref);
KW_MUST_CHECK kw_status store_call_record(struct store_request *req, struct kw_span record);
/** SHA-256 of the record that an update was made from; empty: no check. */
KW_MUST_CHECK kw_status store_call_expected(struct store_request *req, struct kw_span expected);
/** Hands the request over when `status` is KW_OK; answers it here and now otherwise, or when it is
 *  refused: `done` then runs inside the call. */
void store_call_submit(struct store *store, struct store_request *req, kw_status status);
