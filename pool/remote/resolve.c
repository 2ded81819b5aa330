#include "pool/remote/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Belongs to the asker and to the thread; the last of them frees it. */
struct pool_remote_resolve {
    _Atomic int refs;
    _Atomic bool done;
    char host[256], port[6];
    int error;
    struct pool_remote_addresses found;
};

void pool_remote_resolve_drop(struct pool_remote_resolve *resolve)
{
    if (resolve != NULL && atomic_fetch_sub(&resolve->refs, 1) == 1) {
        free(resolve);
    }
}

static void *ask(void *arg)
{
    struct pool_remote_resolve *resolve = arg;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    resolve->error = getaddrinfo(resolve->host, resolve->port, &hints, &list);
    if (resolve->error == 0) {
        for (struct addrinfo *at = list; at != NULL; at = at->ai_next) {
            struct pool_remote_addresses *found = &resolve->found;
            if (found->count == POOL_REMOTE_ADDRESSES || at->ai_addrlen > sizeof found->list[0]) {
                continue;
            }
            memcpy(&found->list[found->count], at->ai_addr, at->ai_addrlen);
            found->lens[found->count++] = at->ai_addrlen;
        }
        freeaddrinfo(list);
    }
    atomic_store(&resolve->done, true);
    pool_remote_resolve_drop(resolve);
    return NULL;
}

kw_status pool_remote_resolve_start(struct pool_remote_resolve **out, const char *host,
                                    const char *port)
{
    struct pool_remote_resolve *resolve = calloc(1, sizeof *resolve);
    sigset_t all, old;
    pthread_t thread;
    *out = NULL;
    if (resolve == NULL) {
        return KW_E_NOMEM;
    }
    atomic_init(&resolve->refs, 2);
    snprintf(resolve->host, sizeof resolve->host, "%s", host);
    snprintf(resolve->port, sizeof resolve->port, "%s", port);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool started = pthread_create(&thread, NULL, ask, resolve) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!started) {
        free(resolve);
        return KW_E_NOMEM;
    }
    pthread_detach(thread);
    *out = resolve;
    return KW_OK;
}

bool pool_remote_resolve_done(struct pool_remote_resolve *resolve,
                              struct pool_remote_addresses *out, const char **why)
{
    if (!atomic_load(&resolve->done)) {
        return false;
    }
    *out = resolve->found;
    *why = resolve->error != 0 ? gai_strerror(resolve->error)
           : out->count == 0   ? "it has no address"
                               : NULL;
    return true;
}
