#include "pool/line.h"

#include "pool/group.h"
#include "pool/limit.h"

#define PATIENCE_NS KW_S(1)
#define LOOKS_MAX   16u /* operations passed over for want of a member, in one run */
#define SMALL_PART  16u /* of the line's bound: what a client may always have */
#define RETRY_MAX_S 60

/* --- how long the line is --- */

static uint32_t *held_by(struct pool_port *port, const struct pool_op *op)
{
    return &port->held[op->client * 0x9e3779b97f4a7c15u >> 56];
}

void pool_line_enter(struct pool_port *port, const struct pool_op *op)
{
    ++*held_by(port, op);
}

void pool_line_leave(struct pool_port *port, const struct pool_op *op)
{
    if ((op->flags & POOL_OP_INTERNAL) == 0) {
        --*held_by(port, op);
    }
}

bool pool_line_is_small(const struct pool_port *port, const struct pool_op *op)
{
    uint32_t bound = pool_config(port->pool)->queue_max / SMALL_PART;
    return *held_by((struct pool_port *)port, op) < (bound > 0 ? bound : 1);
}

struct serving {
    unsigned members, parallel;
    int64_t work_ns; /* with them, and in line */
};

static struct serving look(const struct pool *pool)
{
    struct serving sum = {0};
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct pool_member *member = &pool->members[i];
        if (pool_member_accepts(member)) {
            int64_t load = atomic_load_explicit(&member->load_ns, memory_order_relaxed);
            sum.work_ns += load > 0 ? load : 0;
            sum.parallel += pool_choice_parallel(member);
            sum.members++;
        }
    }
    sum.work_ns += atomic_load_explicit(&pool->line_work_ns, memory_order_relaxed);
    return sum;
}

static unsigned seconds_to_drain(const struct serving *serving)
{
    if (serving->parallel == 0) {
        return 1;
    }
    int64_t ns = serving->work_ns / serving->parallel, s = ns / KW_S(1) + 1;
    return s < RETRY_MAX_S ? (unsigned)s : RETRY_MAX_S;
}

static int64_t patience(const struct pool_op *op, int64_t now_ns)
{
    int64_t half = (op->deadline_ns - now_ns) / 2;
    return op->lane.kind == KW_KIND_GENERATE || half < PATIENCE_NS ? half : PATIENCE_NS;
}

bool pool_line_admits(struct pool_port *port, struct pool_op *op)
{
    struct serving serving = look(port->pool);
    int64_t bound = (int64_t)pool_config(port->pool)->queue_max * serving.members;
    int64_t count = atomic_load_explicit(&port->pool->line_count, memory_order_relaxed);
    bool small = pool_line_is_small(port, op);
    bool late = op->shape != KC_SHAPE_COUNT && serving.parallel > 0 &&
                serving.work_ns / serving.parallel > 2 * patience(op, port->now_ns);
    if (count < bound ? !late || small : small && count < 2 * bound) {
        return true;
    }
    op->retry_after_s = seconds_to_drain(&serving);
    return false;
}

/* --- in and out --- */

/* What it will cost, as measured on any member that knows. */
static uint32_t cost(const struct pool *pool, const struct pool_op *op)
{
    for (unsigned i = 0; i < pool->member_count && op->shape != KC_SHAPE_COUNT; i++) {
        const struct pool_member *member = &pool->members[i];
        if (pool_member_accepts(member) &&
            atomic_load_explicit(&member->service_ns[op->shape], memory_order_relaxed) != 0) {
            return pool_choice_cost_ns(member, op);
        }
    }
    return pool_choice_cost_ns(&pool->members[0], op);
}

void pool_line_push(struct pool_port *port, struct pool_op *op)
{
    struct pool *pool = port->pool;
    uint32_t ns = cost(pool, op);
    op->line_ns =
        op->shape != KC_SHAPE_COUNT ? ns : 0; /* a key's generation holds up its own kind */
    op->wait_ns = patience(op, port->now_ns) / 4;
    op->give_up_ns = port->now_ns + (op->flags & POOL_OP_WAITED ? 4 : 3) * op->wait_ns;
    port->line_ns = op->give_up_ns < port->line_ns ? op->give_up_ns : port->line_ns;
    pool_fair_tag(&port->line_clock, op, ns);
    pool_fair_push(&port->line, op);
    atomic_fetch_add_explicit(&pool->line_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&pool->line_work_ns, op->line_ns, memory_order_relaxed);
}

