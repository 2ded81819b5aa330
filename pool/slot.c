#include "pool/slot.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "pool/core/engine.h"
#include "pool/kinds.h"
#include "pool/limit.h"
#include "pool/member_state.h"
#include "pool/port.h"
#include "pool/settings.h"
#include "pool/stats.h"

#define STEP_NS  KW_MS(10)  /* while something goes on */
#define AGAIN_NS KW_MS(100) /* ports are told once more: one may have been short of memory */

/* --- the table --- */

#define TO(name) (POOL_SLOT_##name + 1)

static const uint8_t table[POOL_SLOT_STATES][POOL_SLOT_EVENTS] = {
    [POOL_SLOT_FREE] = {[POOL_SLOT_ADD] = TO(MEMBER), [POOL_SLOT_ADD_HEIR] = TO(HEIR)},
    [POOL_SLOT_MEMBER] = {[POOL_SLOT_LEAVE] = TO(LEAVING)},
    [POOL_SLOT_HEIR] = {[POOL_SLOT_TAKE_OVER] = TO(MEMBER), [POOL_SLOT_LEAVE] = TO(LEAVING)},
    [POOL_SLOT_LEAVING] = {[POOL_SLOT_GONE] = TO(FREE)},
};

static const char *const state_names[POOL_SLOT_STATES] = {"free", "member", "heir", "leaving"};
static const char *const event_names[POOL_SLOT_EVENTS] = {"add", "add_heir", "take_over", "leave",
                                                          "gone"};

enum pool_slot_state pool_slot_next(enum pool_slot_state state, enum pool_slot_event event)
{
    if ((unsigned)state >= POOL_SLOT_STATES || (unsigned)event >= POOL_SLOT_EVENTS ||
        table[state][event] == 0) {
        return POOL_SLOT_STATES;
    }
    return (enum pool_slot_state)(table[state][event] - 1);
}

const char *pool_slot_state_name(enum pool_slot_state state)
{
    return (unsigned)state < POOL_SLOT_STATES ? state_names[state] : "?";
}

const char *pool_slot_event_name(enum pool_slot_event event)
{
    return (unsigned)event < POOL_SLOT_EVENTS ? event_names[event] : "?";
}

/* --- moves --- */

enum pool_slot_state pool_slot(const struct pool_member *member)
{
    return (enum pool_slot_state)(atomic_load_explicit(&member->word, memory_order_acquire) >>
                                  POOL_WORD_SLOT);
}

bool pool_slot_runs(const struct pool_member *member)
{
    /* in one order with `attached`: a port that attaches sees the member leave, or is seen */
    enum pool_slot_state state =
        (enum pool_slot_state)(atomic_load(&member->word) >> POOL_WORD_SLOT);
    return state == POOL_SLOT_MEMBER || state == POOL_SLOT_HEIR;
}

static void recount(struct pool *pool)
{
    unsigned members = 0, makers = 0;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct pool_member *member = &pool->members[i];
        bool counts = pool_slot(member) == POOL_SLOT_MEMBER;
        members += counts;
        makers += counts && member->config.kind != POOL_MEMBER_REMOTE;
    }
    atomic_store(&pool->live, members);
    atomic_store(&pool->makers, makers);
}

/* The only way a slot changes its state. */
static void move(struct pool_member *member, enum pool_slot_event event, const char *why)
{
    struct pool *pool = member->pool;
    pthread_mutex_lock(&pool->state_lock);
    uint32_t word = atomic_load(&member->word);
    enum pool_slot_state from = (enum pool_slot_state)(word >> POOL_WORD_SLOT);
    enum pool_slot_state to = pool_slot_next(from, event);
    if (to != POOL_SLOT_STATES) {
        uint32_t low = to == POOL_SLOT_FREE ? 0 : word & ((1u << POOL_WORD_SLOT) - 1);
        atomic_store(&member->word, low | (uint32_t)to << POOL_WORD_SLOT);
        recount(pool);
    }
    pthread_mutex_unlock(&pool->state_lock);
    if (to == POOL_SLOT_STATES) {
        return;
    }
    struct pool_event told = {
        .type = POOL_EVENT_MEMBERSHIP,
        .member = member->config.name,
        .from = pool_slot_state_name(from),
        .to = pool_slot_state_name(to),
        .reason = why,
    };
    if (pool->announces) {
        pool_emit(pool, &told);
    }
    pool_supervisor_wake(pool);
}

