#pragma once
/* One use of a recovered key: a signature that the source's public key verifies, a decryption of
 * what it encrypted, or of an AES key a wrap and its unwrap. Where attributes or key_ops of the
 * scratch copy forbid it, they are changed there first. */

#include "gateway/cli/dr_inventory.h"
#include "gateway/cli/dr_scratch.h"

struct dr_tries {
    size_t signed_, decrypted, wrapped; /* that went well */
    size_t elsewhere;                   /* keys that live on tokens: cannot be tried here */
    size_t exchange;                    /* key exchange keys: they open imports and nothing else */
    size_t failed;
    char first[DR_WHY]; /* why the first one failed */
};

struct dr_trial;
/** After kc_lanes_init. NULL when memory is short. */
struct dr_trial *dr_trial_create(struct dr_scratch *scratch);
void dr_trial_destroy(struct dr_trial *trial);

/** `recovered`: the key in the scratch instance; `source`: where its public half is taken from. */
void dr_try_key(struct dr_trial *trial, struct dr_tries *tries, const struct dr_object *recovered,
                const struct dr_object *source);
