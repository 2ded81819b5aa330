#include "pool/pkcs11/member.h"

#include <stdio.h>
#include <stdlib.h>

#include "pool/pkcs11/control.h"
#include "pool/pkcs11/join.h"

#define SESSIONS_DEFAULT 8u

static void destroy(struct pool_member *member)
{
    struct pool_p11 *p11 = member->impl;
    if (p11 == NULL) {
        return;
    }
    pool_p11_stop(p11);
    pool_p11_end_inventory(p11);
    pool_p11_probe_destroy(p11);
    kw_secret_free(p11->room);
    pthread_mutex_destroy(&p11->lock);
    free(p11);
    member->impl = NULL;
}

static kw_status create(struct pool_member *member, const struct pool_member_config *config)
{
    const struct pool_config *pool = pool_config(member->pool);
    if (config->module == NULL || config->pin_file == NULL || pool->state_dir == NULL ||
        config->hosts > POOL_P11_HOSTS_MAX || config->sessions > 1024 ||
        config->loaded_keys > POOL_WIRE_KEYS_MAX) {
        return KW_E_INPUT;
    }
    struct pool_p11 *p11 = calloc(1, sizeof(*p11));
    if (p11 == NULL) {
        return KW_E_NOMEM;
    }
    pthread_mutex_init(&p11->lock, NULL);
    p11->member = member;
    member->impl = p11;
    p11->host_count = config->hosts == 0 ? 1 : config->hosts;
    p11->attempts_left = -1;
    for (unsigned i = 0; i < p11->host_count; i++) {
        p11->hosts[i].number = i;
        p11->hosts[i].control = p11->hosts[i].probe_fd = -1;
        p11->hosts[i].sessions = config->sessions == 0 ? SESSIONS_DEFAULT : config->sessions;
    }
    p11->room = kw_secret_alloc(POOL_CONTROL_MAX);
    kw_status status = p11->room == NULL ? KW_E_NOMEM : pool_p11_probe_create(p11);
    if (status == KW_OK) {
        status = pool_domain_check(p11->domain, pool_domain(member->pool));
    }
    if (status == KW_OK) {
        atomic_store(&p11->join, pool_join_ordered(pool->state_dir, config->name, p11->domain));
    } else {
        destroy(member);
    }
    return status;
}

/** Public-key work belongs to the core; what the token refused once is not asked of it again. */
static bool can(const struct pool_member *member, const struct pool_op *op)
{
    const struct pool_p11 *p11 = member->impl;
    if (op->lane.kind == KW_KIND_GENERATE || op->lane.kind == KW_KIND_RANDOM) {
        return true;
    }
    /* what the host adds to an input (tag, padding, check value) must fit as well */
    if (op->lane.in.len > POOL_WIRE_DATA_MAX - 64 || op->lane.aad.len > POOL_WIRE_DATA_MAX) {
        return false;
    }
    uint64_t unable = atomic_load_explicit(&p11->unable[op->lane.kind], memory_order_relaxed);
    return (unable >> op->lane.alg & 1) == 0;
}

static void stats(struct pool_member *member, struct pool_member_stats *out)
{
    struct pool_p11 *p11 = member->impl;
    pthread_mutex_lock(&p11->lock);
    snprintf(out->token_label, sizeof(out->token_label), "%s", p11->token.label);
    snprintf(out->token_serial, sizeof(out->token_serial), "%s", p11->token.serial);
    snprintf(out->manufacturer, sizeof(out->manufacturer), "%s", p11->token.manufacturer);
    snprintf(out->model, sizeof(out->model), "%s", p11->token.model);
    snprintf(out->firmware, sizeof(out->firmware), "%s", p11->token.firmware);
    out->login_attempts_left = p11->attempts_left;
    out->host_pid = (uint64_t)p11->pid;
    pthread_mutex_unlock(&p11->lock);
}

/** Hosts are killed and reaped in the supervisor's own time: one that is stuck in a driver does not
 *  keep it from the other members. */
static bool retire(struct pool_member *member, int64_t now_ns, bool for_good)
{
    struct pool_p11 *p11 = member->impl;
    bool gone = true;
    for (unsigned i = 0; i < p11->host_count; i++) {
        if (p11->hosts[i].phase != POOL_P11_IDLE && p11->hosts[i].phase != POOL_P11_DYING) {
            pool_p11_kill_host(p11, &p11->hosts[i], "the member leaves the group");
        }
    }
    pool_p11_supervise(member, now_ns);
    for (unsigned i = 0; i < p11->host_count; i++) {
        gone = gone && p11->hosts[i].phase == POOL_P11_IDLE;
    }
    if (gone && for_good) {
        /* who is joined under this name next is a new member */
        (void)!pool_identity_remove(pool_config(member->pool)->state_dir, member->config.name);
        (void)!pool_join_end(pool_config(member->pool)->state_dir, member->config.name);
    }
    return gone;
}

static kw_status command(struct pool_member *member, enum pool_command command)
{
    struct pool_p11 *p11 = member->impl;
    switch (command) {
    case POOL_CMD_REPLACE:
        if (pool_member_health(member) != POOL_HEALTH_MISMATCHED) {
            return KW_E_CONFLICT;
        }
        atomic_store(&p11->join, true);
        return KW_OK;
    case POOL_CMD_ZEROIZE:
        if (pool_member_health(member) < POOL_HEALTH_WARMING ||
            pool_member_health(member) > POOL_HEALTH_SUSPECT) {
            return KW_E_CONFLICT; /* nobody is logged in who could do it */
        }
        atomic_store(&p11->zeroize, true);
        return KW_OK;
    case POOL_CMD_ACTIVATE:
        return atomic_load(&p11->zeroize) ? KW_E_CONFLICT : KW_OK;
    case POOL_CMD_SYNC:
        pthread_mutex_lock(&p11->lock);
        p11->forget_all = true;
        pthread_mutex_unlock(&p11->lock);
        pool_member_read_anew(member);
        return KW_OK;
    default:
        return KW_OK;
    }
}

const struct pool_member_type pool_member_pkcs11 = {
    .kind = "pkcs11",
    .depth_min = 1,
    .depth_max = 2,
    .create = create,
    .destroy = destroy,
    .attach = pool_p11_attach,
    .detach = pool_p11_detach,
    .submit = pool_p11_submit,
    .abandon = pool_p11_abandon,
    .flush = pool_p11_flush,
    .ready = pool_p11_ready,
    .expire = pool_p11_expire,
    .can = can,
    .supervise = pool_p11_supervise,
    .stats = stats,
    .retire = retire,
    .forget = pool_p11_forget,
    .command = command,
    .inventory = pool_p11_inventory,
};
