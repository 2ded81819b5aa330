/* A port's side of a member: one data channel per host. Everything here runs on the port's thread.
 *
 * Operations of a turn are gathered and leave in one write per channel. At most
 * IN_FLIGHT_PER_SESSION times the sessions are in a host's hands per channel: enough to keep every
 * session busy while answers travel, and few enough that an operation that waits can still go
 * elsewhere. The rest waits here; the group bounds how many that can be (queue_max). */
#include "pool/pkcs11/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

#include "crypto/base/clock.h"
#include "pool/pkcs11/ckr.h"

#define BUFFER_FIRST (64u * 1024)

/* --- buffers --- */

static bool reserve(struct kw_buf *buf, size_t more)
{
    size_t cap = buf->cap == 0 ? BUFFER_FIRST : buf->cap;
    while (cap - buf->len < more) {
        cap *= 2;
    }
    if (cap == buf->cap) {
        return true;
    }
    uint8_t *grown = kw_secret_alloc(cap);
    if (grown == NULL) {
        return false;
    }
    if (buf->len > 0) {
        memcpy(grown, buf->data, buf->len);
    }
    kw_secret_free(buf->data);
    buf->data = grown;
    buf->cap = cap;
    return true;
}

/* --- giving back --- */

void pool_link_give_back(struct pool_link *link, struct pool_op *op, enum pool_verdict verdict,
                         const char *reason)
{
    op->member_data = NULL;
    pool_op_return(link->p11->member, op, verdict, reason);
}

struct pool_op *pool_link_pop_waiting(struct pool_link *link)
{
    struct pool_op *op = link->first;
    if (op != NULL) {
        link->first = op->next;
        link->last = link->first == NULL ? NULL : link->last;
        op->next = NULL;
    }
    return op;
}

void pool_link_push_waiting(struct pool_link *link, struct pool_op *op)
{
    op->next = NULL;
    *(link->last != NULL ? &link->last->next : &link->first) = op;
    link->last = op;
}

static bool any_open(const struct pool_link *link)
{
    for (unsigned i = 0; i < link->p11->host_count; i++) {
        if (link->channels[i].fd >= 0) {
            return true;
        }
    }
    return false;
}

void pool_link_free_channel(struct pool_link_channel *channel)
{
    free(channel->slots);
    free(channel->sent);
    kw_secret_free(channel->out.data);
    kw_secret_free(channel->in.data);
    *channel = (struct pool_link_channel){.fd = -1, .number = channel->number};
}

void pool_link_unload(struct pool_link *link, struct pool_link_slot *slot)
{
    if (slot->abandoned) {
        slot->abandoned = false;
        pool_member_unload(link->p11->member, slot->unload_ns);
    }
}

/** An operation that was lost with its host: another host of the member runs it, once (one that
 *  brings hosts down must not get them all), else the group decides. */
static void give_up(struct pool_link *link, struct pool_op *op, const char *why)
{
    static char resent;
    if (any_open(link) && op->member_data == NULL) {
        op->member_data = &resent;
        pool_link_push_waiting(link, op);
        return;
    }
    /* Many operations lost at once are one fault. LOST has charged it when this was the last host;
     * while another one serves, the member as such has not failed. */
    bool serves = pool_member_accepts(link->p11->member);
    pool_link_give_back(link, op, serves ? POOL_VERDICT_OTHER_FREE : POOL_VERDICT_OTHER, why);
}

/** Closes a channel and gives its operations back. The host it led to serves no more: that is said
 *  first, so that none of them comes straight back here. */