/* --- in --- */

static struct pool_member *find_free(struct pool *pool)
{
    struct pool_member *longest = NULL;
    for (unsigned i = 0; i < POOL_MAX_MEMBERS; i++) {
        struct pool_member *member = &pool->members[i];
        if (pool_slot(member) != POOL_SLOT_FREE) {
            continue;
        }
        if (i >= pool->member_count) {
            return member;
        }
        if (longest == NULL || member->emptied_ns < longest->emptied_ns) {
            longest = member;
        }
    }
    bool rested = longest != NULL && kw_now_ns() - longest->emptied_ns >= POOL_SLOT_REST_NS;
    return rested ? longest : NULL;
}

/* Field by field: threads look at the words of all slots at any time. */
static kw_status prepare(struct pool *pool, struct pool_member *member,
                         const struct pool_member_config *config)
{
    member->pool = pool;
    member->index = (unsigned)(member - pool->members);
    member->type = pool_kind_type(config->kind);
    member->impl = NULL;
    atomic_store(&member->load_ns, 0);
    atomic_store(&member->in_flight, 0);
    for (unsigned i = 0; i < KC_SHAPE_COUNT; i++) {
        atomic_store(&member->service_ns[i], 0);
    }
    atomic_store(&member->errors_in_row, 0);
    atomic_store(&member->refusals, 0);
    atomic_store(&member->holdings, 0);
    atomic_store(&member->up_since_ns, 0);
    atomic_store(&member->attached, 0);
    atomic_store(&member->leaves_when_safe, false);
    atomic_store(&member->priority, config->priority == 0 ? 1 : config->priority);
    member->retry = 0;
    member->trying = false;
    member->next_retry_ns = INT64_MAX;
    member->failed_ns = 0;
    member->reason[0] = '\0';
    member->for_good = false;
    member->told_ns = 0;
    KW_TRY(pool_member_config_copy(&member->config, config));
    return pool_member_config_copy(&member->wanted, config);
}

static void clear(struct pool_member *member)
{
    struct pool_member_config *changed = atomic_exchange(&member->changed, NULL);
    if (changed != NULL) {
        pool_member_config_clear(changed);
        free(changed);
    }
    pool_member_config_clear(&member->config);
    pool_member_config_clear(&member->wanted);
}

static kw_status make(struct pool *pool, struct pool_member *member,
                      const struct pool_member_config *config)
{
    kw_status status = prepare(pool, member, config);
    if (status == KW_OK && member->type == &pool_member_core) {
        member->config.sessions = core_engine_workers(pool->engine);
        member->config.hosts = 1;
        pool->core_opens_hsm = pool->core_opens_hsm || config->opens_hsm_keys;
    }
    pool_limit_init(member);
    atomic_store(&member->outlier.until_ns, 0);
    atomic_store(&member->outlier.ejections, 0);
    if (status == KW_OK && member->type->create != NULL) {
        status = member->type->create(member, &member->config);
    }
    if (status != KW_OK) {
        clear(member);
    }
    return status;
}

static void tell_port(struct pool_port *port, void *member)
{
    /* when memory is short the supervisor tells it again */
    (void)!pool_port_call(port, pool_port_take_member, member);
}

kw_status pool_slot_fill(struct pool *pool, const struct pool_member_config *config,
                         enum pool_slot_event event, struct pool_member **out)
{
    struct pool_member *member = find_free(pool);
    *out = NULL;
    if (member == NULL) {
        return KW_E_BUSY;
    }
    KW_TRY(make(pool, member, config));
    /* The core has nothing to start: its self-tests ran in kc_lanes_init. */
    bool core = member->type == &pool_member_core;
    if (member->index >= pool->member_count) {
        atomic_store(&pool->member_count, member->index + 1);
    }
    atomic_store(&member->word,
                 pool_member_word(config->role, core ? POOL_HEALTH_UP : POOL_HEALTH_STARTING));
    move(member, event, event == POOL_SLOT_ADD_HEIR ? "its settings changed" : "configured");
    pool_each_port(pool, tell_port, member);
    *out = member;
    return KW_OK;
}

