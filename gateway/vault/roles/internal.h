#pragma once
/* Inside the roles of a vault: what is shared by reading, checking and changing. */

#include <pthread.h>
#include <stdatomic.h>

#include "gateway/vault/roles/model.h"
#include "gateway/vault/roles/roles.h"

/** One who wants to change something, in the line of those who do. First member of what it is for.
 */
struct roles_turn {
    struct roles_turn *next;
    struct gw_loop *loop;
    void (*run)(struct roles_turn *turn); /* on the loop, alone until roles_leave */
};

struct vault_roles {
    struct vault_roles *next; /* of the vault's list */
    struct vault *vault;
    char name[STORE_VAULT_MAX + 1];
    /* over `model`, NULL: not loaded. Changed by whoever has the turn, who may read it without. */
    pthread_rwlock_t lock;
    struct roles_model *model;
    atomic_bool prompted; /* vault_roles_prompt */
    pthread_mutex_t line; /* over the members below */
    bool busy;
    struct roles_turn *first, *last;
};

/** Runs the turn now, or when those before it have left. On its loop's thread. */
void roles_enter(struct vault_roles *roles, struct roles_turn *turn);
void roles_leave(struct vault_roles *roles);

/** Reads everything into a new model and puts it in the place of the old one. With the turn, which
 * it ends; then calls `done`. */
void roles_read(struct vault_roles *roles, struct gw_loop *loop, vault_roles_done_fn *done,
                void *ctx);

/** Frees the list of a vault that nobody uses any more. */
void vault_roles_destroy(struct vault_roles *list);
