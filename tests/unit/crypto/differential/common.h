#pragma once
/* Random lane operations beside OpenSSL: what the parts share. Each part makes one call of the
 * lanes with a random number of operations of random keys and checks every answer. */

#include "crypto/lanes/dispatch.h"
#include "tests/support/draw.h"

#define DF_BATCH 40 /* most operations of a call: more than any kernel is wide */

struct df_state {
    struct kt_draw draw;
    struct kc_scratch *scratch;
    size_t operations; /* checked so far */
    size_t failures;
};

/** Counts a failure and says what went in. `in` may be long: its first 64 bytes are shown. */
void df_fail(struct df_state *state, const char *what, const struct kc_key *key, struct kw_span in);

bool df_rsa_open(struct df_state *state);
void df_rsa_close(void);
size_t df_rsa_private_raw(struct df_state *state);
size_t df_rsa_private_ops(struct df_state *state);
size_t df_rsa_public_raw(struct df_state *state);
size_t df_rsa_public_ops(struct df_state *state);

bool df_aes_open(struct df_state *state);
void df_aes_close(void);
size_t df_aes_wrap(struct df_state *state);
size_t df_aes_gcm(struct df_state *state);
size_t df_aes_cbc(struct df_state *state);

bool df_ec_open(struct df_state *state);
void df_ec_close(void);
size_t df_ec_sign(struct df_state *state);
