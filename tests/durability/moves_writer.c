/* Moves objects about without an end: delete, recover, purge, restore, rotate, over and over, and
 * says on standard output what it begins and what was acknowledged, one write() per line:
 *   begin OP NAME | done OP NAME
 * Objects key-0.. are keys with a rotation policy, cert-0.. are certificates with key and secret.
 * Arguments: directory, seed. The domain is the same in every run. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/vault/archive/backup.h"
#include "gateway/vault/keys/rotation.h"
#include "gateway/vault/lifecycle.h"
#include "gateway/vault/seal.h"
#include "tests/durability/moves.h"
#include "tests/support/ts_vault.h"

struct world {
    struct ts_vault tv;
    bool done; /* of the call that is waited for */
    kw_status status;
    uint8_t *blob; /* what the last backup gave */
    size_t blob_len;
};

static void fail(const char *what, kw_status status)
{
    fprintf(stderr, "%s: %s\n", what, kw_status_name(status));
    _exit(5);
}

static void need(kw_status status, const char *what)
{
    if (status != KW_OK)
        fail(what, status);
}

static void say(const char *phase, const char *op, const char *name)
{
    char line[64];
    int len = snprintf(line, sizeof line, "%s %s %s\n", phase, op, name);
    if (write(STDOUT_FILENO, line, (size_t)len) != len)
        _exit(3);
}

static void wait_done(struct world *w, const char *what)
{
    if (!ts_loop_run_until(w->tv.loop, &w->done, 30000))
        fail(what, KW_E_DEADLINE);
    need(w->status, what);
    w->done = false;
}

static void on_store(void *ctx, struct store_result *result)
{
    struct world *w = ctx;
    w->done = true;
    w->status = result->status;
}

static void on_key(void *ctx, kw_status status, struct vault_key *key)
{
    struct world *w = ctx;
    (void)key;
    w->done = true;
    w->status = status;
}

static void on_policy(void *ctx, kw_status status, const struct vault_rotation_policy *policy,
                      const char *why)
{
    (void)policy;
    (void)why;
    on_key(ctx, status, NULL);
}

static void on_backup(void *ctx, kw_status status, struct kw_span blob)
{
    struct world *w = ctx;
    free(w->blob);
    w->blob = malloc(blob.len ? blob.len : 1);
    memcpy(w->blob, blob.data ? (const void *)blob.data : "", blob.len);
    w->blob_len = blob.len;
    on_key(ctx, status, NULL);
}

static void on_restored(void *ctx, const struct vault_restored *what)
{
    on_key(ctx, what->status, NULL);
}

/* --- objects --- */

static const enum store_kind of_certificate[] = {STORE_CERTIFICATE, STORE_KEY, STORE_SECRET};

static enum store_kind kind_of(const char *name)
{
    return name[0] == 'k' ? STORE_KEY : STORE_CERTIFICATE;
}

static struct store_ref ref_of(enum store_kind kind, const char *name)
{
    return (struct store_ref){.vault = "v", .kind = kind, .name = name};
}

/** A new version of certificate, key and secret under one id, as a renewal makes it. */
static void put_certificate(struct world *w, const char *name)
{
    struct store_change changes[3];
    uint8_t id[16], *records[3];
    char version[STORE_VERSION_LEN + 1];
    need(kw_random(id, sizeof id), "random");
    vault_version_text(version, id);
    for (size_t i = 0; i < 3; i++) {
        size_t len = 0;
        struct store_ref ref = ref_of(of_certificate[i], name);
        ref.version = version;
        need(vault_seal_at(w->tv.domain, &ref, kw_span_str("what is kept"), &records[i], &len),
             "seal");
        changes[i] = (struct store_change){.op = STORE_CHANGE_PUT,
                                           .ref = ref,
                                           .created = 1,
                                           .record = kw_span_of(records[i], len)};
    }
    store_apply(w->tv.store, ts_loop_handle(w->tv.loop), changes, 3, on_store, w);
    wait_done(w, "renew");
    for (size_t i = 0; i < 3; i++)
        free(records[i]);
}

static void make(struct world *w, const char *name)
{
    struct gw_loop *loop = ts_loop_handle(w->tv.loop);
    struct vault_rotation_change policy = {.has_expiry = true};
    if (kind_of(name) == STORE_CERTIFICATE) {
        put_certificate(w, name);
        return;
    }
    need(ts_key_create(&w->tv, name, KW_KTY_EC, NULL), "create");
    if (!vault_duration_parse(&policy.values.expiry, kw_span_str("P90D")))
        fail("duration", KW_E_INPUT);
    vault_rotation_set(w->tv.vault, loop, "v", kw_span_str(name), &policy, on_policy, w);
    wait_done(w, "policy");
}

