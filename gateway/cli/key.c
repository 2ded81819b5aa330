/* keyward key list | adopt: over the control socket of the running gateway. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/control.h"
#include "gateway/config/config.h"

#define ANSWER_SECONDS 120 /* thousands of keys on a slow token, each tried on every member */

struct key_options {
    const char *file, *data, *id, *label, *member, *ops, *vault;
    bool json, list;
};

static int read_options(const struct cli_command *command, int argc, char **argv,
                        struct key_options *out, struct cli_words *words)
{
    const struct cli_option options[] = {
        {"--config", "-c", CLI_VALUE, "FILE", "the configuration the gateway runs with",
         &out->file},
        {"--data", NULL, CLI_VALUE, "DIR", "data directory of serve --dev (./" GW_DEV_DATA ")",
         &out->data},
        {"--list", NULL, CLI_FLAG, NULL, "adopt: show what is on the tokens", &out->list},
        {"--id", NULL, CLI_VALUE, "HEX", "adopt: the key's CKA_ID", &out->id},
        {"--label", NULL, CLI_VALUE, "TEXT", "adopt: the key's label, where only one has it",
         &out->label},
        {"--member", NULL, CLI_VALUE, "NAME", "adopt: the one that this member calls so",
         &out->member},
        {"--ops", NULL, CLI_VALUE, "OP,OP", "adopt: fewer operations than the tokens allow",
         &out->ops},
        {"--vault", NULL, CLI_VALUE, "NAME", "adopt: the vault that gets the key (default)",
         &out->vault},
        {"--json", NULL, CLI_FLAG, NULL, "print the gateway's answer as it is", &out->json},
        {.name = NULL}};
    int code = cli_read(command, options, argc, argv, words);
    if (code == CLI_GO_ON && out->file && out->data)
        return cli_usage(command, "-c FILE and --data DIR exclude each other");
    return code;
}

/* Exit code, or CLI_GO_ON with the answer. */
static int ask(const struct key_options *options, const char *method, const char *path,
               const char *body, int *http_status, json_t **answer)
{
    char error[1024];
    struct gw_place place;
    char *text = NULL;
    if (gw_place_find(&place, options->file, options->data, error, sizeof error) != KW_OK) {
        fprintf(stderr, "%s\n", error);
        return 2;
    }
    kw_status status = cli_control_send(place.control, method, path, body, ANSWER_SECONDS,
                                        http_status, &text, error, sizeof error);
    gw_place_clear(&place);
    if (status != KW_OK)
        return cli_fail("%s", error);
    *answer = json_loads(text, 0, NULL);
    free(text);
    if (!json_is_object(*answer)) {
        json_decref(*answer);
        return cli_fail("the gateway answered %d and no list", *http_status);
    }
    return CLI_GO_ON;
}

/* What another program has written: nothing that steers a terminal. */
static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static void put_joined(char *out, size_t room, const json_t *words)
{
    size_t i;
    const json_t *word;
    out[0] = '\0';
    json_array_foreach(words, i, word)
    {
        size_t len = strlen(out);
        snprintf(out + len, room - len, "%s%s", i ? "," : "", json_string_value(word));
    }
    if (out[0] == '\0')
        snprintf(out, room, "-");
}

static void put_size(char *out, size_t room, const json_t *key)
{
    const char *curve = text_of(key, "curve");
    long long bits = (long long)json_integer_value(json_object_get(key, "bits"));
    if (*curve)
        snprintf(out, room, "%s %s", text_of(key, "type"), curve);
    else if (bits > 0)
        snprintf(out, room, "%s %lld", text_of(key, "type"), bits);
    else
        snprintf(out, room, "%s", text_of(key, "type"));
}

/* Members that could not be asked: what they hold is not in the list. */
static int print_unread(const json_t *answer)
{
    size_t i;
    int code = 0;
    const json_t *member;
    json_array_foreach(json_object_get(answer, "members"), i, member)
    {
        if (json_is_true(json_object_get(member, "read")))
            continue;
        fprintf(stderr, "keyward: %s could not be read: %s\n", text_of(member, "name"),
                text_of(member, "reason"));
        code = 1;
    }
    return code;
}

