/* Supervisor's side: how long a start may take. While a library is loaded its host holds the lock
 * of the token store, and nobody else of that store can start. One that has hung there before is
 * given up early while others wait for the lock; when nobody waits it has all the time there is. */
#include "pool/pkcs11/member.h"

static bool others_wait(const struct pool_p11 *p11)
{
    const struct pool_member *other = NULL;
    while ((other = pool_next_of_kind(p11->member, other)) != NULL) {
        const struct pool_p11 *its = other->impl;
        for (unsigned i = 0; its != p11 && i < its->host_count; i++) {
            if (its->hosts[i].phase == POOL_P11_WAIT_LOCK) {
                return true;
            }
        }
    }
    return false;
}

bool pool_p11_start_is_late(const struct pool_p11 *p11, const struct pool_p11_host *host,
                            int64_t now_ns)
{
    if (now_ns >= host->phase_deadline_ns) {
        return true;
    }
    int64_t limit = pool_config(p11->member->pool)->hard_deadline_ns;
    return host->phase == POOL_P11_WAIT_HELLO && host->failures > 0 &&
           now_ns >= host->phase_deadline_ns - limit / 4 * 3 && others_wait(p11);
}
