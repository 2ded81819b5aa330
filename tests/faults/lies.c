/* A member that lies at every answer, as often as asked for: no wrong result may come out of the
 * pool. Usage: lies KEYWARD FAULT-MODULE COUNT
 *
 * Two members on tokens of one SoftHSM store: the first spoils every signature and decryption that
 * it makes (tests/faults/module/plan.h), the second, a standby, is honest. Each result is verified
 * by OpenSSL with the public key, fresh inputs each time. Each way of lying first meets the group:
 * the liar goes down, the honest member answers. The rest are trials of the liar alone
 * (pool_op.trial), which pass the same check and cost it nothing, so that 100,000 lies do not take
 * 100,000 logins: each must end as a wrong answer. Fails with the first one that came out, with a
 * result that is missing while the honest member serves, or when the count is not reached. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "crypto/base/clock.h"
#include "pool/pool.h"
#include "tests/faults/lies_key.h"
#include "tests/support/softhsm.h"

#define IN_FLIGHT  64
#define SESSIONS   8
#define GROUP_EACH 8 /* lies of each way that cost the liar its place */
#define PIN        "4711-user"

enum what { SIGN_RSA, SIGN_PSS, SIGN_EC, DECRYPT_OAEP, DECRYPT_V15, WHATS };

static const struct {
    enum kw_kind kind;
    enum kw_alg alg;
    bool ec;
} whats[WHATS] = {
    [SIGN_RSA] = {KW_KIND_SIGN, KW_ALG_RS256, false},
    [SIGN_PSS] = {KW_KIND_SIGN, KW_ALG_PS256, false},
    [SIGN_EC] = {KW_KIND_SIGN, KW_ALG_ES256, true},
    [DECRYPT_OAEP] = {KW_KIND_DECRYPT, KW_ALG_RSA_OAEP_256, false},
    [DECRYPT_V15] = {KW_KIND_UNWRAP, KW_ALG_RSA1_5, false},
};

/* What spoils an answer; the last is an honest one of the operation before. */
static const char *const ways[] = {"flip", "zero", "random", "truncate", "other_key", "stale"};
#define WAYS (sizeof ways / sizeof *ways)

struct call {
    struct pool_op op;
    enum what what;
    uint8_t secret[32], in[512], out[512];
    size_t in_len;
};

static struct softhsm hsm;
static struct pool *pool;
static struct pool_port *port;
static struct lies_key rsa, ec;
static struct call calls[IN_FLIGHT];
static unsigned out_now;
static bool stopping, trials;
static uint64_t right, caught, leaked, missing, refused, by_what[WHATS];

static void plan(const char *rules)
{
    char text[1024], draft[128], path[160];
    snprintf(text, sizeof text, "module=%s\n%s", SOFTHSM_MODULE, rules);
    snprintf(path, sizeof path, "%s/liar.plan", hsm.dir);
    if (!softhsm_write(&hsm, "draft", text, draft) || rename(draft, path) != 0) {
        fprintf(stderr, "lies: the plan cannot be written\n");
        exit(1);
    }
}

static void submit(struct call *call)
{
    bool sign = whats[call->what].kind == KW_KIND_SIGN;
    const struct lies_key *key = whats[call->what].ec ? &ec : &rsa;
    RAND_bytes(call->secret, sizeof call->secret);
    call->in_len = sizeof call->secret;
    if (sign) {
        memcpy(call->in, call->secret, sizeof call->secret);
    } else if (!lies_key_encrypt(key, whats[call->what].alg, call->secret, call->in,
                                 &call->in_len)) {
        missing++;
        return;
    }
    call->op = (struct pool_op){.on_done = call->op.on_done,
                                .owner = call,
                                .key = key->key,
                                .deadline_ns = kw_now_ns() + KW_S(30)};
    call->op.lane.kind = whats[call->what].kind;
    call->op.lane.alg = whats[call->what].alg;
    call->op.lane.in = kw_span_of(call->in, call->in_len);
    call->op.lane.out = (struct kw_buf){.data = call->out, .cap = sizeof call->out};
    memset(call->out, 0, sizeof call->out);
    call->op.trial = trials;
    kw_status status =
        trials ? pool_submit_to(port, &call->op, "liar") : pool_submit(port, &call->op);
    if (status == KW_OK) {
        out_now++;
    } else {
        refused++;
    }
}

