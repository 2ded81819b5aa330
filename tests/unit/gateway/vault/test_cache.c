/* The key cache: what it keeps, what it drops, and that nothing stale ever comes back. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "gateway/vault/cache.h"
#include "gateway/vault/keys/keys.h"
#include "tests/support/ts_store.h"

static struct vault_object *make(const char *name, unsigned version)
{
    struct vault_object *key = vault_object_new(&vault_key_kind, "v", name, ts_version(version));
    assert_non_null(key);
    return key;
}

static struct vault_object *peek(struct vault_cache *cache, const char *name, const char *version)
{
    return vault_cache_peek(cache, "v", kw_span_str(name), kw_span_str(version));
}

static uint64_t generation(struct vault_cache *cache, const char *name)
{
    return vault_cache_generation(cache, "v", kw_span_str(name));
}

static bool holds(struct vault_cache *cache, const char *name, const char *version,
                  const struct vault_object *key)
{
    struct vault_object *found = peek(cache, name, version);
    bool same = found == key;
    vault_object_unref(found);
    return same;
}

static int setup(void **state)
{
    struct vault_cache *cache = NULL;
    if (vault_cache_create(&cache, 640) != KW_OK)
        return 1;
    *state = cache;
    return 0;
}

static int teardown(void **state)
{
    vault_cache_destroy(*state);
    return 0;
}

static void test_fill_and_peek(void **state)
{
    struct vault_cache *cache = *state;
    struct vault_object *one = make("Name", 1), *two = make("Name", 2);
    vault_cache_fill(cache, one, false, generation(cache, "name"));
    assert_true(holds(cache, "NAME", ts_version(1), one));
    assert_true(holds(cache, "name", "", NULL)); /* the newest is not known yet */
    vault_cache_fill(cache, two, true, generation(cache, "name"));
    assert_true(holds(cache, "name", "", two));
    assert_true(holds(cache, "name", ts_version(1), one));
    assert_true(holds(cache, "nam", "", NULL));
    assert_true(holds(cache, "name-", "", NULL));
    assert_true(holds(cache, "name", "1", NULL));
    assert_null(vault_cache_peek(cache, "V2", kw_span_str("name"), kw_span_str("")));
    assert_int_equal(vault_cache_count(cache), 2);
    vault_object_unref(one);
    vault_object_unref(two);
    vault_cache_drop(cache, "V", kw_span_str("nAME"));
    assert_int_equal(vault_cache_count(cache), 0);
}

static void test_replace_keeps_newest(void **state)
{
    struct vault_cache *cache = *state;
    struct vault_object *old = make("n", 1), *new = make("n", 1);
    vault_cache_publish(cache, old, true, generation(cache, "n"));
    vault_cache_publish(cache, new, false, generation(cache, "n"));
    assert_true(holds(cache, "n", "", new));
    assert_true(holds(cache, "n", ts_version(1), new));
    assert_int_equal(vault_cache_count(cache), 1);
    vault_object_unref(old);
    vault_object_unref(new);
}

static void test_late_fill_is_dropped(void **state)
{
    struct vault_cache *cache = *state;
    struct vault_object *stale = make("n", 1);
    uint64_t before = generation(cache, "n");
    vault_cache_drop(cache, "v", kw_span_str("n")); /* a delete was acknowledged meanwhile */
    vault_cache_fill(cache, stale, true, before);
    assert_true(holds(cache, "n", "", NULL));

    /* a change was published meanwhile: the fill must not replace it */
    struct vault_object *changed = make("n", 1);
    before = generation(cache, "n");
    vault_cache_publish(cache, changed, true, before);
    vault_cache_fill(cache, stale, true, before);
    assert_true(holds(cache, "n", "", changed));
    vault_object_unref(changed);
    vault_object_unref(stale);
}

static void test_racing_publishes_leave_nothing(void **state)
{
    struct vault_cache *cache = *state;
    struct vault_object *a = make("n", 1), *b = make("n", 1);
    uint64_t before = generation(cache, "n");
    vault_cache_publish(cache, b, true, before);
    vault_cache_publish(cache, a, true, before); /* which was committed first is not known */
    assert_true(holds(cache, "n", "", NULL));
    assert_true(holds(cache, "n", ts_version(1), NULL));
    vault_object_unref(a);
    vault_object_unref(b);
}

