/* Real member hosts (this program itself, started as `member-host`) over real SoftHSM tokens,
 * driven through the pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "pool/member.h"
#include "pool/pkcs11/member.h"
#include "pool/pool.h"
#include "pool/pool_impl.h"
#include "tests/support/softhsm.h"

/* --- the bench --- */

static struct softhsm hsm;
static struct kc_domain *domain;
static char pin_a[128], pin_b[128];

struct bench {
    struct pool *pool;
    struct pool_port *port;
};

static _Atomic int refused, started, ended, suspected;

static void on_event(void *ctx, const struct pool_event *event)
{
    (void)ctx;
    refused += event->type == POOL_EVENT_LOGIN_REFUSED;
    started += event->type == POOL_EVENT_HOST_STARTED;
    ended += event->type == POOL_EVENT_HOST_ENDED;
    suspected += event->to != NULL && strcmp(event->to, "suspect") == 0;
    if (getenv("TEST_VERBOSE") != NULL) {
        fprintf(stderr, "event %d %s %s->%s %s %lld\n", (int)event->type, event->member,
                event->from ? event->from : "", event->to ? event->to : "",
                event->reason ? event->reason : "", (long long)event->number);
    }
}

static struct pool_member_config member_of(const char *name, const char *pin_file)
{
    struct pool_member_config config = {.kind = POOL_MEMBER_PKCS11,
                                        .module = SOFTHSM_MODULE,
                                        .token_label = name,
                                        .pin_file = pin_file,
                                        .sessions = 4,
                                        .hosts = 1};
    snprintf(config.name, sizeof(config.name), "%s", name);
    return config;
}

static void bench_open(struct bench *bench, const struct pool_member_config *members, size_t count,
                       int64_t soft_ns, int64_t hard_ns)
{
    struct pool_config config = {.members = members,
                                 .member_count = count,
                                 .workers = 1,
                                 .soft_deadline_ns = soft_ns,
                                 .hard_deadline_ns = hard_ns,
                                 .recovery_retries = -1,
                                 .recovery_interval_ns = KW_MS(200),
                                 .state_dir = hsm.state,
                                 .observer = {on_event, NULL}};
    assert_int_equal(pool_create(&bench->pool, &config, domain), KW_OK);
    assert_int_equal(pool_port_create(&bench->port, bench->pool), KW_OK);
}

static void bench_close(struct bench *bench)
{
    pool_port_destroy(bench->port);
    pool_destroy(bench->pool);
}

static void turn(struct bench *bench, int wait_ms)
{
    struct pollfd wait = {.fd = pool_port_fd(bench->port), .events = POLLIN};
    pool_port_run(bench->port);
    poll(&wait, 1, wait_ms);
    pool_port_run(bench->port);
}

static const struct pool_member_stats *stats_of(struct bench *bench, const char *name)
{
    static struct pool_stats stats;
    pool_stats_read(bench->pool, &stats);
    for (size_t i = 0; i < stats.member_count; i++) {
        if (strcmp(stats.members[i].name, name) == 0) {
            return &stats.members[i];
        }
    }
    fail();
    return NULL;
}

/* Waits until the member's health is one of the two. */
static void await(struct bench *bench, const char *name, const char *health, const char *or_health)
{
    int64_t limit = kw_now_ns() + KW_S(30);
    while (kw_now_ns() < limit) {
        const char *now = stats_of(bench, name)->health;
        if (strcmp(now, health) == 0 || strcmp(now, or_health) == 0) {
            return;
        }
        turn(bench, 5);
    }
    fail_msg("%s is %s (%s), not %s", name, stats_of(bench, name)->health,
             stats_of(bench, name)->reason, health);
}

static void await_serving(struct bench *bench, const char *name)
{
    await(bench, name, "up", "warming");
}

static void on_done(struct pool_op *op)
{
    *(bool *)op->owner = true;
}

/* Runs one operation to its end. */
static kw_status run(struct bench *bench, struct pool_op *op)
{
    bool done = false;
    op->on_done = on_done;
    op->owner = &done;
    op->state = 0;
    op->deadline_ns = kw_now_ns() + KW_S(60);
    kw_status status = pool_submit(bench->port, op);
    if (status != KW_OK) {
        return status;
    }
    while (!done) {
        turn(bench, 50);
    }
    return op->lane.status;
}