#define COLUMNS 7

struct row {
    char cell[COLUMNS][160];
};

/* Columns as wide as their widest cell; the last one is not padded. */
static void print_rows(const struct row *rows, size_t count)
{
    int width[COLUMNS] = {0};
    for (size_t r = 0; r < count; r++) {
        for (size_t c = 0; c < COLUMNS; c++) {
            int len = (int)strlen(rows[r].cell[c]);
            width[c] = len > width[c] ? len : width[c];
        }
    }
    for (size_t r = 0; r < count; r++) {
        for (size_t c = 0; c + 1 < COLUMNS; c++)
            printf("%-*s  ", width[c], rows[r].cell[c]);
        printf("%s\n", rows[r].cell[COLUMNS - 1]);
    }
}

typedef void fill_fn(struct row *row, const json_t *key);

static int print_table(const json_t *answer, const char *const heads[COLUMNS], fill_fn *fill)
{
    const json_t *keys = json_object_get(answer, "keys");
    size_t count = json_array_size(keys), i;
    struct row *rows = calloc(count + 1, sizeof *rows);
    const json_t *key;
    if (!rows)
        return cli_fail("out of memory");
    for (size_t c = 0; c < COLUMNS; c++)
        snprintf(rows[0].cell[c], sizeof rows[0].cell[c], "%s", heads[c]);
    json_array_foreach(keys, i, key) fill(&rows[i + 1], key);
    print_rows(rows, count + 1);
    free(rows);
    return print_unread(answer);
}

/* --- key list --- */

#define CELL(row, column) (row)->cell[column], sizeof(row)->cell[column]

static void fill_key(struct row *row, const json_t *key)
{
    bool elsewhere = strcmp(text_of(key, "vault"), "default") != 0;
    snprintf(CELL(row, 0), "%s%s%s", elsewhere ? text_of(key, "vault") : "", elsewhere ? "/" : "",
             text_of(key, "name"));
    snprintf(CELL(row, 1), "%s", text_of(key, "version"));
    snprintf(CELL(row, 2), "%s", text_of(key, "kind"));
    put_size(CELL(row, 3), key);
    snprintf(CELL(row, 4), "%s",
             json_is_true(json_object_get(key, "enabled")) ? "enabled" : "disabled");
    put_joined(CELL(row, 5), json_object_get(key, "members"));
    put_joined(CELL(row, 6), json_object_get(key, "loaded"));
}

/* --- key adopt --list --- */

static void fill_token_key(struct row *row, const json_t *key)
{
    const char *id = text_of(key, "id"), *problem = text_of(key, "problem");
    const json_t *adopted = json_object_get(key, "adopted");
    snprintf(CELL(row, 0), "%s", *id ? id : "-");
    snprintf(CELL(row, 1), "%s", *text_of(key, "label") ? text_of(key, "label") : "-");
    snprintf(CELL(row, 2), "%s", text_of(key, "class"));
    put_size(CELL(row, 3), key);
    put_joined(CELL(row, 4), json_object_get(key, "ops"));
    put_joined(CELL(row, 5), json_object_get(key, "members"));
    if (adopted)
        snprintf(CELL(row, 6), "adopted: %s%s", text_of(adopted, "name"),
                 json_is_true(json_object_get(adopted, "deleted")) ? " (deleted)" : "");
    else
        snprintf(CELL(row, 6), "%s%s", *problem ? "no: " : "can be adopted", problem);
}

static int show(const struct key_options *options, const char *path, const char *const *heads,
                fill_fn *fill)
{
    int http_status = 0;
    json_t *answer = NULL;
    int code = ask(options, "GET", path, NULL, &http_status, &answer);
    if (code != CLI_GO_ON)
        return code;
    if (http_status != 200) {
        code = cli_fail("%s", text_of(answer, "error"));
    } else if (options->json) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
        code = 0;
    } else {
        code = print_table(answer, heads, fill);
    }
    json_decref(answer);
    return code;
}

/* --- key adopt NAME --- */

