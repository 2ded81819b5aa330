#include "pool/port.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "pool/check.h"
#include "pool/group.h"
#include "pool/hedge.h"
#include "pool/line.h"
#include "pool/outlier.h"
#include "pool/slot.h"
#include "pool/stats.h"

#define EVENTS_PER_TURN 32
#define ROUNDS_PER_TURN 8
#define CLOSE_WAIT_MS   20

/* ---- making
 * --------------------------------------------------------------------------------------- */

static kw_status add_fd(struct pool_port *port, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? KW_OK : KW_E_IO;
}

static kw_status open_fds(struct pool_port *port)
{
    port->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    port->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    port->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (port->epoll_fd < 0 || port->event_fd < 0 || port->timer_fd < 0) {
        return KW_E_IO;
    }
    KW_TRY(add_fd(port, port->event_fd));
    return add_fd(port, port->timer_fd);
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

static void detach(struct pool_port *port, unsigned i)
{
    struct pool_member *member = &port->pool->members[i];
    if (!port->attached[i]) {
        return;
    }
    port->attached[i] = false;
    if (member->type->detach != NULL) {
        member->type->detach(member, port, port->links[i]);
    }
    port->links[i] = NULL;
    atomic_fetch_sub(&member->attached, 1);
}

static void detach_members(struct pool_port *port)
{
    for (unsigned i = 0; i < POOL_MAX_MEMBERS; i++) {
        struct pool_member *member = &port->pool->members[i];
        if (port->attached[i] && member->type != &pool_member_core) {
            detach(port, i);
        }
    }
}

static void detach_cores(struct pool_port *port)
{
    for (unsigned i = 0; i <= POOL_MAX_MEMBERS; i++) {
        detach(port, i);
    }
}

static kw_status attach(struct pool_port *port, unsigned i)
{
    struct pool_member *member = &port->pool->members[i];
    if (port->attached[i]) {
        return KW_OK;
    }
    /* counted first: whoever sees it leave either sees this count, or is seen here */
    atomic_fetch_add(&member->attached, 1);
    kw_status status = KW_OK;
    if (pool_slot_runs(member)) {
        if (member->type->attach != NULL) {
            status = member->type->attach(member, port, &port->links[i]);
        }
        port->attached[i] = status == KW_OK;
    }
    if (!port->attached[i]) {
        atomic_fetch_sub(&member->attached, 1);
    }
    return status;
}

static kw_status attach_all(struct pool_port *port)
{
    for (unsigned i = 0; i < port->pool->member_count; i++) {
        KW_TRY(attach(port, i));
    }
    return attach(port, POOL_MAX_MEMBERS);
}

void pool_port_take_member(struct pool_port *port, void *arg)
{
    const struct pool_member *member = arg;
    if (!port->closing) {
        /* when memory is short this port goes without it */
        (void)!attach(port, member->index);
    }
}

void pool_port_drop_member(struct pool_port *port, void *arg)
{
    struct pool_member *member = arg;
    if (pool_slot(member) == POOL_SLOT_LEAVING) {
        detach(port, member->index);
    }
}

static void free_port(struct pool_port *port)
{
    pool_check_free_all(port);
    pool_hedge_free_all(port);
    close_fd(port->timer_fd);
    close_fd(port->event_fd);
    close_fd(port->epoll_fd);
    free(port->watches);
    free(port->counters);
    free(port);
}

static struct pool_port *alloc_port(struct pool *pool)
{
    struct pool_port *port = calloc(1, sizeof *port);
    if (port == NULL) {
        return NULL;
    }
    port->pool = pool;
    port->epoll_fd = port->event_fd = port->timer_fd = -1;
    port->armed_ns = port->expire_ns = port->deadline_ns = port->hedge_ns = INT64_MAX;
    port->line_ns = INT64_MAX;
    port->now_ns = kw_now_ns();
    /* the choice needs spread, not secrecy */
    port->random = (uint64_t)port->now_ns * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)port;
    port->random |= 1;
    port->counters = calloc(POOL_MAX_MEMBERS + 1, sizeof *port->counters);
    if (port->counters == NULL) {
        free(port);
        return NULL;
    }
    return port;
}

