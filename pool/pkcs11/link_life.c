/* A port's link to a member: deadlines, and channels opened and closed. */
#include "pool/pkcs11/link.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "pool/pkcs11/control.h"

#define IN_FLIGHT_PER_SESSION 2u
#define GENERATE_LIMIT_NS     KW_S(120)

/* --- deadlines --- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/** Gives up what a host keeps too long. False: it has kept something for so long that it must go.
 */
static bool expire_slots(struct pool_link *link, struct pool_link_channel *channel, int64_t now_ns,
                         int64_t *next)
{
    const struct pool_config *config = pool_config(link->p11->member->pool);
    for (unsigned i = 0; channel->fd >= 0 && i < channel->slot_count; i++) {
        struct pool_link_slot *slot = &channel->slots[i];
        if (slot->id == 0) {
            continue;
        }
        int64_t soft =
            slot->sent_ns + (slot->generate ? GENERATE_LIMIT_NS : config->soft_deadline_ns);
        int64_t hard =
            slot->sent_ns + (slot->generate ? GENERATE_LIMIT_NS : config->hard_deadline_ns);
        if (now_ns >= hard) {
            return false;
        }
        *next = earlier(*next, hard);
        struct pool_op *op = slot->op;
        if (op != NULL && now_ns >= soft) {
            slot->op = NULL;
            /* LATE has charged it; however many wait in one stall, that is one fault */
            pool_member_transition(link->p11->member, POOL_EV_LATE, "soft deadline passed");
            pool_link_give_back(link, op, POOL_VERDICT_OTHER_FREE, "soft deadline passed");
        } else if (op != NULL && now_ns >= op->deadline_ns) {
            slot->op = NULL;
            pool_link_give_back(link, op, POOL_VERDICT_OTHER_FREE, "the request's deadline passed");
        } else if (op != NULL) {
            *next = earlier(*next, earlier(soft, op->deadline_ns));
        }
    }
    return true;
}

static void expire_waiting(struct pool_link *link, int64_t now_ns, int64_t *next)
{
    int64_t patience = pool_config(link->p11->member->pool)->soft_deadline_ns;
    struct pool_op *op = link->first;
    link->first = link->last = NULL;
    while (op != NULL) {
        struct pool_op *after = op->next;
        op->next = NULL;
        int64_t limit = earlier(op->deadline_ns, op->sent_ns + patience);
        if (now_ns >= limit) {
            pool_link_give_back(link, op, POOL_VERDICT_OTHER_FREE, "waited too long for a session");
        } else {
            *next = earlier(*next, limit);
            pool_link_push_waiting(link, op);
        }
        op = after;
    }
}

/* --- opening and closing --- */

static bool alloc_channel(struct pool_link_channel *channel, unsigned sessions)
{
    channel->slot_count = IN_FLIGHT_PER_SESSION * sessions;
    channel->slots = calloc(channel->slot_count, sizeof(*channel->slots));
    channel->sent = calloc(POOL_LINK_SENT_KEYS, sizeof(*channel->sent));
    return channel->slots != NULL && channel->sent != NULL;
}

/** Makes a socket pair and hands the host its end. The lock keeps the control socket open. */
static int connect_host(struct pool_p11 *p11, struct pool_p11_host *host, uint32_t *generation)
{
    int ends[2];
    uint8_t room[16];
    struct kw_buf record = {room, 0, sizeof(room)};
    if (pool_wire_put_plain(&record, POOL_WIRE_CHANNEL) != KW_OK ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return -1;
    }
    bool sent = false;
    pthread_mutex_lock(&p11->lock);
    if (host->serving && host->control >= 0) {
        *generation = host->generation;
        sent = pool_control_send(host->control, kw_buf_span(&record), ends[1]) == KW_OK;
    }
    pthread_mutex_unlock(&p11->lock);
    close(ends[1]);
    if (!sent) {
        close(ends[0]);
        return -1;
    }
    return ends[0];
}

