#include "pool/member_state.h"

#include <stdio.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "crypto/base/text.h"
#include "pool/slot.h"

#define LONELY_WAIT_NS KW_S(2)

/* ---- the table --------------------------------------------------------------------------------
 * deploy/states/member.dot is the drawing of this table; a unit test compares the two. A pair that
 * is not listed changes nothing and is counted. Edges to the same state are listed because they are
 * expected (a periodic probe of a member that is up), not because they change something. */
#define TO(name) (POOL_HEALTH_##name + 1)

static const uint8_t table[POOL_HEALTH_COUNT][POOL_EV_COUNT] = {
    [POOL_HEALTH_STARTING] =
        {
            [POOL_EV_HOST_STARTED] = TO(STARTING),
            [POOL_EV_LOGGED_IN] = TO(SYNCING),
            [POOL_EV_ERROR] = TO(DOWN),
            [POOL_EV_LOST] = TO(DOWN),
            [POOL_EV_LOGIN_REFUSED] = TO(AUTH_FAILED),
            [POOL_EV_WRONG_DOMAIN] = TO(MISMATCHED),
            [POOL_EV_OPERATOR_RECOVER] = TO(STARTING),
        },
    [POOL_HEALTH_SYNCING] =
        {
            [POOL_EV_LOGGED_IN] = TO(SYNCING),
            [POOL_EV_IN_STEP] = TO(PROBING),
            [POOL_EV_ERROR] = TO(DOWN),
            [POOL_EV_LOST] = TO(DOWN),
            [POOL_EV_LOGIN_REFUSED] = TO(AUTH_FAILED),
            [POOL_EV_WRONG_DOMAIN] = TO(MISMATCHED),
        },
    [POOL_HEALTH_PROBING] =
        {
            [POOL_EV_IN_STEP] = TO(PROBING),
            [POOL_EV_PROBE_OK] = TO(WARMING),
            [POOL_EV_ERROR] = TO(DOWN),
            [POOL_EV_LOST] = TO(DOWN),
            [POOL_EV_WRONG_ANSWER] = TO(DOWN),
            [POOL_EV_LOGIN_REFUSED] = TO(AUTH_FAILED),
            [POOL_EV_WRONG_DOMAIN] = TO(MISMATCHED),
        },
    [POOL_HEALTH_WARMING] =
        {
            [POOL_EV_LOGGED_IN] = TO(WARMING),
            [POOL_EV_IN_STEP] = TO(WARMING),
            [POOL_EV_PROBE_OK] = TO(WARMING),
            [POOL_EV_WARMED] = TO(UP),
            [POOL_EV_LATE] = TO(SUSPECT),
            [POOL_EV_ERROR] = TO(DOWN),
            [POOL_EV_LOST] = TO(DOWN),
            [POOL_EV_WRONG_ANSWER] = TO(DOWN),
            [POOL_EV_LOGIN_REFUSED] = TO(AUTH_FAILED),
            [POOL_EV_WRONG_DOMAIN] = TO(MISMATCHED),
        },
    [POOL_HEALTH_UP] =
        {
            [POOL_EV_LOGGED_IN] = TO(UP),
            [POOL_EV_IN_STEP] = TO(UP),
            [POOL_EV_PROBE_OK] = TO(UP),
            [POOL_EV_LATE] = TO(SUSPECT),
            [POOL_EV_ERROR] = TO(DOWN),
            [POOL_EV_LOST] = TO(DOWN),
            [POOL_EV_WRONG_ANSWER] = TO(DOWN),
            [POOL_EV_LOGIN_REFUSED] = TO(AUTH_FAILED),
            [POOL_EV_WRONG_DOMAIN] = TO(MISMATCHED),
        },
    [POOL_HEALTH_SUSPECT] =
        {
            [POOL_EV_LOGGED_IN] = TO(SUSPECT),
            [POOL_EV_IN_STEP] = TO(SUSPECT),
            [POOL_EV_PROBE_OK] = TO(UP),
            [POOL_EV_LATE] = TO(SUSPECT),
            [POOL_EV_ERROR] = TO(DOWN),
            [POOL_EV_LOST] = TO(DOWN),
            [POOL_EV_WRONG_ANSWER] = TO(DOWN),
            [POOL_EV_LOGIN_REFUSED] = TO(AUTH_FAILED),
            [POOL_EV_WRONG_DOMAIN] = TO(MISMATCHED),
        },
    [POOL_HEALTH_DOWN] =
        {
            [POOL_EV_HOST_STARTED] = TO(STARTING),
            [POOL_EV_LATE] = TO(DOWN),
            [POOL_EV_ERROR] = TO(DOWN),
            [POOL_EV_LOST] = TO(DOWN),
            [POOL_EV_WRONG_ANSWER] = TO(DOWN),
            [POOL_EV_LOGIN_REFUSED] = TO(AUTH_FAILED),
            [POOL_EV_WRONG_DOMAIN] = TO(MISMATCHED),
            [POOL_EV_OPERATOR_RECOVER] = TO(STARTING),
        },
    [POOL_HEALTH_AUTH_FAILED] =
        {
            [POOL_EV_LATE] = TO(AUTH_FAILED),
            [POOL_EV_ERROR] = TO(AUTH_FAILED),
            [POOL_EV_LOST] = TO(AUTH_FAILED),
            [POOL_EV_LOGIN_REFUSED] = TO(AUTH_FAILED),
            [POOL_EV_OPERATOR_RECOVER] = TO(STARTING),
        },
    [POOL_HEALTH_MISMATCHED] =
        {
            [POOL_EV_LATE] = TO(MISMATCHED),
            [POOL_EV_ERROR] = TO(MISMATCHED),
            [POOL_EV_LOST] = TO(MISMATCHED),
            [POOL_EV_WRONG_DOMAIN] = TO(MISMATCHED),
            [POOL_EV_OPERATOR_RECOVER] = TO(STARTING),
        },
};