static bool is_right(const struct call *call)
{
    const struct kw_buf *out = &call->op.lane.out;
    if (whats[call->what].kind == KW_KIND_SIGN) {
        return lies_key_verify(whats[call->what].ec ? &ec : &rsa, whats[call->what].alg,
                               call->secret, out->data, out->len);
    }
    return out->len == sizeof call->secret && memcmp(out->data, call->secret, out->len) == 0;
}

static void on_done(struct pool_op *op)
{
    struct call *call = op->owner;
    out_now--;
    by_what[call->what]++;
    if (op->lane.status == KW_OK && !is_right(call)) {
        leaked++;
    } else if (op->lane.status == KW_OK) {
        right++;
    } else if (op->lane.status == KW_E_INTEGRITY && trials) {
        caught++;
    } else if (op->lane.status == KW_E_BUSY || trials) {
        refused++;
    } else {
        fprintf(stderr, "lies: status %d\n", (int)op->lane.status);
        missing++;
    }
    if (trials && !stopping) {
        submit(call);
    }
}

static struct pool_stats *stats(void)
{
    static struct pool_stats now;
    pool_stats_read(pool, &now);
    return &now;
}

static void turn(void)
{
    struct pollfd wait = {.fd = pool_port_fd(port), .events = POLLIN};
    pool_port_run(port);
    poll(&wait, 1, 20);
}

static void submit_all(void)
{
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        submit(&calls[i]);
    }
}

static void settle(void)
{
    stopping = true;
    while (out_now > 0) {
        turn();
    }
    stopping = false;
}

static bool liar_serves(void)
{
    int64_t began = kw_now_ns(), told = began - KW_S(9);
    while (!stats()->members[0].serving) {
        if (kw_now_ns() - began > KW_S(60)) {
            return false;
        }
        if (kw_now_ns() - told > KW_S(2)) {
            told = kw_now_ns();
            (void)!pool_member_command(pool, "liar", POOL_CMD_RECOVER);
        }
        turn();
    }
    return true;
}

/* The group answers all the same. */
static bool lie_to_group(void)
{
    uint64_t before = stats()->wrong_answers;
    for (unsigned round = 0; round < 20; round++) {
        if (!liar_serves()) {
            return false;
        }
        submit_all();
        settle();
        if (stats()->wrong_answers - before >= GROUP_EACH) {
            caught += stats()->wrong_answers - before;
            return leaked == 0 && missing == 0;
        }
    }
    return false;
}

/* Until `wanted` lies are caught in all; half a minute without one is the end. */
static bool lie_alone(uint64_t wanted)
{
    int64_t quiet = kw_now_ns();
    uint64_t before = caught;
    if (!liar_serves()) {
        return false;
    }
    trials = true;
    submit_all();
    while (caught < wanted && leaked == 0 && kw_now_ns() - quiet < KW_S(30)) {
        turn();
        if (caught != before) {
            before = caught;
            quiet = kw_now_ns();
        }
        if (out_now == 0) { /* errors beside the lies took it out */
            if (!liar_serves()) {
                break;
            }
            submit_all();
        }
    }
    settle();
    trials = false;
    return caught >= wanted && leaked == 0;
}

static bool lie(const char *how, uint64_t wanted)
{
    char rules[256];
    /* stale answers: of one size, or hardly one would have another's place */
    bool truncate = strcmp(how, "truncate") == 0; /* of RSA: the host refuses short ones of EC */
    bool stale = strcmp(how, "stale") == 0, signs_alone = truncate || strcmp(how, "other_key") == 0;
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        calls[i].op.on_done = on_done;
        calls[i].what = stale ? SIGN_EC
                              : i % (truncate      ? SIGN_EC
                                     : signs_alone ? DECRYPT_OAEP
                                                   : WHATS);
    }
    snprintf(rules, sizeof rules, "C_Sign slot=0 answer=%s\n%s%s\n", how,
             signs_alone ? "" : "C_Decrypt slot=1 answer=", signs_alone ? "" : how);
    plan(rules);
    uint64_t before = caught;
    int64_t began = kw_now_ns();
    bool ok = lie_to_group() && lie_alone(wanted);
    printf("%-10s %llu caught in %.1f s\n", how, (unsigned long long)(caught - before),
           (double)(kw_now_ns() - began) / 1e9);
    fflush(stdout);
    return ok;
}