kw_status pool_slot_fill_core(struct pool *pool)
{
    static const struct pool_member_config implicit = {.name = "core", .kind = POOL_MEMBER_CORE};
    struct pool_member *member = pool_core(pool);
    KW_TRY(prepare(pool, member, &implicit));
    member->type = &pool_member_core;
    member->config.sessions = core_engine_workers(pool->engine);
    KW_TRY(member->type->create(member, &member->config));
    pool_member_init_state(member, POOL_ROLE_ACTIVE, POOL_HEALTH_UP);
    return KW_OK;
}

/* --- out --- */

void pool_slot_leave(struct pool_member *member, bool for_good, const char *why)
{
    pthread_mutex_lock(&member->pool->state_lock);
    bool runs = pool_slot_runs(member);
    if (runs) {
        member->for_good = for_good;
        member->leave_by_ns = kw_now_ns() + pool_config(member->pool)->hard_deadline_ns;
    }
    pthread_mutex_unlock(&member->pool->state_lock);
    if (runs) {
        move(member, POOL_SLOT_LEAVE, why);
    }
}

static void detach_port(struct pool_port *port, void *member)
{
    (void)!pool_port_call(port, pool_port_drop_member, member);
}

static void bury(struct pool *pool, struct pool_member *member)
{
    pthread_mutex_lock(&pool->change_lock);
    pthread_rwlock_wrlock(&pool->slots_lock);
    pool_stats_bury(pool, member->index);
    if (member->type->destroy != NULL) {
        member->type->destroy(member);
    }
    member->emptied_ns = kw_now_ns();
    move(member, POOL_SLOT_GONE, "no work of it is left");
    clear(member);
    pthread_rwlock_unlock(&pool->slots_lock);
    pthread_mutex_unlock(&pool->change_lock);
}

/* One step of seeing a member off. */
static int64_t see_off(struct pool *pool, struct pool_member *member, int64_t now_ns)
{
    if (member->told_ns == 0 && atomic_load(&member->in_flight) > 0 &&
        now_ns < member->leave_by_ns) {
        return now_ns + STEP_NS;
    }
    if (member->told_ns == 0 || atomic_load(&member->attached) > 0) {
        if (member->told_ns == 0 || now_ns >= member->told_ns + AGAIN_NS) {
            member->told_ns = now_ns;
            pool_each_port(pool, detach_port, member);
        }
        return now_ns + STEP_NS;
    }
    if (member->type->retire != NULL && !member->type->retire(member, now_ns, member->for_good)) {
        return now_ns + STEP_NS;
    }
    bury(pool, member);
    return INT64_MAX;
}

bool pool_slot_detached(const struct pool_member *member)
{
    return pool_slot(member) == POOL_SLOT_LEAVING && member->told_ns != 0 &&
           atomic_load(&member->attached) == 0;
}

/* --- the supervisor's step --- */

struct pool_member *pool_slot_find(struct pool *pool, const char *name, bool heir)
{
    enum pool_slot_state wanted = heir ? POOL_SLOT_HEIR : POOL_SLOT_MEMBER;
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct pool_member *member = &pool->members[i];
        if (pool_slot(member) == wanted && strcmp(member->config.name, name) == 0) {
            return member;
        }
    }
    return NULL;
}

struct pool_member *pool_next_of_kind(const struct pool_member *member,
                                      const struct pool_member *after)
{
    struct pool *pool = member->pool;
    for (unsigned i = after == NULL ? 0 : after->index + 1; i < pool->member_count; i++) {
        struct pool_member *next = &pool->members[i];
        if (pool_slot_runs(next) && next->type == member->type) {
            return next;
        }
    }
    return NULL;
}