/* The request's body; NULL when memory is short. */
static char *adopt_body(const struct key_options *options)
{
    json_t *body = json_object();
    char *text = NULL;
    if (options->id)
        json_object_set_new(body, "id", json_string(options->id));
    if (options->label)
        json_object_set_new(body, "label", json_string(options->label));
    if (options->vault)
        json_object_set_new(body, "vault", json_string(options->vault));
    if (options->member)
        json_object_set_new(body, "member", json_string(options->member));
    if (options->ops) {
        json_t *words = json_array();
        for (const char *at = options->ops; *at;) {
            size_t len = strcspn(at, ",");
            json_array_append_new(words, json_stringn(at, len));
            at += len + (at[len] == ',');
        }
        json_object_set_new(body, "ops", words);
    }
    text = body ? json_dumps(body, 0) : NULL;
    json_decref(body);
    return text;
}

static void print_adopted(const json_t *answer)
{
    char members[160], ops[160], missing[160];
    put_joined(members, sizeof members, json_object_get(answer, "members"));
    put_joined(ops, sizeof ops, json_object_get(answer, "ops"));
    printf("%s: adopted as version %s, for %s, on %s\n", text_of(answer, "name"),
           text_of(answer, "version"), ops, members);
    put_joined(missing, sizeof missing, json_object_get(answer, "missing"));
    if (strcmp(missing, "-") != 0)
        printf("not on %s, which is not asked for it; replicate it there with the vendor's tool,\n"
               "then: keyward member sync NAME\n",
               missing);
    put_joined(missing, sizeof missing, json_object_get(answer, "unread"));
    if (strcmp(missing, "-") != 0)
        printf("not read: %s; whether the key is there is seen when the member serves\n", missing);
    printf("The key stays on the tokens: deleting or purging it in keyward removes the record "
           "alone.\n");
}

static bool name_ok(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= 127 &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static int adopt(const struct key_options *options, const char *name)
{
    char path[160];
    int http_status = 0;
    json_t *answer = NULL;
    char *body = adopt_body(options);
    if (!body)
        return cli_fail("an option is not valid UTF-8, or memory is short");
    snprintf(path, sizeof path, "/keys/%s/adopt", name);
    int code = ask(options, "POST", path, body, &http_status, &answer);
    free(body);
    if (code != CLI_GO_ON)
        return code;
    if (http_status != 200) {
        code = cli_fail("%s: %s", name, text_of(answer, "error"));
    } else {
        if (options->json) {
            json_dumpf(answer, stdout, JSON_INDENT(2));
            putchar('\n');
        } else {
            print_adopted(answer);
        }
        code = 0;
    }
    json_decref(answer);
    return code;
}

int cli_key(const struct cli_command *command, int argc, char **argv)
{
    static const char *const key_heads[COLUMNS] = {"KEY",   "VERSION", "KIND",  "TYPE",
                                                   "STATE", "HELD BY", "LOADED"};
    static const char *const token_heads[COLUMNS] = {"ID",         "LABEL",   "CLASS", "TYPE",
                                                     "OPERATIONS", "MEMBERS", "STATUS"};
    struct key_options options = {.json = false};
    struct cli_words words;
    int code = read_options(command, argc, argv, &options, &words);
    if (code != CLI_GO_ON)
        return code;
    const char *word = words.count > 0 ? words.word[0] : "";
    bool chooses = options.id || options.label || options.member || options.ops || options.vault;
    if (strcmp(word, "list") == 0 && words.count == 1 && !chooses && !options.list)
        return show(&options, "/keys", key_heads, fill_key);
    if (strcmp(word, "adopt") == 0 && options.list && words.count == 1 && !chooses)
        return show(&options, "/tokens/keys", token_heads, fill_token_key);
    if (strcmp(word, "adopt") != 0)
        return cli_usage(command, "keyward key: found \"%s\"; allowed: list, adopt", word);
    if (options.list || words.count != 2 || !name_ok(words.word[1]) ||
        !options.id == !options.label)
        return cli_usage(command, "keyward key adopt needs --list alone, or a name (letters, "
                                  "digits and dashes) with --id HEX or --label TEXT");
    return adopt(&options, words.word[1]);
}
