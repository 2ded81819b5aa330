#pragma once
/* Changes of everything that one vault holds. Names that begin with '~' are out of reach of
 * requests and are left alone by store_due: what is stored under one is moved into its vault when
 * it is whole. */

#include "gateway/store/store.h"

/** Gives all objects of vault `from` to vault `to`, in one transaction. KW_E_CONFLICT when a name
 * is there already, live or deleted: nothing moved then. No rows. */
void store_vault_move(struct store *store, struct gw_loop *loop, const char *from, const char *to,
                      store_done_fn *done, void *ctx);
/** The same, in the place of everything that vault `to` holds, which is destroyed: in one
 * transaction, so that at any moment `to` has the one or the other. No rows. */
void store_vault_replace(struct store *store, struct gw_loop *loop, const char *from,
                         const char *to, store_done_fn *done, void *ctx);
/** Destroys everything of a vault, in one transaction. */
void store_vault_drop(struct store *store, struct gw_loop *loop, const char *vault,
                      store_done_fn *done, void *ctx);