static uint8_t out_room[4096];

static kw_status run_key(struct bench *bench, struct pool_op *op, struct pool_key *key,
                         enum kw_kind kind, enum kw_alg alg, struct kw_span in)
{
    op->key = key;
    op->lane.kind = kind;
    op->lane.alg = alg;
    op->lane.in = in;
    op->lane.out = (struct kw_buf){out_room, 0, sizeof(out_room)};
    return run(bench, op);
}

/* Only this member may serve from now on. */
static void only(struct bench *bench, const char *name, const char *other)
{
    assert_int_equal(pool_member_command(bench->pool, other, POOL_CMD_DRAIN), KW_OK);
    assert_int_equal(pool_member_command(bench->pool, name, POOL_CMD_ACTIVATE), KW_OK);
    for (int i = 0; i < 200 && (!stats_of(bench, name)->serving || stats_of(bench, other)->serving);
         i++) {
        turn(bench, 5);
    }
    assert_true(stats_of(bench, name)->serving);
    assert_false(stats_of(bench, other)->serving);
}

/* --- keys --- */

static struct pool_key *generate(struct bench *bench, enum kw_kty kty, unsigned bits,
                                 enum kw_curve curve)
{
    static uint8_t serial;
    struct pool_generated made;
    struct pool_op op = {.lane = {.kind = KW_KIND_GENERATE}};
    op.generate.kty = kty;
    op.generate.bits = bits;
    op.generate.curve = curve;
    op.generate.exponent = 65537;
    op.generate.hsm = true;
    op.generate.key_id[0] = ++serial;
    op.generate.key_id[1] = 0x77;
    op.generate.out = &made;
    assert_int_equal(run(bench, &op), KW_OK);
    struct pool_key_desc desc = {
        .hsm = true, .pub = made.pub, .blob = kw_span_of(made.blob, made.blob_len)};
    memcpy(desc.id, op.generate.key_id, sizeof(desc.id));
    struct pool_key *key = NULL;
    assert_int_equal(pool_key_create(&key, bench->pool, &desc), KW_OK);
    return key;
}

/* The same key twice: in the members, and by the core. */
static void import(struct bench *bench, const struct kc_key *from, struct pool_key **in_hsm,
                   struct pool_key **in_core)
{
    static uint8_t serial;
    uint8_t id[KW_KEY_ID_LEN] = {++serial, 0x99}, room[KC_BLOB_MAX];
    for (int soft = 0; soft < 2; soft++) {
        struct kw_buf blob = {room, 0, sizeof(room)};
        id[2] = (uint8_t)soft;
        assert_int_equal(pool_key_wrap(bench->pool, id, from, !soft, &blob), KW_OK);
        struct pool_key_desc desc = {
            .hsm = !soft, .pub = *kc_key_public(from), .blob = kw_buf_span(&blob)};
        memcpy(desc.id, id, sizeof(id));
        assert_int_equal(pool_key_create(soft ? in_core : in_hsm, bench->pool, &desc), KW_OK);
    }
}

static uint8_t text[512];

static void fill_text(void)
{
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t)(i * 7 + 3);
    }
}

/* Signs in the member, verifies by the core. */
static void sign_and_verify(struct bench *bench, struct pool_key *key, struct pool_key *public,
                            enum kw_alg alg, const char *member)
{
    struct pool_op op = {0};
    size_t len = kw_alg_info(alg)->digest_len;
    struct kw_span in = kw_span_of(text, len == 0 ? 32 : len);
    kw_status status = run_key(bench, &op, key, KW_KIND_SIGN, alg, in);
    if (status != KW_OK) {
        fail_msg("sign alg %d: %s", (int)alg, kw_status_name(status));
    }
    if (member != NULL) {
        assert_string_equal(op.served_by, member);
    }
    uint8_t sig[KW_RSA_MAX_BYTES];
    size_t sig_len = op.lane.out.len;
    memcpy(sig, out_room, sig_len);
    struct pool_op check = {.lane = {.sig = kw_span_of(sig, sig_len)}};
    assert_int_equal(run_key(bench, &check, public, KW_KIND_VERIFY, alg, in), KW_OK);
    assert_true(check.lane.valid);
    sig[sig_len / 2] ^= 1;
    struct pool_op wrong = {.lane = {.sig = kw_span_of(sig, sig_len)}};
    kw_status verdict = run_key(bench, &wrong, public, KW_KIND_VERIFY, alg, in);
    assert_true(verdict != KW_OK || !wrong.lane.valid);
}

