#pragma once
/* A look into a store from outside of its gateway: reads only, takes no lock, creates and migrates
 * nothing. Works beside a running gateway and without one. Blocking; CLI only. */

#include "gateway/store/store.h"

/** Calls `row` for each live and deleted version of a kind (NULL: none is read), and gives the
 *  setting `domain_check` ("" when there is none). KW_E_NOT_FOUND: no store there. `error` gets a
 *  sentence. */
KW_MUST_CHECK kw_status store_peek(const char *dir, enum store_kind kind, char *check,
                                   size_t check_len,
                                   void (*row)(void *ctx, const char *vault,
                                               const struct store_row *row),
                                   void *ctx, char *error, size_t error_len);
