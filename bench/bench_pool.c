/* The pool alone over PKCS#11 members: no network, no HTTP, one port, N operations kept in flight.
 * Usage: bench_pool KEYWARD PIN-FILE STATE-DIR OP SECONDS IN-FLIGHT hedge|plain HOSTS
 * NAME=MODULE... (NAME: the member's name and its token's label.) IN-FLIGHT may be N@RATE: RATE
 * operations a second, evenly, and as long as N are out the next ones wait; their latency counts
 * from when they were due. Prints one JSON line for each
 * second, and one with "total" for all of them: rate, latencies, errors, hedges, operations of each
 * member. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/cpu_time.h"
#include "crypto/base/clock.h"
#include "pool/pool.h"

#define IN_FLIGHT_MAX 1024
#define SAMPLES_MAX   (1u << 22)

struct call {
    struct pool_op op;
    uint8_t out[512];
    int64_t began_ns;
    struct call *next; /* of those that are free, with a rate */
};

static struct pool_port *port;
static struct call calls[IN_FLIGHT_MAX];
static uint32_t *samples; /* latencies in ns / 16 */
static size_t sample_count, window_start;
static uint64_t errors;
static unsigned out_now;
static bool stopping;
static double rate;
static struct call *idle;
static uint8_t in[32] = "thirty-two bytes: digest or key.";

static const struct {
    const char *name;
    enum kw_kty kty;
    unsigned bits;
    enum kw_curve curve;
    enum kw_kind kind;
    enum kw_alg alg;
} ops[] = {
    {"rs256-sign", KW_KTY_RSA, 2048, KW_CURVE_NONE, KW_KIND_SIGN, KW_ALG_RS256},
    {"es256-sign", KW_KTY_EC, 0, KW_CURVE_P256, KW_KIND_SIGN, KW_ALG_ES256},
    {"a256kw-wrap", KW_KTY_OCT, 256, KW_CURVE_NONE, KW_KIND_WRAP, KW_ALG_A256KW},
};

static void submit(struct call *call, int64_t due_ns)
{
    call->began_ns = due_ns;
    call->op.deadline_ns = kw_now_ns() + KW_S(30);
    if (pool_submit(port, &call->op) == KW_OK) {
        out_now++;
    } else {
        errors++;
    }
}

