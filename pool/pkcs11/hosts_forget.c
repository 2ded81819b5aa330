/* Keys that are not wanted any more: gathered from any thread, told to every host by the
 * supervisor. */

#include "pool/pkcs11/control.h"
#include "pool/pkcs11/member.h"

void pool_p11_forget(struct pool_member *member, const uint8_t id[KW_KEY_ID_LEN])
{
    struct pool_p11 *p11 = member->impl;
    pthread_mutex_lock(&p11->lock);
    bool first = p11->forget_count == 0 && !p11->forget_all;
    if (p11->forget_count < POOL_WIRE_FORGET_MAX) {
        memcpy(p11->forget[p11->forget_count++], id, KW_KEY_ID_LEN);
    } else {
        p11->forget_all = true;
    }
    pthread_mutex_unlock(&p11->lock);
    if (first) {
        pool_supervisor_wake(member->pool);
    }
}

static void tell_forget(struct pool_p11_host *host, struct kw_span ids)
{
    uint8_t room[POOL_WIRE_FORGET_MAX * KW_KEY_ID_LEN + 64];
    struct kw_buf out = {room, 0, sizeof(room)};
    kw_status status = pool_wire_put_forget(&out, host->forget_all ? kw_span_of(NULL, 0) : ids);
    if (status == KW_OK) {
        status = pool_control_send(host->control, kw_buf_span(&out), -1);
    }
    /* its socket is full: later everything at once. A broken one shows itself elsewhere. */
    host->forget_all = status != KW_OK;
}

void pool_p11_pass_on_forget(struct pool_p11 *p11)
{
    uint8_t ids[POOL_WIRE_FORGET_MAX][KW_KEY_ID_LEN];
    pthread_mutex_lock(&p11->lock);
    unsigned count = p11->forget_count;
    bool all = p11->forget_all;
    memcpy(ids, p11->forget, count * sizeof(ids[0]));
    p11->forget_count = 0;
    p11->forget_all = false;
    pthread_mutex_unlock(&p11->lock);
    for (unsigned i = 0; i < p11->host_count; i++) {
        struct pool_p11_host *host = &p11->hosts[i];
        if (host->phase != POOL_P11_SERVING) {
            host->forget_all = false; /* a new process has no key */
            continue;
        }
        host->forget_all = host->forget_all || all;
        if (host->forget_all || count > 0) {
            tell_forget(host, kw_span_of(ids[0], count * sizeof(ids[0])));
        }
    }
}
