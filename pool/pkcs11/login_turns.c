#include "pool/pkcs11/login_turns.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct turn {
    struct turn *next;
    char *state_dir, *member, *fingerprint;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct turn *turns;

static void turn_free(struct turn *turn)
{
    if (turn != NULL) {
        free(turn->state_dir);
        free(turn->member);
        free(turn->fingerprint);
        free(turn);
    }
}

static struct turn *turn_make(const char *state_dir, const char *member, const char *fingerprint)
{
    struct turn *turn = calloc(1, sizeof(*turn));
    if (turn == NULL) {
        return NULL;
    }
    turn->state_dir = strdup(state_dir);
    turn->member = strdup(member);
    turn->fingerprint = strdup(fingerprint);
    if (turn->state_dir == NULL || turn->member == NULL || turn->fingerprint == NULL) {
        turn_free(turn);
        return NULL;
    }
    return turn;
}

bool pool_login_turn_take(const char *state_dir, const char *member, const char *fingerprint)
{
    pool_login_turn_end(state_dir, member);
    struct turn *turn = turn_make(state_dir, member, fingerprint);
    bool free_to_try = turn != NULL;
    pthread_mutex_lock(&lock);
    for (const struct turn *at = turns; at != NULL; at = at->next) {
        free_to_try = free_to_try && (strcmp(at->state_dir, state_dir) != 0 ||
                                      strcmp(at->fingerprint, fingerprint) != 0);
    }
    if (free_to_try) {
        turn->next = turns;
        turns = turn;
    }
    pthread_mutex_unlock(&lock);
    if (!free_to_try) {
        turn_free(turn);
    }
    return free_to_try;
}

void pool_login_turn_end(const char *state_dir, const char *member)
{
    pthread_mutex_lock(&lock);
    struct turn **at = &turns;
    while (*at != NULL &&
           (strcmp((*at)->state_dir, state_dir) != 0 || strcmp((*at)->member, member) != 0)) {
        at = &(*at)->next;
    }
    struct turn *gone = *at;
    if (gone != NULL) {
        *at = gone->next;
    }
    pthread_mutex_unlock(&lock);
    turn_free(gone);
}
