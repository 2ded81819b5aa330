#include "crypto/aes/aes_lanes.h"

#include "crypto/aes/cbc.h"
#include "crypto/aes/gcm.h"
#include "crypto/aes/kw.h"
#include "crypto/keys/key_internal.h"
#include "crypto/lanes/dispatch.h"
#include "crypto/lanes/scratch.h"
#include "crypto/padding/pkcs7.h"

#define BATCH 64 /* messages handed to a kernel at once */

/* --- the schedule of a key --- */

static kw_status schedule_build(void **out, const struct kc_key *key)
{
    *out = NULL;
    if (key->pub.kty != KW_KTY_OCT || !key->oct)
        return KW_OK;
    struct kc_aes_schedule *schedule = kw_secret_alloc(sizeof *schedule);
    if (!schedule)
        return KW_E_NOMEM;
    struct kc_aes_more *more = kw_secret_alloc(sizeof *more);
    if (!more) {
        kw_secret_free(schedule);
        return KW_E_NOMEM;
    }
    kc_aes_schedule_init(schedule, more, key->oct, key->pub.bits / 8);
    *out = schedule;
    return KW_OK;
}

static void schedule_destroy(void *prepared)
{
    struct kc_aes_schedule *schedule = prepared;
    kw_secret_free((void *)(uintptr_t)schedule->more);
    kw_secret_free(schedule);
}

static const struct kc_key_extension schedules = {schedule_build, schedule_destroy};

/** NULL for a key that was made before the kernels were registered. */
static const struct kc_aes_schedule *schedule_of(const struct kc_lane_op *op)
{
    return op->key->slots[KC_KEY_SLOT_AES].prepared;
}

/* --- key wrap --- */

/* Messages of one sort: KW or KWP, wrap or unwrap. */
struct kw_bucket {
    struct kc_kw_message messages[BATCH];
    struct kc_lane_op *ops[BATCH];
    size_t count;
};

struct kw_room {
    struct kc_kw_scratch scratch;
    struct kw_bucket buckets[4]; /* padded * 2 + unwrap */
    struct kc_kw_turn turns[BATCH];
};

static void kw_flush(struct kw_room *room, unsigned which)
{
    struct kw_bucket *bucket = &room->buckets[which];
    if (bucket->count == 0)
        return;
    kc_kw_run(bucket->messages, bucket->count, which / 2, which % 2, room->turns, &room->scratch);
    for (size_t i = 0; i < bucket->count; i++) {
        bucket->ops[i]->out.len = bucket->messages[i].out_len;
        bucket->ops[i]->status = bucket->messages[i].ok ? KW_OK : KW_E_CRYPTO;
    }
    bucket->count = 0;
}

static void run_kw(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    struct kw_room *room = scratch->kernel;
    for (unsigned which = 0; which < 4; which++)
        room->buckets[which].count = 0; /* kernels of other shapes share this room */
    for (size_t i = 0; i < n; i++) {
        struct kc_lane_op *op = ops[i];
        if (!schedule_of(op) || op->in.len > KC_KW_MAX_INPUT) {
            kc_openssl_kw(&op, 1, scratch);
            continue;
        }
        unsigned which =
            (kw_alg_info(op->alg)->family == KW_FAMILY_AES_KWP) * 2u + (op->kind == KW_KIND_UNWRAP);
        struct kw_bucket *bucket = &room->buckets[which];
        bucket->messages[bucket->count] = (struct kc_kw_message){
            .key = schedule_of(op), .in = op->in.data, .len = op->in.len, .out = op->out.data};
        bucket->ops[bucket->count++] = op;
        if (bucket->count == BATCH)
            kw_flush(room, which);
    }
    for (unsigned which = 0; which < 4; which++)
        kw_flush(room, which);
}

/* --- GCM --- */

struct gcm_room {
    struct kc_gcm_message messages[BATCH];
    struct kc_lane_op *ops[BATCH];
};

static void gcm_flush(struct gcm_room *room, size_t count, bool decrypt)
{
    kc_gcm_run(room->messages, count, decrypt);
    for (size_t i = 0; i < count; i++) {
        struct kc_lane_op *op = room->ops[i];
        bool ok = room->messages[i].ok;
        if (!decrypt)
            memcpy(op->tag, room->messages[i].tag, sizeof op->tag);
        op->out.len = ok ? op->in.len : 0;
        op->status = ok ? KW_OK : KW_E_CRYPTO;
    }
}

