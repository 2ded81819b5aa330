#include "gateway/config/document.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATH_MAX_LEN 256

/* --- problems --- */

static void add_line(struct gw_document *doc, unsigned line, const char *path, const char *text)
{
    doc->problems++;
    if (doc->problems > GW_CONFIG_MAX_PROBLEMS || doc->used >= doc->error_len)
        return;
    int n;
    if (line > 0)
        n = snprintf(doc->error + doc->used, doc->error_len - doc->used, "%s%s:%u: %s%s%s",
                     doc->used ? "\n" : "", doc->file, line, path, *path ? ": " : "", text);
    else
        n = snprintf(doc->error + doc->used, doc->error_len - doc->used, "%s%s: %s%s%s",
                     doc->used ? "\n" : "", doc->file, path, *path ? ": " : "", text);
    if (n > 0)
        doc->used += (size_t)n;
}

static void problem_at(struct gw_document *doc, unsigned line, const char *path, const char *format,
                       ...) __attribute__((format(printf, 4, 5)));

static void problem_at(struct gw_document *doc, unsigned line, const char *path, const char *format,
                       ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add_line(doc, line, path, text);
}

void gw_document_problem(struct gw_document *doc, const char *path, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add_line(doc, gw_document_line(doc, path), path, text);
}

/* --- nodes --- */

static const char *scalar(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

static unsigned line_of(const yaml_node_t *node)
{
    return (unsigned)node->start_mark.line + 1;
}

static yaml_node_t *node_at(const struct gw_document *doc, int index)
{
    /* libyaml's accessor takes a non-const document and changes nothing */
    return yaml_document_get_node((yaml_document_t *)(uintptr_t)&doc->yaml, index);
}

static yaml_node_t *child(const struct gw_document *doc, const yaml_node_t *map, const char *key,
                          size_t key_len, yaml_node_t **key_node)
{
    if (map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < map->data.mapping.pairs.top;
         pair++) {
        yaml_node_t *name = node_at(doc, pair->key);
        if (name && name->type == YAML_SCALAR_NODE && strlen(scalar(name)) == key_len &&
            memcmp(scalar(name), key, key_len) == 0) {
            *key_node = name;
            return node_at(doc, pair->value);
        }
    }
    return NULL;
}

/* The node at `path`, or NULL; `*line` is its line, or the line of the nearest parent. */
static const yaml_node_t *find(const struct gw_document *doc, const char *path, unsigned *line)
{
    const yaml_node_t *node = node_at(doc, 1);
    *line = node ? line_of(node) : 0;
    while (node && *path) {
        if (*path == '[') {
            char *end;
            size_t index = strtoul(path + 1, &end, 10);
            if (node->type != YAML_SEQUENCE_NODE || *end != ']' ||
                index >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
                return NULL;
            node = node_at(doc, node->data.sequence.items.start[index]);
            if (node)
                *line = line_of(node);
            path = end + 1;
        } else {
            size_t len = strcspn(path, ".[");
            yaml_node_t *key = NULL;
            node = child(doc, node, path, len, &key);
            if (key)
                *line = line_of(key);
            path += len;
        }
        if (*path == '.')
            path++;
    }
    return node;
}

unsigned gw_document_line(const struct gw_document *doc, const char *path)
{
    unsigned line;
    find(doc, path, &line);
    return line;
}

const char *gw_document_text(const struct gw_document *doc, const char *path)
{
    unsigned line;
    const yaml_node_t *node = find(doc, path, &line);
    return node && node->type == YAML_SCALAR_NODE ? scalar(node) : NULL;
}

/* --- opening --- */

/* Aliases make one node appear in many places: positions would lie, and a small file could stand
 * for a very large one. */
static bool find_alias(const char *text, size_t len, unsigned *line)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return false;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    bool found = false, more = true;
    while (more && !found) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event))
            break;
        found = event.type == YAML_ALIAS_EVENT;
        if (found)
            *line = (unsigned)event.start_mark.line + 1;
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return found;
}

