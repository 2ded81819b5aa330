#pragma once
/* What can be done, as data actions: the words that roles are made of. The table is the service's
 * own, with those of Key Vault for secrets and certificates and a few of keyward's beside them;
 * each row names the built-in roles that hold it. */

#include <stdbool.h>

#include "crypto/base/span.h"
#include "gateway/base/guid.h"

/** A set of actions. */
struct vault_actions {
    uint64_t bits[2];
};

#define VAULT_ACTIONS_MAX 128
#define VAULT_ACTION_NONE VAULT_ACTIONS_MAX /* in no set */

/** How many there are; numbers are below it. */
extern const unsigned vault_action_count;

/** The number of "keys/sign/action", without case; VAULT_ACTION_NONE: there is none. */
unsigned vault_action_find(const char *word);
/** "Microsoft.KeyVault/managedHsm/keys/sign/action"; "unknown" for VAULT_ACTION_NONE. Static. */
const char *vault_action_name(unsigned action);

static inline bool vault_actions_have(const struct vault_actions *set, unsigned action)
{
    return action < VAULT_ACTIONS_MAX && (set->bits[action / 64] >> (action % 64) & 1) != 0;
}
static inline void vault_actions_add(struct vault_actions *set, unsigned action)
{
    set->bits[action / 64] |= (uint64_t)1 << (action % 64);
}
/** Adds what `name` names: one action by its full name, or with '*' (any characters) those that it
 *  fits. Without case. False: nothing is called so. */
bool vault_actions_add_named(struct vault_actions *set, struct kw_span name);

/** A role of the service's own. */
struct vault_builtin {
    const char *id; /* GUID */
    const char *name;
    struct vault_actions actions;
    const char *const *management; /* its `actions`, which nothing here asks for; NULL-ended */
};

#define VAULT_BUILTINS 10

/** The built-in roles, 0 to VAULT_BUILTINS - 1. */
struct vault_builtin vault_builtin_at(unsigned index);