static const char *const health_names[POOL_HEALTH_COUNT] = {
    "starting", "probing", "syncing",     "warming",    "up",
    "suspect",  "down",    "auth_failed", "mismatched",
};
static const char *const event_names[POOL_EV_COUNT] = {
    "host_started", "logged_in",     "in_step",      "probe_ok",
    "warmed",       "late",          "error",        "lost",
    "wrong_answer", "login_refused", "wrong_domain", "operator_recover",
};
static const char *const admin_names[] = {"ready", "drain", "maintenance"};

const char *pool_health_name(enum pool_health health)
{
    return (unsigned)health < POOL_HEALTH_COUNT ? health_names[health] : "?";
}

const char *pool_health_event_name(enum pool_health_event event)
{
    return (unsigned)event < POOL_EV_COUNT ? event_names[event] : "?";
}

const char *pool_role_name(enum pool_role role)
{
    return role == POOL_ROLE_STANDBY ? "standby" : "active";
}

const char *pool_admin_name(enum pool_admin admin)
{
    return (unsigned)admin <= POOL_ADMIN_MAINTENANCE ? admin_names[admin] : "?";
}

enum pool_health pool_health_next(enum pool_health health, enum pool_health_event event)
{
    if ((unsigned)health >= POOL_HEALTH_COUNT || (unsigned)event >= POOL_EV_COUNT ||
        table[health][event] == 0) {
        return POOL_HEALTH_COUNT;
    }
    return (enum pool_health)(table[health][event] - 1);
}

/* --- the word: role | admin << 8 | health << 16 | slot state << 24 --- */

uint32_t pool_member_word(enum pool_role role, enum pool_health health)
{
    return (uint32_t)role | (uint32_t)POOL_ADMIN_READY << 8 | (uint32_t)health << 16;
}

static uint32_t with_field(uint32_t word, unsigned shift, uint32_t value)
{
    return (word & ~(0xffu << shift)) | value << shift;
}

static uint32_t word_read(const struct pool_member *member)
{
    return atomic_load_explicit(&member->word, memory_order_acquire);
}

enum pool_role pool_member_role(const struct pool_member *member)
{
    return (enum pool_role)(word_read(member) & 0xff);
}

enum pool_admin pool_member_admin(const struct pool_member *member)
{
    return (enum pool_admin)(word_read(member) >> 8 & 0xff);
}

enum pool_health pool_member_health(const struct pool_member *member)
{
    return (enum pool_health)(word_read(member) >> 16 & 0xff);
}

void pool_member_init_state(struct pool_member *member, enum pool_role role,
                            enum pool_health health)
{
    atomic_init(&member->word,
                with_field(pool_member_word(role, health), POOL_WORD_SLOT, POOL_SLOT_MEMBER));
}

