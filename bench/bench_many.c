/* What a large store costs: the same calls on a store with 100 keys and on one with many keys, each
 * with as many versions there as here. Usage: bench_many [KEYS VERSIONS] (100000 1000000). Prints a
 * JSON object with one row for each call: microseconds of processor time in both, and the ratio;
 * and the memory of the process.
 *
 * "hot" takes turns over 100 keys, which the cache holds; "cold" takes any key and reads it from
 * the store each time, so both stores do the same work.
 *
 * bench_many fill DATA VAULT KEYS EACH fills the store of a gateway instead (bench/many). */

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/config/domain_key.h"
#include "gateway/vault/archive/backup.h"
#include "tests/support/ts_vault.h"

#define HOT   100
#define GROUP 2000 /* changes of one transaction while filling */
#define TURNS 7    /* the best of so many */

struct world {
    struct ts_vault *tv;
    unsigned keys, each; /* versions of each key */
    const char *vault;
    struct kc_key *material;
    bool done;
    kw_status status;
    size_t rows;
    struct vault_key *key; /* what a get gave; one reference */
};

static void need(kw_status status, const char *what)
{
    if (status == KW_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, kw_status_name(status));
    exit(1);
}

static void wait_done(struct world *w, const char *what)
{
    if (!ts_loop_run_until(w->tv->loop, &w->done, 60000))
        need(KW_E_DEADLINE, what);
    need(w->status, what);
    w->done = false;
}

/* --- filling --- */

static void name_of(char out[16], unsigned n)
{
    /* spread over the alphabet, as names are */
    snprintf(out, 16, "k-%08x", n * 2654435761u);
}

static void on_stored(void *ctx, struct store_result *result)
{
    struct world *w = ctx;
    w->done = true;
    w->status = result->status;
}

struct filling {
    struct store_change changes[GROUP];
    char names[GROUP][16], versions[GROUP][STORE_VERSION_LEN + 1];
    size_t count;
};

static void flush(struct world *w, struct filling *f)
{
    if (f->count == 0)
        return;
    store_apply(w->tv->store, ts_loop_handle(w->tv->loop), f->changes, f->count, on_stored, w);
    wait_done(w, "fill");
    for (size_t i = 0; i < f->count; i++)
        free((void *)(uintptr_t)f->changes[i].record.data);
    f->count = 0;
}

/** The private half of old versions is never opened here: they carry that of another, which is as
 *  long, and filling takes minutes instead of an hour. */
static void add_version(struct world *w, struct filling *f, const char *name, bool newest)
{
    static uint8_t blob[KC_BLOB_MAX];
    static struct kw_buf wrapped = {.data = blob, .cap = sizeof blob};
    uint8_t id[KW_KEY_ID_LEN], *record = NULL;
    size_t len = 0, at = f->count++;
    need(kw_random(id, sizeof id), "random");
    vault_version_text(f->versions[at], id);
    memcpy(f->names[at], name, 16);
    if (newest || wrapped.len == 0)
        need(kc_blob_wrap(w->tv->domain, id, w->material, false, &wrapped), "wrap");
    struct vault_key *key = vault_key_new(w->vault, name, f->versions[at]);
    key->ops = 0x3f;
    key->attributes = (struct vault_attributes){.enabled = true, .created = 1, .updated = 1};
    key->blob = malloc(wrapped.len);
    memcpy(key->blob, blob, wrapped.len);
    key->blob_len = wrapped.len;
    need(vault_record_seal(w->tv->domain, key, kc_key_public(w->material), &record, &len), "seal");
    vault_key_unref(key);
    f->changes[at] = (struct store_change){.op = STORE_CHANGE_PUT,
                                           .ref = {.vault = w->vault,
                                                   .kind = STORE_KEY,
                                                   .name = f->names[at],
                                                   .version = f->versions[at]},
                                           .created = 1,
                                           .record = kw_span_of(record, len)};
    if (f->count == GROUP)
        flush(w, f);
}

static void fill(struct world *w)
{
    static struct filling f;
    char name[16];
    for (unsigned n = 0; n < w->keys; n++) {
        name_of(name, n);
        for (unsigned v = 0; v < w->each; v++)
            add_version(w, &f, name, v + 1 == w->each);
    }
    flush(w, &f);
}

/* --- calls --- */

static void on_key(void *ctx, kw_status status, struct vault_key *key)
{
    struct world *w = ctx;
    w->done = true;
    w->status = status;
    w->key = key ? vault_key_ref(key) : NULL;
}

static void on_page(void *ctx, kw_status status, struct vault_key *const *keys, size_t count,
                    bool more)
{
    struct world *w = ctx;
    (void)keys;
    (void)more;
    w->done = true;
    w->status = status;
    w->rows += count;
}

static void get_any(struct world *w, bool cold)
{
    char name[16];
    name_of(name, (unsigned)rand() % (cold ? w->keys : HOT));
    if (cold)
        vault_cache_drop(w->tv->vault->caches[STORE_KEY], "v", kw_span_str(name));
    vault_key_get(w->tv->vault, ts_loop_handle(w->tv->loop), "v", kw_span_str(name),
                  (struct kw_span){0}, on_key, w);
    wait_done(w, "get");
}

static void get_hot(struct world *w)
{
    get_any(w, false);
    vault_key_unref(w->key);
}

static void get_cold(struct world *w)
{
    get_any(w, true);
    vault_key_unref(w->key);
}

