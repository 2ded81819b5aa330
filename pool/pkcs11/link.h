#pragma once
/* Inside a port's link to a member: shared by link.c (operations out, answers in) and link_life.c
 * (deadlines, opening and closing). All of it runs on the port's thread. */

#include "pool/pkcs11/member.h"

#define POOL_LINK_SENT_KEYS 1024u /* key ids remembered as known to a host */
struct pool_link_slot {
    struct pool_op *op; /* NULL: free, or given up while the host still works on it */
    uint32_t unload_ns; /* abandoned: to be taken off the member's load with the slot */
    bool abandoned;
    uint64_t id; /* 0: free */
    int64_t sent_ns;
    bool generate;
    bool asked; /* the host has asked for the key: it does so once */
};

struct pool_link_channel {
    int fd; /* -1: closed */
    unsigned number;
    uint32_t generation;
    struct pool_link_slot *slots;
    unsigned slot_count, in_flight;
    uint64_t sequence;
    struct kw_buf out, in;
    size_t out_done;
    bool wants_write;
    uint8_t (*sent)[KW_KEY_ID_LEN];
};

struct pool_link {
    struct pool_p11 *p11;
    struct pool_port *port;
    struct pool_link_channel channels[POOL_P11_HOSTS_MAX];
    struct pool_op *first, *last; /* wait for a free slot */
};

/** Hands an operation back to the group. */
void pool_link_give_back(struct pool_link *link, struct pool_op *op, enum pool_verdict verdict,
                         const char *reason);
void pool_link_push_waiting(struct pool_link *link, struct pool_op *op);
struct pool_op *pool_link_pop_waiting(struct pool_link *link);
/** Moves operations that wait into free slots. */
void pool_link_fill(struct pool_link *link);
/** Says that the host is lost, closes its channel and finds its operations another place. */
void pool_link_close_channel(struct pool_link *link, struct pool_link_channel *channel,
                             const char *why);
/** The slot's end: an abandoned operation's work is over. */
void pool_link_unload(struct pool_link *link, struct pool_link_slot *slot);
/** Frees what a channel owns but its descriptor. */
void pool_link_free_channel(struct pool_link_channel *channel);
