/* The core against OpenSSL: operations per second of one processor, side by side.
 *
 *   bench_core [--json FILE] [--seconds S] [--only NAME[,NAME]] [--cpu N]
 *
 * Each row runs keyward's lanes (kc_lanes_run, many keys, result check included) and OpenSSL's EVP
 * in turn, in short slots; its figures are medians over the rounds, in processor time of this
 * thread, so that neighbours on the machine disturb both sides alike. */
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/micro/row.h"

#define ROUNDS 7
#define LOOK   1e-4 /* seconds between two looks at the clock, at least */

struct figures {
    double keyward, anchor;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

/* How many calls lie between two looks at the clock: enough that looking, a system call, costs
 * neither side anything. */
static size_t next_chunk(size_t chunk, double spent, size_t calls)
{
    return spent * (double)chunk < LOOK * (double)calls ? 2 * chunk : chunk;
}

/* Operations per second of the lanes over about `seconds`; negative when one failed. */
static double rate_of_lanes(struct bench_row *row, struct kc_scratch *scratch, double seconds)
{
    size_t calls = 0, chunk = 1;
    double start = now(), spent;
    do {
        for (size_t i = 0; i < chunk; i++) {
            if (!bench_batch_run(&row->batch, scratch))
                return -1;
        }
        calls += chunk;
        spent = now() - start;
        chunk = next_chunk(chunk, spent, calls);
    } while (spent < seconds);
    return (double)(calls * row->batch.count) / spent;
}

static double rate_of_anchor(struct bench_row *row, double seconds)
{
    size_t calls = 0, chunk = 1;
    double start = now(), spent;
    do {
        for (size_t i = 0; i < chunk; i++) {
            if (!row->theirs(row))
                return -1;
        }
        calls += chunk;
        spent = now() - start;
        chunk = next_chunk(chunk, spent, calls);
    } while (spent < seconds);
    return (double)calls / spent;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, ascending);
    return values[n / 2];
}

static bool measure(struct bench_row *row, struct figures *out, double slot)
{
    struct kc_scratch *scratch = kc_scratch_create();
    double ours[ROUNDS], theirs[ROUNDS];
    bool ok = scratch && row->setup(row) && rate_of_lanes(row, scratch, slot / 4) > 0 &&
              rate_of_anchor(row, slot / 4) > 0;
    for (int i = 0; ok && i < ROUNDS; i++) {
        ours[i] = rate_of_lanes(row, scratch, slot);
        theirs[i] = rate_of_anchor(row, slot);
        ok = ours[i] > 0 && theirs[i] > 0;
    }
    if (ok)
        *out = (struct figures){median(ours, ROUNDS), median(theirs, ROUNDS)};
    return ok;
}

static bool wanted(const char *name, const char *only)
{
    char list[512];
    snprintf(list, sizeof list, "%s", only);
    for (char *save, *part = strtok_r(list, ",", &save); part; part = strtok_r(NULL, ",", &save)) {
        if (strstr(name, part))
            return true;
    }
    return *only == '\0';
}

static void show(const struct bench_row *row, const struct figures *f, const char *kernel)
{
    char need[16] = "", met[8] = "";
    double ratio = f->keyward / f->anchor;
    if (row->must_reach > 0) {
        snprintf(need, sizeof need, "%.1f", row->must_reach);
        snprintf(met, sizeof met, "%s", ratio >= row->must_reach ? "yes" : "NO");
    }
    printf("%-24s %12.0f %12.0f %8.2f %6s %-4s %s\n", row->name, f->keyward, f->anchor, ratio, need,
           met, kernel);
    fflush(stdout);
}

static void write_row(FILE *json, const struct bench_row *row, const struct figures *f,
                      const char *kernel, bool first)
{
    double ratio = f->keyward / f->anchor;
    fprintf(json,
            "%s  {\"name\": \"%s\", \"keyward\": %.1f, \"anchor\": %.1f, \"anchor_name\": \"%s\", "
            "\"ratio\": %.3f, \"unit\": \"ops/s\", \"kernel\": \"%s\"",
            first ? "" : ",\n", row->name, f->keyward, f->anchor, row->anchor_name, ratio, kernel);
    if (row->must_reach > 0)
        fprintf(json, ", \"must_reach\": %.1f, \"met\": %s", row->must_reach,
                ratio >= row->must_reach ? "true" : "false");
    fprintf(json, "}");
}

struct options {
    const char *json, *only;
    double seconds;
    int cpu;
};

static bool parse(struct options *o, int argc, char **argv)
{
    static const struct option known[] = {{"json", required_argument, NULL, 'j'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"only", required_argument, NULL, 'o'},
                                          {"cpu", required_argument, NULL, 'c'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct options){.only = "", .seconds = 60, .cpu = sched_getcpu()};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'j':
            o->json = optarg;
            break;
        case 's':
            o->seconds = strtod(optarg, NULL);
            break;
        case 'o':
            o->only = optarg;
            break;
        case 'c':
            o->cpu = (int)strtol(optarg, NULL, 10);
            break;
        default:
            return false;
        }
    }
    return optind == argc && o->seconds > 0;
}

/* All wanted rows; the number that failed to run. */
static int run_rows(const struct options *o, FILE *json)
{
    size_t count = 0;
    int failed = 0;
    bool first = true;
    for (size_t i = 0; i < bench_row_count; i++)
        count += wanted(bench_rows[i].name, o->only);
    double slot = o->seconds / ((double)count * (2 * ROUNDS + 0.5));
    printf("%-24s %12s %12s %8s %6s %-4s %s\n", "operation", "keyward/s", "openssl/s", "ratio",
           "need", "met", "kernel");
    for (size_t i = 0; i < bench_row_count; i++) {
        struct bench_row *row = &bench_rows[i];
        struct figures f;
        if (!wanted(row->name, o->only))
            continue;
        if (measure(row, &f, slot)) {
            const char *kernel = kc_lanes_kernel(row->batch.shape);
            show(row, &f, kernel);
            if (json)
                write_row(json, row, &f, kernel, first);
            first = false;
        } else {
            fprintf(stderr, "bench_core: %s failed\n", row->name);
            failed++;
        }
        row->cleanup(row);
    }
    return failed;
}

int main(int argc, char **argv)
{
    struct options o;
    if (!parse(&o, argc, argv)) {
        fputs("usage: bench_core [--json FILE] [--seconds S] [--only NAME[,NAME]] [--cpu N]\n",
              stderr);
        return 2;
    }
    if (!pin(o.cpu)) {
        fprintf(stderr, "bench_core: cannot run on processor %d\n", o.cpu);
        return 2;
    }
    if (kc_lanes_init() != KW_OK) {
        fputs("bench_core: the self-test failed\n", stderr);
        return 1;
    }
    FILE *json = NULL;
    if (o.json && !(json = fopen(o.json, "w"))) {
        fprintf(stderr, "bench_core: cannot write %s\n", o.json);
        return 2;
    }
    if (json)
        fputs("{\"rows\": [\n", json);
    int failed = run_rows(&o, json);
    if (json) {
        fputs("\n]}\n", json);
        failed += fclose(json) != 0;
    }
    return failed ? 1 : 0;
}