static void on_signed(struct pool_op *op)
{
    struct world *w = op->owner;
    w->done = true;
    w->status = op->lane.status;
}

static void sign(struct world *w, bool cold)
{
    static uint8_t digest[32] = "a digest", out[64];
    struct pool_op op = {.deadline_ns = kw_now_ns() + KW_S(10), .on_done = on_signed, .owner = w};
    get_any(w, cold);
    op.lane.kind = KW_KIND_SIGN;
    op.lane.alg = KW_ALG_ES256;
    op.lane.in = kw_span_of(digest, sizeof digest);
    op.lane.out = (struct kw_buf){.data = out, .cap = sizeof out};
    op.key = w->key->key;
    need(pool_submit(w->tv->port, &op), "submit");
    wait_done(w, "sign");
    vault_key_unref(w->key);
}

static void sign_hot(struct world *w)
{
    sign(w, false);
}

static void sign_cold(struct world *w)
{
    sign(w, true);
}

static void list(struct world *w)
{
    char after[16];
    snprintf(after, sizeof after, "k-%02x", (unsigned)rand() % 180);
    vault_key_list(w->tv->vault, ts_loop_handle(w->tv->loop), "v", false, after, 25, on_page, w);
    wait_done(w, "list");
}

static void versions(struct world *w)
{
    char name[16];
    name_of(name, (unsigned)rand() % w->keys);
    vault_key_versions(w->tv->vault, ts_loop_handle(w->tv->loop), "v", kw_span_str(name), NULL, 1,
                       on_page, w);
    wait_done(w, "versions");
}

static const struct row {
    const char *name;
    void (*run)(struct world *w);
    unsigned calls;
} rows[] = {{"get-hot", get_hot, 20000},  {"get-cold", get_cold, 1000},
            {"sign-hot", sign_hot, 2000}, {"sign-cold", sign_cold, 1000},
            {"list-25", list, 400},       {"versions", versions, 1000}};
#define ROWS (sizeof rows / sizeof rows[0])

/** Processor time of all threads: what a call costs, whatever else the machine does meanwhile. */
static double cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static double once(struct world *w, const struct row *row)
{
    double began = cpu_us();
    for (unsigned i = 0; i < row->calls; i++)
        row->run(w);
    return (cpu_us() - began) / row->calls;
}

static long resident_kb(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident * 4;
}

static void fill_timed(struct world *w)
{
    need(kc_key_generate(&w->material, KW_KTY_EC, 256, KW_CURVE_P256, 0), "generate");
    int64_t began = kw_now_ns();
    fill(w);
    fprintf(stderr, "%u keys, %u versions: filled in %.1f s\n", w->keys, w->keys * w->each,
            (double)(kw_now_ns() - began) / 1e9);
}

static void world_open(struct world *w, unsigned keys, unsigned each)
{
    *w = (struct world){.keys = keys, .each = each, .vault = "v"};
    w->tv = ts_vault_create();
    vault_destroy(w->tv->vault);
    need(vault_create_with(&w->tv->vault, w->tv->store, w->tv->pool, w->tv->domain, ts_loop_port,
                           16384),
         "vault");
    fill_timed(w);
}

/** The same keys in the store of a gateway that does not run. */
static void fill_gateway(const char *data, const char *vault, unsigned keys, unsigned each)
{
    static struct ts_vault tv;
    struct world w = {.tv = &tv, .vault = vault, .keys = keys, .each = each};
    char error[256] = "";
    need(kc_lanes_init(), "lanes");
    need(gw_domain_key_read(&tv.domain, data, error, sizeof error), error);
    need(ts_store_open(&tv.store, data, error, sizeof error), error);
    tv.loop = ts_loop_create();
    fill_timed(&w);
    store_close(tv.store);
    ts_loop_destroy(tv.loop);
    kc_domain_destroy(tv.domain);
    kc_key_unref(w.material);
}

static void world_close(struct world *w)
{
    kc_key_unref(w->material);
    ts_vault_destroy(w->tv);
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "fill") == 0) {
        fill_gateway(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 10),
                     (unsigned)strtoul(argv[5], NULL, 10));
        return 0;
    }
    unsigned keys = argc > 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;
    unsigned versions_all = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1000000;
    static struct world small, large;
    if (keys < HOT || versions_all < keys)
        return 2;
    world_open(&small, HOT, versions_all / keys);
    world_open(&large, keys, versions_all / keys);
    malloc_trim(0);
    long filled = resident_kb();
    printf("{\"keys\":%u,\"versions\":%u,\"rows\":[", keys, versions_all);
    for (size_t i = 0; i < ROWS; i++) {
        double few = 1e9, many = 1e9;
        for (unsigned turn = 0; turn < TURNS; turn++) { /* in turn: what else runs hits both */
            double a = once(&small, &rows[i]), b = once(&large, &rows[i]);
            few = a < few ? a : few;
            many = b < many ? b : many;
        }
        printf("%s\n{\"name\":\"%s\",\"few_us\":%.2f,\"many_us\":%.2f,\"ratio\":%.3f}",
               i ? "," : "", rows[i].name, few, many, many / few);
        fflush(stdout);
    }
    printf("],\n\"resident_kb_filled\":%ld,\"resident_kb_after\":%ld,\"cached_versions\":%zu}\n",
           filled, resident_kb(), vault_cache_count(large.tv->vault->caches[STORE_KEY]));
    world_close(&small);
    world_close(&large);
    return 0;
}
