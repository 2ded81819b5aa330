/* RSA operations: padding before and after a modular exponentiation, and the check of every private
 * result. The exponentiation is the dispatch table's. */
#include "crypto/lanes/dispatch.h"
#include "crypto/lanes/scratch.h"
#include "crypto/padding/padding.h"

/* One operation of a chunk on its way. */
struct lane {
    struct kc_lane_op *op;
    uint8_t *answer; /* signature: the caller's buffer; decryption: the block before decoding */
    bool done;
};

static bool is_sign(const struct kc_lane_op *op)
{
    return op->kind == KW_KIND_SIGN;
}

static size_t modulus_len(const struct kc_lane_op *op)
{
    return op->key->pub.bits / 8;
}

static bool below_modulus(const struct kc_lane_op *op, const uint8_t *block)
{
    return memcmp(block, op->key->pub.n, modulus_len(op)) < 0;
}

static enum kc_shape public_shape(const struct kc_key *key)
{
    return (enum kc_shape)(KC_SHAPE_RSA2048_PUBLIC + key->pub.bits / 1024 - 2);
}

static enum kc_shape private_shape(const struct kc_key *key)
{
    return (enum kc_shape)(KC_SHAPE_RSA2048_PRIVATE + key->pub.bits / 1024 - 2);
}

static kw_status encode_signature(uint8_t *block, const struct kc_lane_op *op, EVP_MD_CTX *md)
{
    const struct kw_alg_info *info = kw_alg_info(op->alg);
    if (info->family == KW_FAMILY_RSA_PSS) {
        return kc_pss_encode(block, modulus_len(op), info->hash, op->in, md);
    }
    return kc_pkcs1_sign_encode(block, modulus_len(op), info->hash, op->in);
}

static kw_status encode_plaintext(uint8_t *block, const struct kc_lane_op *op, EVP_MD_CTX *md)
{
    const struct kw_alg_info *info = kw_alg_info(op->alg);
    if (info->family == KW_FAMILY_RSA_OAEP) {
        return kc_oaep_encode(block, modulus_len(op), info->hash, op->in, md);
    }
    return kc_pkcs1_encrypt_encode(block, modulus_len(op), op->in);
}

/* Decodes the block into the caller's buffer: one status for every fault, in equal time. */
static void decode_plaintext(struct kc_lane_op *op, uint8_t *block, EVP_MD_CTX *md)
{
    const struct kw_alg_info *info = kw_alg_info(op->alg);
    size_t k = modulus_len(op), len = 0, good = 0;
    kw_status status = KW_OK;
    if (info->family == KW_FAMILY_RSA_OAEP) {
        status = kc_oaep_decode(op->out.data, &len, &good, block, k, info->hash, md);
    } else {
        good = kc_pkcs1_encrypt_decode(op->out.data, &len, block, k);
    }
    op->out.len = len;
    op->status = status != KW_OK ? status : good ? KW_OK : KW_E_CRYPTO;
}

/* Runs `modexp` on the blocks of lanes that are not done; *ok[i] says which have a result. */
static void run_jobs(kc_modexp_fn *modexp, struct kc_rsa_job *jobs, const size_t *index, size_t n,
                     bool *ok, struct kc_scratch *scratch)
{
    if (n != 0) {
        modexp(jobs, n, scratch);
    }
    for (size_t i = 0; i < n; i++) {
        ok[index[i]] = jobs[i].status == KW_OK;
    }
}

/* One way from the blocks to checked answers: private operation, public operation on the bytes that
 * would leave, comparison with the caller's input. Lanes that pass are done. */
static void compute(struct lane *lanes, size_t n, kc_modexp_fn *private, bool alarm,
                    struct kc_scratch *scratch)
{
    struct kc_rsa_room *room = scratch->rsa;
    struct kc_rsa_job jobs[KC_RSA_BATCH];
    size_t index[KC_RSA_BATCH], count = 0;
    bool ok[KC_RSA_BATCH] = {false};
    for (size_t i = 0; i < n; i++) {
        if (!lanes[i].done) {
            jobs[count] = (struct kc_rsa_job){lanes[i].op->key, room->block[i], lanes[i].answer,
                                              KW_E_INTERNAL};
            index[count++] = i;
        }
    }
    if (count == 0) {
        return;
    }
    run_jobs(private, jobs, index, count, ok, scratch);

    size_t checks = 0, check_index[KC_RSA_BATCH];
    for (size_t j = 0; j < count; j++) {
        size_t i = index[j];
        /* an answer not below the modulus is wrong without asking */
        if (ok[i] && below_modulus(lanes[i].op, lanes[i].answer)) {
            jobs[checks] = (struct kc_rsa_job){lanes[i].op->key, lanes[i].answer, room->back[i],
                                               KW_E_INTERNAL};
            check_index[checks++] = i;
        } else if (ok[i] && alarm) {
            kc_alarm_raise();
        }
    }
    bool checked[KC_RSA_BATCH] = {false};
    kc_modexp_fn *public = kc_dispatch_get(public_shape(lanes[0].op->key))->modexp;
    run_jobs(public, jobs, check_index, checks, checked, scratch);
    for (size_t j = 0; j < checks; j++) {
        size_t i = check_index[j];
        lanes[i].done = checked[i] && kc_rsa_answers(lanes[i].op, room->back[i], scratch->md);
        if (!lanes[i].done && alarm) {
            kc_alarm_raise();
        }
    }
}

