/* Many AES key wraps under one key as one: each step of RFC 3394 runs for all of them with one
 * multi-block call of CKM_AES_ECB, so that sixteen wraps of 32 bytes cost 24 calls and not 384.
 * Only where the token's own answers and times at the start spoke for it. */
#include <string.h>

#include "crypto/base/clock.h"
#include "pool/pkcs11/host.h"

#define SEMIBLOCK      8
#define MEASURE_COUNT  8u
#define MEASURE_ROUNDS 3

static bool is_forward(enum kw_kind kind)
{
    return kind == KW_KIND_WRAP || kind == KW_KIND_ENCRYPT;
}

static bool is_wrap(const struct pool_wire_request *req)
{
    if (req->kind >= KW_KIND_GENERATE ||
        !(is_forward(req->kind) || req->kind == KW_KIND_UNWRAP || req->kind == KW_KIND_DECRYPT)) {
        return false;
    }
    enum kw_family family = kw_alg_info(req->alg)->family;
    return family == KW_FAMILY_AES_KW || family == KW_FAMILY_AES_KWP;
}

static size_t total_of(const struct pool_wire_request *req)
{
    size_t total = (req->in.len + SEMIBLOCK - 1) / SEMIBLOCK * SEMIBLOCK;
    return is_forward(req->kind) ? total + SEMIBLOCK : total;
}

bool pool_host_coalesces(const struct pool_host *host, const struct pool_wire_request *first,
                         const struct pool_wire_request *other, size_t count)
{
    if (!host->coalesce || !is_wrap(first) || !is_wrap(other)) {
        return false;
    }
    size_t total = total_of(first);
    return first->kind == other->kind && first->alg == other->alg && total_of(other) == total &&
           total >= 3u * SEMIBLOCK && total * (count + 1) <= POOL_WIRE_DATA_MAX &&
           memcmp(first->key_id, other->key_id, sizeof(first->key_id)) == 0;
}

/* One step for all: `blocks` in place. */
static CK_RV step(struct pool_host_call *call, bool forward, uint8_t *blocks, size_t count)
{
    CK_FUNCTION_LIST *p11 = call->host->p11;
    uint8_t room[(POOL_HOST_COALESCE_MAX + 1) * KW_AES_BLOCK_LEN];
    CK_ULONG len = sizeof(room), want = count * KW_AES_BLOCK_LEN;
    CK_RV rv = forward ? p11->C_EncryptUpdate(call->session, blocks, want, room, &len)
                       : p11->C_DecryptUpdate(call->session, blocks, want, room, &len);
    if (rv == CKR_OK && len != want) {
        rv = CKR_OPERATION_NOT_INITIALIZED;
    }
    if (rv == CKR_OK) {
        memcpy(blocks, room, want);
    }
    kw_wipe(room, want);
    return rv;
}

static void xor_counters(uint8_t *blocks, size_t count, uint64_t t)
{
    for (size_t k = 0; k < count; k++) {
        for (size_t i = 0; i < SEMIBLOCK; i++) {
            blocks[k * KW_AES_BLOCK_LEN + SEMIBLOCK - 1 - i] ^= (uint8_t)(t >> (8 * i));
        }
    }
}

/* W or its inverse (SP 800-38F) over `count` texts of `total` bytes that lie one after another. */
static CK_RV all_steps(struct pool_host_call *call, bool forward, uint8_t *texts, size_t count,
                       size_t total)
{
    uint8_t blocks[POOL_HOST_COALESCE_MAX * KW_AES_BLOCK_LEN];
    uint64_t n = total / SEMIBLOCK - 1;
    CK_RV rv = CKR_OK;
    for (size_t k = 0; k < count; k++) {
        memcpy(blocks + k * KW_AES_BLOCK_LEN, texts + k * total, SEMIBLOCK);
    }
    for (uint64_t i = 1; rv == CKR_OK && i <= 6 * n; i++) {
        uint64_t t = forward ? i : 6 * n + 1 - i;
        size_t at = SEMIBLOCK * (1 + (t - 1) % n);
        if (!forward) {
            xor_counters(blocks, count, t);
        }
        for (size_t k = 0; k < count; k++) {
            memcpy(blocks + k * KW_AES_BLOCK_LEN + SEMIBLOCK, texts + k * total + at, SEMIBLOCK);
        }
        rv = step(call, forward, blocks, count);
        if (forward) {
            xor_counters(blocks, count, t);
        }
        for (size_t k = 0; k < count; k++) {
            memcpy(texts + k * total + at, blocks + k * KW_AES_BLOCK_LEN + SEMIBLOCK, SEMIBLOCK);
        }
    }
    for (size_t k = 0; k < count; k++) {
        memcpy(texts + k * total, blocks + k * KW_AES_BLOCK_LEN, SEMIBLOCK);
    }
    kw_wipe(blocks, sizeof(blocks));
    return rv;
}

static CK_RV run(struct pool_host_call *call, bool forward, uint8_t *texts, size_t count,
                 size_t total)
{
    CK_FUNCTION_LIST *p11 = call->host->p11;
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    uint8_t rest[KW_AES_BLOCK_LEN];
    CK_ULONG len = sizeof(rest);
    CK_RV rv = forward ? p11->C_EncryptInit(call->session, &ecb, call->handle)
                       : p11->C_DecryptInit(call->session, &ecb, call->handle);
    if (rv != CKR_OK) {
        return rv;
    }
    rv = all_steps(call, forward, texts, count, total);
    CK_RV ended = forward ? p11->C_EncryptFinal(call->session, rest, &len)
                          : p11->C_DecryptFinal(call->session, rest, &len);
    return rv != CKR_OK ? rv : ended;
}

