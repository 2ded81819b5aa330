/* AES key wrap of plain bytes: RFC 3394 and RFC 5649. Where the token's own mechanism passed the
 * standards' vectors it does the work; else the key stays in the token and the steps are driven
 * from here, one block of CKM_AES_ECB at a time. */
#include "pool/pkcs11/host.h"

#define SEMIBLOCK 8

static const uint8_t kw_iv[SEMIBLOCK] = {0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6};
static const uint8_t kwp_iv[4] = {0xa6, 0x59, 0x59, 0xa6};

/** One block through an update call of the ECB operation that is under way. */
static CK_RV step(struct pool_host_call *call, bool encrypt, uint8_t block[KW_AES_BLOCK_LEN])
{
    CK_FUNCTION_LIST *p11 = call->host->p11;
    uint8_t room[2 * KW_AES_BLOCK_LEN];
    CK_ULONG len = sizeof(room);
    CK_RV rv = encrypt ? p11->C_EncryptUpdate(call->session, block, KW_AES_BLOCK_LEN, room, &len)
                       : p11->C_DecryptUpdate(call->session, block, KW_AES_BLOCK_LEN, room, &len);
    if (rv == CKR_OK && len != KW_AES_BLOCK_LEN) {
        rv = CKR_OPERATION_NOT_INITIALIZED; /* a module that holds blocks back: not usable so */
    }
    memcpy(block, room, KW_AES_BLOCK_LEN);
    kw_wipe(room, sizeof(room));
    return rv;
}

static CK_RV begin(struct pool_host_call *call, bool encrypt)
{
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    CK_FUNCTION_LIST *p11 = call->host->p11;
    return encrypt ? p11->C_EncryptInit(call->session, &ecb, call->handle)
                   : p11->C_DecryptInit(call->session, &ecb, call->handle);
}

static CK_RV end(struct pool_host_call *call, bool encrypt)
{
    CK_FUNCTION_LIST *p11 = call->host->p11;
    uint8_t room[KW_AES_BLOCK_LEN];
    CK_ULONG len = sizeof(room);
    return encrypt ? p11->C_EncryptFinal(call->session, room, &len)
                   : p11->C_DecryptFinal(call->session, room, &len);
}

/** t is xored into the last bytes of A, big-endian (RFC 3394 section 2.2.1). */
static void xor_counter(uint8_t *a, uint64_t t)
{
    for (size_t i = 0; i < SEMIBLOCK; i++) {
        a[SEMIBLOCK - 1 - i] ^= (uint8_t)(t >> (8 * i));
    }
}

/** W of SP 800-38F over `n` semiblocks behind the first one, in place. */
static CK_RV wrap_steps(struct pool_host_call *call, uint8_t *data, size_t n)
{
    CK_RV rv = CKR_OK;
    uint8_t block[KW_AES_BLOCK_LEN];
    memcpy(block, data, SEMIBLOCK);
    for (uint64_t t = 1; rv == CKR_OK && t <= 6 * n; t++) {
        uint8_t *r = data + SEMIBLOCK * (1 + (t - 1) % n);
        memcpy(block + SEMIBLOCK, r, SEMIBLOCK);
        rv = step(call, true, block);
        xor_counter(block, t);
        memcpy(r, block + SEMIBLOCK, SEMIBLOCK);
    }
    memcpy(data, block, SEMIBLOCK);
    kw_wipe(block, sizeof(block));
    return rv;
}

static CK_RV unwrap_steps(struct pool_host_call *call, uint8_t *data, size_t n)
{
    CK_RV rv = CKR_OK;
    uint8_t block[KW_AES_BLOCK_LEN];
    memcpy(block, data, SEMIBLOCK);
    for (uint64_t t = 6 * n; rv == CKR_OK && t >= 1; t--) {
        uint8_t *r = data + SEMIBLOCK * (1 + (t - 1) % n);
        xor_counter(block, t);
        memcpy(block + SEMIBLOCK, r, SEMIBLOCK);
        rv = step(call, false, block);
        memcpy(r, block + SEMIBLOCK, SEMIBLOCK);
    }
    memcpy(data, block, SEMIBLOCK);
    kw_wipe(block, sizeof(block));
    return rv;
}

static CK_RV run_steps(struct pool_host_call *call, bool encrypt, size_t total)
{
    size_t n = total / SEMIBLOCK - 1;
    CK_RV rv = begin(call, encrypt);
    if (rv != CKR_OK) {
        return rv;
    }
    if (n == 1) { /* RFC 5649: a single block is plain ECB */
        rv = step(call, encrypt, call->out);
    } else {
        rv = encrypt ? wrap_steps(call, call->out, n) : unwrap_steps(call, call->out, n);
    }
    CK_RV ended = end(call, encrypt);
    return rv != CKR_OK ? rv : ended;
}