kw_status pool_port_create(struct pool_port **out, struct pool *pool)
{
    *out = NULL;
    struct pool_port *port = alloc_port(pool);
    if (port == NULL) {
        return KW_E_NOMEM;
    }
    kw_status status = open_fds(port);
    if (status == KW_OK) {
        status = attach_all(port);
    }
    if (status != KW_OK) {
        detach_members(port);
        detach_cores(port);
        free_port(port);
        return status;
    }
    pthread_mutex_lock(&pool->ports_lock);
    port->next = pool->ports;
    pool->ports = port;
    atomic_fetch_add(&pool->port_count, 1);
    pthread_mutex_unlock(&pool->ports_lock);
    /* a member that came since the first look did not see this port listed */
    (void)!attach_all(port);
    /* members whose channels are per port have one more to serve */
    pool_supervisor_wake(pool);
    *out = port;
    return KW_OK;
}

static void unlist(struct pool_port *port)
{
    struct pool *pool = port->pool;
    pthread_mutex_lock(&pool->ports_lock);
    for (struct pool_port **at = &pool->ports; *at != NULL; at = &(*at)->next) {
        if (*at == port) {
            *at = port->next;
            atomic_fetch_sub(&pool->port_count, 1);
            break;
        }
    }
    pool_stats_retire(port);
    pthread_mutex_unlock(&pool->ports_lock);
}

static void run_until_idle(struct pool_port *port, int64_t limit_ns)
{
    while (port->in_flight > 0 && kw_now_ns() < limit_ns) {
        struct pollfd wait = {.fd = port->epoll_fd, .events = POLLIN};
        pool_port_run(port);
        if (port->in_flight > 0) {
            poll(&wait, 1, CLOSE_WAIT_MS);
        }
    }
}

/* What was posted last may have been taken in before whoever posted it has woken the port. */
static void await_posting(struct pool_port *port)
{
    while (atomic_load_explicit(&port->posting, memory_order_acquire) > 0) {
        sched_yield();
    }
}

void pool_port_destroy(struct pool_port *port)
{
    if (port == NULL) {
        return;
    }
    run_until_idle(port, kw_now_ns() + pool_config(port->pool)->hard_deadline_ns);
    /* What is still out is with members that do not answer: their links give it back. The core is
     * waited for to the end, because its threads write into the callers' buffers and do end. */
    port->closing = true;
    detach_members(port);
    run_until_idle(port, INT64_MAX);
    unlist(port);
    pool_port_run(port); /* calls that came before the port left the list */
    await_posting(port);
    detach_cores(port);
    free_port(port);
}

int pool_port_fd(const struct pool_port *port)
{
    return port->epoll_fd;
}

/* ---- from other threads
 * --------------------------------------------------------------------------- */

static void wake(struct pool_port *port)
{
    uint64_t one = 1;
    ssize_t wrote;
    do {
        wrote = write(port->event_fd, &one, sizeof one);
    } while (wrote < 0 && errno == EINTR);
    /* EAGAIN: the counter is at its top, which wakes as well */
}

void pool_port_post_chain(struct pool_port *port, struct pool_op *first, struct pool_op *last)
{
    atomic_fetch_add_explicit(&port->posting, 1, memory_order_relaxed);
    struct pool_op *head = atomic_load_explicit(&port->posted, memory_order_relaxed);
    do {
        last->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&port->posted, &head, first,
                                                    memory_order_release, memory_order_relaxed));
    if (head == NULL) {
        wake(port);
    }
    atomic_fetch_sub_explicit(&port->posting, 1, memory_order_release);
}

void pool_port_post(struct pool_op *op, struct pool_member *member)
{
    (void)member; /* op->serving says it; the parameter keeps the caller honest */
    pool_port_post_chain(op->port, op, op);
}