/* Truth table of pool_member_accepts (the role does not matter here: the choice puts standby
 * members behind active ones, and suspect members behind both):
 *
 *   health \ admin   ready  drain  maintenance
 *   starting           no     no       no
 *   probing            no     no       no
 *   syncing            no     no       no
 *   warming           YES     no       no      slow start: a share of the weight
 *   up                YES     no       no
 *   suspect           YES     no       no      last resort only
 *   down               no     no       no
 *   auth_failed        no     no       no
 *   mismatched         no     no       no
 *
 * and only in the slot's state MEMBER: an heir waits for its turn, one that leaves ends what it
 * has.
 */
bool pool_member_accepts(const struct pool_member *member)
{
    uint32_t word = word_read(member);
    enum pool_health health = (enum pool_health)(word >> 16 & 0xff);
    return word >> POOL_WORD_SLOT == POOL_SLOT_MEMBER && (word >> 8 & 0xff) == POOL_ADMIN_READY &&
           (health == POOL_HEALTH_WARMING || health == POOL_HEALTH_UP ||
            health == POOL_HEALTH_SUSPECT);
}

/* --- changes --- */

/* First wait, doubled per attempt up to a minute, +-15 % so that members that fell together do not
 * come back together. */
static int64_t retry_wait_ns(const struct pool_member *member)
{
    const int64_t top = KW_S(60);
    int64_t wait = pool_config(member->pool)->recovery_interval_ns;
    for (unsigned i = 0; i < member->retry && wait < top; i++) {
        wait *= 2;
    }
    if (wait > top && pool_config(member->pool)->recovery_interval_ns <= top) {
        wait = top;
    }
    uint16_t noise = 0x8000;
    if (kw_random(&noise, sizeof noise) != KW_OK) {
        noise = 0x8000; /* no jitter is better than no recovery */
    }
    return wait + (wait * ((int64_t)noise - 0x8000) / 0x8000) * 15 / 100;
}

static bool retries_left(const struct pool_member *member)
{
    int limit = pool_config(member->pool)->recovery_retries;
    return limit < 0 || member->retry < (unsigned)limit;
}

/* When the next attempt may begin, by the settings as they are now: they may allow more than those
 * under which the member fell, or less. INT64_MAX: one is under way, or there will be none.
 *
 * The long waits spare a device that is broken while others do its work. With nobody serving there
 * is nothing to spare: whoever is back first must be found soon. A limited count of retries is not
 * used up faster by this. State lock held. */
static int64_t next_try_ns(const struct pool_member *member)
{
    const struct pool *pool = member->pool;
    if (member->trying || !retries_left(member)) {
        return INT64_MAX;
    }
    int64_t wait = pool_config(pool)->recovery_interval_ns;
    int64_t planned =
        member->next_retry_ns != INT64_MAX ? member->next_retry_ns : member->failed_ns + wait;
    if (pool_config(pool)->recovery_retries >= 0) {
        return planned;
    }
    for (unsigned i = 0; i < pool->member_count; i++) {
        if (pool_member_accepts(&pool->members[i])) {
            return planned;
        }
    }
    int64_t soon = member->failed_ns + (wait > LONELY_WAIT_NS ? wait : LONELY_WAIT_NS);
    return soon < planned ? soon : planned;
}

/* State lock held: what else changes with the health. */
static void entered(struct pool_member *member, enum pool_health from, enum pool_health to,
                    enum pool_health_event event, int64_t now_ns)
{
    if (to == POOL_HEALTH_DOWN && (from != to || event == POOL_EV_LOST || event == POOL_EV_ERROR)) {
        /* down -> down by lost or error: the attempt under way has failed */
        if (from != to || member->next_retry_ns == INT64_MAX) {
            member->trying = false;
            member->failed_ns = now_ns;
            member->next_retry_ns =
                retries_left(member) ? now_ns + retry_wait_ns(member) : INT64_MAX;
        }
    }
    if (from == to) {
        return;
    }
    if (to == POOL_HEALTH_WARMING) {
        atomic_store(&member->up_since_ns, now_ns);
    }
    if (to == POOL_HEALTH_WARMING || to == POOL_HEALTH_UP) {
        atomic_store(&member->errors_in_row, 0);
        atomic_store(&member->refusals, 0);
    }
    if (from == POOL_HEALTH_WARMING && to == POOL_HEALTH_UP) {
        /* Only a member that lasted through its slow start has recovered: one that flaps keeps its
         * count, and with it the longer waits. */
        member->retry = 0;
    }
}

