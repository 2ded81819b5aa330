#include "crypto/base/secret.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void blocks_are_zeroed_and_aligned(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 64, 65, 1000, 8192, 8193, 300000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (int round = 0; round < 3; round++) {
            uint8_t *block = kw_secret_alloc(sizes[i]);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % 64, 0);
            for (size_t b = 0; b < sizes[i]; b++) {
                assert_int_equal(block[b], 0);
            }
            memset(block, 0xee, sizes[i]);
            kw_secret_free(block);
        }
    }
    kw_secret_free(NULL);
    assert_null(kw_secret_alloc(SIZE_MAX / 2 + 1));
    assert_int_equal(kw_secret_in_use(), 0);
}

static void many_blocks_do_not_overlap(void **state)
{
    (void)state;
    enum { N = 5000 };
    static uint8_t *blocks[N];
    for (int i = 0; i < N; i++) {
        size_t len = (size_t)(i % 7 + 1) * 60;
        blocks[i] = kw_secret_alloc(len);
        assert_non_null(blocks[i]);
        memset(blocks[i], i & 0xff, len);
    }
    for (int i = 0; i < N; i++) {
        size_t len = (size_t)(i % 7 + 1) * 60;
        assert_int_equal(blocks[i][0], i & 0xff);
        assert_int_equal(blocks[i][len - 1], i & 0xff);
    }
    assert_int_equal(kw_secret_in_use(), N);
    for (int i = 0; i < N; i += 2) {
        kw_secret_free(blocks[i]);
    }
    for (int i = 1; i < N; i += 2) {
        kw_secret_free(blocks[i]);
    }
    assert_int_equal(kw_secret_in_use(), 0);
}

/* Runs `act` in a child; the signal that ended it, 0 when none did. */
static int died_by(void (*act)(void))
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        act();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void overrun(void)
{
    volatile uint8_t *block = kw_secret_alloc(40000);
    for (size_t i = 0; i < 50000; i++) {
        block[i] = 1;
    }
}

static void free_twice(void)
{
    void *block = kw_secret_alloc(10), *other = kw_secret_alloc(10);
    kw_secret_free(block);
    kw_secret_free(block);
    kw_secret_free(other);
}

static void misuse_is_fatal(void **state)
{
    (void)state;
    assert_int_equal(died_by(overrun), SIGSEGV);
    assert_int_equal(died_by(free_twice), SIGABRT);
}

static void comparison(void **state)
{
    (void)state;
    uint8_t a[40], b[40];
    memset(a, 3, sizeof(a));
    memset(b, 3, sizeof(b));
    assert_int_equal(kw_ct_equal(a, b, 40), 1);
    for (size_t i = 0; i < 40; i++) {
        b[i] ^= 0x80;
        assert_int_equal(kw_ct_equal(a, b, 40), 0);
        assert_int_equal(kw_ct_equal(a, b, i), 1);
        b[i] ^= 0x80;
    }
    assert_int_equal(kw_ct_equal(NULL, NULL, 0), 1);
}

static void copies_and_randomness(void **state)
{
    (void)state;
    uint8_t a[64], b[64];
    struct kw_secret copy;
    assert_int_equal(kw_random(a, sizeof(a)), KW_OK);
    assert_int_equal(kw_random(b, sizeof(b)), KW_OK);
    assert_memory_not_equal(a, b, sizeof(a));
    assert_int_equal(kw_secret_copy(&copy, kw_span_of(a, 64)), KW_OK);
    assert_int_equal(copy.len, 64);
    assert_memory_equal(copy.data, a, 64);
    kw_secret_clear(&copy);
    assert_null(copy.data);
    assert_int_equal(kw_secret_copy(&copy, kw_span_of(NULL, 0)), KW_OK);
    kw_secret_clear(&copy);
    kw_wipe(a, sizeof(a));
    for (size_t i = 0; i < sizeof(a); i++) {
        assert_int_equal(a[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_and_aligned),
        cmocka_unit_test(many_blocks_do_not_overlap),
        cmocka_unit_test(misuse_is_fatal),
        cmocka_unit_test(comparison),
        cmocka_unit_test(copies_and_randomness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
