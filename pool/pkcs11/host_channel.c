#include "pool/pkcs11/host_channel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/base/clock.h"

#define GATHER_MAX   16
#define OUT_ROOM     (2u * POOL_WIRE_RECORD_MAX)
#define IN_ROOM      POOL_WIRE_RECORD_MAX
#define SEND_SECONDS 10

/* --- life */

void pool_host_channel_hold(struct pool_host_channel *channel)
{
    atomic_fetch_add(&channel->holders, 1);
}

void pool_host_channel_put(struct pool_host_channel *channel)
{
    if (atomic_fetch_sub(&channel->holders, 1) != 1) {
        return;
    }
    close(channel->fd);
    kw_secret_free(channel->in);
    kw_secret_free(channel->out.data);
    pthread_mutex_destroy(&channel->in_lock);
    pthread_mutex_destroy(&channel->out_lock);
    free(channel);
}

struct pool_host_channel *pool_host_channel_create(int fd)
{
    struct pool_host_channel *channel = calloc(1, sizeof(*channel));
    if (channel == NULL) {
        close(fd);
        return NULL;
    }
    struct timeval patience = {.tv_sec = SEND_SECONDS};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    channel->fd = fd;
    atomic_store(&channel->holders, 1);
    pthread_mutex_init(&channel->in_lock, NULL);
    pthread_mutex_init(&channel->out_lock, NULL);
    channel->in = kw_secret_alloc(IN_ROOM);
    channel->out = (struct kw_buf){kw_secret_alloc(OUT_ROOM), 0, OUT_ROOM};
    if (channel->in == NULL || channel->out.data == NULL) {
        pool_host_channel_put(channel);
        return NULL;
    }
    return channel;
}

/* --- out */

/** The lock of `out` held. */
static void send_all(struct pool_host_channel *channel)
{
    size_t done = 0;
    while (done < channel->out.len && !atomic_load(&channel->closed)) {
        ssize_t n =
            send(channel->fd, channel->out.data + done, channel->out.len - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            atomic_store(&channel->closed, true);
            shutdown(channel->fd, SHUT_RDWR); /* a reader sees the end and lets it go */
        }
        done += n > 0 ? (size_t)n : 0;
    }
    kw_wipe(channel->out.data, channel->out.len);
    channel->out.len = 0;
    channel->gathered = 0;
}

void pool_host_channel_flush(struct pool_host_channel *channel)
{
    pthread_mutex_lock(&channel->out_lock);
    if (channel->out.len > 0) {
        send_all(channel);
    }
    pthread_mutex_unlock(&channel->out_lock);
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

bool pool_host_channel_answer(struct pool_host_channel *channel,
                              const struct pool_host_result *result, int64_t until_ns,
                              int64_t next_ns)
{
    pthread_mutex_lock(&channel->out_lock);
    if (put_result(&channel->out, result) != KW_OK) {
        send_all(channel); /* now there is room for any record */
        (void)!put_result(&channel->out, result);
    }
    if (channel->gathered++ == 0 || until_ns < channel->due_ns) {
        channel->due_ns = until_ns;
    }
    bool send_now = channel->gathered >= GATHER_MAX || channel->due_ns <= next_ns;
    if (send_now) {
        send_all(channel);
    }
    pthread_mutex_unlock(&channel->out_lock);
    return send_now;
}

/* --- in */

static struct pool_host_job *make_job(struct pool_host_channel *channel, struct kw_span body)
{
    struct pool_host_job *job = malloc(sizeof(*job) + body.len);
    if (job == NULL) {
        return NULL;
    }
    job->next = NULL;
    job->channel = channel;
    job->came_ns = kw_now_ns();
    job->len = body.len;
    memcpy(job->record, body.data, body.len);
    if (pool_wire_get_request(kw_span_of(job->record, body.len), &job->req) != KW_OK) {
        kw_wipe(job->record, job->len);
        free(job);
        return NULL;
    }
    pool_host_channel_hold(channel);
    return job;
}

void pool_host_job_free(struct pool_host_job *job)
{
    pool_host_channel_put(job->channel);
    kw_wipe(job->record, job->len);
    free(job);
}

/** Cuts the whole records that have come into jobs. */
static bool cut(struct pool_host_channel *channel, struct pool_host_jobs *jobs)
{
    struct kw_span rest = kw_span_of(channel->in, channel->in_len), body;
    kw_status status;
    while ((status = pool_wire_next(&rest, &body)) == KW_OK) {
        struct pool_host_job *job = make_job(channel, body);
        if (job == NULL) {
            return false;
        }
        *(jobs->last != NULL ? &jobs->last->next : &jobs->first) = job;
        jobs->last = job;
    }
    size_t used = channel->in_len - rest.len;
    if (used > 0) {
        memmove(channel->in, channel->in + used, rest.len);
        kw_wipe(channel->in + rest.len, used);
        channel->in_len = rest.len;
    }
    return status == KW_E_NOT_FOUND;
}

bool pool_host_channel_read(struct pool_host_channel *channel, struct pool_host_jobs *jobs)
{
    bool good = true, more = true;
    pthread_mutex_lock(&channel->in_lock);
    while (good && more) {
        size_t room = IN_ROOM - channel->in_len;
        ssize_t n = recv(channel->fd, channel->in + channel->in_len, room, MSG_DONTWAIT);
        if (n > 0) {
            channel->in_len += (size_t)n;
            good = cut(channel, jobs);
        } else {
            good = n < 0 && (errno == EAGAIN || errno == EINTR);
        }
        /* what comes after a short read is told by an event of its own */
        more = n == (ssize_t)room || (n < 0 && errno == EINTR);
    }
    pthread_mutex_unlock(&channel->in_lock);
    return good;
}
