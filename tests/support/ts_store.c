#include "tests/support/ts_store.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CALL_MS 20000

void ts_answer_take(void *ctx, struct store_result *result)
{
    struct ts_answer *answer = ctx;
    answer->done = true;
    answer->result = *result;
    *result = (struct store_result){.status = result->status};
}

void ts_answer_clear(struct ts_answer *answer)
{
    for (size_t i = 0; i < answer->result.row_count; i++)
        free(answer->result.rows[i].record);
    free(answer->result.rows);
    *answer = (struct ts_answer){0};
}

void ts_dir_make(char out[64])
{
    snprintf(out, 64, "/tmp/keyward-test-XXXXXX");
    if (!mkdtemp(out))
        abort();
}

void ts_dir_remove(const char *dir)
{
    char path[512];
    DIR *list = opendir(dir);
    if (list) {
        struct dirent *entry;
        while ((entry = readdir(list))) {
            snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
            unlink(path);
        }
        closedir(list);
    }
    rmdir(dir);
}

kw_status ts_store_open(struct store **out, const char *dir, char *error, size_t error_len)
{
    struct store_engine *engine = NULL;
    KW_TRY(store_sqlite_open(&engine, dir, error, error_len));
    return store_create(out, engine, ts_loop_post);
}

struct store_ref ts_ref(const char *name, const char *version)
{
    return (struct store_ref){.vault = "v", .kind = STORE_KEY, .name = name, .version = version};
}

kw_status ts_put(struct store *store, struct ts_loop *loop, const char *name, const char *version,
                 const char *record)
{
    struct ts_answer answer = {0};
    struct store_ref ref = ts_ref(name, version);
    store_put(store, ts_loop_handle(loop), &ref, 1000, kw_span_str(record), ts_answer_take,
              &answer);
    if (!ts_loop_run_until(loop, &answer.done, CALL_MS))
        abort();
    kw_status status = answer.result.status;
    ts_answer_clear(&answer);
    return status;
}

kw_status ts_get(struct store *store, struct ts_loop *loop, const char *name, const char *version,
                 struct ts_answer *answer)
{
    struct ts_answer own = {0};
    struct ts_answer *into = answer ? answer : &own;
    struct store_ref ref = ts_ref(name, version);
    *into = (struct ts_answer){0};
    store_get(store, ts_loop_handle(loop), &ref, ts_answer_take, into);
    if (!ts_loop_run_until(loop, &into->done, CALL_MS))
        abort();
    kw_status status = into->result.status;
    if (!answer)
        ts_answer_clear(&own);
    return status;
}

const char *ts_version(unsigned n)
{
    static _Thread_local char text[STORE_VERSION_LEN + 1];
    snprintf(text, sizeof text, "%032x", n);
    return text;
}