size_t pool_host_wrap_fill(const struct pool_wire_request *req, uint8_t *out)
{
    struct kw_span in = req->in;
    bool padded = kw_alg_info(req->alg)->family == KW_FAMILY_AES_KWP;
    bool fits = padded ? in.len > 0 : in.len >= 2 * SEMIBLOCK && in.len % SEMIBLOCK == 0;
    if (!fits || in.len + 2 * SEMIBLOCK > POOL_WIRE_DATA_MAX) {
        return 0;
    }
    size_t total = SEMIBLOCK + (in.len + SEMIBLOCK - 1) / SEMIBLOCK * SEMIBLOCK;
    memset(out, 0, total);
    memcpy(out, kw_iv, SEMIBLOCK);
    if (padded) {
        memcpy(out, kwp_iv, sizeof(kwp_iv));
        for (size_t i = 0; i < 4; i++) {
            out[7 - i] = (uint8_t)(in.len >> (8 * i));
        }
    }
    memcpy(out + SEMIBLOCK, in.data, in.len);
    return total;
}

static CK_RV wrap(struct pool_host_call *call, bool padded)
{
    struct kw_span in = call->req->in;
    size_t total = pool_host_wrap_fill(call->req, call->out);
    if (total == 0) {
        call->status = KW_E_INPUT;
        return CKR_OK;
    }
    if (padded ? call->host->wrap_raw_p : call->host->wrap_raw) {
        CK_MECHANISM mechanism = {padded ? 0x210bUL : CKM_AES_KEY_WRAP, NULL, 0};
        return pool_host_encrypt(call, &mechanism, in, call->out, POOL_HOST_ROOM, &call->out_len);
    }
    call->out_len = total;
    return run_steps(call, true, total);
}

/** Checks what stands in front (and behind, for RFC 5649) without leaving at the first difference;
 *  the length of the plaintext, or SIZE_MAX. */
size_t pool_host_unwrapped_len(const uint8_t *data, size_t total, bool padded)
{
    size_t room = total - SEMIBLOCK;
    if (!padded) {
        return kw_ct_equal(data, kw_iv, SEMIBLOCK) == 1 ? room : SIZE_MAX;
    }
    size_t len = (size_t)data[4] << 24 | (size_t)data[5] << 16 | (size_t)data[6] << 8 | data[7];
    unsigned bad = kw_ct_equal(data, kwp_iv, sizeof(kwp_iv)) != 1;
    bad |= (len > room) | (len + SEMIBLOCK <= room);
    for (size_t i = room - (SEMIBLOCK - 1); i < room; i++) {
        bad |= (unsigned)(i >= len) & (unsigned)(data[SEMIBLOCK + i] != 0);
    }
    return bad ? SIZE_MAX : len;
}

static CK_RV unwrap(struct pool_host_call *call, bool padded)
{
    struct kw_span in = call->req->in;
    size_t least = (padded ? 2u : 3u) * SEMIBLOCK;
    if (in.len < least || in.len % SEMIBLOCK != 0) {
        call->status = KW_E_CRYPTO;
        return CKR_OK;
    }
    if (padded ? call->host->wrap_raw_p : call->host->wrap_raw) {
        CK_MECHANISM mechanism = {padded ? 0x210bUL : CKM_AES_KEY_WRAP, NULL, 0};
        return pool_host_decrypt(call, &mechanism, in, call->out, POOL_HOST_ROOM, &call->out_len);
    }
    memcpy(call->out, in.data, in.len);
    CK_RV rv = run_steps(call, false, in.len);
    if (rv != CKR_OK) {
        kw_wipe(call->out, in.len);
        return rv;
    }
    size_t len = pool_host_unwrapped_len(call->out, in.len, padded);
    if (len == SIZE_MAX) {
        kw_wipe(call->out, in.len);
        call->status = KW_E_CRYPTO;
        return CKR_OK;
    }
    memmove(call->out, call->out + SEMIBLOCK, len);
    kw_wipe(call->out + len, in.len - len);
    call->out_len = len;
    return CKR_OK;
}

CK_RV pool_host_wrap(struct pool_host_call *call)
{
    bool padded = kw_alg_info(call->req->alg)->family == KW_FAMILY_AES_KWP;
    switch (call->req->kind) {
    case KW_KIND_WRAP:
    case KW_KIND_ENCRYPT:
        return wrap(call, padded);
    case KW_KIND_UNWRAP:
    case KW_KIND_DECRYPT:
        return unwrap(call, padded);
    default:
        return CKR_MECHANISM_INVALID;
    }
}