static void emit_change(struct pool_member *member, const char *from, const char *to,
                        const char *reason)
{
    struct pool_event event = {
        .type = POOL_EVENT_MEMBER_STATE,
        .member = member->config.name,
        .from = from,
        .to = to,
        .reason = reason,
    };
    pool_emit(member->pool, &event);
}

void pool_member_transition(struct pool_member *member, enum pool_health_event event,
                            const char *reason)
{
    struct pool *pool = member->pool;
    pthread_mutex_lock(&pool->state_lock);
    uint32_t word = word_read(member);
    enum pool_health from = (enum pool_health)(word >> 16 & 0xff);
    enum pool_health to = pool_health_next(from, event);
    if (to == POOL_HEALTH_COUNT) {
        atomic_fetch_add(&pool->unlisted_events, 1);
        pthread_mutex_unlock(&pool->state_lock);
        return;
    }
    entered(member, from, to, event, kw_now_ns());
    if (from != to) {
        snprintf(member->reason, sizeof member->reason, "%s", reason != NULL ? reason : "");
        kw_text_clean(member->reason);
        atomic_store_explicit(&member->word, with_field(word, 16, to), memory_order_release);
    }
    pthread_mutex_unlock(&pool->state_lock);
    if (from != to && word >> POOL_WORD_SLOT != POOL_SLOT_LEAVING) {
        emit_change(member, pool_health_name(from), pool_health_name(to), reason);
        pool_supervisor_wake(pool);
    }
}

static void set_admin(struct pool_member *member, enum pool_admin admin, const char *why)
{
    struct pool *pool = member->pool;
    pthread_mutex_lock(&pool->state_lock);
    uint32_t word = word_read(member);
    enum pool_admin from = (enum pool_admin)(word >> 8 & 0xff);
    atomic_store_explicit(&member->word, with_field(word, 8, admin), memory_order_release);
    pthread_mutex_unlock(&pool->state_lock);
    if (from != admin) {
        emit_change(member, pool_admin_name(from), pool_admin_name(admin), why);
        pool_supervisor_wake(pool);
    }
}

void pool_member_set_role(struct pool_member *member, enum pool_role role)
{
    struct pool *pool = member->pool;
    pthread_mutex_lock(&pool->state_lock);
    uint32_t word = word_read(member);
    enum pool_role from = (enum pool_role)(word & 0xff);
    atomic_store_explicit(&member->word, with_field(word, 0, role), memory_order_release);
    pthread_mutex_unlock(&pool->state_lock);
    if (from != role) {
        emit_change(member, pool_role_name(from), pool_role_name(role), "configured");
    }
}

void pool_member_set_admin(struct pool_member *member, enum pool_admin admin)
{
    set_admin(member, admin, "operator");
}

void pool_member_note(struct pool_member *member, const char *why)
{
    pthread_mutex_lock(&member->pool->state_lock);
    snprintf(member->reason, sizeof member->reason, "%s", why);
    kw_text_clean(member->reason);
    pthread_mutex_unlock(&member->pool->state_lock);
}

void pool_member_park(struct pool_member *member, const char *why)
{
    pool_member_note(member, why);
    set_admin(member, POOL_ADMIN_MAINTENANCE, why);
}

bool pool_member_parked(const struct pool_member *member)
{
    return pool_member_admin(member) == POOL_ADMIN_MAINTENANCE ||
           pool_slot(member) == POOL_SLOT_LEAVING;
}

void pool_member_recover(struct pool_member *member)
{
    pthread_mutex_lock(&member->pool->state_lock);
    member->retry = 0;
    pthread_mutex_unlock(&member->pool->state_lock);
    pool_member_transition(member, POOL_EV_OPERATOR_RECOVER, "operator");
    pool_supervisor_wake(member->pool);
}

bool pool_member_retry_due(struct pool_member *member, int64_t now_ns, int64_t *next_ns)
{
    bool due = false;
    pthread_mutex_lock(&member->pool->state_lock);
    if (pool_member_health(member) == POOL_HEALTH_DOWN && next_try_ns(member) <= now_ns) {
        due = true;
        member->retry++;
        member->trying = true;
        member->next_retry_ns = INT64_MAX;
    }
    if (next_ns != NULL) {
        *next_ns = pool_member_health(member) == POOL_HEALTH_DOWN ? next_try_ns(member) : INT64_MAX;
    }
    pthread_mutex_unlock(&member->pool->state_lock);
    return due;
}

