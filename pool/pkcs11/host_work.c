/* Channels, queue and session threads.
 *
 * One of the idle session threads is the reader: it waits on all channels, takes in what has come,
 * queues it, wakes as many others as there is work for, gives up reading and works itself. So a
 * lone request is run by the thread that read it, without a hand-over.
 *
 * Answers are gathered per channel. Whoever finishes the last queued operation, or a slow one,
 * writes what has been gathered in one call; no thread goes idle over unsent answers. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "pool/pkcs11/host.h"

#define GATHER_NS    100000 /* an operation quicker than this may leave its answer to the next */
#define GATHER_MAX   16
#define OUT_ROOM     (2u * POOL_WIRE_RECORD_MAX)
#define IN_ROOM      POOL_WIRE_RECORD_MAX
#define SEND_SECONDS 10

struct channel {
    struct channel *next;
    int fd;
    /* the reader's */
    uint8_t *in;
    size_t in_len;
    /* under the lock */
    pthread_mutex_t lock;
    struct kw_buf out;
    unsigned gathered;
    _Atomic unsigned holders; /* jobs under way, and the list */
    _Atomic bool closed;
};

struct job {
    struct job *next;
    struct channel *channel;
    struct pool_wire_request req; /* spans into `record` */
    size_t len;
    uint8_t record[];
};

struct pool_host_work {
    struct pool_host *host;
    int epoll_fd;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *first, *last;
    unsigned idle;
    bool reading; /* one thread is the reader */
    struct channel *channels;
};

/* --- channels --- */

static void channel_put(struct channel *channel)
{
    if (atomic_fetch_sub(&channel->holders, 1) != 1) {
        return;
    }
    close(channel->fd);
    kw_secret_free(channel->in);
    kw_secret_free(channel->out.data);
    pthread_mutex_destroy(&channel->lock);
    free(channel);
}

/** The channel's lock held. */
static void send_all(struct channel *channel)
{
    size_t done = 0;
    while (done < channel->out.len && !atomic_load(&channel->closed)) {
        ssize_t n =
            send(channel->fd, channel->out.data + done, channel->out.len - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            atomic_store(&channel->closed, true);
            shutdown(channel->fd, SHUT_RDWR); /* the reader sees the end and lets it go */
        }
        done += n > 0 ? (size_t)n : 0;
    }
    kw_wipe(channel->out.data, channel->out.len);
    channel->out.len = 0;
    channel->gathered = 0;
}

static void flush(struct channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    if (channel->out.len > 0) {
        send_all(channel);
    }
    pthread_mutex_unlock(&channel->lock);
}

static kw_status put_result(struct kw_buf *out, const struct pool_host_result *result)
{
    if (result->need_key) {
        return pool_wire_put_need_key(out, result->answer.id);
    }
    if (result->generated) {
        struct pool_wire_generated made = {result->answer.id, result->pub, result->answer.out};
        return pool_wire_put_generated(out, &made);
    }
    return pool_wire_put_answer(out, &result->answer);
}

static void answer(struct channel *channel, const struct pool_host_result *result, bool send_now)
{
    pthread_mutex_lock(&channel->lock);
    if (put_result(&channel->out, result) != KW_OK) {
        send_all(channel); /* now there is room for any record */
        (void)!put_result(&channel->out, result);
    }
    channel->gathered++;
    if (send_now || channel->gathered >= GATHER_MAX) {
        send_all(channel);
    }
    pthread_mutex_unlock(&channel->lock);
}

/* --- the reader --- */

static void drop_channel(struct pool_host_work *work, struct channel *channel)
{
    epoll_ctl(work->epoll_fd, EPOLL_CTL_DEL, channel->fd, NULL);
    atomic_store(&channel->closed, true);
    pthread_mutex_lock(&work->lock);
    struct channel **at = &work->channels;
    while (*at != NULL && *at != channel) {
        at = &(*at)->next;
    }
    if (*at == channel) {
        *at = channel->next;
    }
    pthread_mutex_unlock(&work->lock);
    channel_put(channel);
}

static struct job *make_job(struct channel *channel, struct kw_span body)
{
    struct job *job = malloc(sizeof(*job) + body.len);
    if (job == NULL) {
        return NULL;
    }
    job->next = NULL;
    job->channel = channel;
    job->len = body.len;
    memcpy(job->record, body.data, body.len);
    if (pool_wire_get_request(kw_span_of(job->record, body.len), &job->req) != KW_OK) {
        kw_wipe(job->record, job->len);
        free(job);
        return NULL;
    }
    atomic_fetch_add(&channel->holders, 1);
    return job;
}