/* Encrypts on one side, decrypts on the other; a damaged text is KW_E_CRYPTO and nothing else. */
static void there_and_back(struct bench *bench, struct pool_key *from, struct pool_key *to,
                           enum kw_alg alg, bool wrap, size_t len, bool authentic)
{
    uint8_t iv[16] = {1, 2, 3}, wrapped[1024];
    size_t iv_len = kw_alg_info(alg)->family == KW_FAMILY_AES_GCM      ? 12
                    : kw_alg_info(alg)->family == KW_FAMILY_AES_CBC    ? 16
                    : kw_alg_info(alg)->family == KW_FAMILY_AES_CBCPAD ? 16
                                                                       : 0;
    struct pool_op op = {.lane = {.iv = kw_span_of(iv, iv_len)}};
    if (iv_len == 12) {
        op.lane.aad = kw_span_str("bound");
    }
    kw_status status = run_key(bench, &op, from, wrap ? KW_KIND_WRAP : KW_KIND_ENCRYPT, alg,
                               kw_span_of(text, len));
    if (status != KW_OK) {
        fail_msg("encrypt alg %d len %zu: %s", (int)alg, len, kw_status_name(status));
    }
    size_t wrapped_len = op.lane.out.len;
    assert_true(wrapped_len <= sizeof(wrapped));
    memcpy(wrapped, out_room, wrapped_len);
    struct pool_op back = {.lane = {.iv = op.lane.iv, .aad = op.lane.aad}};
    memcpy(back.lane.tag, op.lane.tag, sizeof(back.lane.tag));
    enum kw_kind undo = wrap ? KW_KIND_UNWRAP : KW_KIND_DECRYPT;
    status = run_key(bench, &back, to, undo, alg, kw_span_of(wrapped, wrapped_len));
    if (status != KW_OK) {
        fail_msg("decrypt alg %d len %zu: %s", (int)alg, len, kw_status_name(status));
    }
    assert_int_equal(back.lane.out.len, len);
    assert_memory_equal(out_room, text, len);
    if (!authentic) {
        return;
    }
    wrapped[wrapped_len - 1] ^= 0x80;
    struct pool_op poison = {.lane = {.iv = op.lane.iv, .aad = op.lane.aad}};
    memcpy(poison.lane.tag, op.lane.tag, sizeof(poison.lane.tag));
    assert_int_equal(run_key(bench, &poison, to, undo, alg, kw_span_of(wrapped, wrapped_len)),
                     KW_E_CRYPTO);
}

/* --- tests --- */

static const enum kw_alg rsa_signatures[] = {KW_ALG_RS256, KW_ALG_RS384, KW_ALG_RS512, KW_ALG_PS256,
                                             KW_ALG_PS384, KW_ALG_PS512, KW_ALG_RSNULL};
static const enum kw_alg rsa_ciphers[] = {KW_ALG_RSA1_5, KW_ALG_RSA_OAEP, KW_ALG_RSA_OAEP_256};

static void rsa_everything(struct bench *bench, struct pool_key *key, const char *member)
{
    for (size_t i = 0; i < sizeof(rsa_signatures) / sizeof(rsa_signatures[0]); i++) {
        sign_and_verify(bench, key, key, rsa_signatures[i], member);
    }
    for (size_t i = 0; i < sizeof(rsa_ciphers) / sizeof(rsa_ciphers[0]); i++) {
        there_and_back(bench, key, key, rsa_ciphers[i], false, 32, true);
        there_and_back(bench, key, key, rsa_ciphers[i], true, 1, true);
    }
}