/* It is out of the queue, and goes to a member or to its end. */
static void taken(struct pool_port *port, const struct pool_op *op)
{
    atomic_fetch_sub_explicit(&port->pool->line_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&port->pool->line_work_ns, op->line_ns, memory_order_relaxed);
}

static void refuse(struct pool_port *port, struct pool_op *op, kw_status why)
{
    taken(port, op);
    if (why == KW_E_BUSY) {
        struct serving serving = look(port->pool);
        op->retry_after_s = seconds_to_drain(&serving);
    }
    pool_group_unplaced(op, why);
}

/* --- the run
 * -------------------------------------------------------------------------------------- */

static void push_back(struct pool_port *port, struct pool_op *list)
{
    while (list != NULL) {
        struct pool_op *next = list->next;
        pool_fair_push(&port->line, list);
        list = next;
    }
}

/* Its first wait is over: a member of any rank will do from now on, a standby for instance. Its
 * second one: it is refused. False: it waits on. */
static bool end_wait(struct pool_port *port, struct pool_op *op)
{
    kw_status why = KW_E_DEADLINE;
    bool last = (op->flags & POOL_OP_WAITED) != 0;
    op->flags |= POOL_OP_WAITED;
    struct pool_member *member =
        op->deadline_ns > port->now_ns ? pool_group_choose(port, op, &why) : NULL;
    if (member != NULL) {
        taken(port, op);
        pool_group_assign(op, member);
        return true;
    }
    if (why == KW_E_BUSY && !last) {
        op->give_up_ns = port->now_ns + op->wait_ns;
        return false;
    }
    refuse(port, op, why);
    return true;
}

static void give_up(struct pool_port *port)
{
    struct pool_op *kept = NULL, *op;
    port->line_ns = INT64_MAX;
    while ((op = pool_fair_pop(&port->line)) != NULL) {
        if (port->closing) {
            refuse(port, op, KW_E_UNAVAILABLE);
        } else if (op->give_up_ns > port->now_ns || !end_wait(port, op)) {
            port->line_ns = op->give_up_ns < port->line_ns ? op->give_up_ns : port->line_ns;
            op->next = kept;
            kept = op;
        }
    }
    push_back(port, kept);
}

static void place(struct pool_port *port)
{
    struct pool_op *passed = NULL, *op;
    unsigned looks = 0;
    while (looks < LOOKS_MAX && (op = pool_fair_pop(&port->line)) != NULL) {
        kw_status why;
        struct pool_member *member = pool_group_choose(port, op, &why);
        if (member != NULL) {
            pool_fair_serve(&port->line_clock, op);
            taken(port, op);
            pool_group_assign(op, member);
        } else if (why == KW_E_BUSY) { /* another one may find a member with room */
            op->next = passed;
            passed = op;
            looks++;
        } else {
            refuse(port, op, why);
        }
    }
    push_back(port, passed);
}

static bool any_room(const struct pool_port *port)
{
    const struct pool *pool = port->pool;
    bool serves = false;
    for (unsigned i = 0; i < pool->member_count; i++) {
        if (pool_member_accepts(&pool->members[i])) {
            serves = true;
            if (pool_limit_has_room(&pool->members[i], port)) {
                return true;
            }
        }
    }
    return !serves; /* nobody left to wait for */
}

void pool_line_run(struct pool_port *port)
{
    if (port->line.count == 0) {
        return;
    }
    if (port->closing || port->now_ns >= port->line_ns) {
        give_up(port);
    }
    if (any_room(port)) {
        place(port);
    }
    if (port->line.count == 0) {
        pool_fair_idle(&port->line_clock);
        port->line_ns = INT64_MAX;
    }
}
