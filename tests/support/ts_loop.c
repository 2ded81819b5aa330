#include "tests/support/ts_loop.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "crypto/base/clock.h"

struct call {
    struct call *next;
    void (*fn)(void *arg);
    void *arg;
};

struct ts_loop {
    pthread_mutex_t lock;
    struct call *head, **tail;
    unsigned long posts;
    int wake_fd;
    struct pool_port *port;
    int port_fd;
    void (*port_run)(struct pool_port *port);
};

struct ts_loop *ts_loop_create(void)
{
    struct ts_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        abort();
    pthread_mutex_init(&loop->lock, NULL);
    loop->tail = &loop->head;
    loop->port_fd = -1;
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0)
        abort();
    return loop;
}

static struct call *take_all(struct ts_loop *loop)
{
    uint64_t count;
    pthread_mutex_lock(&loop->lock);
    if (read(loop->wake_fd, &count, sizeof count) < 0)
        count = 0;
    struct call *list = loop->head;
    loop->head = NULL;
    loop->tail = &loop->head;
    pthread_mutex_unlock(&loop->lock);
    return list;
}

static void run_all(struct ts_loop *loop)
{
    struct call *list = take_all(loop);
    while (list) {
        struct call *call = list;
        list = call->next;
        call->fn(call->arg);
        free(call);
    }
}

void ts_loop_destroy(struct ts_loop *loop)
{
    run_all(loop);
    close(loop->wake_fd);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

struct gw_loop *ts_loop_handle(struct ts_loop *loop)
{
    return (struct gw_loop *)(void *)loop;
}

static struct ts_loop *of(struct gw_loop *loop)
{
    return (struct ts_loop *)(void *)loop;
}

kw_status ts_loop_post(struct gw_loop *handle, void (*fn)(void *arg), void *arg)
{
    struct ts_loop *loop = of(handle);
    struct call *call = malloc(sizeof *call);
    uint64_t one = 1;
    if (!call)
        return KW_E_NOMEM;
    *call = (struct call){.fn = fn, .arg = arg};
    pthread_mutex_lock(&loop->lock);
    *loop->tail = call;
    loop->tail = &call->next;
    loop->posts++;
    if (write(loop->wake_fd, &one, sizeof one) < 0)
        abort();
    pthread_mutex_unlock(&loop->lock);
    return KW_OK;
}

struct pool_port *ts_loop_port(struct gw_loop *loop)
{
    return of(loop)->port;
}

void ts_loop_set_port(struct ts_loop *loop, struct pool_port *port, int fd,
                      void (*run)(struct pool_port *port))
{
    loop->port = port;
    loop->port_fd = fd;
    loop->port_run = run;
}

bool ts_loop_run_until(struct ts_loop *loop, const bool *flag, int timeout_ms)
{
    int64_t until = kw_now_ns() + KW_MS(timeout_ms);
    while (!*flag) {
        run_all(loop);
        if (loop->port_run)
            loop->port_run(loop->port);
        if (*flag)
            break;
        int64_t left = until - kw_now_ns();
        if (left <= 0)
            return false;
        struct pollfd fds[2] = {{.fd = loop->wake_fd, .events = POLLIN},
                                {.fd = loop->port_fd, .events = POLLIN}};
        poll(fds, 2, (int)(left / 1000000) + 1);
    }
    return true;
}

unsigned long ts_loop_posts(struct ts_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    unsigned long posts = loop->posts;
    pthread_mutex_unlock(&loop->lock);
    return posts;
}