kw_status pool_port_call(struct pool_port *port, void (*fn)(struct pool_port *, void *), void *arg)
{
    struct pool_port_call *call = malloc(sizeof *call);
    if (call == NULL) {
        return KW_E_NOMEM;
    }
    call->fn = fn;
    call->arg = arg;
    atomic_fetch_add_explicit(&port->posting, 1, memory_order_relaxed);
    struct pool_port_call *head = atomic_load_explicit(&port->calls, memory_order_relaxed);
    do {
        call->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&port->calls, &head, call, memory_order_release,
                                                    memory_order_relaxed));
    if (head == NULL) {
        wake(port);
    }
    atomic_fetch_sub_explicit(&port->posting, 1, memory_order_release);
    return KW_OK;
}

void pool_each_port(struct pool *pool, void (*fn)(struct pool_port *, void *), void *arg)
{
    pthread_mutex_lock(&pool->ports_lock);
    for (struct pool_port *port = pool->ports; port != NULL; port = port->next) {
        fn(port, arg);
    }
    pthread_mutex_unlock(&pool->ports_lock);
}

/* ---- for the kinds
 * -------------------------------------------------------------------------------- */

void *pool_port_link(struct pool_port *port, const struct pool_member *member)
{
    return port->attached[member->index] ? port->links[member->index] : NULL;
}