static void gcm_some(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch,
                     bool decrypt)
{
    struct gcm_room *room = scratch->kernel;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        struct kc_lane_op *op = ops[i];
        if ((op->kind == KW_KIND_DECRYPT) != decrypt)
            continue;
        if (!schedule_of(op)) {
            kc_openssl_gcm(&op, 1, scratch);
            continue;
        }
        struct kc_gcm_message *m = &room->messages[count];
        *m = (struct kc_gcm_message){.key = schedule_of(op),
                                     .iv = op->iv.data,
                                     .aad = op->aad.data,
                                     .aad_len = op->aad.len,
                                     .in = op->in.data,
                                     .len = op->in.len,
                                     .out = op->out.data};
        memcpy(m->tag, op->tag, sizeof m->tag);
        room->ops[count++] = op;
        if (count == BATCH) {
            gcm_flush(room, count, decrypt);
            count = 0;
        }
    }
    if (count > 0)
        gcm_flush(room, count, decrypt);
}

static void run_gcm(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    gcm_some(ops, n, scratch, false);
    gcm_some(ops, n, scratch, true);
}

/* --- CBC --- */

struct cbc_room {
    struct kc_cbc_scratch scratch;
    struct kc_cbc_message messages[BATCH];
    struct kc_lane_op *ops[BATCH];
    uint8_t last[BATCH][KW_AES_BLOCK_LEN]; /* padded last blocks */
};

static bool is_padded(const struct kc_lane_op *op)
{
    return kw_alg_info(op->alg)->family == KW_FAMILY_AES_CBCPAD;
}

/* PKCS#7 (RFC 5652 section 6.3): a whole block more when the input is whole blocks. */
static void cbc_pad(struct cbc_room *room, size_t at)
{
    struct kc_cbc_message *m = &room->messages[at];
    size_t rest = m->len % KW_AES_BLOCK_LEN;
    memset(room->last[at], (int)(KW_AES_BLOCK_LEN - rest), KW_AES_BLOCK_LEN);
    if (rest > 0)
        memcpy(room->last[at], m->in + m->len - rest, rest);
    m->len += KW_AES_BLOCK_LEN - rest;
    m->last_block = room->last[at];
}

static void cbc_finish(struct kc_lane_op *op, size_t len, bool decrypt)
{
    op->status = KW_OK;
    op->out.len = len;
    if (!decrypt || !is_padded(op))
        return;
    size_t pad;
    if (kc_pkcs7_check(op->out.data + len - KW_AES_BLOCK_LEN, &pad)) {
        op->out.len = len - pad;
        kw_wipe(op->out.data + op->out.len, pad);
    } else {
        kw_wipe(op->out.data, len);
        op->out.len = 0;
        op->status = KW_E_CRYPTO;
    }
}

static void cbc_flush(struct cbc_room *room, size_t count, bool decrypt)
{
    if (decrypt)
        kc_cbc_decrypt(room->messages, count);
    else
        kc_cbc_encrypt(room->messages, count, &room->scratch);
    for (size_t i = 0; i < count; i++)
        cbc_finish(room->ops[i], room->messages[i].len, decrypt);
    kw_wipe(room->last, sizeof room->last[0] * count);
}

static void cbc_some(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch,
                     bool decrypt)
{
    struct cbc_room *room = scratch->kernel;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        struct kc_lane_op *op = ops[i];
        if ((op->kind == KW_KIND_DECRYPT) != decrypt)
            continue;
        if (!schedule_of(op) || (op->in.len == 0 && !is_padded(op))) {
            kc_openssl_cbc(&op, 1, scratch);
            continue;
        }
        room->messages[count] = (struct kc_cbc_message){.key = schedule_of(op),
                                                        .iv = op->iv.data,
                                                        .in = op->in.data,
                                                        .len = op->in.len,
                                                        .out = op->out.data};
        if (!decrypt && is_padded(op))
            cbc_pad(room, count);
        room->ops[count++] = op;
        if (count == BATCH) {
            cbc_flush(room, count, decrypt);
            count = 0;
        }
    }
    if (count > 0)
        cbc_flush(room, count, decrypt);
}

static void run_cbc(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    cbc_some(ops, n, scratch, false);
    cbc_some(ops, n, scratch, true);
}

/* --- registration --- */

/* Nanoseconds of one operation of 32 (KW, GCM) or 256 bytes (CBC) with full lanes, Zen 4 at 3.5
 * GHz. */
static const struct kc_kernel kernels[] = {
    {"vaes x32", KC_AES_LANES, 60, true, run_kw, NULL, sizeof(struct kw_room)},
    {"vaes x8", 8, 45, true, run_gcm, NULL, sizeof(struct gcm_room)},
    {"vaes x16", KC_CBC_LANES, 50, true, run_cbc, NULL, sizeof(struct cbc_room)},
};

void kc_aes_register(const struct kc_cpu *cpu)
{
    bool use = cpu->path >= KC_CPU_AVX512 && cpu->vaes512 && kc_aes_vaes_capable();
    kc_key_extend(KC_KEY_SLOT_AES, use ? &schedules : NULL);
    if (!use)
        return;
    kc_dispatch_set(KC_SHAPE_AES_KW, &kernels[0]);
    kc_dispatch_set(KC_SHAPE_AES_GCM, &kernels[1]);
    kc_dispatch_set(KC_SHAPE_AES_CBC, &kernels[2]);
}