bool pool_slot_can_spare(const struct pool_member *member)
{
    struct pool *pool = member->pool;
    bool hsm = member->config.kind == POOL_MEMBER_PKCS11;
    if (!pool_member_accepts(member)) {
        return true;
    }
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct pool_member *other = &pool->members[i];
        if (other != member && pool_member_accepts(other) &&
            (!hsm || other->config.kind == POOL_MEMBER_PKCS11)) {
            return true;
        }
    }
    return false;
}

static bool is_well(const struct pool_member *member)
{
    enum pool_health health = pool_member_health(member);
    return health == POOL_HEALTH_WARMING || health == POOL_HEALTH_UP;
}

/* It is the better one now: it works, or the one before does not. The admin axis is of the name. In
 * the change lock, so that a change meets one member of the name, and what it says of that one
 * stays true. */
static void take_over(struct pool *pool, struct pool_member *heir)
{
    pthread_mutex_lock(&pool->change_lock);
    struct pool_member *before = pool_slot_find(pool, heir->config.name, false);
    bool better = before == NULL || is_well(heir) || pool_member_health(before) >= POOL_HEALTH_DOWN;
    if (better && pool_slot(heir) == POOL_SLOT_HEIR) {
        if (before != NULL && pool_member_admin(before) != POOL_ADMIN_READY) {
            pool_member_set_admin(heir, pool_member_admin(before));
        }
        /* in this order: at no moment is there none */
        move(heir, POOL_SLOT_TAKE_OVER, "it has its new settings");
        if (before != NULL) {
            pool_slot_leave(before, false, "its settings changed");
        }
    }
    pthread_mutex_unlock(&pool->change_lock);
}

/* It was removed while nobody else served: now somebody does. A change may ask for it again. */
static void leave_when_safe(struct pool *pool, struct pool_member *member)
{
    pthread_mutex_lock(&pool->change_lock);
    if (atomic_load(&member->leaves_when_safe) && pool_slot_can_spare(member)) {
        pool_slot_leave(member, true, "removed from the configuration");
    }
    pthread_mutex_unlock(&pool->change_lock);
}

/* Settings that the running member takes over itself. Only this thread reads the strings. */
static void take_settings(struct pool_member *member)
{
    struct pool_member_config *fresh = atomic_exchange(&member->changed, NULL);
    if (fresh == NULL) {
        return;
    }
    struct pool_member_config *config = &member->config;
    const char *pin_file = config->pin_file, *token_file = config->token_file;
    const char *probe_host = config->probe_host;
    config->pin_file = fresh->pin_file;
    config->token_file = fresh->token_file;
    config->probe_host = fresh->probe_host;
    config->probe_port = fresh->probe_port;
    fresh->pin_file = pin_file;
    fresh->token_file = token_file;
    fresh->probe_host = probe_host;
    atomic_store(&member->priority, fresh->priority);
    pool_member_set_role(member, fresh->role);
    pool_member_config_clear(fresh);
    free(fresh);
}

int64_t pool_slots_step(struct pool *pool, int64_t now_ns)
{
    int64_t next = INT64_MAX;
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct pool_member *member = &pool->members[i];
        int64_t wanted = INT64_MAX;
        switch (pool_slot(member)) {
        case POOL_SLOT_HEIR:
            take_settings(member);
            take_over(pool, member);
            break;
        case POOL_SLOT_MEMBER:
            take_settings(member);
            if (atomic_load(&member->leaves_when_safe)) {
                leave_when_safe(pool, member);
            }
            break;
        case POOL_SLOT_LEAVING:
            wanted = see_off(pool, member, now_ns);
            break;
        default:
            break;
        }
        next = wanted < next ? wanted : next;
    }
    return next;
}

void pool_slots_free(struct pool *pool)
{
    for (unsigned i = 0; i <= POOL_MAX_MEMBERS; i++) {
        struct pool_member *member = &pool->members[i];
        if (pool_slot(member) != POOL_SLOT_FREE) {
            if (member->type->destroy != NULL) {
                member->type->destroy(member);
            }
            clear(member);
        } else {
            clear(member);
        }
    }
}