static void a_key_made_on_one_token_serves_on_the_other(void **state)
{
    (void)state;
    struct bench bench;
    struct pool_member_config members[] = {member_of("tok-a", pin_a), member_of("tok-b", pin_b)};
    bench_open(&bench, members, 2, KW_S(5), KW_S(30));
    await_serving(&bench, "tok-a");
    await_serving(&bench, "tok-b");
    assert_string_equal(stats_of(&bench, "tok-a")->token_label, "tok-a");
    assert_true(stats_of(&bench, "tok-a")->host_pid > 1);
    static const struct {
        enum kw_curve curve;
        enum kw_alg alg;
    } curves[] = {{KW_CURVE_P256, KW_ALG_ES256},
                  {KW_CURVE_P384, KW_ALG_ES384},
                  {KW_CURVE_P521, KW_ALG_ES512},
                  {KW_CURVE_P256K, KW_ALG_ES256K}};
    only(&bench, "tok-a", "tok-b");
    struct pool_key *rsa = generate(&bench, KW_KTY_RSA, 2048, KW_CURVE_NONE);
    struct pool_key *ec[4], *oct = generate(&bench, KW_KTY_OCT, 256, KW_CURVE_NONE);
    for (int i = 0; i < 4; i++) {
        ec[i] = generate(&bench, KW_KTY_EC, 0, curves[i].curve);
        sign_and_verify(&bench, ec[i], ec[i], curves[i].alg, "tok-a");
    }
    rsa_everything(&bench, rsa, "tok-a");
    /* wrapped on one, unwrapped on the other */
    struct pool_op op = {0};
    assert_int_equal(run_key(&bench, &op, oct, KW_KIND_WRAP, KW_ALG_A256KW, kw_span_of(text, 32)),
                     KW_OK);
    uint8_t wrapped[40];
    assert_int_equal(op.lane.out.len, sizeof(wrapped));
    memcpy(wrapped, out_room, sizeof(wrapped));
    only(&bench, "tok-b", "tok-a");
    struct pool_op back = {0};
    assert_int_equal(run_key(&bench, &back, oct, KW_KIND_UNWRAP, KW_ALG_A256KW,
                             kw_span_of(wrapped, sizeof(wrapped))),
                     KW_OK);
    assert_memory_equal(out_room, text, 32);
    assert_string_equal(back.served_by, "tok-b");
    rsa_everything(&bench, rsa, "tok-b");
    for (int i = 0; i < 4; i++) {
        sign_and_verify(&bench, ec[i], ec[i], curves[i].alg, "tok-b");
        pool_key_unref(ec[i]);
    }
    struct pool_op random = {.lane = {.kind = KW_KIND_RANDOM, .out = {out_room, 0, 64}}};
    assert_int_equal(run(&bench, &random), KW_OK);
    assert_int_equal(random.lane.out.len, 64);
    pool_key_unref(rsa);
    pool_key_unref(oct);
    bench_close(&bench);
}

static void every_algorithm_agrees_with_the_core(void **state)
{
    (void)state;
    struct bench bench;
    struct pool_member_config members[] = {member_of("tok-a", pin_a)};
    bench_open(&bench, members, 1, KW_S(5), KW_S(30));
    await_serving(&bench, "tok-a");
    struct kc_key *key;
    struct pool_key *in_hsm, *in_core;
    static const struct {
        unsigned bits;
        enum kw_alg gcm, cbc, pad, kw;
    } sizes[] = {
        {128, KW_ALG_A128GCM, KW_ALG_A128CBC, KW_ALG_A128CBCPAD, KW_ALG_A128KW},
        {192, KW_ALG_A192GCM, KW_ALG_A192CBC, KW_ALG_A192CBCPAD, KW_ALG_A192KW},
        {256, KW_ALG_A256GCM, KW_ALG_A256CBC, KW_ALG_A256CBCPAD, KW_ALG_A256KW},
    };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kc_key_generate(&key, KW_KTY_OCT, sizes[i].bits, KW_CURVE_NONE, 0), KW_OK);
        import(&bench, key, &in_hsm, &in_core);
        for (int way = 0; way < 2; way++) {
            struct pool_key *from = way ? in_core : in_hsm, *to = way ? in_hsm : in_core;
            static const size_t lengths[] = {1, 15, 16, 17, 64, 511};
            for (size_t n = 0; n < 6; n++) {
                there_and_back(&bench, from, to, sizes[i].gcm, false, lengths[n], true);
                there_and_back(&bench, from, to, sizes[i].pad, false, lengths[n], false);
            }
            there_and_back(&bench, from, to, sizes[i].cbc, false, 64, false);
            static const size_t keys[] = {16, 24, 32, 64};
            for (size_t n = 0; n < 4; n++) {
                there_and_back(&bench, from, to, sizes[i].kw, true, keys[n], true);
                there_and_back(&bench, from, to, KW_ALG_AES_KW, true, keys[n], true);
            }
            static const size_t any[] = {1, 7, 8, 9, 20, 32, 33};
            for (size_t n = 0; n < 7; n++) {
                there_and_back(&bench, from, to, KW_ALG_AES_KWP, true, any[n], true);
            }
        }
        pool_key_unref(in_hsm);
        pool_key_unref(in_core);
        kc_key_unref(key);
    }
    assert_int_equal(kc_key_generate(&key, KW_KTY_OCT, 256, KW_CURVE_NONE, 0), KW_OK);
    import(&bench, key, &in_hsm, &in_core);
    sign_and_verify(&bench, in_hsm, in_core, KW_ALG_HS256, "tok-a");
    sign_and_verify(&bench, in_hsm, in_hsm, KW_ALG_HS256, "tok-a");
    pool_key_unref(in_hsm);
    pool_key_unref(in_core);
    kc_key_unref(key);
    static const unsigned rsa_bits[] = {2048, 3072, 4096};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kc_key_generate(&key, KW_KTY_RSA, rsa_bits[i], KW_CURVE_NONE, 65537),
                         KW_OK);
        import(&bench, key, &in_hsm, &in_core);
        rsa_everything(&bench, in_hsm, "tok-a");
        pool_key_unref(in_hsm);
        pool_key_unref(in_core);
        kc_key_unref(key);
    }
    bench_close(&bench);
}