unsigned pool_member_weight(const struct pool_member *member, int64_t now_ns)
{
    if (pool_member_health(member) != POOL_HEALTH_WARMING) {
        return 1024;
    }
    int64_t since = now_ns - atomic_load_explicit(&member->up_since_ns, memory_order_relaxed);
    if (since < 0) {
        since = 0;
    }
    if (since >= POOL_SLOW_START_NS) {
        return 1024;
    }
    return (unsigned)(102 + 922 * since / POOL_SLOW_START_NS);
}

/* --- what operators read --- */

static void sense_down(const struct pool_member *member, int64_t now_ns, char *out, size_t cap)
{
    size_t len = sizeof POOL_UNREACHABLE - 1;
    const char *word =
        strncmp(member->reason, POOL_UNREACHABLE, len) == 0 ? POOL_UNREACHABLE : "down";
    int limit = pool_config(member->pool)->recovery_retries;
    if (limit == 0) {
        snprintf(out, cap, "%s (recovery off)", word);
        return;
    }
    char count[32];
    if (limit < 0) {
        snprintf(count, sizeof count, "%u", member->retry);
    } else {
        snprintf(count, sizeof count, "%u/%d", member->retry, limit);
    }
    int64_t next = next_try_ns(member);
    if (next == INT64_MAX) {
        snprintf(out, cap, "%s (retry %s %s)", word, count,
                 member->trying ? "under way" : "exhausted");
        return;
    }
    int64_t wait = next - now_ns;
    snprintf(out, cap, "%s (retry %s, next in %llds)", word, count,
             (long long)(wait > 0 ? (wait + KW_S(1) - 1) / KW_S(1) : 0));
}

static void sense_ready(const struct pool_member *member, int64_t now_ns, char *out, size_t cap)
{
    enum pool_health health = pool_member_health(member);
    const char *role = pool_role_name(pool_member_role(member));
    switch (health) {
    case POOL_HEALTH_UP: {
        unsigned priority = atomic_load_explicit(&member->priority, memory_order_relaxed);
        char place[24] = "";
        if (priority > 1) {
            snprintf(place, sizeof place, " (priority %u)", priority);
        }
        snprintf(out, cap, "%s%s", role, place);
        return;
    }
    case POOL_HEALTH_WARMING:
        snprintf(out, cap, "%s (warming %u%%)", role,
                 pool_member_weight(member, now_ns) * 100 / 1024);
        return;
    case POOL_HEALTH_STARTING:
    case POOL_HEALTH_PROBING:
    case POOL_HEALTH_SYNCING:
        if (member->retry > 0) {
            snprintf(out, cap, "recovering (%s)", pool_health_name(health));
            return;
        }
        break;
    case POOL_HEALTH_DOWN:
        sense_down(member, now_ns, out, cap);
        return;
    default:
        break;
    }
    snprintf(out, cap, "%s", pool_health_name(health));
}

void pool_member_sense(struct pool_member *member, int64_t now_ns, char *sense, size_t sense_cap,
                       char *reason, size_t reason_cap)
{
    pthread_mutex_lock(&member->pool->state_lock);
    int64_t busy = atomic_load_explicit(&member->in_flight, memory_order_relaxed);
    enum pool_admin admin = pool_member_admin(member);
    if (pool_slot(member) == POOL_SLOT_LEAVING) {
        snprintf(sense, sense_cap, "leaving (%lld in flight)", (long long)(busy > 0 ? busy : 0));
    } else if (admin == POOL_ADMIN_MAINTENANCE) {
        snprintf(sense, sense_cap, "maintenance");
    } else if (admin == POOL_ADMIN_DRAIN && busy > 0) {
        snprintf(sense, sense_cap, "draining (%lld in flight)", (long long)busy);
    } else if (admin == POOL_ADMIN_DRAIN) {
        snprintf(sense, sense_cap, "drained");
    } else {
        sense_ready(member, now_ns, sense, sense_cap);
    }
    snprintf(reason, reason_cap, "%s", member->reason);
    pthread_mutex_unlock(&member->pool->state_lock);
}
