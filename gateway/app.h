#pragma once
/* The composition root: every long-lived object, built and torn down in order by gateway/app.c.
 * Handlers reach the parts from their loop: gw_loop_app(req->loop). */

#include "gateway/auth/auth.h"
#include "gateway/config/config.h"
#include "gateway/obs/metrics.h"
#include "gateway/store/store.h"
#include "gateway/vault/keys.h"
#include "pool/pool.h"

#define GW_MAX_LOOPS 16

struct gw_app {
    struct gw_config *config;
    struct kc_domain *domain;
    struct store *store;
    struct pool *pool;
    struct vault *vault;
    struct gw_auth *auth;
    struct gw_metrics *metrics;
    struct gw_listener_set *listeners;
    struct gw_loop *loops[GW_MAX_LOOPS];
    unsigned loop_count;
    int64_t started_wall_s;
};
