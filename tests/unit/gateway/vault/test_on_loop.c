/* The same calls as the program makes them: store_open_sqlite, vault_create, real event loops. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "gateway/app.h"
#include "tests/support/ts_store.h"

#define ROUNDS 20

struct client {
    struct gw_app *app;
    struct gw_loop *loop;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
    unsigned round, failed;
    char name[8];
};

static void finish(struct client *client)
{
    pthread_mutex_lock(&client->lock);
    client->done = true;
    pthread_cond_signal(&client->ended);
    pthread_mutex_unlock(&client->lock);
}

static void start_round(void *arg);

static void on_deleted(void *ctx, kw_status status, struct vault_key *key)
{
    (void)status;
    (void)key;
    finish(ctx);
}

static void on_updated(void *ctx, kw_status status, struct vault_key *key)
{
    struct client *client = ctx;
    struct vault *vault = client->app->vault;
    if (status != KW_OK || key->attributes.enabled)
        client->failed++;
    /* whatever the other loop does: after this answer the version is disabled for everybody */
    if (status == KW_OK) {
        struct vault_key *seen =
            vault_key_peek(vault, "v", kw_span_str(client->name), kw_span_str(key->version));
        if (seen && seen->attributes.enabled)
            client->failed++;
        vault_key_unref(seen);
    }
    if (++client->round < ROUNDS)
        start_round(client);
    else
        vault_key_delete(vault, client->loop, "v", kw_span_str("gone"), 90, on_deleted, client);
}

static void on_created(void *ctx, kw_status status, struct vault_key *key)
{
    struct client *client = ctx;
    struct vault_key_change change = {.common = {.has_enabled = true, .enabled = false}};
    if (status != KW_OK) {
        client->failed++;
        finish(client);
        return;
    }
    vault_key_update(client->app->vault, client->loop, "v", kw_span_str(client->name),
                     kw_span_str(key->version), &change, on_updated, client);
}

static void start_round(void *arg)
{
    struct client *client = arg;
    struct vault_key_request req = {.vault = "v",
                                    .name = client->name,
                                    .kty = KW_KTY_OCT,
                                    .bits = 256,
                                    .ops = 0x3f,
                                    .attributes = {.enabled = true}};
    vault_key_create(client->app->vault, client->loop, &req, on_created, client);
}

static void test_two_loops(void **state)
{
    struct gw_app app = {0};
    struct client clients[2] = {0};
    struct pool_config config = {.workers = 1};
    char dir[64], error[256] = "";
    (void)state;
    ts_dir_make(dir);
    assert_int_equal(kc_lanes_init(), KW_OK);
    assert_int_equal(store_open_sqlite(&app.store, dir, error, sizeof error), KW_OK);
    assert_int_equal(kc_domain_create(&app.domain), KW_OK);
    assert_int_equal(pool_create(&app.pool, &config, app.domain), KW_OK);
    assert_int_equal(vault_create(&app.vault, app.store, app.pool, app.domain), KW_OK);
    for (unsigned i = 0; i < 2; i++) {
        clients[i] = (struct client){.app = &app,
                                     .loop = gw_loop_create(&app, i),
                                     .lock = PTHREAD_MUTEX_INITIALIZER,
                                     .ended = PTHREAD_COND_INITIALIZER,
                                     .name = "shared"};
        assert_non_null(clients[i].loop);
        assert_int_equal(gw_loop_start(clients[i].loop), KW_OK);
        assert_int_equal(gw_loop_post(clients[i].loop, start_round, &clients[i]), KW_OK);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_mutex_lock(&clients[i].lock);
        while (!clients[i].done)
            pthread_cond_wait(&clients[i].ended, &clients[i].lock);
        pthread_mutex_unlock(&clients[i].lock);
        assert_int_equal(clients[i].failed, 0);
        assert_int_equal(clients[i].round, ROUNDS);
    }
    for (unsigned i = 0; i < 2; i++) {
        gw_loop_drain(clients[i].loop, 1000);
        gw_loop_join(clients[i].loop);
    }
    store_close(app.store);
    for (unsigned i = 0; i < 2; i++)
        gw_loop_destroy(clients[i].loop);
    vault_destroy(app.vault);
    pool_destroy(app.pool);
    kc_domain_destroy(app.domain);
    ts_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_loops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