static void on_done(struct pool_op *op)
{
    struct call *call = op->owner;
    int64_t took = kw_now_ns() - call->began_ns;
    out_now--;
    errors += op->lane.status != KW_OK;
    if (sample_count < SAMPLES_MAX) {
        samples[sample_count++] = (uint32_t)(took / 16);
    }
    if (rate > 0) {
        call->next = idle;
        idle = call;
    } else if (!stopping) {
        submit(call, kw_now_ns());
    }
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double at(size_t from, double q)
{
    size_t n = sample_count - from;
    return n == 0 ? 0 : samples[from + (size_t)((double)(n - 1) * q)] * 16e-3;
}

/* Processor time and voluntary switches of an operation: gateway with this driver, and hosts. */
static void report_cost(const struct cpu_time *from, const struct cpu_time *to, size_t count)
{
    double n = count > 0 ? (double)count : 1;
    printf("{\"cost\": true, \"cpu_us\": %.2f, \"gateway_us\": %.2f, \"hosts_us\": %.2f, "
           "\"switches\": %.2f}\n",
           (double)(to->self_ns - from->self_ns + to->children_ns - from->children_ns) / 1e3 / n,
           (double)(to->self_ns - from->self_ns) / 1e3 / n,
           (double)(to->children_ns - from->children_ns) / 1e3 / n,
           (double)(to->switches - from->switches) / n);
}

static void report(struct pool *pool, const char *what, size_t from, double seconds)
{
    static struct pool_stats stats;
    qsort(samples + from, sample_count - from, sizeof *samples, ascending);
    pool_stats_read(pool, &stats);
    printf("{\"%s\": true, \"rate\": %.1f, \"p50_us\": %.1f, \"p95_us\": %.1f, \"p99_us\": %.1f, "
           "\"p999_us\": %.1f, \"errors\": %llu, \"hedges\": %llu, \"members\": {",
           what, (double)(sample_count - from) / seconds, at(from, .5), at(from, .95),
           at(from, .99), at(from, .999), (unsigned long long)errors,
           (unsigned long long)stats.hedges);
    for (size_t i = 0; i + 1 < stats.member_count; i++) {
        uint64_t done = 0;
        for (unsigned k = 0; k < KW_KIND_COUNT; k++) {
            done += stats.members[i].kinds[k].ok;
        }
        printf("%s\"%s\": %llu", i > 0 ? ", " : "", stats.members[i].name,
               (unsigned long long)done);
    }
    printf("}}\n");
    fflush(stdout);
}

static bool all_serve(struct pool *pool, size_t count)
{
    static struct pool_stats stats;
    pool_stats_read(pool, &stats);
    for (size_t i = 0; i < count; i++) {
        /* one alone gets all there is, slow start or not */
        if (count == 1 ? !stats.members[i].serving : strcmp(stats.members[i].health, "up") != 0) {
            return false;
        }
    }
    return true;
}

static void drive(struct pool *pool, double seconds, unsigned in_flight)
{
    struct cpu_time before, after;
    cpu_time_read(&before);
    int64_t began = kw_now_ns(), next = began + KW_S(1);
    int64_t due = began;
    for (unsigned i = 0; i < in_flight; i++) {
        if (rate > 0) {
            calls[i].next = idle;
            idle = &calls[i];
        } else {
            submit(&calls[i], kw_now_ns());
        }
    }
    while (out_now > 0 || !stopping) {
        struct pollfd wait = {.fd = pool_port_fd(port), .events = POLLIN};
        pool_port_run(port);
        int64_t left = rate > 0 && idle != NULL ? due - kw_now_ns() : KW_MS(100);
        left = left < 0 ? 0 : left < KW_MS(100) ? left : KW_MS(100);
        struct timespec patience = {.tv_nsec = (long)left};
        ppoll(&wait, 1, &patience, NULL);
        int64_t now = kw_now_ns();
        while (rate > 0 && !stopping && idle != NULL && due <= now) {
            struct call *call = idle;
            idle = call->next;
            submit(call, due);
            due += (int64_t)(1e9 / rate);
        }
        stopping = (double)(now - began) >= seconds * 1e9;
        if (now >= next && !stopping) {
            report(pool, "second", window_start, 1);
            window_start = sample_count;
            next += KW_S(1);
        }
    }
    int64_t ended = kw_now_ns();
    cpu_time_read(&after);
    report_cost(&before, &after, sample_count);
    report(pool, "total", 0, (double)(ended - began) / 1e9);
}

static bool make_key(struct pool *pool, struct pool_key **out, size_t op)
{
    uint8_t bytes[KC_BLOB_MAX];
    struct kw_buf blob = {.data = bytes, .cap = sizeof bytes};
    struct kc_key *key = NULL;
    struct pool_key_desc desc = {.hsm = true, .id = {1, 2, 3}};
    uint32_t e = ops[op].kty == KW_KTY_RSA ? 65537 : 0;
    if (kc_key_generate(&key, ops[op].kty, ops[op].bits, ops[op].curve, e) != KW_OK ||
        pool_key_wrap(pool, desc.id, key, true, &blob) != KW_OK) {
        return false;
    }
    desc.pub = *kc_key_public(key);
    desc.blob = kw_buf_span(&blob);
    kc_key_unref(key);
    return pool_key_create(out, pool, &desc) == KW_OK;
}

static int run(struct pool *pool, size_t member_count, size_t op, double seconds,
               unsigned in_flight)
{
    struct pool_key *key = NULL;
    samples = malloc(SAMPLES_MAX * sizeof *samples);
    if (samples == NULL || pool_port_create(&port, pool) != KW_OK || !make_key(pool, &key, op)) {
        return 1;
    }
    int64_t limit = kw_now_ns() + KW_S(60);
    while (!all_serve(pool, member_count)) {
        if (kw_now_ns() > limit) {
            fprintf(stderr, "bench_pool: the members did not come up within 60 s\n");
            return 1;
        }
        pool_port_run(port);
        usleep(20000);
    }
    for (unsigned i = 0; i < in_flight; i++) {
        calls[i].op = (struct pool_op){.on_done = on_done, .owner = &calls[i], .key = key};
        calls[i].op.lane.kind = ops[op].kind;
        calls[i].op.lane.alg = ops[op].alg;
        calls[i].op.lane.in = kw_span_of(in, sizeof in);
        calls[i].op.lane.out = (struct kw_buf){.data = calls[i].out, .cap = sizeof calls[i].out};
    }
    drive(pool, seconds, in_flight);
    pool_key_unref(key);
    pool_port_destroy(port);
    free(samples);
    return errors > 0;
}

int main(int argc, char **argv)
{
    static struct pool_member_config members[POOL_MAX_MEMBERS];
    size_t count = 0, op = 0;
    if (argc < 10 || argc - 9 > POOL_MAX_MEMBERS || kc_lanes_init() != KW_OK) {
        fprintf(stderr, "usage: bench_pool KEYWARD PIN-FILE STATE-DIR OP SECONDS IN-FLIGHT "
                        "hedge|plain HOSTS NAME=MODULE...\n");
        return 2;
    }
    unsigned in_flight = (unsigned)atoi(argv[6]);
    const char *at = strchr(argv[6], '@');
    rate = at != NULL ? atof(at + 1) : 0;
    while (op < 3 && strcmp(ops[op].name, argv[4]) != 0) {
        op++;
    }
    if (op == 3 || in_flight < 1 || in_flight > IN_FLIGHT_MAX) {
        return 2;
    }
    for (int i = 9; i < argc; i++) {
        char *module = strchr(argv[i], '=');
        if (module == NULL) {
            return 2;
        }
        *module++ = 0;
        members[count] = (struct pool_member_config){.kind = POOL_MEMBER_PKCS11,
                                                     .module = module,
                                                     .token_label = argv[i],
                                                     .pin_file = argv[2],
                                                     .sessions = 8,
                                                     .hosts = (unsigned)atoi(argv[8])};
        snprintf(members[count++].name, POOL_NAME_MAX, "%s", argv[i]);
    }
    struct pool_config config = {.members = members,
                                 .member_count = count,
                                 .hedge = strcmp(argv[7], "hedge") == 0,
                                 .recovery_retries = -1,
                                 .host_program = argv[1],
                                 .state_dir = argv[3]};
    struct kc_domain *domain = NULL;
    struct pool *pool = NULL;
    /* the same in every run: a token belongs to the domain that was there first */
    if (kc_domain_open(&domain, kw_span_str("a domain of throw-away tokens...")) != KW_OK ||
        pool_create(&pool, &config, domain) != KW_OK) {
        fprintf(stderr, "bench_pool: the pool did not start\n");
        return 1;
    }
    int code = run(pool, count, op, atof(argv[5]), in_flight);
    pool_destroy(pool);
    kc_domain_destroy(domain);
    return code;
}
