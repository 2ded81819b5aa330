/* Supervisor's side: an operator wants what is ours on a token destroyed. The member drains, one
 * host does it and counts what is left, every host ends, and the member stays out of the group
 * until an operator activates it. A host that dies over it is followed by one that is asked again.
 */
#include "pool/pkcs11/member.h"

#include <stdio.h>

#include "crypto/base/clock.h"
#include "pool/pkcs11/control.h"

static struct pool_p11_host *worker(struct pool_p11 *p11)
{
    for (unsigned i = 0; i < p11->host_count; i++) {
        if (p11->hosts[i].phase == POOL_P11_SERVING) {
            return &p11->hosts[i];
        }
    }
    return NULL;
}

void pool_p11_run_zeroize(struct pool_p11 *p11)
{
    struct pool_p11_host *host = worker(p11);
    uint8_t room[16];
    struct kw_buf out = {room, 0, sizeof(room)};
    if (!atomic_load(&p11->zeroize) || host == NULL || host->zeroize_sent ||
        atomic_load(&p11->member->in_flight) > 0) {
        return;
    }
    host->zeroize_sent = true;
    if (pool_wire_put_plain(&out, POOL_WIRE_ZEROIZE) != KW_OK ||
        pool_control_send(host->control, kw_buf_span(&out), -1) != KW_OK) {
        pool_p11_kill_host(p11, host, "the host does not take requests");
    }
}

void pool_p11_on_zeroized(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body)
{
    struct pool_wire_zeroized msg;
    char why[128];
    if (!atomic_load(&p11->zeroize) || !host->zeroize_sent ||
        pool_wire_get_zeroized(body, &msg) != KW_OK) {
        pool_p11_start_failed(p11, host, "the host broke the protocol");
        return;
    }
    atomic_store(&p11->zeroize, false);
    for (unsigned i = 0; i < p11->host_count; i++) {
        if (p11->hosts[i].phase != POOL_P11_IDLE && p11->hosts[i].phase != POOL_P11_DYING) {
            pool_p11_kill_host(p11, &p11->hosts[i], "the member was zeroized");
        }
    }
    if (msg.left > 0) {
        snprintf(why, sizeof(why), "zeroize failed: %u objects destroyed, %u left on the token",
                 msg.destroyed, msg.left);
    } else if (pool_identity_remove(pool_config(p11->member->pool)->state_dir,
                                    p11->member->config.name) != KW_OK) {
        snprintf(why, sizeof(why), "zeroize failed: the member's record cannot be removed");
    } else {
        snprintf(why, sizeof(why), "zeroized: %u objects destroyed on the token, none left",
                 msg.destroyed);
    }
    pool_member_park(p11->member, why);
}
