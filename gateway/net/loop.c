#include "gateway/net/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "gateway/app.h"
#include "gateway/net/wheel.h"

/* Flush rounds of one turn: a flush may make the next pipelined request run, whose reply is flushed
 * again. More than that waits for the next turn, so that nobody starves the others. */
#define FLUSH_ROUNDS 8

struct posted {
    struct posted *next;
    void (*fn)(void *arg);
    void *arg;
};

struct task_list {
    struct gw_turn_task *head, **tail;
};

struct gw_loop {
    struct gw_app *app;
    unsigned index;
    struct event_base *base;
    struct pool_port *port;
    struct event *port_event, *wake_event, *tick_event, *grace_event;
    int wake_fd;
    pthread_t thread;
    bool started, joined;

    _Atomic long long drain_request; /* grace in ms, plus one; 0: none */
    pthread_mutex_t lock;            /* guards the next three */
    struct posted *posts, **posts_tail;
    bool woken;  /* the eventfd was written and not read yet */
    bool closed; /* the thread has ended: nothing is taken any more */

    /* loop thread only */
    struct task_list flush, release;
    struct gw_drain_hook *hooks;
    struct gw_wheel wheel;
    int64_t now_ns;
    unsigned held;
    bool draining, cut;
};

static void list_init(struct task_list *list)
{
    list->head = NULL;
    list->tail = &list->head;
}

static void list_add(struct task_list *list, struct gw_turn_task *task)
{
    if (task->queued)
        return;
    task->queued = true;
    task->next = NULL;
    *list->tail = task;
    list->tail = &task->next;
}

/* Runs what is queued now; what is queued meanwhile stays for the next call. */
static void list_run(struct task_list *list)
{
    struct gw_turn_task *task = list->head;
    list_init(list);
    while (task) {
        struct gw_turn_task *next = task->next;
        task->queued = false;
        task->run(task);
        task = next;
    }
}