static void job_free(struct job *job)
{
    channel_put(job->channel);
    kw_wipe(job->record, job->len);
    free(job);
}

/** Queues the whole records that have come; false when the channel is broken. */
static bool queue_records(struct pool_host_work *work, struct channel *channel)
{
    struct kw_span rest = kw_span_of(channel->in, channel->in_len), body;
    kw_status status;
    while ((status = pool_wire_next(&rest, &body)) == KW_OK) {
        struct job *job = make_job(channel, body);
        if (job == NULL) {
            return false;
        }
        pthread_mutex_lock(&work->lock);
        *(work->last != NULL ? &work->last->next : &work->first) = job;
        work->last = job;
        pthread_mutex_unlock(&work->lock);
    }
    size_t used = channel->in_len - rest.len;
    if (used > 0) {
        memmove(channel->in, channel->in + used, rest.len);
        kw_wipe(channel->in + rest.len, used);
        channel->in_len = rest.len;
    }
    return status == KW_E_NOT_FOUND;
}

static bool read_channel(struct pool_host_work *work, struct channel *channel)
{
    ssize_t n =
        recv(channel->fd, channel->in + channel->in_len, IN_ROOM - channel->in_len, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        return false;
    }
    if (n < 0) {
        return true;
    }
    channel->in_len += (size_t)n;
    return queue_records(work, channel);
}

static void read_some(struct pool_host_work *work)
{
    struct epoll_event events[16];
    int n = epoll_wait(work->epoll_fd, events, 16, -1);
    for (int i = 0; i < n; i++) {
        struct channel *channel = events[i].data.ptr;
        if (!read_channel(work, channel)) {
            drop_channel(work, channel);
        }
    }
}

/** Takes those waiting jobs that can run together with `first`; how many there are with it. */
static size_t take_company(struct pool_host_work *work, struct job *first,
                           struct job *jobs[POOL_HOST_COALESCE_MAX])
{
    size_t count = 1;
    jobs[0] = first;
    pthread_mutex_lock(&work->lock);
    struct job **at = &work->first, *last = NULL;
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
        work->last = last;
    }
    pthread_mutex_unlock(&work->lock);
    return count;
}

/* --- the session threads --- */

/** Sends what has been left unsent; before a thread goes idle. */
static void flush_all(struct pool_host_work *work)
{
    struct channel *held[64];
    size_t count = 0;
    pthread_mutex_lock(&work->lock);
    for (struct channel *at = work->channels; at != NULL && count < 64; at = at->next) {
        atomic_fetch_add(&at->holders, 1);
        held[count++] = at;
    }
    pthread_mutex_unlock(&work->lock);
    for (size_t i = 0; i < count; i++) {
        flush(held[i]);
        channel_put(held[i]);
    }
}

/** Takes the next job; reads when nobody else does. `unsent`: this thread left answers to others.
 */
static struct job *next_job(struct pool_host_work *work, bool *unsent)
{
    pthread_mutex_lock(&work->lock);
    while (work->first == NULL) {
        if (*unsent) {
            *unsent = false;
            pthread_mutex_unlock(&work->lock);
            flush_all(work);
            pthread_mutex_lock(&work->lock);
            continue;
        }
        if (work->reading) {
            work->idle++;
            pthread_cond_wait(&work->wake, &work->lock);
            work->idle--;
            continue;
        }
        work->reading = true;
        pthread_mutex_unlock(&work->lock);
        read_some(work);
        pthread_mutex_lock(&work->lock);
        work->reading = false;
    }
    struct job *job = work->first;
    work->first = job->next;
    if (work->first == NULL) {
        work->last = NULL;
    }
    /* one more thread: for the next job, or to read on while this one works */
    if (work->idle > 0 && (work->first != NULL || !work->reading)) {
        pthread_cond_signal(&work->wake);
    }
    pthread_mutex_unlock(&work->lock);
    return job;
}

static bool queue_empty(struct pool_host_work *work)
{
    pthread_mutex_lock(&work->lock);
    bool empty = work->first == NULL;
    pthread_mutex_unlock(&work->lock);
    return empty;
}

/** Results, and what a failed operation left of one: never longer than its input and a block. */
static void wipe_room(uint8_t *out, const struct pool_wire_request *req, size_t used)
{
    size_t touched = req->in.len + KW_RSA_MAX_BYTES;
    kw_wipe(out, used > touched ? used : touched);
}