static void poison_changes_no_state(void **state)
{
    (void)state;
    struct bench bench;
    struct pool_member_config members[] = {member_of("tok-a", pin_a)};
    bench_open(&bench, members, 1, KW_S(5), KW_S(30));
    await_serving(&bench, "tok-a");
    struct pool_key *rsa = generate(&bench, KW_KTY_RSA, 2048, KW_CURVE_NONE);
    struct pool_key *oct = generate(&bench, KW_KTY_OCT, 256, KW_CURVE_NONE);
    uint64_t pid = stats_of(&bench, "tok-a")->host_pid;
    uint8_t junk[256], iv[12] = {0}, iv16[16] = {0};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(kw_random(junk, sizeof(junk)), KW_OK);
        junk[0] = i % 3 == 0 ? 0xff : 0; /* also above the modulus */
        struct pool_op op = {0}, gcm = {.lane = {.iv = kw_span_of(iv, 12)}},
                       pad = {.lane = {.iv = kw_span_of(iv16, 16)}}, kw = {0};
        assert_int_equal(
            run_key(&bench, &op, rsa, KW_KIND_DECRYPT, rsa_ciphers[i % 3], kw_span_of(junk, 256)),
            KW_E_CRYPTO);
        assert_int_equal(
            run_key(&bench, &gcm, oct, KW_KIND_DECRYPT, KW_ALG_A256GCM, kw_span_of(junk, 32)),
            KW_E_CRYPTO);
        kw_status status =
            run_key(&bench, &pad, oct, KW_KIND_DECRYPT, KW_ALG_A256CBCPAD, kw_span_of(junk, 32));
        assert_true(status == KW_E_CRYPTO || status == KW_OK); /* one in 256 looks padded */
        assert_int_equal(
            run_key(&bench, &kw, oct, KW_KIND_UNWRAP, KW_ALG_A256KW, kw_span_of(junk, 40)),
            KW_E_CRYPTO);
    }
    const struct pool_member_stats *now = stats_of(&bench, "tok-a");
    assert_true(now->serving);
    assert_int_equal(now->host_pid, pid);
    pool_key_unref(rsa);
    pool_key_unref(oct);
    bench_close(&bench);
}

static void evicted_keys_are_sent_again(void **state)
{
    (void)state;
    struct bench bench;
    struct pool_member_config members[] = {member_of("tok-a", pin_a)};
    members[0].loaded_keys = 2;
    bench_open(&bench, members, 1, KW_S(5), KW_S(30));
    await_serving(&bench, "tok-a");
    struct pool_key *keys[5];
    for (int i = 0; i < 5; i++) {
        keys[i] = generate(&bench, KW_KTY_EC, 0, KW_CURVE_P256);
    }
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 5; i++) {
            sign_and_verify(&bench, keys[i], keys[i], KW_ALG_ES256, "tok-a");
        }
    }
    for (int i = 0; i < 5; i++) {
        pool_key_unref(keys[i]);
    }
    bench_close(&bench);
}