static bool drive(uint64_t count)
{
    bool ok = true;
    for (unsigned way = 0; ok && way < WAYS; way++) {
        ok = lie(ways[way], count * (way + 1) / WAYS);
    }
    printf(
        "%llu wrong answers caught, %llu came out; %llu right answers, %llu missing, %llu refused "
        "(RS256 %llu, PS256 %llu, ES256 %llu, RSA-OAEP-256 %llu, RSA1_5 %llu)\n",
        (unsigned long long)caught, (unsigned long long)leaked, (unsigned long long)right,
        (unsigned long long)missing, (unsigned long long)refused,
        (unsigned long long)by_what[SIGN_RSA], (unsigned long long)by_what[SIGN_PSS],
        (unsigned long long)by_what[SIGN_EC], (unsigned long long)by_what[DECRYPT_OAEP],
        (unsigned long long)by_what[DECRYPT_V15]);
    /* an honest member that answered nothing would pass the rest */
    return ok && right > 0;
}

static bool both_serve(void)
{
    int64_t limit = kw_now_ns() + KW_S(60);
    while (!stats()->members[0].serving || !stats()->members[1].serving) {
        if (kw_now_ns() > limit) {
            return false;
        }
        turn();
    }
    return true;
}

static bool run(const char *keyward, const char *module, uint64_t count)
{
    char pin[128], liar[160];
    struct kc_domain *domain = NULL;
    snprintf(liar, sizeof liar, "%s/liar.so", hsm.dir);
    if (!softhsm_add_token(&hsm, "liar", PIN) || !softhsm_add_token(&hsm, "honest", PIN) ||
        !softhsm_write(&hsm, "pin", PIN, pin) || symlink(module, liar) != 0 ||
        setenv("KEYWARD_FAULTS", hsm.dir, 1) != 0) {
        return false;
    }
    plan("");
    struct pool_member_config members[2] = {
        {.name = "liar", .module = liar, .token_label = "liar"},
        {.name = "honest", .module = SOFTHSM_MODULE, .token_label = "honest"},
    };
    for (unsigned i = 0; i < 2; i++) {
        members[i].kind = POOL_MEMBER_PKCS11;
        members[i].pin_file = pin;
        members[i].sessions = SESSIONS;
        members[i].role = i == 0 ? POOL_ROLE_ACTIVE : POOL_ROLE_STANDBY;
    }
    struct pool_config config = {.members = members,
                                 .member_count = 2,
                                 .recovery_retries = -1,
                                 .recovery_interval_ns = KW_MS(100),
                                 .soft_deadline_ns = KW_S(10),
                                 .host_program = keyward,
                                 .state_dir = hsm.state};
    bool ok = kc_domain_open(&domain, kw_span_str("a domain of throw-away tokens...")) == KW_OK &&
              pool_create(&pool, &config, domain) == KW_OK &&
              pool_port_create(&port, pool) == KW_OK && lies_key_make(&rsa, pool, false) &&
              lies_key_make(&ec, pool, true) && both_serve() && drive(count);
    lies_key_free(&rsa);
    lies_key_free(&ec);
    if (port != NULL) {
        pool_port_destroy(port);
    }
    if (pool != NULL) {
        pool_destroy(pool);
    }
    kc_domain_destroy(domain);
    return ok;
}

int main(int argc, char **argv)
{
    long count = argc == 4 ? atol(argv[3]) : 0;
    if (count < 1 || kc_lanes_init() != KW_OK) {
        fprintf(stderr, "usage: lies KEYWARD FAULT-MODULE COUNT\n");
        return 2;
    }
    if (!softhsm_start(&hsm)) {
        fprintf(stderr, "lies: SoftHSM is not installed\n");
        return 77;
    }
    bool ok = run(argv[1], argv[2], (uint64_t)count);
    softhsm_stop(&hsm);
    return ok ? 0 : 1;
}
