#include "pool/reach.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The resolver's thread owns its request until it is done: a lookup that is given up is left to it,
 * marked, and freed by whoever looks at it next. */
struct lookup {
    struct gaicb request;
    struct addrinfo hints;
    char host[256], port[8];
    struct lookup *next; /* of those let go */
};

struct pool_reach {
    struct lookup *lookup;
    enum pool_reach_state state;
    const struct addrinfo *at;
    int fd;
    int64_t limit_ns;
    char address[64], why[160];
};

static void lookup_free(struct lookup *lookup)
{
    if (lookup->request.ar_result != NULL) {
        freeaddrinfo(lookup->request.ar_result);
    }
    free(lookup);
}

static bool is_over(struct lookup *lookup)
{
    return gai_error(&lookup->request) != EAI_INPROGRESS ||
           gai_cancel(&lookup->request) == EAI_CANCELED;
}

/** Lets a lookup go. One that the resolver is at right now cannot be ended: it is kept until a
 *  later call finds it done. */
static void abandon(struct lookup *lookup)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct lookup *abandoned;
    pthread_mutex_lock(&lock);
    lookup->next = abandoned;
    abandoned = lookup;
    for (struct lookup **at = &abandoned; *at != NULL;) {
        struct lookup *one = *at;
        if (is_over(one)) {
            *at = one->next;
            lookup_free(one);
        } else {
            at = &one->next;
        }
    }
    pthread_mutex_unlock(&lock);
}

kw_status pool_reach_start(struct pool_reach **out, const char *host, unsigned port, int64_t now_ns,
                           int64_t limit_ns)
{
    struct pool_reach *reach = calloc(1, sizeof(*reach));
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (reach == NULL || lookup == NULL || strlen(host) >= sizeof(lookup->host)) {
        free(reach);
        free(lookup);
        return KW_E_NOMEM;
    }
    snprintf(lookup->host, sizeof(lookup->host), "%s", host);
    snprintf(lookup->port, sizeof(lookup->port), "%u", port & 0xffffu);
    lookup->hints = (struct addrinfo){.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    lookup->request.ar_name = lookup->host;
    lookup->request.ar_service = lookup->port;
    lookup->request.ar_request = &lookup->hints;
    reach->fd = -1;
    reach->limit_ns = now_ns + limit_ns;
    reach->state = POOL_REACH_RESOLVING;
    struct gaicb *list[] = {&lookup->request};
    int error = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
    if (error != 0) {
        free(lookup);
        free(reach);
        return error == EAI_MEMORY ? KW_E_NOMEM : KW_E_UNAVAILABLE;
    }
    reach->lookup = lookup;
    *out = reach;
    return KW_OK;
}

static void ended(struct pool_reach *reach, enum pool_reach_state state, const char *why)
{
    reach->state = state;
    snprintf(reach->why, sizeof(reach->why), "%s", why);
    if (reach->fd >= 0) {
        close(reach->fd);
        reach->fd = -1;
    }
}

static void begin_connect(struct pool_reach *reach)
{
    for (; reach->at != NULL; reach->at = reach->at->ai_next) {
        const struct addrinfo *at = reach->at;
        getnameinfo(at->ai_addr, at->ai_addrlen, reach->address, sizeof(reach->address), NULL, 0,
                    NI_NUMERICHOST);
        int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
        reach->fd = socket(at->ai_family, type, at->ai_protocol);
        if (reach->fd >= 0 &&
            (connect(reach->fd, at->ai_addr, at->ai_addrlen) == 0 || errno == EINPROGRESS)) {
            reach->state = POOL_REACH_CONNECTING;
            return;
        }
        snprintf(reach->why, sizeof(reach->why), "%s", strerror(errno));
        if (reach->fd >= 0) {
            close(reach->fd);
            reach->fd = -1;
        }
    }
    reach->state = POOL_REACH_REFUSED;
}

static void check_connect(struct pool_reach *reach)
{
    struct pollfd wait = {.fd = reach->fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof(error);
    if (poll(&wait, 1, 0) != 1) {
        return;
    }
    if (getsockopt(reach->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0) {
        ended(reach, POOL_REACH_OK, "");
        return;
    }
    ended(reach, POOL_REACH_CONNECTING, strerror(error));
    reach->at = reach->at->ai_next;
    begin_connect(reach);
}

enum pool_reach_state pool_reach_step(struct pool_reach *reach, int64_t now_ns)
{
    if (reach->state == POOL_REACH_RESOLVING) {
        int error = gai_error(&reach->lookup->request);
        if (error == 0) {
            reach->at = reach->lookup->request.ar_result;
            begin_connect(reach);
        } else if (error != EAI_INPROGRESS) {
            ended(reach, POOL_REACH_NO_NAME, gai_strerror(error));
        } else if (now_ns >= reach->limit_ns) {
            ended(reach, POOL_REACH_NO_NAME, "the name server does not answer");
        }
    }
    if (reach->state == POOL_REACH_CONNECTING) {
        check_connect(reach);
        if (reach->state == POOL_REACH_CONNECTING && now_ns >= reach->limit_ns) {
            ended(reach, POOL_REACH_REFUSED, "no answer in time");
        }
    }
    return reach->state;
}

const char *pool_reach_address(const struct pool_reach *reach)
{
    return reach->address;
}

const char *pool_reach_why(const struct pool_reach *reach)
{
    return reach->why;
}

void pool_reach_free(struct pool_reach *reach)
{
    if (reach == NULL) {
        return;
    }
    if (reach->fd >= 0) {
        close(reach->fd);
    }
    abandon(reach->lookup);
    free(reach);
}
