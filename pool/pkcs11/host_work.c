/* The session threads and their queue.
 *
 * A thread without work waits in epoll itself, so that the one which the kernel wakes for a request
 * reads it, runs it and answers it, without a hand-over. Channels are watched by edges: an event
 * wakes one thread. How many work or wait there is bounded (host_turns.h); the others are parked,
 * and one of them, the patrol, looks now and then whether a call takes so long that it must be
 * waiting for something: it does not count then, and another thread takes its place.
 *
 * Answers are gathered per channel. Whoever finishes the last queued operation, or one that may not
 * wait, writes what has been gathered in one call; no thread goes idle over unsent answers. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "pool/pkcs11/host_channel.h"
#include "pool/pkcs11/host_turns.h"

#define GATHER_NS    100000 /* an operation quicker than this may leave its answer to the next */
#define WAIT_MAX_NS  KW_MS(3)
#define PATROL_NS    KW_MS(5)
#define PATROL_IDLE  200u /* rounds without work after which the patrol sleeps */
#define OVERDUE_NS   KW_MS(8)
#define CHANNELS_MAX 64u /* flushed at once */
#define KICK         0u  /* of the event that is no channel's */

struct session_thread {
    struct session_thread *next;
    struct pool_host_work *work;
    CK_SESSION_HANDLE session;
    uint8_t *out;
    bool unsent;     /* it left answers to others */
    enum kw_alg alg; /* of its last job */
    bool sampled;    /* the call under way is measured */
    /* under the lock */
    bool counted;     /* in `running` */
    int64_t began_ns; /* of the call under way */
};

struct pool_host_work {
    struct pool_host *host;
    int epoll_fd, kick_fd;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct pool_host_jobs jobs;
    struct pool_host_turns turns;
    unsigned running, polling, parked;
    bool patrolled;
    uint64_t taken; /* jobs so far */
    struct session_thread *threads;
    struct pool_host_channel *channels;
    uint64_t last_number;
};

/* --- channels */

static struct pool_host_channel *find_channel(struct pool_host_work *work, uint64_t number)
{
    pthread_mutex_lock(&work->lock);
    struct pool_host_channel *channel = work->channels;
    while (channel != NULL && channel->number != number) {
        channel = channel->next;
    }
    if (channel != NULL) {
        pool_host_channel_hold(channel);
    }
    pthread_mutex_unlock(&work->lock);
    return channel;
}

/** Takes a channel off the list; several threads may see its end. */
static void drop_channel(struct pool_host_work *work, struct pool_host_channel *channel)
{
    atomic_store(&channel->closed, true);
    pthread_mutex_lock(&work->lock);
    struct pool_host_channel **at = &work->channels;
    while (*at != NULL && *at != channel) {
        at = &(*at)->next;
    }
    bool listed = *at == channel;
    if (listed) {
        *at = channel->next;
        epoll_ctl(work->epoll_fd, EPOLL_CTL_DEL, channel->fd, NULL);
    }
    pthread_mutex_unlock(&work->lock);
    if (listed) {
        pool_host_channel_put(channel);
    }
}

/** Sends what has been left unsent. */
static void flush_all(struct pool_host_work *work)
{
    struct pool_host_channel *held[CHANNELS_MAX];
    size_t count = 0;
    pthread_mutex_lock(&work->lock);
    for (struct pool_host_channel *at = work->channels; at != NULL && count < CHANNELS_MAX;
         at = at->next) {
        pool_host_channel_hold(at);
        held[count++] = at;
    }
    pthread_mutex_unlock(&work->lock);
    for (size_t i = 0; i < count; i++) {
        pool_host_channel_flush(held[i]);
        pool_host_channel_put(held[i]);
    }
}

static void queue_jobs(struct pool_host_work *work, struct pool_host_jobs *jobs)
{
    if (jobs->first == NULL) {
        return;
    }
    pthread_mutex_lock(&work->lock);
    *(work->jobs.last != NULL ? &work->jobs.last->next : &work->jobs.first) = jobs->first;
    work->jobs.last = jobs->last;
    pthread_mutex_unlock(&work->lock);
}

