#pragma once
/* The YAML document with its positions: finds the line of a field, checks the document against the
 * libcyaml schema, and gathers problems in the one form that operators read:
 *
 *   FILE:LINE: FIELD: found WHAT; allowed: WHAT
 *
 * Inside gateway/config only. One thread. */

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "crypto/base/status.h"
#include "gateway/config/raw.h"

#define GW_CONFIG_MAX_PROBLEMS 20

struct gw_document {
    const char *file; /* borrowed */
    yaml_document_t yaml;
    char *error; /* borrowed; one problem a line */
    size_t error_len;
    size_t used;
    unsigned problems;
};

/** Parses `text`. KW_E_INPUT with the position in `error` when it is not YAML, is empty or holds an
 *  alias. After KW_OK the caller owns gw_document_close. */
KW_MUST_CHECK kw_status gw_document_open(struct gw_document *doc, const char *file,
                                         const char *text, size_t len, char *error,
                                         size_t error_len);
void gw_document_close(struct gw_document *doc);

/** Checks names, types and required fields of the whole document; every problem is added. */
void gw_document_check(struct gw_document *doc, const cyaml_schema_value_t *schema);

/** Adds a problem. `path` is as "group.members[2].pin_file"; its line is looked up (the nearest
 *  parent's when the field is absent; 0 lines are left out). */
void gw_document_problem(struct gw_document *doc, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Line of a field, from 1. */
unsigned gw_document_line(const struct gw_document *doc, const char *path);

/** Text of a field; NULL when it is absent or not a single value. Borrowed from the document. */
const char *gw_document_text(const struct gw_document *doc, const char *path);