static void test_bounded(void **state)
{
    struct vault_cache *cache = *state;
    struct vault_object *hot = make("hot", 1);
    vault_cache_fill(cache, hot, true, generation(cache, "hot"));
    for (unsigned i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", i);
        struct vault_object *key = make(name, 1);
        vault_cache_fill(cache, key, true, generation(cache, name));
        vault_object_unref(key);
        assert_true(holds(cache, "hot", "", hot)); /* used all the time: stays */
    }
    assert_true(vault_cache_count(cache) <= 640 + 64);
    /* one object with very many versions does not fill it either, and keeps its newest */
    for (unsigned i = 2; i < 500; i++) {
        struct vault_object *key = make("hot", i);
        vault_cache_fill(cache, key, false, generation(cache, "hot"));
        vault_object_unref(key);
    }
    assert_true(holds(cache, "hot", "", hot));
    assert_true(vault_cache_count(cache) <= 640 + 64);
    vault_object_unref(hot);
}

/* --- the race --- */

/* A model of the store: one object whose state is a counter. Writers commit, publish, acknowledge;
 * readers read the store, dawdle, fill. Whoever peeks must never see a state older than the last
 * one that was acknowledged before the peek began. */
struct race {
    struct vault_cache *cache;
    pthread_mutex_t store_lock;
    int64_t committed;     /* under store_lock */
    _Atomic int64_t acked; /* highest acknowledged state */
    _Atomic bool stop;
    _Atomic unsigned long hits, stale;
};

static struct vault_object *state_of(int64_t state)
{
    struct vault_object *key = vault_object_new(&vault_key_kind, "v", "race", ts_version(1));
    if (!key)
        abort();
    key->attributes.nbf = state;
    return key;
}

static void raise_acked(struct race *race, int64_t state)
{
    int64_t seen = atomic_load(&race->acked);
    while (seen < state && !atomic_compare_exchange_weak(&race->acked, &seen, state))
        ;
}

static void dawdle(unsigned *seed)
{
    unsigned n = (unsigned)rand_r(seed) % 4;
    if (n == 0)
        sched_yield();
    else if (n == 1)
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

static void *change_it(void *arg)
{
    struct race *race = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    while (!atomic_load(&race->stop)) {
        uint64_t noted = generation(race->cache, "race");
        pthread_mutex_lock(&race->store_lock);
        int64_t state = ++race->committed;
        pthread_mutex_unlock(&race->store_lock);
        dawdle(&seed);
        if (rand_r(&seed) % 3 == 0) {
            vault_cache_drop(race->cache, "v", kw_span_str("race"));
        } else {
            struct vault_object *key = state_of(state);
            vault_cache_publish(race->cache, key, true, noted);
            vault_object_unref(key);
        }
        raise_acked(race, state);
        dawdle(&seed);
    }
    return NULL;
}

static void *read_it(void *arg)
{
    struct race *race = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    while (!atomic_load(&race->stop)) {
        int64_t acked = atomic_load(&race->acked);
        struct vault_object *key = peek(race->cache, "race", "");
        if (key) {
            atomic_fetch_add(&race->hits, 1);
            if (key->attributes.nbf < acked)
                atomic_fetch_add(&race->stale, 1);
            vault_object_unref(key);
            continue;
        }
        uint64_t noted = generation(race->cache, "race");
        pthread_mutex_lock(&race->store_lock);
        int64_t state = race->committed;
        pthread_mutex_unlock(&race->store_lock);
        dawdle(&seed);
        key = state_of(state);
        vault_cache_fill(race->cache, key, true, noted);
        vault_object_unref(key);
    }
    return NULL;
}

static void test_no_stale_state_after_an_answer(void **state)
{
    struct race race = {.cache = *state, .store_lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[6];
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < 2 ? change_it : read_it, &race), 0);
    nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
    atomic_store(&race.stop, true);
    for (unsigned i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    assert_true(atomic_load(&race.hits) > 100);
    assert_true(race.committed > 100);
    assert_int_equal(atomic_load(&race.stale), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fill_and_peek, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replace_keeps_newest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late_fill_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_racing_publishes_leave_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_stale_state_after_an_answer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