static void a_killed_host_comes_back(void **state)
{
    (void)state;
    struct bench bench;
    struct pool_member_config members[] = {member_of("tok-a", pin_a)};
    bench_open(&bench, members, 1, KW_S(5), KW_S(30));
    await_serving(&bench, "tok-a");
    struct pool_key *key = generate(&bench, KW_KTY_EC, 0, KW_CURVE_P256);
    for (int i = 0; i < 3; i++) {
        pid_t pid = (pid_t)stats_of(&bench, "tok-a")->host_pid;
        int64_t began = kw_now_ns();
        assert_true(pid > 1);
        assert_int_equal(kill(pid, SIGKILL), 0);
        await(&bench, "tok-a", "down", "starting");
        assert_true(kw_now_ns() - began < KW_S(2));
        await_serving(&bench, "tok-a");
        assert_true((pid_t)stats_of(&bench, "tok-a")->host_pid != pid);
        sign_and_verify(&bench, key, key, KW_ALG_ES256, "tok-a");
    }
    pool_key_unref(key);
    bench_close(&bench);
}

static void a_stopped_host_is_late_and_then_killed(void **state)
{
    (void)state;
    struct bench bench;
    struct pool_member_config members[] = {member_of("tok-a", pin_a), member_of("tok-b", pin_b)};
    bench_open(&bench, members, 2, KW_MS(300), KW_S(3));
    await_serving(&bench, "tok-a");
    await_serving(&bench, "tok-b");
    struct pool_key *key = generate(&bench, KW_KTY_EC, 0, KW_CURVE_P256);
    pid_t pid = (pid_t)stats_of(&bench, "tok-a")->host_pid;
    assert_int_equal(kill(pid, SIGSTOP), 0);
    /* every request is answered, the first that the stopped one got after the soft deadline */
    int64_t began = kw_now_ns();
    int before = suspected;
    while (suspected == before && kw_now_ns() - began < KW_S(5)) {
        sign_and_verify(&bench, key, key, KW_ALG_ES256, NULL);
    }
    assert_true(suspected > before);
    assert_true(kw_now_ns() - began < KW_S(3));
    int64_t limit = kw_now_ns() + KW_S(20);
    while (kill(pid, 0) == 0 && kw_now_ns() < limit) {
        turn(&bench, 20);
    }
    assert_true(kw_now_ns() < limit);
    await_serving(&bench, "tok-a");
    assert_true((pid_t)stats_of(&bench, "tok-a")->host_pid != pid);
    pool_key_unref(key);
    bench_close(&bench);
}

struct many {
    struct pool_op op;
    uint8_t sig[64];
    bool done;
};

static unsigned hosts_that_serve(struct bench *bench, unsigned member)
{
    struct pool_p11 *p11 = bench->pool->members[member].impl;
    pthread_mutex_lock(&p11->lock);
    unsigned count = p11->serving;
    pthread_mutex_unlock(&p11->lock);
    return count;
}

/* Two hosts of one token, 64 operations in flight, and one host dies in the middle: the other one
 * keeps the member in service and nothing is lost but what the dead one had in hand. */
static void two_hosts_share_and_one_may_die(void **state)
{
    (void)state;
    struct bench bench;
    struct pool_member_config members[] = {member_of("tok-a", pin_a), member_of("tok-b", pin_b)};
    members[0].hosts = 2;
    bench_open(&bench, members, 2, KW_S(5), KW_S(30));
    await_serving(&bench, "tok-a");
    await_serving(&bench, "tok-b");
    for (int i = 0; i < 6000 && hosts_that_serve(&bench, 0) < 2; i++) {
        turn(&bench, 5);
    }
    assert_int_equal(hosts_that_serve(&bench, 0), 2);
    struct pool_key *key = generate(&bench, KW_KTY_EC, 0, KW_CURVE_P256);
    only(&bench, "tok-a", "tok-b");
    assert_int_equal(pool_member_command(bench.pool, "tok-b", POOL_CMD_ACTIVATE), KW_OK);
    static struct many many[64];
    int dead = ended;
    pid_t pid = (pid_t)stats_of(&bench, "tok-a")->host_pid;
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 64; i++) {
            many[i] = (struct many){.op = {.lane = {.kind = KW_KIND_SIGN,
                                                    .alg = KW_ALG_ES256,
                                                    .in = kw_span_of(text, 32),
                                                    .out = {many[i].sig, 0, sizeof(many[i].sig)}},
                                           .key = key,
                                           .deadline_ns = kw_now_ns() + KW_S(20),
                                           .on_done = on_done,
                                           .owner = &many[i].done}};
            assert_int_equal(pool_submit(bench.port, &many[i].op), KW_OK);
        }
        pool_port_run(bench.port);
        if (round == 2) {
            assert_int_equal(kill(pid, SIGKILL), 0);
        }
        for (int i = 0; i < 64; i++) {
            while (!many[i].done) {
                turn(&bench, 50);
            }
            assert_int_equal(many[i].op.lane.status, KW_OK);
            assert_int_equal(many[i].op.lane.out.len, 64);
        }
        assert_true(stats_of(&bench, "tok-a")->serving);
    }
    for (int i = 0; i < 1000 && ended == dead; i++) {
        turn(&bench, 5);
    }
    assert_int_equal(ended - dead, 1);
    pool_key_unref(key);
    bench_close(&bench);
}