void pool_link_close_channel(struct pool_link *link, struct pool_link_channel *channel,
                             const char *why)
{
    struct pool_link_channel gone = *channel;
    pool_p11_host_lost(link->p11, channel->number, channel->generation, why);
    pool_port_unwatch(link->port, channel->fd);
    close(channel->fd);
    *channel = (struct pool_link_channel){.fd = -1, .number = gone.number};
    for (unsigned i = 0; i < gone.slot_count; i++) {
        pool_link_unload(link, &gone.slots[i]);
        if (gone.slots[i].op != NULL) {
            give_up(link, gone.slots[i].op, why);
        }
    }
    pool_link_free_channel(&gone);
    /* a detached list: what is given back may be submitted here again */
    struct pool_op *op = any_open(link) ? NULL : link->first;
    if (op != NULL) {
        link->first = link->last = NULL;
    }
    while (op != NULL) {
        struct pool_op *next = op->next;
        op->next = NULL;
        pool_link_give_back(link, op, POOL_VERDICT_OTHER_FREE, why);
        op = next;
    }
}

/* --- out --- */

static bool remembers(struct pool_link_channel *channel, const uint8_t *id)
{
    uint32_t at;
    memcpy(&at, id, sizeof(at));
    uint8_t *place = channel->sent[at % POOL_LINK_SENT_KEYS];
    if (memcmp(place, id, KW_KEY_ID_LEN) == 0) {
        return true;
    }
    memcpy(place, id, KW_KEY_ID_LEN);
    return false;
}

static struct pool_wire_request request_of(const struct pool_op *op, uint64_t id)
{
    const struct kc_lane_op *lane = &op->lane;
    struct pool_wire_request req = {.id = id, .kind = lane->kind, .alg = lane->alg};
    size_t cap = lane->out.cap < POOL_WIRE_DATA_MAX ? lane->out.cap : POOL_WIRE_DATA_MAX;
    req.out_cap = (uint32_t)cap;
    if (lane->kind == KW_KIND_GENERATE) {
        req.alg = KW_ALG_NONE;
        req.kty = op->generate.kty;
        req.curve = op->generate.curve;
        req.bits = op->generate.bits;
        req.exponent = op->generate.exponent;
        memcpy(req.key_id, op->generate.key_id, sizeof(req.key_id));
        return req;
    }
    if (op->key != NULL) {
        const struct kc_public *pub = pool_key_public(op->key);
        req.kty = pub->kty;
        req.curve = pub->curve;
        req.bits = pub->bits;
        memcpy(req.key_id, pool_key_id(op->key), sizeof(req.key_id));
        if (pub->kty == KW_KTY_RSA) {
            req.n = kw_span_of(pub->n, pub->n_len);
            req.e = kw_span_of(pub->e, pub->e_len);
        }
    }
    req.in = lane->in;
    req.sig = lane->sig;
    req.iv = lane->iv;
    req.aad = lane->aad;
    memcpy(req.tag, lane->tag, sizeof(req.tag));
    return req;
}

static kw_status encode(struct pool_link_channel *channel, const struct pool_op *op, uint64_t id,
                        bool with_blob)
{
    struct pool_wire_request req = request_of(op, id);
    if (op->key != NULL && (!remembers(channel, req.key_id) || with_blob)) {
        req.blob = pool_key_blob(op->key);
        pool_key_mark_sent(op->key);
    }
    if (!reserve(&channel->out, pool_wire_request_size(&req))) {
        return KW_E_NOMEM;
    }
    return pool_wire_put_request(&channel->out, &req);
}

static bool has_slot(const struct pool_link_channel *channel)
{
    return channel->fd >= 0 && channel->in_flight < channel->slot_count;
}

static struct pool_link_channel *choose(struct pool_link *link)
{
    struct pool_link_channel *best = NULL;
    for (unsigned i = 0; i < link->p11->host_count; i++) {
        struct pool_link_channel *channel = &link->channels[i];
        if (has_slot(channel) && (best == NULL || channel->in_flight < best->in_flight)) {
            best = channel;
        }
    }
    return best;
}