static void run_op(struct world *w, enum move move, const char *name)
{
    struct gw_loop *loop = ts_loop_handle(w->tv.loop);
    struct store_ref ref = ref_of(kind_of(name), name);
    struct vault *vault = w->tv.vault;
    switch (move) {
    case MOVE_DELETE:
        vault_ref_delete(vault, loop, &ref, 90, on_store, w);
        break;
    case MOVE_RECOVER:
        vault_ref_recover(vault, loop, &ref, on_store, w);
        break;
    case MOVE_PURGE:
        vault_ref_purge(vault, loop, &ref, on_store, w);
        break;
    case MOVE_RESTORE:
        vault_restore(vault, loop, "v", ref.kind, kw_span_of(w->blob, w->blob_len), on_restored, w);
        break;
    case MOVE_ROTATE:
        if (ref.kind == STORE_CERTIFICATE) {
            put_certificate(w, name);
            return;
        }
        vault_key_rotate(vault, loop, "v", kw_span_str(name), on_key, w);
        break;
    case MOVE_COUNT:
        break;
    }
    wait_done(w, move_names[move]);
}

/** One move with its two lines. */
static void step(struct world *w, enum move move, const char *name)
{
    say("begin", move_names[move], name);
    run_op(w, move, name);
    say("done", move_names[move], name);
}

static bool is_in(struct world *w, const char *name, bool deleted)
{
    struct ts_answer answer = {0};
    struct store_ref ref = ref_of(kind_of(name), name);
    struct gw_loop *loop = ts_loop_handle(w->tv.loop);
    if (deleted)
        store_get_deleted(w->tv.store, loop, &ref, ts_answer_take, &answer);
    else
        store_get(w->tv.store, loop, &ref, ts_answer_take, &answer);
    if (!ts_loop_run_until(w->tv.loop, &answer.done, 30000))
        fail("get", KW_E_DEADLINE);
    kw_status status = answer.result.status;
    ts_answer_clear(&answer);
    return status == KW_OK;
}

/** Once round: whatever an object is now, it goes on from there. */
static void turn(struct world *w, const char *name)
{
    struct store_ref ref = ref_of(kind_of(name), name);
    if (is_in(w, name, true))
        step(w, rand() % 2 ? MOVE_RECOVER : MOVE_PURGE, name);
    if (!is_in(w, name, false) && !is_in(w, name, true))
        make(w, name);
    step(w, MOVE_ROTATE, name);
    vault_backup(w->tv.vault, ts_loop_handle(w->tv.loop), &ref, on_backup, w);
    wait_done(w, "backup");
    step(w, MOVE_DELETE, name);
    if (rand() % 2) {
        step(w, MOVE_RECOVER, name);
        step(w, MOVE_DELETE, name);
    }
    step(w, MOVE_PURGE, name);
    step(w, MOVE_RESTORE, name);
}

static void open_world(struct world *w, const char *dir)
{
    static const uint8_t domain_key[KC_DOMAIN_KEY_LEN] = "the domain of this test";
    struct pool_config config = {.workers = 1};
    struct ts_vault *tv = &w->tv;
    char error[256] = "";
    need(kc_lanes_init(), "lanes");
    need(kc_domain_open(&tv->domain, kw_span_of(domain_key, sizeof domain_key)), "domain");
    need(pool_create(&tv->pool, &config, tv->domain), "pool");
    need(pool_port_create(&tv->port, tv->pool), "port");
    need(ts_store_open(&tv->store, dir, error, sizeof error), error);
    tv->loop = ts_loop_create();
    ts_loop_set_port(tv->loop, tv->port, pool_port_fd(tv->port), pool_port_run);
    need(vault_create_with(&tv->vault, tv->store, tv->pool, tv->domain, ts_loop_port, 64), "vault");
}

int main(int argc, char **argv)
{
    struct world w = {0};
    char name[16];
    if (argc != 3)
        return 2;
    srand((unsigned)strtoul(argv[2], NULL, 10));
    open_world(&w, argv[1]);
    say("begin", "all", "-");
    for (;;) {
        snprintf(name, sizeof name, "%s-%d", rand() % 2 ? "key" : "cert", rand() % MOVES_OBJECTS);
        turn(&w, name);
    }
}
