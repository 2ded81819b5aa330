/* Writes keys into a store, several at a time, and says on standard output what was acknowledged,
 * one line each and one write() per line:
 *   put N | delete N | refused N STATUS READ_ONLY
 * Arguments: directory, first number, how many (0: only open and close). */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/ts_store.h"

#define AT_ONCE 8

struct change {
    struct store *store;
    unsigned number;
    const char *what;
    unsigned *left;
    bool *all_done;
};

static void say(const char *text, int len)
{
    if (write(STDOUT_FILENO, text, (size_t)len) != len)
        _exit(3);
}

static void on_done(void *ctx, struct store_result *result)
{
    struct change *change = ctx;
    char line[64];
    int len;
    if (result->status == KW_OK)
        len = snprintf(line, sizeof line, "%s %u\n", change->what, change->number);
    else
        len = snprintf(line, sizeof line, "refused %u %s %d\n", change->number,
                       kw_status_name(result->status), store_read_only(change->store));
    say(line, len);
    if (--*change->left == 0)
        *change->all_done = true;
}

static void write_some(struct store *store, struct ts_loop *loop, unsigned first, unsigned count)
{
    struct change changes[AT_ONCE];
    struct gw_loop *handle = ts_loop_handle(loop);
    char name[32], record[64];
    unsigned left = count;
    bool all_done = false;
    for (unsigned i = 0; i < count; i++) {
        unsigned n = first + i;
        /* every fifth deletes the key that was put six before, the others put */
        bool is_delete = n % 5 == 4 && n >= 9;
        unsigned target = is_delete ? n - 6 : n;
        changes[i] = (struct change){store, target, is_delete ? "delete" : "put", &left, &all_done};
        snprintf(name, sizeof name, "key-%u", target);
        struct store_ref ref = ts_ref(name, is_delete ? NULL : ts_version(n));
        int len = snprintf(record, sizeof record, "record of %u", n);
        if (is_delete)
            store_delete(store, handle, &ref, 1, 2, on_done, &changes[i]);
        else
            store_put(store, handle, &ref, 1, kw_span_of(record, (size_t)len), on_done,
                      &changes[i]);
    }
    if (!ts_loop_run_until(loop, &all_done, 30000))
        _exit(4);
}

int main(int argc, char **argv)
{
    char error[256] = "";
    struct store *store = NULL;
    if (argc != 4)
        return 2;
    unsigned at = (unsigned)strtoul(argv[2], NULL, 10);
    unsigned end = at + (unsigned)strtoul(argv[3], NULL, 10);
    struct ts_loop *loop = ts_loop_create();
    if (ts_store_open(&store, argv[1], error, sizeof error) != KW_OK) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    while (at < end) {
        unsigned count = end - at < AT_ONCE ? end - at : AT_ONCE;
        write_some(store, loop, at, count);
        at += count;
    }
    store_close(store);
    ts_loop_destroy(loop);
    return 0;
}
