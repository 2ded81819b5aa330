#pragma once
/* The member's state word, its table, and what operators read. */

#include "pool/pool_impl.h"

/** Where (health, event) leads; POOL_HEALTH_COUNT when the pair is not listed. Pure. */
enum pool_health pool_health_next(enum pool_health health, enum pool_health_event event);

#define POOL_WORD_SLOT 24 /* where the slot's state begins in the word (pool/slot.h) */

/** A word of a member that is ready, in no slot's state yet. Pure. */
uint32_t pool_member_word(enum pool_role role, enum pool_health health);
/** First word of a member of the group, before any other thread sees it. */
void pool_member_init_state(struct pool_member *member, enum pool_role role,
                            enum pool_health health);

enum pool_role pool_member_role(const struct pool_member *member);
enum pool_admin pool_member_admin(const struct pool_member *member);
const char *pool_role_name(enum pool_role role);
const char *pool_admin_name(enum pool_admin admin);

/** Tells the observer. Any thread. */
void pool_member_set_role(struct pool_member *member, enum pool_role role);

/** Operator's word on the second axis. Tells the observer. Any thread. */
void pool_member_set_admin(struct pool_member *member, enum pool_admin admin);

/** RECOVER: the count of attempts starts anew and the health becomes STARTING (unlisted: as it is).
 *  Any thread. */
void pool_member_recover(struct pool_member *member);

/** Share of its full weight in 1/1024: 10 % to 100 % in the ten seconds after recovery. */
unsigned pool_member_weight(const struct pool_member *member, int64_t now_ns);

#define POOL_SLOW_START_NS KW_S(10)

/** The sense of the three axes in operators' words, and the reason. Any thread. */
void pool_member_sense(struct pool_member *member, int64_t now_ns, char *sense, size_t sense_cap,
                       char *reason, size_t reason_cap);