/** Waits for events and queues what has come. */
static void poll_channels(struct pool_host_work *work)
{
    struct epoll_event events[16];
    int n = epoll_wait(work->epoll_fd, events, 16, -1);
    for (int i = 0; i < n; i++) {
        struct pool_host_jobs jobs = {NULL, NULL};
        struct pool_host_channel *channel =
            events[i].data.u64 != KICK ? find_channel(work, events[i].data.u64) : NULL;
        if (channel == NULL) {
            continue;
        }
        bool open = pool_host_channel_read(channel, &jobs);
        queue_jobs(work, &jobs);
        if (!open) {
            drop_channel(work, channel);
        }
        pool_host_channel_put(channel);
    }
}

/** Takes those waiting jobs that can run together with `first`; how many there are with it. */
static size_t take_company(struct pool_host_work *work, struct pool_host_job *first,
                           struct pool_host_job *jobs[POOL_HOST_COALESCE_MAX])
{
    size_t count = 1;
    jobs[0] = first;
    pthread_mutex_lock(&work->lock);
    struct pool_host_job **at = &work->jobs.first, *last = NULL;
    while (*at != NULL && count < POOL_HOST_COALESCE_MAX) {
        if (pool_host_coalesces(work->host, &first->req, &(*at)->req, count)) {
            jobs[count++] = *at;
            *at = (*at)->next;
        } else {
            last = *at;
            at = &(*at)->next;
        }
    }
    if (*at == NULL) {
        work->jobs.last = last;
    }
    pthread_mutex_unlock(&work->lock);
    return count;
}

/* --- whose turn it is; the lock is held */

static bool may_run(const struct pool_host_work *work)
{
    return work->running < work->turns.limit;
}

static bool may_poll(const struct pool_host_work *work)
{
    return work->running + work->polling < work->turns.limit;
}

static bool has_turn(const struct pool_host_work *work)
{
    return work->jobs.first != NULL && may_run(work);
}

/** One more thread, when there is something for it: a parked one takes a free place; one that
 *  waits for events takes a job. */
static void call_another(struct pool_host_work *work)
{
    if (work->parked > 0 && (may_poll(work) || !work->patrolled)) {
        pthread_cond_signal(&work->wake);
    } else if (has_turn(work) && work->polling > 0) {
        uint64_t one = 1;
        (void)!write(work->kick_fd, &one, sizeof(one));
    }
}

/** A call that takes long waits for something: its thread is no longer counted. */
static void pass_over_overdue(struct pool_host_work *work)
{
    int64_t since = kw_now_ns() - OVERDUE_NS;
    for (struct session_thread *at = work->threads; at != NULL; at = at->next) {
        if (at->counted && at->began_ns < since) {
            at->counted = false;
            work->running--;
        }
    }
}

static void wait_until(struct pool_host_work *work, int64_t moment_ns)
{
    struct timespec at = {.tv_sec = (time_t)(moment_ns / KW_S(1)),
                          .tv_nsec = (long)(moment_ns % KW_S(1))};
    (void)pthread_cond_timedwait(&work->wake, &work->lock, &at);
}

/** Until there is a place or a job for this thread. */
static void patrol(struct pool_host_work *work)
{
    work->patrolled = true;
    uint64_t seen = work->taken;
    for (unsigned idle = 0; !may_poll(work) && !has_turn(work) && idle < PATROL_IDLE;) {
        wait_until(work, kw_now_ns() + PATROL_NS);
        pass_over_overdue(work);
        pthread_mutex_unlock(&work->lock);
        flush_all(work);
        pthread_mutex_lock(&work->lock);
        idle = work->taken == seen && work->running == 0 ? idle + 1 : 0;
        seen = work->taken;
    }
    work->patrolled = false;
}

static void park(struct pool_host_work *work)
{
    work->parked++;
    if (work->patrolled || work->running == 0) {
        pthread_cond_wait(&work->wake, &work->lock);
    } else {
        patrol(work);
    }
    work->parked--;
}

