#pragma once
/* Options of a command as a table: read from it, and shown by --help from it. */

#include <stdbool.h>
#include <stddef.h>

enum cli_kind { CLI_FLAG, CLI_VALUE };

struct cli_option {
    const char *name; /* "--data"; `short_name` such as "-c" may be NULL */
    const char *short_name;
    enum cli_kind kind;
    const char *value_name; /* "DIR"; for help */
    const char *help;
    void *target; /* bool * of a flag, const char ** of a value */
};

struct cli_command {
    const char *name;     /* "serve" */
    const char *synopsis; /* after "keyward ", one line each */
    const char *summary;
    int (*run)(const struct cli_command *command, int argc, char **argv);
};

#define CLI_MAX_WORDS 4

/** What stood between the options. */
struct cli_words {
    const char *word[CLI_MAX_WORDS];
    size_t count;
};

#define CLI_GO_ON (-1)

/** Reads `argv` (from the word after the command) by `options`, ended by a NULL name. CLI_GO_ON, or
 *  the exit code: 0 after --help, 2 after a sentence on what is wrong. */
int cli_read(const struct cli_command *command, const struct cli_option *options, int argc,
             char **argv, struct cli_words *words);

/** Prints "keyward: SENTENCE" on standard error, points at --help, and gives 2. */
int cli_usage(const struct cli_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Prints "keyward: SENTENCE" on standard error and gives 1. */
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