kw_status pool_port_watch(struct pool_port *port, int fd, uint32_t epoll_events,
                          struct pool_member *member, void *link)
{
    if (port->watch_count == port->watch_cap) {
        size_t cap = port->watch_cap == 0 ? 8 : port->watch_cap * 2;
        struct pool_port_watch *grown = realloc(port->watches, cap * sizeof *grown);
        if (grown == NULL) {
            return KW_E_NOMEM;
        }
        port->watches = grown;
        port->watch_cap = cap;
    }
    struct epoll_event event = {.events = epoll_events, .data.fd = fd};
    if (epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        /* watched already: other events are wanted now */
        return errno == EEXIST && epoll_ctl(port->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0
                   ? KW_OK
                   : KW_E_IO;
    }
    port->watches[port->watch_count++] =
        (struct pool_port_watch){.fd = fd, .member = member, .link = link};
    return KW_OK;
}

void pool_port_expire_by(struct pool_port *port, int64_t moment_ns)
{
    if (moment_ns < port->expire_ns) {
        port->expire_ns = moment_ns;
    }
}

static struct pool_port_watch *find_watch(struct pool_port *port, int fd)
{
    for (size_t i = 0; i < port->watch_count; i++) {
        if (port->watches[i].fd == fd) {
            return &port->watches[i];
        }
    }
    return NULL;
}

void pool_port_unwatch(struct pool_port *port, int fd)
{
    struct pool_port_watch *watch = find_watch(port, fd);
    if (watch != NULL) {
        epoll_ctl(port->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        *watch = port->watches[--port->watch_count];
    }
}

/* ---- the turn
 * ------------------------------------------------------------------------------------- */

static void drain_fd(int fd)
{
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

static void take_events(struct pool_port *port)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int n = epoll_wait(port->epoll_fd, events, EVENTS_PER_TURN, 0);
    for (int i = 0; i < n; i++) {
        int fd = events[i].data.fd;
        if (fd == port->event_fd) {
            drain_fd(fd);
            continue;
        }
        if (fd == port->timer_fd) {
            drain_fd(fd);
            port->armed_ns = INT64_MAX;
            continue;
        }
        /* looked up each time: an earlier `ready` of this round may have unwatched it */
        struct pool_port_watch *watch = find_watch(port, fd);
        if (watch != NULL && watch->member->type->ready != NULL) {
            struct pool_port_watch found = *watch;
            found.member->type->ready(found.member, found.link, events[i].events);
        }
    }
}

static void take_posted(struct pool_port *port)
{
    struct pool_op *newest = atomic_exchange_explicit(&port->posted, NULL, memory_order_acquire);
    struct pool_op *oldest = NULL;
    while (newest != NULL) {
        struct pool_op *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct pool_op *op = oldest;
        oldest = op->next;
        op->next = NULL;
        pool_op_return(op->serving, op, POOL_VERDICT_DONE, NULL);
    }
}

static void run_calls(struct pool_port *port)
{
    struct pool_port_call *newest =
        atomic_exchange_explicit(&port->calls, NULL, memory_order_acquire);
    struct pool_port_call *oldest = NULL;
    while (newest != NULL) {
        struct pool_port_call *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct pool_port_call *call = oldest;
        oldest = call->next;
        call->fn(port, call->arg);
        free(call);
    }
}

static void expire_links(struct pool_port *port)
{
    int64_t wanted = port->expire_ns < port->deadline_ns ? port->expire_ns : port->deadline_ns;
    if (port->now_ns < wanted) {
        return;
    }
    int64_t next = INT64_MAX;
    for (unsigned i = 0; i <= POOL_MAX_MEMBERS; i++) {
        struct pool_member *member = &port->pool->members[i];
        if (port->attached[i] && member->type->expire != NULL) {
            int64_t moment = member->type->expire(member, port->links[i], port->now_ns);
            next = moment < next ? moment : next;
        }
    }
    if (next <= port->now_ns) {
        next = port->now_ns + KW_MS(1); /* what a link forgot to give up must not spin the loop */
    }
    int64_t tick = port->now_ns + POOL_PORT_TICK_NS;
    port->expire_ns = port->in_flight > 0 && tick < next ? tick : next;
    port->deadline_ns = INT64_MAX;
}

static void arm_timer(struct pool_port *port)
{
    int64_t wanted = port->expire_ns < port->deadline_ns ? port->expire_ns : port->deadline_ns;
    wanted = port->hedge_ns < wanted ? port->hedge_ns : wanted;
    if (wanted >= port->armed_ns) {
        return; /* it fires earlier, and then looks again */
    }
    struct itimerspec spec = {0};
    int64_t moment = wanted > 0 ? wanted : 1; /* zero would disarm */
    spec.it_value.tv_sec = (time_t)(moment / 1000000000);
    spec.it_value.tv_nsec = (long)(moment % 1000000000);
    if (timerfd_settime(port->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0) {
        port->armed_ns = wanted;
    }
}

static void flush_links(struct pool_port *port)
{
    uint64_t dirty = port->dirty;
    port->dirty = 0;
    for (; dirty != 0; dirty &= dirty - 1) {
        unsigned index = (unsigned)__builtin_ctzll(dirty);
        struct pool_member *member = &port->pool->members[index];
        if (port->attached[index] && member->type->flush != NULL) {
            member->type->flush(member, port->links[index]);
        }
    }
}

static void deliver(struct pool_port *port)
{
    struct pool_op *op = port->done_first;
    port->done_first = port->done_last = NULL; /* on_done may finish more: next round */
    while (op != NULL) {
        struct pool_op *next = op->next;
        op->next = NULL;
        op->port = NULL;
        pool_op_set_state(op, POOL_OP_IDLE);
        port->in_flight--;
        pool_line_leave(port, op);
        op->on_done(op);
        op = next;
    }
}

void pool_port_run(struct pool_port *port)
{
    if (port->running) {
        return; /* called from inside an on_done: the turn that runs takes care */
    }
    port->running = true;
    port->now_ns = kw_now_ns();
    take_events(port);
    take_posted(port);
    run_calls(port);
    expire_links(port);
    pool_hedge_run(port);
    pool_outlier_run(port);
    pool_line_run(port);
    for (unsigned round = 0;
         round < ROUNDS_PER_TURN && (port->dirty != 0 || port->done_first != NULL); round++) {
        flush_links(port);
        deliver(port);
        pool_line_run(port);
    }
    if (port->dirty != 0 || port->done_first != NULL) {
        wake(port); /* the loop gets its turn before the rest */
    }
    arm_timer(port);
    port->running = false;
}

void pool_port_finish(struct pool_port *port, struct pool_op *op)
{
    op->next = NULL;
    if (port->done_last != NULL) {
        port->done_last->next = op;
    } else {
        port->done_first = op;
    }
    port->done_last = op;
}