static void wake(struct gw_loop *loop)
{
    uint64_t one = 1;
    ssize_t written;
    do {
        written = write(loop->wake_fd, &one, sizeof one);
    } while (written < 0 && errno == EINTR);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    (void)arg;
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

/* The port is run at the end of every turn; its event only ends the wait. */
static void on_port(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct gw_loop *loop = arg;
    (void)fd;
    (void)what;
    loop->now_ns = kw_now_ns();
    gw_wheel_run(&loop->wheel, loop->now_ns);
}

static void on_grace(evutil_socket_t fd, short what, void *arg)
{
    struct gw_loop *loop = arg;
    (void)fd;
    (void)what;
    loop->cut = true;
    for (struct gw_drain_hook *hook = loop->hooks; hook; hook = hook->next)
        hook->cut(hook);
}

static void drain_now(struct gw_loop *loop, long long grace_ms)
{
    const struct timeval grace = {grace_ms / 1000, (grace_ms % 1000) * 1000};
    /* a second call shortens (or prolongs) the grace of the first */
    event_add(loop->grace_event, &grace);
    if (loop->draining)
        return;
    loop->draining = true;
    for (struct gw_drain_hook *hook = loop->hooks; hook; hook = hook->next)
        hook->drain(hook);
}

static void run_posts(struct gw_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct posted *post = loop->posts;
    loop->posts = NULL;
    loop->posts_tail = &loop->posts;
    loop->woken = false;
    pthread_mutex_unlock(&loop->lock);
    while (post) {
        struct posted *next = post->next;
        post->fn(post->arg);
        free(post);
        post = next;
    }
}

static void turn_end(struct gw_loop *loop)
{
    pool_port_run(loop->port);
    run_posts(loop);
    long long drain = atomic_exchange(&loop->drain_request, 0);
    if (drain > 0)
        drain_now(loop, drain - 1);
    for (int round = 0; loop->flush.head && round < FLUSH_ROUNDS; round++) {
        list_run(&loop->flush);
        /* what the flush let begin may have submitted operations: those go out in this turn too */
        if (loop->flush.head)
            pool_port_run(loop->port);
    }
    if (loop->flush.head)
        event_active(loop->wake_event, EV_TIMEOUT, 0);
    list_run(&loop->release);
}

static void run_last(struct gw_loop *loop)
{
    while (loop->flush.head || loop->release.head) {
        list_run(&loop->flush);
        list_run(&loop->release);
    }
}

static void *loop_main(void *arg)
{
    struct gw_loop *loop = arg;
    loop->now_ns = kw_now_ns();
    while (!loop->cut && !(loop->draining && loop->held == 0)) {
        if (event_base_loop(loop->base, EVLOOP_ONCE) < 0)
            break;
        loop->now_ns = kw_now_ns();
        turn_end(loop);
    }
    /* Operations in flight of requests that were cut end here, on the thread they belong to. */
    pool_port_destroy(loop->port);
    loop->port = NULL;
    pthread_mutex_lock(&loop->lock);
    loop->closed = true;
    pthread_mutex_unlock(&loop->lock);
    run_posts(loop);
    run_last(loop);
    return NULL;
}

static kw_status events_create(struct gw_loop *loop)
{
    const struct timeval tick = {0, GW_WHEEL_TICK_MS * 1000};
    loop->port_event =
        event_new(loop->base, pool_port_fd(loop->port), EV_READ | EV_PERSIST, on_port, loop);
    loop->wake_event = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    loop->tick_event = event_new(loop->base, -1, EV_PERSIST, on_tick, loop);
    loop->grace_event = event_new(loop->base, -1, 0, on_grace, loop);
    if (!loop->port_event || !loop->wake_event || !loop->tick_event || !loop->grace_event)
        return KW_E_NOMEM;
    if (event_add(loop->port_event, NULL) < 0 || event_add(loop->wake_event, NULL) < 0 ||
        event_add(loop->tick_event, &tick) < 0)
        return KW_E_IO;
    return KW_OK;
}

static struct event_base *base_create(void)
{
    struct event_config *config = event_config_new();
    if (!config)
        return NULL;
    /* one thread only touches a base (posts go through our own list): no locks needed */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

struct gw_loop *gw_loop_create(struct gw_app *app, unsigned index)
{
    struct gw_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return NULL;
    loop->app = app;
    loop->index = index;
    loop->posts_tail = &loop->posts;
    list_init(&loop->flush);
    list_init(&loop->release);
    loop->now_ns = kw_now_ns();
    gw_wheel_init(&loop->wheel, loop->now_ns);
    pthread_mutex_init(&loop->lock, NULL);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop->base = base_create();
    if (loop->wake_fd < 0 || !loop->base || pool_port_create(&loop->port, app->pool) != KW_OK ||
        events_create(loop) != KW_OK) {
        gw_loop_destroy(loop);
        return NULL;
    }
    return loop;
}

kw_status gw_loop_start(struct gw_loop *loop)
{
    if (loop->started)
        return KW_E_CONFLICT;
    if (pthread_create(&loop->thread, NULL, loop_main, loop) != 0)
        return KW_E_NOMEM;
    char name[16];
    snprintf(name, sizeof name, "loop-%u", loop->index % 1000);
    pthread_setname_np(loop->thread, name);
    loop->started = true;
    return KW_OK;
}

void gw_loop_drain(struct gw_loop *loop, unsigned grace_ms)
{
    atomic_store(&loop->drain_request, (long long)grace_ms + 1);
    wake(loop);
}

void gw_loop_join(struct gw_loop *loop)
{
    if (!loop->started || loop->joined)
        return;
    pthread_join(loop->thread, NULL);
    loop->joined = true;
}

static void event_drop(struct event *event)
{
    if (event)
        event_free(event);
}

void gw_loop_destroy(struct gw_loop *loop)
{
    if (!loop)
        return;
    gw_loop_join(loop);
    for (struct gw_drain_hook *hook = loop->hooks, *next; hook; hook = next) {
        next = hook->next;
        hook->drain(hook);
        hook->cut(hook);
        hook->loop = NULL;
    }
    run_last(loop);
    event_drop(loop->port_event);
    event_drop(loop->wake_event);
    event_drop(loop->tick_event);
    event_drop(loop->grace_event);
    if (loop->port)
        pool_port_destroy(loop->port);
    while (loop->posts) {
        struct posted *next = loop->posts->next;
        free(loop->posts);
        loop->posts = next;
    }
    if (loop->base)
        event_base_free(loop->base);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

struct event_base *gw_loop_base(struct gw_loop *loop)
{
    return loop->base;
}

struct pool_port *gw_loop_port(struct gw_loop *loop)
{
    return loop->port;
}

struct gw_app *gw_loop_app(struct gw_loop *loop)
{
    return loop->app;
}

unsigned gw_loop_index(const struct gw_loop *loop)
{
    return loop->index;
}

bool gw_loop_draining(const struct gw_loop *loop)
{
    return loop->draining;
}

kw_status gw_loop_post(struct gw_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct posted *post = malloc(sizeof *post);
    if (!post)
        return KW_E_NOMEM;
    *post = (struct posted){NULL, fn, arg};
    pthread_mutex_lock(&loop->lock);
    if (loop->closed) {
        pthread_mutex_unlock(&loop->lock);
        free(post);
        return KW_E_UNAVAILABLE;
    }
    *loop->posts_tail = post;
    loop->posts_tail = &post->next;
    bool need_wake = !loop->woken;
    loop->woken = true;
    pthread_mutex_unlock(&loop->lock);
    if (need_wake)
        wake(loop);
    return KW_OK;
}

void gw_loop_flush(struct gw_loop *loop, struct gw_turn_task *task)
{
    list_add(&loop->flush, task);
}

void gw_loop_release(struct gw_loop *loop, struct gw_turn_task *task)
{
    list_add(&loop->release, task);
}

void gw_loop_add_drain_hook(struct gw_loop *loop, struct gw_drain_hook *hook)
{
    hook->next = loop->hooks;
    hook->loop = loop;
    loop->hooks = hook;
}

void gw_loop_remove_drain_hook(struct gw_drain_hook *hook)
{
    if (!hook->loop)
        return;
    for (struct gw_drain_hook **at = &hook->loop->hooks; *at; at = &(*at)->next) {
        if (*at == hook) {
            *at = hook->next;
            break;
        }
    }
    hook->loop = NULL;
}

void gw_loop_hold(struct gw_loop *loop)
{
    loop->held++;
}

void gw_loop_unhold(struct gw_loop *loop)
{
    loop->held--;
}

struct gw_wheel *gw_loop_wheel(struct gw_loop *loop)
{
    return &loop->wheel;
}

int64_t gw_loop_now(const struct gw_loop *loop)
{
    return loop->now_ns;
}
