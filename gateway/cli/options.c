#include "gateway/cli/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void complain(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

static void complain(const char *format, va_list args)
{
    fputs("keyward: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

int cli_usage(const struct cli_command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(format, args);
    va_end(args);
    if (command)
        fprintf(stderr, "See: keyward %s --help\n", command->name);
    else
        fputs("See: keyward --help\n", stderr);
    return 2;
}

int cli_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(format, args);
    va_end(args);
    return 1;
}

static void show_help(const struct cli_command *command, const struct cli_option *options)
{
    printf("%s\n\n%s\n", command->synopsis, command->summary);
    if (options->name)
        printf("\nOptions:\n");
    for (const struct cli_option *o = options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s%s%s", o->short_name ? o->short_name : "",
                 o->short_name ? ", " : "", o->name, o->value_name ? " " : "",
                 o->value_name ? o->value_name : "");
        printf("  %-24s %s\n", left, o->help);
    }
    printf("  %-24s %s\n", "--help", "show this and exit");
}

/* The option that `arg` names; `*value` is what follows '=' in it, or NULL. */
static const struct cli_option *match(const struct cli_option *options, const char *arg,
                                      const char **value)
{
    *value = NULL;
    for (const struct cli_option *o = options; o->name; o++) {
        size_t len = strlen(o->name);
        if (strcmp(arg, o->name) == 0 || (o->short_name && strcmp(arg, o->short_name) == 0))
            return o;
        if (strncmp(arg, o->name, len) == 0 && arg[len] == '=') {
            *value = arg + len + 1;
            return o;
        }
    }
    return NULL;
}

static int take(const struct cli_command *command, const struct cli_option *option,
                const char *value, int argc, char **argv, int *i)
{
    if (option->kind == CLI_FLAG) {
        if (value)
            return cli_usage(command, "%s takes no value", option->name);
        *(bool *)option->target = true;
        return CLI_GO_ON;
    }
    if (!value && *i + 1 < argc)
        value = argv[++*i];
    if (!value || *value == '\0')
        return cli_usage(command, "%s needs a value: %s", option->name, option->value_name);
    *(const char **)option->target = value;
    return CLI_GO_ON;
}

int cli_read(const struct cli_command *command, const struct cli_option *options, int argc,
             char **argv, struct cli_words *words)
{
    memset(words, 0, sizeof *words);
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        const char *value;
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
            continue;
        }
        if (!only_words && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            show_help(command, options);
            return 0;
        }
        if (only_words || argv[i][0] != '-' || argv[i][1] == '\0') {
            if (words->count == CLI_MAX_WORDS)
                return cli_usage(command, "too many words: \"%s\"", argv[i]);
            words->word[words->count++] = argv[i];
            continue;
        }
        const struct cli_option *option = match(options, argv[i], &value);
        if (!option)
            return cli_usage(command, "keyward %s has no option %s", command->name, argv[i]);
        int code = take(command, option, value, argc, argv, &i);
        if (code != CLI_GO_ON)
            return code;
    }
    return CLI_GO_ON;
}
