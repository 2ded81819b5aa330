#include <stdio.h>
#include <string.h>

#include "gateway/cli/doctor.h"

static const char *const outcomes[] = {"ok", "warn", "fail", "skip"};
static const char *const loud[] = {"ok", "WARN", "FAIL", "skip"};
static const char *const blames[] = {"", "network", "device", "credential", "config"};

size_t doctor_count(const struct doctor *doctor, enum pool_outcome outcome)
{
    size_t n = 0;
    for (size_t i = 0; i < doctor->count; i++)
        n += doctor->findings[i].outcome == outcome;
    return n;
}

static void print_trouble(const struct doctor *doctor, enum pool_outcome outcome)
{
    for (size_t i = 0; i < doctor->count; i++) {
        const struct doctor_finding *f = &doctor->findings[i];
        if (f->outcome != outcome)
            continue;
        printf("\n%s  %s, %s: %s\n", loud[outcome], f->subject, f->step, f->seen);
        if (f->blame != POOL_BLAME_NONE)
            printf("      likely: %s\n", blames[f->blame]);
        if (f->next[0])
            printf("      next:   %s\n", f->next);
    }
}

static void print_table(const struct doctor *doctor)
{
    size_t subject = 0, step = 0;
    for (size_t i = 0; i < doctor->count; i++) {
        size_t a = strlen(doctor->findings[i].subject), b = strlen(doctor->findings[i].step);
        subject = a > subject ? a : subject;
        step = b > step ? b : step;
    }
    putchar('\n');
    for (size_t i = 0; i < doctor->count; i++) {
        const struct doctor_finding *f = &doctor->findings[i];
        const char *text = f->seen;
        size_t line = strcspn(text, "\n");
        printf("%-4s  %-*s  %-*s  %.*s%s\n", loud[f->outcome], (int)subject, f->subject, (int)step,
               f->step, (int)line, text, text[line] ? " ..." : "");
    }
}

void doctor_print(const struct doctor *doctor)
{
    size_t bad = doctor_count(doctor, POOL_STEP_FAIL),
           warned = doctor_count(doctor, POOL_STEP_WARN);
    printf("keyward doctor: %zu problem%s, %zu warning%s, %zu checks ok, %zu skipped; the gateway "
           "%s\n",
           bad, bad == 1 ? "" : "s", warned, warned == 1 ? "" : "s",
           doctor_count(doctor, POOL_STEP_OK), doctor_count(doctor, POOL_STEP_SKIP),
           doctor->status ? "runs" : "does not run");
    print_trouble(doctor, POOL_STEP_FAIL);
    print_trouble(doctor, POOL_STEP_WARN);
    print_table(doctor);
}

void doctor_print_json(const struct doctor *doctor)
{
    json_t *list = json_array();
    for (size_t i = 0; i < doctor->count; i++) {
        const struct doctor_finding *f = &doctor->findings[i];
        json_array_append_new(list,
                              json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "subject", f->subject, "step",
                                        f->step, "result", outcomes[f->outcome], "owner",
                                        blames[f->blame], "seen", f->seen, "next", f->next));
    }
    json_t *out =
        json_pack("{s:I,s:I,s:b,s:o}", "problems", (json_int_t)doctor_count(doctor, POOL_STEP_FAIL),
                  "warnings", (json_int_t)doctor_count(doctor, POOL_STEP_WARN), "gateway_runs",
                  doctor->status != NULL, "findings", list);
    if (out)
        json_dumpf(out, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(out);
}
