#include "gateway/api/aside.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define QUEUE 32 /* power of two */

struct task {
    struct gw_loop *loop;
    void (*work)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
};

/* all under the lock */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    pthread_cond_t rested;
    bool started;
    struct gw_app *at_work_for; /* NULL: the thread waits */
    unsigned head, tail;
    struct task tasks[QUEUE];
} aside = {.lock = PTHREAD_MUTEX_INITIALIZER,
           .ready = PTHREAD_COND_INITIALIZER,
           .rested = PTHREAD_COND_INITIALIZER};

/** The next task that is still wanted; under the lock. */
static struct task take(void)
{
    struct task task = {.loop = NULL};
    while (!task.loop) {
        while (aside.head == aside.tail)
            pthread_cond_wait(&aside.ready, &aside.lock);
        task = aside.tasks[aside.head++ % QUEUE];
    }
    aside.at_work_for = gw_loop_app(task.loop);
    return task;
}

static void *run(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&aside.lock);
    for (;;) {
        struct task task = take();
        pthread_mutex_unlock(&aside.lock);
        task.work(task.ctx);
        /* a request waits for it: the loop gets it as soon as there is memory for the call; a loop
         * that has closed has cut its requests */
        while (gw_loop_post(task.loop, task.done, task.ctx) == KW_E_NOMEM)
            usleep(1000);
        pthread_mutex_lock(&aside.lock);
        aside.at_work_for = NULL;
        pthread_cond_broadcast(&aside.rested);
    }
    return NULL;
}

/* Signals are for the main thread. */
static bool start(void)
{
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = pthread_create(&thread, NULL, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (ok)
        pthread_detach(thread);
    return ok;
}

kw_status gw_aside_run(struct gw_loop *loop, void (*work)(void *ctx), void (*done)(void *ctx),
                       void *ctx)
{
    kw_status status = KW_OK;
    pthread_mutex_lock(&aside.lock);
    if (!aside.started)
        aside.started = start();
    if (!aside.started)
        status = KW_E_NOMEM;
    else if (aside.tail - aside.head == QUEUE)
        status = KW_E_BUSY;
    if (status == KW_OK) {
        aside.tasks[aside.tail++ % QUEUE] = (struct task){loop, work, done, ctx};
        pthread_cond_signal(&aside.ready);
    }
    pthread_mutex_unlock(&aside.lock);
    return status;
}

void gw_aside_settle(struct gw_app *app)
{
    pthread_mutex_lock(&aside.lock);
    for (unsigned at = aside.head; at != aside.tail; at++) {
        struct task *task = &aside.tasks[at % QUEUE];
        if (task->loop && gw_loop_app(task->loop) == app)
            task->loop = NULL;
    }
    while (aside.at_work_for == app)
        pthread_cond_wait(&aside.rested, &aside.lock);
    pthread_mutex_unlock(&aside.lock);
}
