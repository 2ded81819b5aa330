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
    bool started;
    unsigned head, tail;
    struct task tasks[QUEUE];
} aside = {.lock = PTHREAD_MUTEX_INITIALIZER, .ready = PTHREAD_COND_INITIALIZER};

static void *run(void *arg)
{
    (void)arg;
    for (;;) {
        pthread_mutex_lock(&aside.lock);
        while (aside.head == aside.tail)
            pthread_cond_wait(&aside.ready, &aside.lock);
        struct task task = aside.tasks[aside.head++ % QUEUE];
        pthread_mutex_unlock(&aside.lock);
        task.work(task.ctx);
        /* a request waits for it: the loop gets it as soon as there is memory for the call; a loop
         * that has closed has cut its requests */
        while (gw_loop_post(task.loop, task.done, task.ctx) == KW_E_NOMEM)
            usleep(1000);
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