static void begin_call(struct session_thread *self)
{
    struct pool_host_work *work = self->work;
    work->running++;
    work->taken++;
    self->counted = true;
    self->began_ns = kw_now_ns();
    self->sampled = pool_host_turns_samples(&work->turns);
}

static void end_call(struct session_thread *self)
{
    struct pool_host_work *work = self->work;
    if (self->counted) {
        self->counted = false;
        work->running--;
    }
}

/** Ends the call before and takes the next job. */
static struct pool_host_job *next_job(struct session_thread *self)
{
    struct pool_host_work *work = self->work;
    pthread_mutex_lock(&work->lock);
    end_call(self);
    while (!has_turn(work)) {
        if (self->unsent) {
            self->unsent = false;
            pthread_mutex_unlock(&work->lock);
            flush_all(work);
            pthread_mutex_lock(&work->lock);
        } else if (may_poll(work)) {
            work->polling++;
            pthread_mutex_unlock(&work->lock);
            poll_channels(work);
            pthread_mutex_lock(&work->lock);
            work->polling--;
        } else {
            park(work);
        }
    }
    struct pool_host_job *job = work->jobs.first;
    work->jobs.first = job->next;
    if (work->jobs.first == NULL) {
        work->jobs.last = NULL;
    }
    begin_call(self);
    call_another(work);
    pthread_mutex_unlock(&work->lock);
    return job;
}

static void learn(struct pool_host_work *work, int64_t took_ns, int64_t cpu_ns)
{
    pthread_mutex_lock(&work->lock);
    if (pool_host_turns_learn(&work->turns, took_ns, cpu_ns)) {
        pthread_cond_broadcast(&work->wake);
    }
    pthread_mutex_unlock(&work->lock);
}

/* --- the session threads */

/** Until when the answer of a call that took so long may wait for others, so that they share a
 *  system call, a wake-up of the gateway and its check in lanes. Not at all when nothing is queued.
 *  Quick ones are only counted. Slow ones of a library that takes the processors from the gateway
 *  wait a quarter of the time that they have been here; a device's leave at once. */
static int64_t may_wait_until(struct pool_host_work *work, const struct pool_host_job *job,
                              int64_t now_ns, int64_t took_ns)
{
    pthread_mutex_lock(&work->lock);
    bool empty = work->jobs.first == NULL, computes = work->turns.computes;
    pthread_mutex_unlock(&work->lock);
    if (empty || (took_ns >= GATHER_NS && !computes)) {
        return now_ns;
    }
    int64_t share = (now_ns - job->came_ns) / 4;
    return took_ns < GATHER_NS ? INT64_MAX : now_ns + (share < WAIT_MAX_NS ? share : WAIT_MAX_NS);
}

/** Results, and what a failed operation left of one: never longer than its input and a block. */
static void wipe_room(uint8_t *out, const struct pool_wire_request *req, size_t used)
{
    size_t touched = req->in.len + KW_RSA_MAX_BYTES;
    kw_wipe(out, used > touched ? used : touched);
}

static int64_t cpu_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return at.tv_sec * KW_S(1) + at.tv_nsec;
}

static void run_one(struct session_thread *self, struct pool_host_job *job)
{
    struct pool_host_work *work = self->work;
    struct pool_host_result result;
    if (atomic_load(&job->channel->closed)) {
        return;
    }
    int64_t cpu = self->sampled ? cpu_ns() : 0, began = kw_now_ns();
    pool_host_run(work->host, &self->session, self->out, &job->req, &result);
    int64_t now = kw_now_ns(), took = now - began;
    bool done = result.answer.verdict == POOL_WIRE_DONE && result.answer.status == KW_OK;
    if (self->sampled && done && !result.need_key) {
        learn(work, took, cpu_ns() - cpu);
    }
    int64_t until = may_wait_until(work, job, now, took);
    if (!pool_host_channel_answer(job->channel, &result, until, now + took)) {
        self->unsent = true;
    }
    wipe_room(self->out, &job->req, result.answer.out.len);
}

