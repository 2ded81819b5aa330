#pragma once
/* The group's members live in fixed slots, so that what threads keep by a member's number (bits of
 * an operation, links and counters of a port) stays right while members come and go. A slot is
 * filled, serves, and is emptied again; deploy/states/slot.dot draws the table of slot.c.
 *
 * Order of things. In: the member is made, its slot is published, each port attaches on its own
 * thread and chooses it from then on. Out: nothing chooses it any more, what it works on ends, each
 * port detaches on its own thread, what runs behind it ends, it is freed. The supervisor sees it
 * off. An emptied slot rests before it is filled again: an operation that is being checked may
 * still name the member that answered. */

#include "pool/pool_impl.h"

enum pool_slot_state {
    POOL_SLOT_FREE,
    POOL_SLOT_MEMBER,
    POOL_SLOT_HEIR, /* comes up with new settings to take the place of the member of its name */
    POOL_SLOT_LEAVING,
    POOL_SLOT_STATES
};
enum pool_slot_event {
    POOL_SLOT_ADD,
    POOL_SLOT_ADD_HEIR,
    POOL_SLOT_TAKE_OVER,
    POOL_SLOT_LEAVE,
    POOL_SLOT_GONE,
    POOL_SLOT_EVENTS
};

/** POOL_SLOT_STATES when the pair is not listed. Pure. */
enum pool_slot_state pool_slot_next(enum pool_slot_state state, enum pool_slot_event event);
const char *pool_slot_state_name(enum pool_slot_state state);
const char *pool_slot_event_name(enum pool_slot_event event);

/** Any thread. */
enum pool_slot_state pool_slot(const struct pool_member *member);
/** Is there a member that works, in its place or on the way to one? Any thread. */
bool pool_slot_runs(const struct pool_member *member);

/** How long an emptied slot rests. */
#define POOL_SLOT_REST_NS KW_S(30)

/** Makes a member and publishes it; ports are told. KW_E_BUSY: every slot is taken or rests. With
 *  the change lock held, or before any other thread exists. */
KW_MUST_CHECK kw_status pool_slot_fill(struct pool *pool, const struct pool_member_config *config,
                                       enum pool_slot_event event, struct pool_member **out);
/** The implicit core. */
KW_MUST_CHECK kw_status pool_slot_fill_core(struct pool *pool);

/** Nothing new goes to the member; the supervisor sees it off. `for_good`: what is kept of it on
 * disk goes as well. State as the table says, else nothing happens. Any thread. */
void pool_slot_leave(struct pool_member *member, bool for_good, const char *why);

/** May the group do without it? Not when no other member serves, nor when it is the last HSM that
 *  does: then no key can be made, and keys that live on tokens alone have nobody. One that does not
 *  serve can always be spared. Supervisor, or with the change lock held. */
bool pool_slot_can_spare(const struct pool_member *member);

/** Supervisor: members that take over, wait to leave, or leave. Returns the next moment it wants to
 *  be called. */
int64_t pool_slots_step(struct pool *pool, int64_t now_ns);

/** Frees what is in the slots, when no other thread is left. */
void pool_slots_free(struct pool *pool);

/** The member (or, for `heir`, the one that is to take its place) of this name; NULL: none. It
 * stays while the slots lock is held, and for the supervisor until its own next step. */
struct pool_member *pool_slot_find(struct pool *pool, const char *name, bool heir);
