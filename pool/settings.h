#pragma once
/* Settings of members and of the group: kept copies, and how two of them differ. */

#include "pool/pool_impl.h"

/** Copies with defaults filled in. On failure what was copied is in `kept` and has to be cleared.
 */
KW_MUST_CHECK kw_status pool_member_config_copy(struct pool_member_config *kept,
                                                const struct pool_member_config *config);
/** Frees the strings of a copy. A cleared one may be cleared again. */
void pool_member_config_clear(struct pool_member_config *config);

enum pool_differs {
    POOL_DIFFERS_NOT,
    POOL_DIFFERS_IN_PLACE, /* role, priority, credential, probe: taken over by the running member */
    POOL_DIFFERS           /* what a member is made of: another one has to take its place */
};
/** Compares two copies. Pure. */
enum pool_differs pool_member_config_differs(const struct pool_member_config *a,
                                             const struct pool_member_config *b);

/** Keeps the group's own settings with defaults filled in; freed by pool_settings_free. */
KW_MUST_CHECK kw_status pool_settings_keep(struct pool *pool, const struct pool_config *config);
void pool_settings_free(struct pool *pool);
