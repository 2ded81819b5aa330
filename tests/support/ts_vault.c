#include "tests/support/ts_vault.h"

#include <stdio.h>
#include <stdlib.h>

static void need(kw_status status, const char *what)
{
    if (status == KW_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, kw_status_name(status));
    abort();
}

struct ts_vault *ts_vault_create(void)
{
    struct ts_vault *tv = calloc(1, sizeof *tv);
    struct pool_config config = {.workers = 1};
    char error[256] = "";
    if (!tv)
        abort();
    ts_dir_make(tv->dir);
    need(kc_lanes_init(), "kc_lanes_init");
    need(kc_domain_create(&tv->domain), "kc_domain_create");
    need(pool_create(&tv->pool, &config, tv->domain), "pool_create");
    need(pool_port_create(&tv->port, tv->pool), "pool_port_create");
    need(ts_store_open(&tv->store, tv->dir, error, sizeof error), error);
    tv->loop = ts_loop_create();
    ts_loop_set_port(tv->loop, tv->port, pool_port_fd(tv->port), pool_port_run);
    need(vault_create_with(&tv->vault, tv->store, tv->pool, tv->domain, ts_loop_port, 1024),
         "vault_create_with");
    return tv;
}

void ts_vault_destroy(struct ts_vault *tv)
{
    vault_destroy(tv->vault);
    store_close(tv->store);
    ts_loop_destroy(tv->loop);
    pool_port_destroy(tv->port);
    pool_destroy(tv->pool);
    kc_domain_destroy(tv->domain);
    ts_dir_remove(tv->dir);
    free(tv);
}

void ts_key_take(void *ctx, kw_status status, struct vault_key *key)
{
    struct ts_key_answer *answer = ctx;
    answer->calls++;
    answer->status = status;
    answer->key = key ? vault_key_ref(key) : NULL;
    answer->done = true;
}

kw_status ts_key_finish(struct ts_vault *tv, struct ts_key_answer *answer, struct vault_key **key)
{
    if (!ts_loop_run_until(tv->loop, &answer->done, 60000))
        abort();
    if (key)
        *key = answer->key;
    else
        vault_key_unref(answer->key);
    return answer->status;
}

kw_status ts_key_create(struct ts_vault *tv, const char *name, enum kw_kty kty,
                        struct vault_key **key)
{
    struct ts_key_answer answer = {0};
    struct vault_key_request req = {
        .vault = "v",
        .name = name,
        .kty = kty,
        .curve = kty == KW_KTY_EC ? KW_CURVE_P256 : KW_CURVE_NONE,
        .bits = kty == KW_KTY_RSA ? 2048 : 256,
        .exponent = kty == KW_KTY_RSA ? 65537 : 0,
        .ops = 0x3f,
        .attributes = {.enabled = true},
    };
    vault_key_create(tv->vault, ts_loop_handle(tv->loop), &req, ts_key_take, &answer);
    return ts_key_finish(tv, &answer, key);
}

kw_status ts_key_get(struct ts_vault *tv, const char *name, const char *version,
                     struct vault_key **key)
{
    struct ts_key_answer answer = {0};
    vault_key_get(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str(name),
                  kw_span_str(version ? version : ""), ts_key_take, &answer);
    return ts_key_finish(tv, &answer, key);
}

kw_status ts_key_delete(struct ts_vault *tv, const char *name)
{
    struct ts_key_answer answer = {0};
    vault_key_delete(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str(name), 90, ts_key_take,
                     &answer);
    return ts_key_finish(tv, &answer, NULL);
}

kw_status ts_key_enable(struct ts_vault *tv, const char *name, const char *version, bool enabled)
{
    struct ts_key_answer answer = {0};
    struct vault_key_change change = {.common = {.has_enabled = true, .enabled = enabled}};
    vault_key_update(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str(name),
                     kw_span_str(version ? version : ""), &change, ts_key_take, &answer);
    return ts_key_finish(tv, &answer, NULL);
}