kw_status gw_document_open(struct gw_document *doc, const char *file, const char *text, size_t len,
                           char *error, size_t error_len)
{
    memset(doc, 0, sizeof *doc);
    doc->file = file;
    doc->error = error;
    doc->error_len = error_len;
    unsigned alias_line = 0;
    if (find_alias(text, len, &alias_line)) {
        problem_at(doc, alias_line, "", "found a YAML alias (*name); allowed: plain values");
        return KW_E_INPUT;
    }
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return KW_E_NOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    kw_status status = KW_OK;
    if (!yaml_parser_load(&parser, &doc->yaml)) {
        problem_at(doc, (unsigned)parser.problem_mark.line + 1, "",
                   "not valid YAML: %s (column %u)",
                   parser.problem ? parser.problem : "cannot be read",
                   (unsigned)parser.problem_mark.column + 1);
        status = KW_E_INPUT;
    } else if (!yaml_document_get_root_node(&doc->yaml)) {
        problem_at(doc, 0, "", "the file is empty; needed: data, listeners");
        yaml_document_delete(&doc->yaml);
        status = KW_E_INPUT;
    }
    yaml_parser_delete(&parser);
    return status;
}

void gw_document_close(struct gw_document *doc)
{
    yaml_document_delete(&doc->yaml);
}

/* --- the check by schema --- */

static void join_fields(char *out, size_t len, const cyaml_schema_field_t *fields)
{
    size_t used = 0;
    out[0] = '\0';
    for (const cyaml_schema_field_t *f = fields; f->key && used < len; f++) {
        int n = snprintf(out + used, len - used, "%s%s", used ? ", " : "", f->key);
        used += n > 0 ? (size_t)n : 0;
    }
}

static void join_strings(char *out, size_t len, const cyaml_schema_value_t *value)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < value->enumeration.count && used < len; i++) {
        int n = snprintf(out + used, len - used, "%s%s", used ? ", " : "",
                         value->enumeration.strings[i].str);
        used += n > 0 ? (size_t)n : 0;
    }
}

