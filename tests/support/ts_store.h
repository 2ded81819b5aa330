#pragma once
/* A store in a temporary directory, and its calls made blocking. */

#include "gateway/store/worker.h"
#include "tests/support/ts_loop.h"

/** What a call answered; copies, freed by ts_answer_clear. */
struct ts_answer {
    bool done;
    struct store_result result;
};

/** store_done_fn with a struct ts_answer as its context. */
void ts_answer_take(void *ctx, struct store_result *result);
void ts_answer_clear(struct ts_answer *answer);

/** Makes an empty directory; `out` of at least 64 bytes. */
void ts_dir_make(char out[64]);
/** Removes it with everything in it (one level). */
void ts_dir_remove(const char *dir);

/** A store on SQLite in `dir` whose completions go through ts_loop_post. */
kw_status ts_store_open(struct store **out, const char *dir, char *error, size_t error_len);

kw_status ts_put(struct store *store, struct ts_loop *loop, const char *name, const char *version,
                 const char *record);
/** The newest version when `version` is NULL. The caller clears `answer`, which may be NULL. */
kw_status ts_get(struct store *store, struct ts_loop *loop, const char *name, const char *version,
                 struct ts_answer *answer);
/** `n` as a version of 32 hex digits; static per thread, overwritten by the next call. */
const char *ts_version(unsigned n);
/** The reference of a key in the vault "v". */
struct store_ref ts_ref(const char *name, const char *version);
