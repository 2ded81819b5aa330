/* Supervisor's side: what keys there are on a member's token, read by its first host, and what each
 * of its hosts has loaded. Hosts answer over their control sockets, record by record, while their
 * sessions work on. */
#include "pool/pkcs11/member.h"

#include "crypto/base/clock.h"
#include "pool/pkcs11/control.h"

#define LIST_LIMIT_NS KW_S(40) /* thousands of objects behind a network take their time */
#define LIST_POLL_NS  KW_MS(5)

bool pool_p11_inventory(struct pool_member *member, struct pool_inventory *inventory)
{
    struct pool_p11 *p11 = member->impl;
    struct pool_inventory *none = NULL;
    return atomic_compare_exchange_strong(&p11->inventory, &none, inventory);
}

static void end(struct pool_p11 *p11, struct pool_inventory *inventory)
{
    const char *fault = p11->list.fault;
    p11->list.out = false;
    p11->list.host = 0;
    p11->list.listed = 0;
    p11->list.fault = NULL;
    atomic_store(&p11->inventory, NULL);
    pool_inventory_end(inventory, p11->member, fault);
}

void pool_p11_end_inventory(struct pool_p11 *p11)
{
    struct pool_inventory *inventory = atomic_load(&p11->inventory);
    if (inventory != NULL) {
        p11->list.fault = "the member leaves the group";
        end(p11, inventory);
    }
}

/** Asks the next host that serves; false when there is none left. */
static bool ask(struct pool_p11 *p11, const struct pool_inventory *inventory, int64_t now_ns)
{
    static uint32_t last; /* one supervisor */
    for (; p11->list.host < p11->host_count; p11->list.host++) {
        struct pool_p11_host *host = &p11->hosts[p11->list.host];
        uint8_t room[64];
        struct kw_buf out = {room, 0, sizeof room};
        struct pool_wire_list msg = {++last, false};
        msg.tokens = pool_inventory_wants_tokens(inventory) && p11->list.listed == 0;
        if (host->phase != POOL_P11_SERVING) {
            continue;
        }
        if (pool_wire_put_list(&out, &msg) != KW_OK ||
            pool_control_send(host->control, kw_buf_span(&out), -1) != KW_OK) {
            p11->list.fault = "a host does not take requests";
            continue;
        }
        p11->list.out = true;
        p11->list.sequence = msg.sequence;
        p11->list.loaded = 0;
        p11->list.deadline_ns = now_ns + LIST_LIMIT_NS;
        return true;
    }
    return false;
}

int64_t pool_p11_run_inventory(struct pool_p11 *p11, int64_t now_ns)
{
    struct pool_inventory *inventory = atomic_load(&p11->inventory);
    if (inventory == NULL) {
        return INT64_MAX;
    }
    if (p11->list.out) {
        bool lost = p11->hosts[p11->list.host].phase != POOL_P11_SERVING;
        if (lost || now_ns >= p11->list.deadline_ns) {
            p11->list.fault = lost ? "the host ended meanwhile" : "no answer in time";
            p11->list.out = false;
            p11->list.host++;
        }
    } else if (p11->list.host == 0 && p11->list.fault == NULL && p11->serving == 0) {
        p11->list.fault = "the member does not serve";
    }
    if (!p11->list.out && !ask(p11, inventory, now_ns)) {
        end(p11, inventory);
        return INT64_MAX;
    }
    return now_ns + LIST_POLL_NS;
}

static bool is_current(const struct pool_p11 *p11, const struct pool_p11_host *host,
                       uint32_t sequence)
{
    return p11->list.out && p11->list.host == host->number && p11->list.sequence == sequence;
}

static bool on_key(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body)
{
    struct pool_wire_listed msg;
    if (pool_wire_get_listed(body, &msg) != KW_OK) {
        return false;
    }
    if (!is_current(p11, host, msg.sequence)) {
        return true; /* of a reading that was given up */
    }
    if (p11->list.listed++ >= POOL_FOUND_MAX) {
        return false;
    }
    msg.key.member = p11->member->index;
    if (!pool_inventory_put_key(atomic_load(&p11->inventory), &msg.key)) {
        p11->list.fault = "out of memory";
    }
    return true;
}

static bool on_loaded(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body)
{
    struct pool_wire_loaded msg;
    if (pool_wire_get_loaded(body, &msg) != KW_OK) {
        return false;
    }
    if (!is_current(p11, host, msg.sequence)) {
        return true;
    }
    p11->list.loaded += msg.ids.len;
    if (p11->list.loaded > (size_t)POOL_WIRE_KEYS_MAX * KW_KEY_ID_LEN) {
        return false; /* more than it was told to keep */
    }
    if (!pool_inventory_put_loaded(atomic_load(&p11->inventory), p11->member, msg.ids)) {
        p11->list.fault = "out of memory";
    }
    return true;
}

static bool on_end(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body)
{
    struct pool_wire_listed_all msg;
    if (pool_wire_get_listed_all(body, &msg) != KW_OK) {
        return false;
    }
    if (is_current(p11, host, msg.sequence)) {
        if (msg.ckr != 0) {
            p11->list.fault = "the token does not let its objects be read";
        } else if (msg.cut) {
            p11->list.fault = "there are more keys on the token than are read";
        }
        p11->list.out = false;
        p11->list.host++;
    }
    return true;
}

bool pool_p11_on_listed(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body)
{
    switch (pool_wire_type_of(body)) {
    case POOL_WIRE_LISTED:
        return on_key(p11, host, body);
    case POOL_WIRE_LOADED:
        return on_loaded(p11, host, body);
    default:
        return on_end(p11, host, body);
    }
}