/** The same for jobs that run together. */
static void run_many(struct session_thread *self, struct pool_host_job *const *jobs, size_t count)
{
    const struct pool_wire_request *reqs[POOL_HOST_COALESCE_MAX] = {&jobs[0]->req};
    struct pool_host_result results[POOL_HOST_COALESCE_MAX];
    for (size_t i = 0; i < count; i++) {
        reqs[i] = &jobs[i]->req;
    }
    if (!pool_host_run_many(self->work->host, self->session, self->out, reqs, count, results)) {
        for (size_t i = 0; i < count; i++) {
            run_one(self, jobs[i]);
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        bool last = i + 1 == count || jobs[i + 1]->channel != jobs[i]->channel;
        (void)pool_host_channel_answer(jobs[i]->channel, &results[i], last ? 0 : INT64_MAX, 0);
    }
    kw_wipe(self->out, count * (reqs[0]->in.len + 2 * KW_AES_BLOCK_LEN));
}

static void *session_main(void *arg)
{
    struct session_thread *self = arg;
    struct pool_host_work *work = self->work;
    prctl(PR_SET_NAME, "kw-session");
    for (;;) {
        struct pool_host_job *jobs[POOL_HOST_COALESCE_MAX], *job = next_job(self);
        size_t count = pool_host_coalesces(work->host, &job->req, &job->req, 0)
                           ? take_company(work, job, jobs)
                           : 1;
        jobs[0] = job;
        if (self->unsent && job->req.alg != self->alg) {
            self->unsent = false; /* who knows how long this one takes */
            flush_all(work);
        }
        self->alg = job->req.alg;
        if (count > 1) {
            run_many(self, jobs, count);
        } else {
            run_one(self, job);
        }
        for (size_t i = 0; i < count; i++) {
            pool_host_job_free(jobs[i]);
        }
    }
    return NULL;
}

/* --- start */

static kw_status open_work(struct pool_host_work *work)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    work->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    work->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = KICK};
    return work->epoll_fd >= 0 && work->kick_fd >= 0 &&
                   epoll_ctl(work->epoll_fd, EPOLL_CTL_ADD, work->kick_fd, &event) == 0
               ? KW_OK
               : KW_E_IO;
}

/** A session and its thread, which waits for the lock. */
static bool start_thread(struct pool_host_work *work)
{
    struct session_thread *thread = calloc(1, sizeof(*thread));
    pthread_t id;
    if (thread == NULL) {
        return false;
    }
    thread->work = work;
    thread->out = kw_secret_alloc(POOL_HOST_ROOM);
    if (thread->out == NULL || pool_host_open_session(work->host, &thread->session) != CKR_OK ||
        pthread_create(&id, NULL, session_main, thread) != 0) {
        kw_secret_free(thread->out);
        free(thread);
        return false;
    }
    pthread_detach(id);
    thread->next = work->threads;
    work->threads = thread;
    return true;
}

kw_status pool_host_work_start(struct pool_host *host)
{
    struct pool_host_work *work = calloc(1, sizeof(*work));
    if (work == NULL) {
        return KW_E_NOMEM;
    }
    work->host = host;
    host->work = work;
    KW_TRY(open_work(work));
    pthread_mutex_lock(&work->lock);
    unsigned started = 0;
    while (started < host->sessions && start_thread(work)) {
        started++;
    }
    /* a token with fewer sessions than wished serves with those it has */
    host->sessions = started;
    pool_host_turns_init(&work->turns, started, host->processors);
    pthread_mutex_unlock(&work->lock);
    return started > 0 ? KW_OK : KW_E_UNAVAILABLE;
}

kw_status pool_host_work_add(struct pool_host *host, int fd)
{
    struct pool_host_work *work = host->work;
    struct pool_host_channel *channel = pool_host_channel_create(fd);
    if (channel == NULL) {
        return KW_E_NOMEM;
    }
    pthread_mutex_lock(&work->lock);
    channel->number = ++work->last_number;
    channel->next = work->channels;
    work->channels = channel;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET,
                                .data.u64 = channel->number};
    bool watched = epoll_ctl(work->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
    pthread_mutex_unlock(&work->lock);
    if (!watched) {
        drop_channel(work, channel);
        return KW_E_NOMEM;
    }
    return KW_OK;
}