/* Levenshtein distance, for names up to 63 bytes. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[64];
    size_t la = strlen(a), lb = strlen(b);
    if (la > 63 || lb > 63)
        return 64;
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[lb];
}

static const char *nearest(const char *name, const cyaml_schema_field_t *fields)
{
    const char *best = NULL;
    unsigned best_distance = 4;
    for (const cyaml_schema_field_t *f = fields; f->key; f++) {
        unsigned d = distance(name, f->key);
        if (d < best_distance) {
            best_distance = d;
            best = f->key;
        }
    }
    return best;
}

static const char *kind_of(const yaml_node_t *node)
{
    return node->type == YAML_MAPPING_NODE    ? "a mapping"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
                                              : "a value";
}

static bool is_bool(const char *text)
{
    static const char *const words[] = {"true", "yes", "on", "false", "no", "off"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(text, words[i]) == 0)
            return true;
    }
    return false;
}

static bool is_number(const char *text, bool is_signed)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool in_range =
        is_signed ? value >= INT32_MIN && value <= INT32_MAX : value >= 0 && value <= UINT32_MAX;
    return end != text && *end == '\0' && errno == 0 && in_range;
}

static void check_scalar(struct gw_document *doc, const yaml_node_t *node, const char *path,
                         const cyaml_schema_value_t *schema)
{
    if (node->type != YAML_SCALAR_NODE) {
        problem_at(doc, line_of(node), path, "found %s; allowed: a single value", kind_of(node));
        return;
    }
    const char *text = scalar(node);
    char allowed[256];
    switch (schema->type) {
    case CYAML_BOOL:
        if (!is_bool(text))
            problem_at(doc, line_of(node), path, "found \"%.64s\"; allowed: true, false", text);
        break;
    case CYAML_INT:
        if (!is_number(text, true))
            problem_at(doc, line_of(node), path, "found \"%.64s\"; allowed: a whole number", text);
        break;
    case CYAML_UINT:
        if (!is_number(text, false))
            problem_at(doc, line_of(node), path,
                       "found \"%.64s\"; allowed: a whole number from 0 to 4294967295", text);
        break;
    case CYAML_ENUM:
        for (uint32_t i = 0; i < schema->enumeration.count; i++) {
            if (strcmp(text, schema->enumeration.strings[i].str) == 0)
                return;
        }
        join_strings(allowed, sizeof allowed, schema);
        problem_at(doc, line_of(node), path, "found \"%.64s\"; allowed: %s", text, allowed);
        break;
    default:
        if (*text == '\0')
            problem_at(doc, line_of(node), path, "found nothing; allowed: a text");
    }
}

static void check_value(struct gw_document *doc, const yaml_node_t *node, const char *path,
                        const cyaml_schema_value_t *schema);

static void check_known(struct gw_document *doc, const yaml_node_t *key, const yaml_node_t *value,
                        const char *path, const cyaml_schema_field_t *fields)
{
    char here[PATH_MAX_LEN];
    snprintf(here, sizeof here, "%s%s%.64s", path, *path ? "." : "", scalar(key));
    for (const cyaml_schema_field_t *f = fields; f->key; f++) {
        if (strcmp(f->key, scalar(key)) == 0) {
            check_value(doc, value, here, &f->value);
            return;
        }
    }
    char allowed[256];
    join_fields(allowed, sizeof allowed, fields);
    const char *near = nearest(scalar(key), fields);
    if (near)
        problem_at(doc, line_of(key), here, "unknown field; did you mean \"%s\"? allowed: %s", near,
                   allowed);
    else
        problem_at(doc, line_of(key), here, "unknown field; allowed: %s", allowed);
}

static void check_mapping(struct gw_document *doc, const yaml_node_t *node, const char *path,
                          const cyaml_schema_field_t *fields)
{
    char allowed[256];
    join_fields(allowed, sizeof allowed, fields);
    if (node->type != YAML_MAPPING_NODE) {
        problem_at(doc, line_of(node), path, "found %s; allowed: a mapping with %s", kind_of(node),
                   allowed);
        return;
    }
    yaml_node_pair_t *start = node->data.mapping.pairs.start, *top = node->data.mapping.pairs.top;
    for (yaml_node_pair_t *pair = start; pair < top && doc->problems <= GW_CONFIG_MAX_PROBLEMS;
         pair++) {
        const yaml_node_t *key = node_at(doc, pair->key), *value = node_at(doc, pair->value);
        if (!key || !value || key->type != YAML_SCALAR_NODE) {
            problem_at(doc, line_of(node), path, "found a key that is not a name; allowed: %s",
                       allowed);
            continue;
        }
        yaml_node_t *first = NULL;
        if (child(doc, node, scalar(key), strlen(scalar(key)), &first) && first != key) {
            problem_at(doc, line_of(key), path, "field \"%.64s\" is given twice (first on line %u)",
                       scalar(key), line_of(first));
            continue;
        }
        check_known(doc, key, value, path, fields);
    }
    for (const cyaml_schema_field_t *f = fields; f->key; f++) {
        yaml_node_t *key = NULL;
        if (!(f->value.flags & CYAML_FLAG_OPTIONAL) &&
            !child(doc, node, f->key, strlen(f->key), &key))
            problem_at(doc, line_of(node), path, "required field \"%s\" is missing", f->key);
    }
}

static void check_sequence(struct gw_document *doc, const yaml_node_t *node, const char *path,
                           const cyaml_schema_value_t *schema)
{
    if (node->type != YAML_SEQUENCE_NODE) {
        problem_at(doc, line_of(node), path, "found %s; allowed: a list", kind_of(node));
        return;
    }
    size_t count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (count < schema->sequence.min)
        problem_at(doc, line_of(node), path, "found an empty list; needed: at least %u entry",
                   schema->sequence.min);
    for (size_t i = 0; i < count; i++) {
        char here[PATH_MAX_LEN];
        snprintf(here, sizeof here, "%.200s[%zu]", path, i);
        const yaml_node_t *item = node_at(doc, node->data.sequence.items.start[i]);
        if (item)
            check_value(doc, item, here, schema->sequence.entry);
    }
}

/* As deep as the schema, not as the document. */
static void check_value(struct gw_document *doc, const yaml_node_t *node, const char *path,
                        const cyaml_schema_value_t *schema)
{
    switch (schema->type) {
    case CYAML_MAPPING:
        check_mapping(doc, node, path, schema->mapping.fields);
        break;
    case CYAML_SEQUENCE:
        check_sequence(doc, node, path, schema);
        break;
    default:
        check_scalar(doc, node, path, schema);
    }
}

void gw_document_check(struct gw_document *doc, const cyaml_schema_value_t *schema)
{
    const yaml_node_t *root = yaml_document_get_root_node(&doc->yaml);
    if (root)
        check_value(doc, root, "", schema);
}
