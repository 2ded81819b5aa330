#include "gateway/cli/dr_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"OK", "WARN", "FAIL"};

bool dr_add(struct dr_report *report, enum dr_outcome outcome, const char *part, const char *item,
            const char *next, const char *format, ...)
{
    va_list args;
    if (report->count == report->cap) {
        size_t cap = report->cap ? report->cap * 2 : 32;
        struct dr_item *more = realloc(report->list, cap * sizeof *more);
        if (!more) {
            report->out_of_memory = true;
            return outcome == DR_OK;
        }
        report->list = more;
        report->cap = cap;
    }
    struct dr_item *it = &report->list[report->count++];
    *it = (struct dr_item){.outcome = outcome};
    snprintf(it->part, sizeof it->part, "%s", part);
    snprintf(it->item, sizeof it->item, "%s", item);
    snprintf(it->next, sizeof it->next, "%s", outcome == DR_OK ? "" : next);
    va_start(args, format);
    vsnprintf(it->seen, sizeof it->seen, format, args);
    va_end(args);
    return outcome == DR_OK;
}

size_t dr_count(const struct dr_report *report, enum dr_outcome outcome)
{
    size_t n = 0;
    for (size_t i = 0; i < report->count; i++)
        n += report->list[i].outcome == outcome;
    return n;
}

int dr_code(const struct dr_report *report)
{
    return dr_count(report, DR_FAIL) > 0 || report->out_of_memory ? 1 : 0;
}

void dr_print(const struct dr_report *report, const char *verdict)
{
    size_t part = 0, item = 0, problems = dr_count(report, DR_FAIL);
    for (size_t i = 0; i < report->count; i++) {
        size_t a = strlen(report->list[i].part), b = strlen(report->list[i].item);
        part = a > part ? a : part;
        item = b > item ? b : item;
    }
    printf("%s: %zu problem%s, %zu warning%s, %zu ok\n", verdict, problems,
           problems == 1 ? "" : "s", dr_count(report, DR_WARN),
           dr_count(report, DR_WARN) == 1 ? "" : "s", dr_count(report, DR_OK));
    for (size_t i = 0; i < report->count; i++) {
        const struct dr_item *it = &report->list[i];
        printf("%-4s  %-*s  %-*s  %s\n", words[it->outcome], (int)part, it->part, (int)item,
               it->item, it->seen);
        if (it->next[0])
            printf("      next: %s\n", it->next);
    }
    if (report->out_of_memory)
        printf("FAIL  memory was short: items are missing\n");
}

void dr_print_json(const struct dr_report *report, const char *verdict, json_t *more)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->count; i++) {
        const struct dr_item *it = &report->list[i];
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s,s:s}", "part", it->part, "item",
                                              it->item, "result", words[it->outcome], "seen",
                                              it->seen, "next", it->next));
    }
    json_t *out = json_pack("{s:s,s:b,s:I,s:I,s:o}", "verdict", verdict, "good",
                            dr_code(report) == 0, "problems", (json_int_t)dr_count(report, DR_FAIL),
                            "warnings", (json_int_t)dr_count(report, DR_WARN), "items", list);
    if (out && more)
        json_object_update_missing(out, more);
    if (out)
        json_dumpf(out, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(more);
    json_decref(out);
}

void dr_report_clear(struct dr_report *report)
{
    free(report->list);
    *report = (struct dr_report){.list = NULL};
}