/** The channel has a free slot. */
static void put_op(struct pool_link *link, struct pool_link_channel *channel, struct pool_op *op)
{
    unsigned at = 0;
    while (channel->slots[at].id != 0) {
        at++;
    }
    uint64_t id = ++channel->sequence * channel->slot_count + at;
    kw_status status = encode(channel, op, id, false);
    if (status != KW_OK) {
        pool_link_give_back(link, op, POOL_VERDICT_OTHER_FREE, "the request could not be sent");
        return;
    }
    channel->slots[at] = (struct pool_link_slot){
        .op = op, .id = id, .sent_ns = kw_now_ns(), .generate = op->lane.kind == KW_KIND_GENERATE};
    channel->in_flight++;
    op->wire_id = id;
}

void pool_link_fill(struct pool_link *link)
{
    struct pool_link_channel *channel;
    while (link->first != NULL && (channel = choose(link)) != NULL) {
        put_op(link, channel, pool_link_pop_waiting(link));
    }
}

/** Writes what the socket takes. False when it is broken. */
static bool send_out(struct pool_link *link, struct pool_link_channel *channel)
{
    struct kw_buf *out = &channel->out;
    while (channel->out_done < out->len) {
        ssize_t n = send(channel->fd, out->data + channel->out_done, out->len - channel->out_done,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno != EAGAIN) {
            return false;
        }
        if (n < 0) {
            break;
        }
        channel->out_done += (size_t)n;
    }
    bool rest = channel->out_done < out->len;
    if (!rest) {
        kw_wipe(out->data, out->len);
        out->len = channel->out_done = 0;
    }
    if (rest != channel->wants_write) {
        channel->wants_write = rest;
        return pool_port_watch(link->port, channel->fd, EPOLLIN | (rest ? (uint32_t)EPOLLOUT : 0),
                               link->p11->member, link) == KW_OK;
    }
    return true;
}

void pool_p11_flush(struct pool_member *member, void *arg)
{
    struct pool_link *link = arg;
    (void)member;
    for (unsigned i = 0; i < link->p11->host_count; i++) {
        struct pool_link_channel *channel = &link->channels[i];
        if (channel->fd >= 0 && channel->out.len > 0 && !send_out(link, channel)) {
            pool_link_close_channel(link, channel, "the host's channel is broken");
        }
    }
}

void pool_p11_submit(struct pool_member *member, void *arg, struct pool_op *op)
{
    struct pool_link *link = arg;
    (void)member;
    op->member_data = NULL;
    struct pool_link_channel *channel = link->first == NULL ? choose(link) : NULL;
    if (channel != NULL) {
        put_op(link, channel, op);
    } else {
        pool_link_push_waiting(link, op);
    }
}

bool pool_p11_abandon(struct pool_member *member, void *arg, struct pool_op *op)
{
    struct pool_link *link = arg;
    (void)member;
    op->member_data = NULL;
    for (unsigned i = 0; i < link->p11->host_count; i++) {
        struct pool_link_channel *channel = &link->channels[i];
        for (unsigned s = 0; channel->fd >= 0 && s < channel->slot_count; s++) {
            if (channel->slots[s].op == op) {
                channel->slots[s].op = NULL; /* the answer will find nobody */
                channel->slots[s].abandoned = true;
                channel->slots[s].unload_ns = op->expected_ns;
                return true;
            }
        }
    }
    struct pool_op *waiting = link->first;
    link->first = link->last = NULL;
    while (waiting != NULL) {
        struct pool_op *next = waiting->next;
        if (waiting != op) {
            pool_link_push_waiting(link, waiting);
        }
        waiting = next;
    }
    op->next = NULL;
    return false;
}

/* --- in --- */

static struct pool_link_slot *slot_of(struct pool_link_channel *channel, uint64_t id)
{
    struct pool_link_slot *slot = &channel->slots[id % channel->slot_count];
    return slot->id == id && id != 0 ? slot : NULL;
}

