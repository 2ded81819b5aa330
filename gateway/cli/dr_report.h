#pragma once
/* The report of keyward dr: one item a line, in the order they were looked at, with what to do. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum dr_outcome { DR_OK, DR_WARN, DR_FAIL };

struct dr_item {
    char part[80], item[64];
    enum dr_outcome outcome;
    char seen[768], next[256];
};

struct dr_report {
    struct dr_item *list;
    size_t count, cap;
    bool out_of_memory; /* an item is missing: the report cannot say that all is well */
};

/** `next` may be empty. Always gives `outcome` == DR_OK. */
bool dr_add(struct dr_report *report, enum dr_outcome outcome, const char *part, const char *item,
            const char *next, const char *format, ...) __attribute__((format(printf, 6, 7)));

size_t dr_count(const struct dr_report *report, enum dr_outcome outcome);
/** 0: no FAIL; 1: one or more. */
int dr_code(const struct dr_report *report);

/** `verdict` is the first line. */
void dr_print(const struct dr_report *report, const char *verdict);
/** The same with the members of `more` (taken over, may be NULL). */
void dr_print_json(const struct dr_report *report, const char *verdict, json_t *more);
void dr_report_clear(struct dr_report *report);
