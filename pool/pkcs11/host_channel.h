#pragma once
/* A host's end of a data channel: requests in, answers out. Inside the host process. */

#include "pool/pkcs11/host.h"

struct pool_host_channel {
    struct pool_host_channel *next;
    uint64_t number; /* what its events carry: it may be gone when they are looked at */
    int fd;
    pthread_mutex_t in_lock;
    uint8_t *in;
    size_t in_len;
    pthread_mutex_t out_lock;
    struct kw_buf out;
    unsigned gathered;        /* answers in `out` */
    int64_t due_ns;           /* when the first of them has to leave */
    _Atomic unsigned holders; /* jobs under way, readers, and the list */
    _Atomic bool closed;
};

/** A request and where its answer goes. Holds the channel. */
struct pool_host_job {
    struct pool_host_job *next;
    struct pool_host_channel *channel;
    int64_t came_ns;
    struct pool_wire_request req; /* spans into `record` */
    size_t len;
    uint8_t record[];
};

/** Jobs in the order in which they came. */
struct pool_host_jobs {
    struct pool_host_job *first, *last;
};

/** Owns `fd` from now on, also when it fails (NULL). */
struct pool_host_channel *pool_host_channel_create(int fd);
void pool_host_channel_hold(struct pool_host_channel *channel);
void pool_host_channel_put(struct pool_host_channel *channel);

/** Takes in all that has come and appends its jobs to `jobs`, also those before a fault. False:
 *  the channel is at its end or broken. Any thread, one at a time goes in. */
bool pool_host_channel_read(struct pool_host_channel *channel, struct pool_host_jobs *jobs);

/** Puts an answer behind those that wait. All of them are sent when they are many, or when one of
 *  them would wait beyond its moment if it waited for the next answer, at about `next_ns`. This one
 *  may wait until `until_ns`. False: they were left for later. */
bool pool_host_channel_answer(struct pool_host_channel *channel,
                              const struct pool_host_result *result, int64_t until_ns,
                              int64_t next_ns);
/** Sends what waits. */
void pool_host_channel_flush(struct pool_host_channel *channel);

void pool_host_job_free(struct pool_host_job *job);