static void clear_state_dir(void)
{
    DIR *list = opendir(hsm.state);
    const struct dirent *entry;
    while ((entry = readdir(list)) != NULL) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", hsm.state, entry->d_name);
        unlink(path);
    }
    closedir(list);
}

static void a_wrong_pin_is_tried_once(void **state)
{
    (void)state;
    char pin[128];
    assert_true(softhsm_write(&hsm, "c.pin", "0000\n", pin));
    struct pool_member_config members[] = {member_of("tok-c", pin)};
    /* SoftHSM counts nothing, so the words of each attempt are looked at: only the first one may
     * carry the token's refusal */
    for (int restart = 0; restart < 4; restart++) {
        struct bench bench;
        bench_open(&bench, members, 1, KW_S(5), KW_S(30));
        await(&bench, "tok-c", "auth_failed", "");
        const char *reason = stats_of(&bench, "tok-c")->reason;
        if (restart == 0) {
            assert_non_null(strstr(reason, "PIN_INCORRECT"));
        } else {
            assert_null(strstr(reason, "PIN_INCORRECT"));
            assert_non_null(strstr(reason, "refused"));
        }
        for (int i = 0; i < 10; i++) {
            turn(&bench, 20);
        }
        assert_string_equal(stats_of(&bench, "tok-c")->health, "auth_failed");
        if (restart == 3) { /* the right PIN in the file heals it without a restart */
            assert_true(softhsm_write(&hsm, "c.pin", "2222\n", pin));
            await_serving(&bench, "tok-c");
        }
        bench_close(&bench);
    }
    clear_state_dir();
}

static void a_pin_file_for_others_is_refused(void **state)
{
    (void)state;
    char pin[128];
    struct bench bench;
    assert_true(softhsm_write(&hsm, "c.pin", "2222\n", pin));
    assert_int_equal(chmod(pin, 0640), 0);
    struct pool_member_config members[] = {member_of("tok-c", pin)};
    bench_open(&bench, members, 1, KW_S(5), KW_S(30));
    await(&bench, "tok-c", "auth_failed", "");
    assert_non_null(strstr(stats_of(&bench, "tok-c")->reason, "mode"));
    assert_int_equal(chmod(pin, 0600), 0);
    await_serving(&bench, "tok-c");
    bench_close(&bench);
    clear_state_dir();
}

#define TOGETHER 64

struct together {
    struct pool_op op;
    uint8_t in[128], out[128];
    bool done;
};

/* All at once, so that the host finds many of them waiting. */
static void run_together(struct bench *bench, struct together *calls)
{
    for (size_t i = 0; i < TOGETHER; i++) {
        calls[i].done = false;
        calls[i].op.on_done = on_done;
        calls[i].op.owner = &calls[i].done;
        calls[i].op.deadline_ns = kw_now_ns() + KW_S(60);
        calls[i].op.lane.out = (struct kw_buf){calls[i].out, 0, sizeof(calls[i].out)};
        assert_int_equal(pool_submit(bench->port, &calls[i].op), KW_OK);
    }
    for (size_t i = 0; i < TOGETHER; i++) {
        while (!calls[i].done) {
            turn(bench, 50);
        }
    }
}

/* Wraps and unwraps of many lengths under one key, coalesced or not, are those of the core; a
 * damaged one among them fails alone. */