static void conclude(const struct pool_wire_request *req, uint8_t *text, size_t total,
                     struct pool_host_result *result)
{
    bool padded = kw_alg_info(req->alg)->family == KW_FAMILY_AES_KWP;
    memset(result, 0, sizeof(*result));
    result->answer.id = req->id;
    result->answer.verdict = POOL_WIRE_DONE;
    result->answer.status = KW_OK;
    result->answer.out = kw_span_of(text, total);
    if (!is_forward(req->kind)) {
        size_t len = pool_host_unwrapped_len(text, total, padded);
        if (len == SIZE_MAX) {
            kw_wipe(text, total);
            result->answer.status = KW_E_CRYPTO;
            len = 0;
        }
        result->answer.out = kw_span_of(text + SEMIBLOCK, len);
    }
    if (result->answer.out.len > req->out_cap) {
        result->answer.out.len = 0;
        result->answer.status = KW_E_INTERNAL;
    }
}

bool pool_host_run_many(struct pool_host *host, CK_SESSION_HANDLE session, uint8_t *out,
                        const struct pool_wire_request *const *reqs, size_t count,
                        struct pool_host_result *results)
{
    struct pool_host_call call = {.host = host, .session = session};
    bool forward = is_forward(reqs[0]->kind), bad_blob;
    size_t total = total_of(reqs[0]);
    for (size_t i = 0; i < count && call.key == NULL; i++) {
        /* the blob came with one of them, if the host had not got the key */
        call.key = pool_host_key_get(host, reqs[i], &bad_blob);
    }
    if (call.key == NULL) {
        return false;
    }
    CK_RV rv = CKR_OK;
    for (size_t i = 0; i < count && rv == CKR_OK; i++) {
        uint8_t *text = out + i * total;
        if (!forward) {
            memcpy(text, reqs[i]->in.data, total);
        } else if (pool_host_wrap_fill(reqs[i], text) != total) {
            rv = CKR_DATA_LEN_RANGE; /* the plain path says what is wrong with it */
        }
    }
    if (rv == CKR_OK) {
        rv = pool_host_key_handle(host, call.key, false, &call.handle);
    }
    if (rv == CKR_OK) {
        rv = run(&call, forward, out, count, total);
    }
    pool_host_key_put(host, call.key);
    if (rv != CKR_OK) {
        kw_wipe(out, count * total);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        conclude(reqs[i], out + i * total, total, &results[i]);
    }
    return true;
}

/* --- the choice --- */

static CK_RV one_by_one(struct pool_host_call *call, uint8_t *texts, size_t total)
{
    CK_RV rv = CKR_OK;
    uint8_t *at = call->out;
    for (size_t i = 0; i < MEASURE_COUNT && rv == CKR_OK; i++) {
        rv = pool_host_wrap(call);
        if (rv == CKR_OK && (call->status != KW_OK || call->out_len != total)) {
            rv = CKR_FUNCTION_FAILED;
        }
        if (rv == CKR_OK) {
            memcpy(texts + i * total, at, total);
        }
    }
    return rv;
}

void pool_host_coalesce_measure(struct pool_host *host)
{
    static const uint8_t plain[32] = "how long does a token take for 8";
    enum { TOTAL = sizeof(plain) + SEMIBLOCK };
    uint8_t one[MEASURE_COUNT * TOTAL], many[MEASURE_COUNT * TOTAL];
    struct pool_wire_request req = {.kind = KW_KIND_WRAP,
                                    .alg = KW_ALG_A256KW,
                                    .in = kw_span_of(plain, sizeof(plain)),
                                    .out_cap = TOTAL};
    struct pool_host_call call = {
        .host = host, .session = host->anchor, .req = &req, .handle = host->canary_key};
    int64_t best_one = INT64_MAX, best_many = INT64_MAX;
    host->coalesce = false;
    call.out = kw_secret_alloc(POOL_HOST_ROOM);
    bool good = call.out != NULL;
    for (int round = 0; good && round < MEASURE_ROUNDS; round++) {
        int64_t began = kw_now_ns();
        good = one_by_one(&call, one, TOTAL) == CKR_OK;
        int64_t between = kw_now_ns();
        for (size_t i = 0; i < MEASURE_COUNT; i++) {
            good = good && pool_host_wrap_fill(&req, many + i * TOTAL) == TOTAL;
        }
        good = good && run(&call, true, many, MEASURE_COUNT, TOTAL) == CKR_OK &&
               memcmp(one, many, sizeof(one)) == 0;
        int64_t ended = kw_now_ns();
        best_one = between - began < best_one ? between - began : best_one;
        best_many = ended - between < best_many ? ended - between : best_many;
        /* and back again, which is a call of its own for the token */
        good = good && run(&call, false, many, MEASURE_COUNT, TOTAL) == CKR_OK;
        for (size_t i = 0; good && i < MEASURE_COUNT; i++) {
            good = pool_host_unwrapped_len(many + i * TOTAL, TOTAL, false) == sizeof(plain) &&
                   memcmp(many + i * TOTAL + SEMIBLOCK, plain, sizeof(plain)) == 0;
        }
    }
    kw_secret_free(call.out);
    host->coalesce = good && best_many < best_one;
}
