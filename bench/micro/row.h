#pragma once
/* One line of the core benchmark: the same operation by keyward's lanes and by OpenSSL's EVP. */

#include <stdbool.h>
#include <stddef.h>

#include "crypto/lanes/lanes.h"

#define BENCH_LANES_MAX 64

/** Operations that one call of the lanes gets, with their keys and buffers. */
struct bench_batch {
    struct kc_key *keys[BENCH_LANES_MAX];
    struct kc_lane_op ops[BENCH_LANES_MAX];
    struct kc_lane_op *list[BENCH_LANES_MAX];
    uint8_t *memory; /* inputs and outputs of all operations */
    size_t count;
    enum kc_shape shape;
};

struct bench_row {
    const char *name;
    const char *anchor_name;
    double must_reach; /* ratio; 0: none is set for this row */
    /* Makes batch and anchor; false when something is not to be had. */
    bool (*setup)(struct bench_row *row);
    /* One operation by OpenSSL on the first key; false when it fails. */
    bool (*theirs)(struct bench_row *row);
    void (*cleanup)(struct bench_row *row);
    enum kw_kind kind;
    enum kw_alg alg;
    unsigned bits; /* of the key */
    size_t len;    /* of a message */
    struct bench_batch batch;
    void *ctx, *cipher; /* OpenSSL's, reused */
};

extern struct bench_row bench_rows[];
extern const size_t bench_row_count;

/** Room for `count` operations of inputs and outputs up to `room` bytes; random inputs. */
bool bench_batch_open(struct bench_batch *batch, size_t count, size_t room);
void bench_batch_close(struct bench_batch *batch);

/** Runs the batch once; false when an operation fails. */
bool bench_batch_run(struct bench_batch *batch, struct kc_scratch *scratch);

bool bench_aes_setup(struct bench_row *row);
bool bench_aes_theirs(struct bench_row *row);
void bench_aes_cleanup(struct bench_row *row);

bool bench_pkey_setup(struct bench_row *row);
bool bench_pkey_theirs(struct bench_row *row);
void bench_pkey_cleanup(struct bench_row *row);