static void wraps_under_one_key_run_together(void **state)
{
    (void)state;
    static struct together calls[TOGETHER];
    for (int off = 0; off < 2; off++) {
        struct pool_member_config members[] = {member_of("tok-a", pin_a)};
        members[0].coalesce_off = off == 1;
        struct bench bench;
        bench_open(&bench, members, 1, KW_S(5), KW_S(30));
        await_serving(&bench, "tok-a");
        struct kc_key *secret;
        struct pool_key *in_hsm, *in_core;
        assert_int_equal(kc_key_generate(&secret, KW_KTY_OCT, 256, KW_CURVE_NONE, 0), KW_OK);
        import(&bench, secret, &in_hsm, &in_core);
        memset(calls, 0, sizeof(calls));
        for (size_t i = 0; i < TOGETHER; i++) {
            bool padded = i % 8 == 7;
            calls[i].op.key = in_hsm;
            calls[i].op.lane.kind = KW_KIND_WRAP;
            calls[i].op.lane.alg = padded ? KW_ALG_AES_KWP : KW_ALG_A256KW;
            calls[i].op.lane.in = kw_span_of(text + i, padded ? 20 + i % 5 : i % 4 == 3 ? 48 : 32);
        }
        run_together(&bench, calls);
        for (size_t i = 0; i < TOGETHER; i++) {
            struct kc_lane_op *lane = &calls[i].op.lane;
            assert_int_equal(lane->status, KW_OK);
            struct pool_op same = {0};
            assert_int_equal(run_key(&bench, &same, in_core, KW_KIND_WRAP, lane->alg, lane->in),
                             KW_OK);
            assert_int_equal(lane->out.len, same.lane.out.len);
            assert_memory_equal(calls[i].out, out_room, lane->out.len);
            memcpy(calls[i].in, calls[i].out, lane->out.len);
            calls[i].in[i % lane->out.len] ^= i % 5 == 0 ? 0x20 : 0;
            lane->kind = KW_KIND_UNWRAP;
            lane->in = kw_span_of(calls[i].in, lane->out.len);
        }
        run_together(&bench, calls);
        for (size_t i = 0; i < TOGETHER; i++) {
            struct kc_lane_op *lane = &calls[i].op.lane;
            assert_int_equal(lane->status, i % 5 == 0 ? KW_E_CRYPTO : KW_OK);
            if (lane->status == KW_OK) {
                assert_memory_equal(calls[i].out, text + i, lane->out.len);
            }
        }
        pool_key_unref(in_hsm);
        pool_key_unref(in_core);
        kc_key_unref(secret);
        bench_close(&bench);
        clear_state_dir();
    }
}

static int set_up(void **state)
{
    (void)state;
    fill_text();
    if (!softhsm_start(&hsm)) {
        return -1;
    }
    return softhsm_add_token(&hsm, "tok-a", "1111") && softhsm_add_token(&hsm, "tok-b", "1111") &&
                   softhsm_add_token(&hsm, "tok-c", "2222") &&
                   softhsm_write(&hsm, "a.pin", "1111\n", pin_a) &&
                   softhsm_write(&hsm, "b.pin", "1111\n", pin_b) && kc_lanes_init() == KW_OK &&
                   kc_domain_create(&domain) == KW_OK
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    kc_domain_destroy(domain);
    softhsm_stop(&hsm);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "member-host") == 0) {
        return pool_host_main(3);
    }
    if (access(SOFTHSM_MODULE, R_OK) != 0) {
        return 77;
    }
    /* the pool refers to this kind weakly: named here, it is linked in */
    if (pool_member_pkcs11.kind == NULL) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_made_on_one_token_serves_on_the_other),
        cmocka_unit_test(every_algorithm_agrees_with_the_core),
        cmocka_unit_test(wraps_under_one_key_run_together),
        cmocka_unit_test(poison_changes_no_state),
        cmocka_unit_test(evicted_keys_are_sent_again),
        cmocka_unit_test(a_killed_host_comes_back),
        cmocka_unit_test(a_stopped_host_is_late_and_then_killed),
        cmocka_unit_test(two_hosts_share_and_one_may_die),
        cmocka_unit_test(a_wrong_pin_is_tried_once),
        cmocka_unit_test(a_pin_file_for_others_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