/** Frees a slot; the operation in it, or NULL when it was given up before. */
static struct pool_op *take(struct pool_link *link, struct pool_link_channel *channel,
                            struct pool_link_slot *slot)
{
    struct pool_op *op = slot->op;
    pool_link_unload(link, slot);
    *slot = (struct pool_link_slot){0};
    channel->in_flight--;
    return op;
}

static const char *reason_of(uint64_t ckr, char text[64])
{
    const struct pool_ckr_row *row = pool_ckr(ckr);
    snprintf(text, 64, "CKR_%s (0x%llx)", row->name, (unsigned long long)ckr);
    return text;
}

static void finish(struct pool_link *link, struct pool_op *op,
                   const struct pool_wire_answer *answer)
{
    struct kc_lane_op *lane = &op->lane;
    if (answer->status == KW_OK && answer->out.len > lane->out.cap) {
        pool_link_give_back(link, op, POOL_VERDICT_OTHER, "the answer is longer than asked for");
        return;
    }
    lane->status = answer->status;
    if (answer->status == KW_OK) {
        if (answer->out.len > 0) {
            memcpy(lane->out.data, answer->out.data, answer->out.len);
        }
        lane->out.len = answer->out.len;
        lane->valid = answer->valid;
        if (lane->kind == KW_KIND_ENCRYPT) {
            memcpy(lane->tag, answer->tag, sizeof(lane->tag));
        }
    }
    pool_link_give_back(link, op, POOL_VERDICT_DONE, NULL);
}

static bool says_never(uint64_t ckr)
{
    return ckr == CKR_MECHANISM_INVALID || ckr == CKR_FUNCTION_NOT_SUPPORTED;
}

/** False when the host must go: the caller closes the channel, which gives the rest back. */
static bool on_answer(struct pool_link *link, struct pool_link_channel *channel,
                      struct kw_span body)
{
    struct pool_wire_answer answer;
    char text[64];
    if (pool_wire_get_answer(body, &answer) != KW_OK) {
        return false;
    }
    struct pool_link_slot *slot = slot_of(channel, answer.id);
    if (slot == NULL) {
        return true; /* late and already given up on another life of the slot */
    }
    if (answer.verdict == POOL_WIRE_FATAL) {
        /* the operation stays in its slot and goes back with the others */
        pool_p11_host_lost(link->p11, channel->number, channel->generation,
                           reason_of(answer.ckr, text));
        return false;
    }
    struct pool_op *op = take(link, channel, slot);
    if (op == NULL) {
        return true;
    }
    if (op->lane.kind == KW_KIND_GENERATE && answer.verdict == POOL_WIRE_DONE &&
        answer.status == KW_OK) {
        pool_link_give_back(link, op, POOL_VERDICT_OTHER, "no key in the answer");
        return false;
    }
    switch (answer.verdict) {
    case POOL_WIRE_DONE:
        finish(link, op, &answer);
        break;
    case POOL_WIRE_UNSUPPORTED:
        if (says_never(answer.ckr) && op->lane.kind < KW_KIND_GENERATE) {
            atomic_fetch_or(&link->p11->unable[op->lane.kind], (uint64_t)1 << op->lane.alg);
        }
        pool_link_give_back(link, op, POOL_VERDICT_UNSUPPORTED, reason_of(answer.ckr, text));
        break;
    case POOL_WIRE_WRONG:
        pool_link_give_back(link, op, POOL_VERDICT_WRONG, "a decryption did not verify");
        break;
    case POOL_WIRE_LACKS:
        if (op->key != NULL) {
            pool_key_lacked(op->key, link->p11->member,
                            "it is not on the token, or twice, or another key has its id");
        }
        pool_link_give_back(link, op, POOL_VERDICT_ELSEWHERE, "no such key on the token");
        break;
    case POOL_WIRE_OTHER:
        pool_link_give_back(link, op, POOL_VERDICT_OTHER, reason_of(answer.ckr, text));
        break;
    default:
        pool_link_give_back(link, op, POOL_VERDICT_OTHER_FREE, reason_of(answer.ckr, text));
        break;
    }
    return true;
}

