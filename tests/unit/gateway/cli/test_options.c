#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#include "gateway/cli/options.h"

static bool flag;
static const char *value;

static const struct cli_option options[] = {{"--flag", NULL, CLI_FLAG, NULL, "a flag", &flag},
                                            {"--config", "-c", CLI_VALUE, "FILE", "a file", &value},
                                            {.name = NULL}};
static const struct cli_command command = {"x", "keyward x", "does x", NULL};

static int read_words(struct cli_words *words, int argc, const char *const *args)
{
    flag = false;
    value = NULL;
    return cli_read(&command, options, argc, (char **)(size_t)args, words);
}

#define READ(words, ...)                                                                           \
    read_words(words, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),               \
               (const char *[]){__VA_ARGS__})

static void test_taken(void **state)
{
    (void)state;
    struct cli_words words;
    assert_int_equal(READ(&words, "a", "--flag", "-c", "f", "b"), CLI_GO_ON);
    assert_true(flag);
    assert_string_equal(value, "f");
    assert_int_equal(words.count, 2);
    assert_string_equal(words.word[1], "b");
    assert_int_equal(READ(&words, "--config=g"), CLI_GO_ON);
    assert_string_equal(value, "g");
    assert_int_equal(READ(&words, "--", "--flag"), CLI_GO_ON);
    assert_false(flag);
    assert_string_equal(words.word[0], "--flag");
    assert_int_equal(READ(&words, "--help"), 0);
}

static void test_refused(void **state)
{
    (void)state;
    struct cli_words words;
    assert_int_equal(READ(&words, "--flags"), 2);
    assert_int_equal(READ(&words, "-x"), 2);
    assert_int_equal(READ(&words, "--flag=1"), 2);
    assert_int_equal(READ(&words, "-c"), 2);
    assert_int_equal(READ(&words, "--config="), 2);
    assert_int_equal(READ(&words, "a", "b", "c", "d", "e"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_taken),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
