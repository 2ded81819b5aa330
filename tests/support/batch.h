#pragma once
/* Known-answer cases run through kc_lanes_run in company: each case stands in every position of a
 * batch of neighbours of other keys, kinds and verdicts, and must answer the same in each. */

#include "crypto/lanes/lanes.h"

struct kt_case {
    char name[96];        /* what a failure is reported as */
    struct kc_lane_op op; /* key: one reference is taken over; spans: from kt_hex or kt_copy */
    bool refused;         /* KW_E_INPUT or KW_E_CRYPTO is expected */
    bool valid;           /* VERIFY: expected verdict */
    struct kw_span want;  /* expected output */
    struct kw_span tag;   /* GCM encryption: expected tag */
};

struct kt_set;

struct kt_set *kt_set_create(void);
void kt_set_free(struct kt_set *set);

/** Bytes of a hexadecimal text (odd lengths get a leading zero), owned by the set. */
struct kw_span kt_hex(struct kt_set *set, const char *text);
struct kw_span kt_copy(struct kt_set *set, struct kw_span from);
/** Digest of `message`, owned by the set. */
struct kw_span kt_digest(struct kt_set *set, enum kw_hash hash, struct kw_span message);

void kt_add(struct kt_set *set, const struct kt_case *add);
size_t kt_count(const struct kt_set *set);

/** Runs everything; prints and counts what answers otherwise than expected. The batches are as wide
 *  as the shape's kernel, but at least four. */
size_t kt_set_run(struct kt_set *set);

/** An oct key, padded with zeros to 16, 24 or 32 bytes when `pad` (for HMAC that is the same key);
 *  NULL when the size is not offered. */
struct kc_key *kt_oct_key(struct kw_span bytes, bool pad);