static bool on_need_key(struct pool_link *link, struct pool_link_channel *channel,
                        struct kw_span body)
{
    uint64_t id;
    if (pool_wire_get_need_key(body, &id) != KW_OK) {
        return false;
    }
    struct pool_link_slot *slot = slot_of(channel, id);
    if (slot == NULL) {
        return true;
    }
    if (slot->op == NULL) {
        (void)take(link, channel, slot);
        return true;
    }
    if (slot->asked || slot->op->key == NULL) {
        return false; /* it would be given the same again, without an end */
    }
    slot->asked = true;
    return encode(channel, slot->op, id, true) == KW_OK;
}

static bool on_generated(struct pool_link *link, struct pool_link_channel *channel,
                         struct kw_span body)
{
    struct pool_wire_generated made;
    if (pool_wire_get_generated(body, &made) != KW_OK) {
        return false;
    }
    struct pool_link_slot *slot = slot_of(channel, made.id);
    if (slot == NULL) {
        return true;
    }
    struct pool_op *op = take(link, channel, slot);
    if (op == NULL) {
        return true;
    }
    bool fits = op->lane.kind == KW_KIND_GENERATE && made.pub.kty == op->generate.kty &&
                made.blob.len > KC_BLOB_HEADER && made.blob.len <= sizeof(op->generate.out->blob);
    if (!fits) {
        pool_link_give_back(link, op, POOL_VERDICT_OTHER,
                            "the answer is not the key that was asked for");
        return false;
    }
    op->generate.out->pub = made.pub;
    memcpy(op->generate.out->blob, made.blob.data, made.blob.len);
    op->generate.out->blob_len = made.blob.len;
    op->lane.status = KW_OK;
    pool_link_give_back(link, op, POOL_VERDICT_DONE, NULL);
    return true;
}

static bool on_record(struct pool_link *link, struct pool_link_channel *channel,
                      struct kw_span body)
{
    switch (pool_wire_type_of(body)) {
    case POOL_WIRE_ANSWER:
        return on_answer(link, channel, body);
    case POOL_WIRE_NEED_KEY:
        return on_need_key(link, channel, body);
    case POOL_WIRE_GENERATED:
        return on_generated(link, channel, body);
    default:
        return false;
    }
}

/** Takes in what has come; false when the channel is at its end. */
static bool read_in(struct pool_link *link, struct pool_link_channel *channel)
{
    struct kw_buf *in = &channel->in;
    if (in->cap - in->len < BUFFER_FIRST / 2 && !reserve(in, BUFFER_FIRST / 2)) {
        return false;
    }
    ssize_t n = recv(channel->fd, in->data + in->len, in->cap - in->len, MSG_DONTWAIT);
    if (n <= 0) {
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    }
    in->len += (size_t)n;
    struct kw_span rest = kw_buf_span(in), body;
    kw_status status;
    bool good = true;
    while (good && (status = pool_wire_next(&rest, &body)) == KW_OK) {
        good = on_record(link, channel, body);
    }
    good = good && status == KW_E_NOT_FOUND;
    size_t used = in->len - rest.len;
    memmove(in->data, in->data + used, rest.len);
    kw_wipe(in->data + rest.len, used);
    in->len = rest.len;
    return good;
}

void pool_p11_ready(struct pool_member *member, void *arg, uint32_t epoll_events)
{
    struct pool_link *link = arg;
    (void)epoll_events; /* which descriptor it was is not told: both directions are tried on all */
    for (unsigned i = 0; i < link->p11->host_count; i++) {
        struct pool_link_channel *channel = &link->channels[i];
        if (channel->fd >= 0 && !read_in(link, channel)) {
            pool_link_close_channel(link, channel, "the host process ended");
        }
    }
    pool_link_fill(link);
    pool_p11_flush(member, link);
}