static void finish_private(struct lane *lane, struct kc_scratch *scratch)
{
    struct kc_lane_op *op = lane->op;
    if (op->status != KW_OK && op->status != KW_E_CRYPTO) {
        return;
    }
    if (!lane->done) {
        kw_wipe(op->out.data, modulus_len(op));
        op->status = KW_E_INTERNAL;
    } else if (is_sign(op)) {
        op->out.len = modulus_len(op);
    } else if (op->status == KW_OK) {
        decode_plaintext(op, lane->answer, scratch->md);
    } else {
        kw_wipe(op->out.data, modulus_len(op));
    }
}

/* Fills the block of lane i. A ciphertext that is not below the modulus cannot be an RSA
 * ciphertext: its lane is answered KW_E_CRYPTO. That it is so large is public, so nothing is hidden
 * by more. */
static void start_private(struct lane *lane, size_t i, struct kc_lane_op *op,
                          struct kc_scratch *scratch)
{
    uint8_t *block = scratch->rsa->block[i];
    *lane = (struct lane){.op = op};
    if (is_sign(op)) {
        lane->answer = op->out.data;
        op->status = encode_signature(block, op, scratch->md);
    } else {
        lane->answer = scratch->rsa->result[i];
        memcpy(block, op->in.data, modulus_len(op));
        op->status = below_modulus(op, block) ? KW_OK : KW_E_CRYPTO;
    }
    lane->done = op->status != KW_OK;
}

static void run_private_chunk(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    struct lane lanes[KC_RSA_BATCH];
    for (size_t i = 0; i < n; i++) {
        start_private(&lanes[i], i, ops[i], scratch);
    }
    compute(lanes, n, kc_dispatch_get(private_shape(ops[0]->key))->modexp, true, scratch);
    compute(lanes, n, kc_dispatch_second(), true, scratch);
    for (size_t i = 0; i < n; i++) {
        finish_private(&lanes[i], scratch);
    }
    kw_wipe(scratch->rsa->block, n * KW_RSA_MAX_BYTES);
    kw_wipe(scratch->rsa->result, n * KW_RSA_MAX_BYTES);
    kw_wipe(scratch->rsa->back, n * KW_RSA_MAX_BYTES);
}

void kc_rsa_run_private(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    for (size_t at = 0; at < n; at += KC_RSA_BATCH) {
        run_private_chunk(ops + at, n - at < KC_RSA_BATCH ? n - at : KC_RSA_BATCH, scratch);
    }
}

/* The job of a public operation; false when it is answered already. */
static bool start_public(struct kc_rsa_job *job, size_t i, struct kc_lane_op *op,
                         struct kc_scratch *scratch)
{
    struct kc_rsa_room *room = scratch->rsa;
    job->key = op->key;
    job->status = KW_E_INTERNAL;
    if (op->kind == KW_KIND_VERIFY) {
        /* a signature of another length or not below the modulus is a wrong one, not an error */
        if (op->sig.len != modulus_len(op) || !below_modulus(op, op->sig.data)) {
            op->status = KW_OK;
            return false;
        }
        job->in = op->sig.data;
        job->out = room->back[i];
        return true;
    }
    op->status = encode_plaintext(room->block[i], op, scratch->md);
    job->in = room->block[i];
    job->out = op->out.data;
    return op->status == KW_OK;
}

static void run_public_chunk(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    struct kc_rsa_room *room = scratch->rsa;
    struct kc_rsa_job jobs[KC_RSA_BATCH];
    size_t index[KC_RSA_BATCH], count = 0;
    for (size_t i = 0; i < n; i++) {
        if (start_public(&jobs[count], i, ops[i], scratch)) {
            index[count++] = i;
        }
    }
    if (count != 0) {
        kc_dispatch_get(public_shape(ops[0]->key))->modexp(jobs, count, scratch);
    }
    for (size_t j = 0; j < count; j++) {
        struct kc_lane_op *op = ops[index[j]];
        op->status = jobs[j].status;
        if (op->status == KW_OK && op->kind == KW_KIND_VERIFY) {
            op->valid = kc_rsa_answers(op, room->back[index[j]], scratch->md);
        } else if (op->status == KW_OK) {
            op->out.len = modulus_len(op);
        }
    }
    kw_wipe(room->block, n * KW_RSA_MAX_BYTES);
}

void kc_rsa_run_public(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    for (size_t at = 0; at < n; at += KC_RSA_BATCH) {
        run_public_chunk(ops + at, n - at < KC_RSA_BATCH ? n - at : KC_RSA_BATCH, scratch);
    }
}