struct session_thread {
    struct pool_host_work *work;
    CK_SESSION_HANDLE session;
    uint8_t *out;
};

/** True: the answer was left for others to send. */
static bool run_one(struct session_thread *self, struct job *job)
{
    struct pool_host_work *work = self->work;
    struct pool_host_result result;
    int64_t began = kw_now_ns();
    if (atomic_load(&job->channel->closed)) {
        return false;
    }
    pool_host_run(work->host, &self->session, self->out, &job->req, &result);
    bool send_now = kw_now_ns() - began >= GATHER_NS || queue_empty(work);
    answer(job->channel, &result, send_now);
    wipe_room(self->out, &job->req, result.answer.out.len);
    return !send_now;
}

/** The same for jobs that run together. */
static bool run_many(struct session_thread *self, struct job *const *jobs, size_t count)
{
    const struct pool_wire_request *reqs[POOL_HOST_COALESCE_MAX] = {&jobs[0]->req};
    struct pool_host_result results[POOL_HOST_COALESCE_MAX];
    bool unsent = false;
    for (size_t i = 0; i < count; i++) {
        reqs[i] = &jobs[i]->req;
    }
    if (!pool_host_run_many(self->work->host, self->session, self->out, reqs, count, results)) {
        for (size_t i = 0; i < count; i++) {
            unsent = run_one(self, jobs[i]) || unsent;
        }
        return unsent;
    }
    for (size_t i = 0; i < count; i++) {
        bool send_now = i + 1 == count || jobs[i + 1]->channel != jobs[i]->channel;
        answer(jobs[i]->channel, &results[i], send_now);
    }
    kw_wipe(self->out, count * (reqs[0]->in.len + 2 * KW_AES_BLOCK_LEN));
    return false;
}

static void *session_main(void *arg)
{
    struct session_thread *self = arg;
    struct pool_host_work *work = self->work;
    bool unsent = false;
    prctl(PR_SET_NAME, "kw-session");
    for (;;) {
        struct job *jobs[POOL_HOST_COALESCE_MAX], *job = next_job(work, &unsent);
        size_t count = pool_host_coalesces(work->host, &job->req, &job->req, 0)
                           ? take_company(work, job, jobs)
                           : 1;
        jobs[0] = job;
        unsent = (count > 1 ? run_many(self, jobs, count) : run_one(self, job)) || unsent;
        for (size_t i = 0; i < count; i++) {
            job_free(jobs[i]);
        }
    }
    return NULL;
}

kw_status pool_host_work_start(struct pool_host *host)
{
    struct pool_host_work *work = calloc(1, sizeof(*work));
    if (work == NULL) {
        return KW_E_NOMEM;
    }
    work->host = host;
    work->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->wake, NULL);
    host->work = work;
    if (work->epoll_fd < 0) {
        return KW_E_IO;
    }
    unsigned started = 0;
    for (; started < host->sessions; started++) {
        struct session_thread *thread = calloc(1, sizeof(*thread));
        pthread_t id;
        if (thread == NULL) {
            break;
        }
        thread->work = work;
        thread->out = kw_secret_alloc(POOL_HOST_ROOM);
        if (thread->out == NULL || pool_host_open_session(host, &thread->session) != CKR_OK ||
            pthread_create(&id, NULL, session_main, thread) != 0) {
            kw_secret_free(thread->out);
            free(thread);
            break;
        }
        pthread_detach(id);
    }
    /* a token with fewer sessions than wished serves with those it has */
    host->sessions = started;
    return started > 0 ? KW_OK : KW_E_UNAVAILABLE;
}

kw_status pool_host_work_add(struct pool_host *host, int fd)
{
    struct pool_host_work *work = host->work;
    struct channel *channel = calloc(1, sizeof(*channel));
    if (channel == NULL) {
        return KW_E_NOMEM;
    }
    struct timeval patience = {.tv_sec = SEND_SECONDS};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    channel->fd = fd;
    atomic_store(&channel->holders, 1);
    pthread_mutex_init(&channel->lock, NULL);
    channel->in = kw_secret_alloc(IN_ROOM);
    channel->out = (struct kw_buf){kw_secret_alloc(OUT_ROOM), 0, OUT_ROOM};
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = channel};
    pthread_mutex_lock(&work->lock);
    channel->next = work->channels;
    work->channels = channel;
    pthread_mutex_unlock(&work->lock);
    if (channel->in == NULL || channel->out.data == NULL ||
        epoll_ctl(work->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        drop_channel(work, channel);
        return KW_E_NOMEM;
    }
    return KW_OK;
}