static void open_channel(struct pool_link *link, unsigned number)
{
    struct pool_p11 *p11 = link->p11;
    struct pool_link_channel *channel = &link->channels[number];
    struct pool_p11_host *host = &p11->hosts[number];
    pthread_mutex_lock(&p11->lock);
    uint32_t generation = host->generation;
    bool serving = host->serving;
    pthread_mutex_unlock(&p11->lock);
    if (!serving || (channel->fd >= 0 && channel->generation == generation)) {
        return;
    }
    if (channel->fd >= 0) {
        pool_link_close_channel(link, channel, "the host process ended");
    }
    int fd = connect_host(p11, host, &generation);
    if (fd < 0) {
        return;
    }
    if (!alloc_channel(channel, host->sessions) ||
        pool_port_watch(link->port, fd, EPOLLIN, p11->member, link) != KW_OK) {
        close(fd);
        pool_link_free_channel(channel);
        return;
    }
    channel->fd = fd;
    channel->generation = generation;
}

/** What could not be opened when the host came into service, for want of descriptors or memory. */
static void open_missing(struct pool_link *link)
{
    for (unsigned i = 0; i < link->p11->host_count; i++) {
        if (link->channels[i].fd < 0) {
            open_channel(link, i);
        }
    }
}

int64_t pool_p11_expire(struct pool_member *member, void *arg, int64_t now_ns)
{
    struct pool_link *link = arg;
    int64_t next = INT64_MAX;
    for (unsigned i = 0; i < link->p11->host_count; i++) {
        struct pool_link_channel *channel = &link->channels[i];
        if (channel->fd >= 0 && !expire_slots(link, channel, now_ns, &next)) {
            pool_link_close_channel(link, channel,
                                    "the host did not answer within the hard deadline");
        }
    }
    open_missing(link);
    expire_waiting(link, now_ns, &next);
    pool_link_fill(link);
    pool_p11_flush(member, link);
    return next;
}

void pool_p11_open_channels(struct pool_port *port, void *arg)
{
    struct pool_member *member = arg;
    struct pool_link *link = pool_port_link(port, member);
    if (link == NULL) {
        return;
    }
    for (unsigned i = 0; i < link->p11->host_count; i++) {
        open_channel(link, i);
    }
    pool_link_fill(link);
    pool_p11_flush(member, link);
}

kw_status pool_p11_attach(struct pool_member *member, struct pool_port *port, void **out)
{
    struct pool_link *link = calloc(1, sizeof(*link));
    if (link == NULL) {
        return KW_E_NOMEM;
    }
    link->p11 = member->impl;
    link->port = port;
    for (unsigned i = 0; i < POOL_P11_HOSTS_MAX; i++) {
        link->channels[i].number = i;
        link->channels[i].fd = -1;
    }
    for (unsigned i = 0; i < link->p11->host_count; i++) {
        open_channel(link, i);
    }
    /* a host that comes into service between here and the port's listing is found by this call */
    kw_status status = pool_port_call(port, pool_p11_open_channels, member);
    if (status != KW_OK) {
        pool_p11_detach(member, port, link);
        link = NULL;
    }
    *out = link;
    return status;
}

void pool_p11_detach(struct pool_member *member, struct pool_port *port, void *arg)
{
    struct pool_link *link = arg;
    (void)member;
    if (link == NULL) {
        return;
    }
    struct pool_op *op;
    while ((op = pool_link_pop_waiting(link)) != NULL) {
        pool_link_give_back(link, op, POOL_VERDICT_OTHER_FREE, "the port closes");
    }
    for (unsigned i = 0; i < link->p11->host_count; i++) {
        struct pool_link_channel *channel = &link->channels[i];
        if (channel->fd < 0) {
            continue;
        }
        pool_port_unwatch(port, channel->fd);
        close(channel->fd);
        for (unsigned s = 0; s < channel->slot_count; s++) {
            pool_link_unload(link, &channel->slots[s]);
            if (channel->slots[s].op != NULL) {
                pool_link_give_back(link, channel->slots[s].op, POOL_VERDICT_OTHER_FREE,
                                    "the port closes");
            }
        }
        pool_link_free_channel(channel);
    }
    free(link);
}
