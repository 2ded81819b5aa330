#pragma once
/* `keyward doctor`: what its files share.
 *
 *   doctor.c         options, the running gateway, the members
 *   doctor_checks.c  configuration's files, certificates, store, machine
 *   doctor_print.c   the report as text and as JSON */

#include <jansson.h>

#include "crypto/domain/domain.h"
#include "gateway/config/config.h"
#include "pool/diagnose.h"

struct doctor_finding {
    char subject[POOL_NAME_MAX + 16]; /* "gateway", "files", "member hsm-a" */
    char step[32];
    enum pool_outcome outcome;
    enum pool_blame blame;
    char seen[1024], next[POOL_FINDING_TEXT];
};

/* What a member's token is, to find one that has two names. */
struct doctor_token {
    const char *member;
    char token[sizeof((struct pool_diagnosis *)0)->token];
};

struct doctor {
    const struct gw_config *config; /* may have gaps; NULL when nothing could be read */
    const char *data, *control;     /* never NULL */
    struct kc_domain *domain;       /* NULL: no usable key */
    json_t *status;                 /* of the running gateway; NULL: none runs */
    size_t hsm_keys, software_keys; /* versions in the store */
    struct doctor_token tokens[POOL_MAX_MEMBERS];
    size_t token_count;
    struct doctor_finding *findings;
    size_t count, cap;
    bool out_of_memory;
};

void doctor_add(struct doctor *doctor, const char *subject, const char *step,
                enum pool_outcome outcome, enum pool_blame blame, const char *next,
                const char *format, ...) __attribute__((format(printf, 7, 8)));

/* --- doctor_checks.c --- */

void doctor_files(struct doctor *doctor);
void doctor_certificates(struct doctor *doctor);
void doctor_store(struct doctor *doctor);
void doctor_machine(struct doctor *doctor);

/* --- doctor_print.c --- */

/** What is wrong first, with who and what next; then everything in order. */
void doctor_print(const struct doctor *doctor);
void doctor_print_json(const struct doctor *doctor);
size_t doctor_count(const struct doctor *doctor, enum pool_outcome outcome);
