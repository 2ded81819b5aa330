#include "pool/pkcs11/host.h"

/* The parameter of CKM_AES_GCM has two layouts in the field: PKCS#11 2.40 without the number of IV
 * bits, its errata and 3.0 with it. */
struct gcm_short {
    CK_BYTE_PTR iv;
    CK_ULONG iv_len;
    CK_BYTE_PTR aad;
    CK_ULONG aad_len;
    CK_ULONG tag_bits;
};
struct gcm_long {
    CK_BYTE_PTR iv;
    CK_ULONG iv_len;
    CK_ULONG iv_bits;
    CK_BYTE_PTR aad;
    CK_ULONG aad_len;
    CK_ULONG tag_bits;
};

static CK_RV gcm_once(struct pool_host_call *call, int layout, struct kw_span in, size_t cap)
{
    const struct pool_wire_request *req = call->req;
    CK_BYTE_PTR iv = (CK_BYTE_PTR)req->iv.data, aad = (CK_BYTE_PTR)req->aad.data;
    struct gcm_long with = {iv,  KW_GCM_IV_LEN, 8 * KW_GCM_IV_LEN,
                            aad, req->aad.len,  8 * KW_GCM_TAG_LEN};
    struct gcm_short without = {iv, KW_GCM_IV_LEN, aad, req->aad.len, 8 * KW_GCM_TAG_LEN};
    CK_MECHANISM mechanism = {CKM_AES_GCM, &with, sizeof(with)};
    if (layout == 1) {
        mechanism = (CK_MECHANISM){CKM_AES_GCM, &without, sizeof(without)};
    }
    return req->kind == KW_KIND_ENCRYPT
               ? pool_host_encrypt(call, &mechanism, in, call->out, cap, &call->out_len)
               : pool_host_decrypt(call, &mechanism, in, call->out, cap, &call->out_len);
}

static CK_RV gcm_any_layout(struct pool_host_call *call, struct kw_span in, size_t cap)
{
    int layout = atomic_load_explicit(&call->host->gcm_layout, memory_order_relaxed);
    CK_RV rv = gcm_once(call, layout, in, cap);
    if (rv == CKR_MECHANISM_PARAM_INVALID || rv == CKR_ARGUMENTS_BAD) {
        rv = gcm_once(call, !layout, in, cap);
        if (rv == CKR_OK) {
            atomic_store_explicit(&call->host->gcm_layout, !layout, memory_order_relaxed);
        }
    }
    return rv;
}

static CK_RV gcm_encrypt(struct pool_host_call *call)
{
    const struct pool_wire_request *req = call->req;
    CK_RV rv = gcm_any_layout(call, req->in, POOL_HOST_ROOM);
    if (rv != CKR_OK) {
        return rv;
    }
    if (call->out_len != req->in.len + KW_GCM_TAG_LEN) {
        return CKR_DEVICE_ERROR;
    }
    call->out_len = req->in.len;
    memcpy(call->tag, call->out + req->in.len, KW_GCM_TAG_LEN);
    return CKR_OK;
}

static CK_RV gcm_decrypt(struct pool_host_call *call)
{
    const struct pool_wire_request *req = call->req;
    /* the token wants ciphertext and tag as one string; the end of the output room holds it */
    size_t total = req->in.len + KW_GCM_TAG_LEN;
    uint8_t *joined = call->out + (POOL_HOST_ROOM - total);
    if (req->in.len > 0) {
        memcpy(joined, req->in.data, req->in.len);
    }
    memcpy(joined + req->in.len, req->tag, KW_GCM_TAG_LEN);
    return gcm_any_layout(call, kw_span_of(joined, total), POOL_HOST_ROOM - total);
}

static CK_RV gcm(struct pool_host_call *call)
{
    const struct pool_wire_request *req = call->req;
    if (req->iv.len != KW_GCM_IV_LEN || req->in.len > POOL_WIRE_DATA_MAX - KW_GCM_TAG_LEN) {
        call->status = KW_E_INPUT;
        return CKR_OK;
    }
    return req->kind == KW_KIND_ENCRYPT ? gcm_encrypt(call) : gcm_decrypt(call);
}

/** Removes PKCS#7 padding without a branch on what it is; 0 or the new length in `len`, and
 *  1 when it was right. */
static int unpad(const uint8_t *data, size_t len, size_t *out)
{
    unsigned pad = data[len - 1];
    unsigned bad = ((pad - 1) >> 8) | ((KW_AES_BLOCK_LEN - pad) >> 8);
    for (unsigned i = 0; i < KW_AES_BLOCK_LEN; i++) {
        unsigned inside = (i - pad) >> 8; /* non-zero while i < pad */
        unsigned mask = 0u - (inside & 1u);
        bad |= mask & (data[len - 1 - i] ^ pad);
    }
    unsigned good = ((bad & 0xffffu) - 1u) >> 31;
    *out = (len - pad) & (0u - (size_t)good);
    return (int)good;
}

static CK_RV cbc(struct pool_host_call *call, bool padded)
{
    const struct pool_wire_request *req = call->req;
    bool decrypt = req->kind == KW_KIND_DECRYPT;
    bool whole = req->in.len % KW_AES_BLOCK_LEN == 0;
    if (req->iv.len != KW_AES_BLOCK_LEN || req->in.len + KW_AES_BLOCK_LEN > POOL_WIRE_DATA_MAX ||
        (!whole && !(padded && !decrypt)) || (req->in.len == 0 && !(padded && !decrypt))) {
        call->status = decrypt && padded ? KW_E_CRYPTO : KW_E_INPUT;
        return CKR_OK;
    }
    CK_MECHANISM mechanism = {CKM_AES_CBC, (void *)req->iv.data, req->iv.len};
    if (decrypt) {
        /* without padding in the token: its fault would be told apart by time */
        CK_RV rv = pool_host_decrypt(call, &mechanism, req->in, call->out, POOL_WIRE_DATA_MAX,
                                     &call->out_len);
        if (rv == CKR_OK && call->out_len != req->in.len) {
            rv = CKR_DEVICE_ERROR;
        }
        if (rv == CKR_OK && padded && !unpad(call->out, call->out_len, &call->out_len)) {
            call->status = KW_E_CRYPTO;
        }
        return rv;
    }
    if (!padded) {
        return pool_host_encrypt(call, &mechanism, req->in, call->out, POOL_WIRE_DATA_MAX,
                                 &call->out_len);
    }
    /* padded here too, so that a token without CKM_AES_CBC_PAD serves as well */
    size_t total = req->in.len - req->in.len % KW_AES_BLOCK_LEN + KW_AES_BLOCK_LEN;
    uint8_t *plain = call->out + (POOL_HOST_ROOM - total);
    if (req->in.len > 0) {
        memcpy(plain, req->in.data, req->in.len);
    }
    memset(plain + req->in.len, (int)(total - req->in.len), total - req->in.len);
    CK_RV rv = pool_host_encrypt(call, &mechanism, kw_span_of(plain, total), call->out,
                                 POOL_HOST_ROOM - total, &call->out_len);
    kw_wipe(plain, total);
    return rv;
}

CK_RV pool_host_aes(struct pool_host_call *call)
{
    if (call->req->kind != KW_KIND_ENCRYPT && call->req->kind != KW_KIND_DECRYPT) {
        return CKR_MECHANISM_INVALID;
    }
    switch (kw_alg_info(call->req->alg)->family) {
    case KW_FAMILY_AES_GCM:
        return gcm(call);
    case KW_FAMILY_AES_CBC:
        return cbc(call, false);
    case KW_FAMILY_AES_CBCPAD:
        return cbc(call, true);
    default:
        return CKR_MECHANISM_INVALID;
    }
}

CK_RV pool_host_hmac(struct pool_host_call *call)
{
    const struct pool_wire_request *req = call->req;
    enum kw_hash hash = kw_alg_info(req->alg)->hash;
    CK_MECHANISM mechanism = {hash == KW_HASH_SHA256   ? CKM_SHA256_HMAC
                              : hash == KW_HASH_SHA384 ? CKM_SHA384_HMAC
                                                       : CKM_SHA512_HMAC,
                              NULL, 0};
    CK_RV rv = pool_host_sign(call, &mechanism, req->in, call->out, 64, &call->out_len);
    if (rv == CKR_OK && call->out_len != kw_hash_len(hash)) {
        rv = CKR_DEVICE_ERROR;
    }
    if (rv == CKR_OK && req->kind == KW_KIND_VERIFY) {
        call->valid = req->sig.len == call->out_len &&
                      kw_ct_equal(req->sig.data, call->out, call->out_len) == 1;
        kw_wipe(call->out, call->out_len);
        call->out_len = 0;
    }
    return rv;
}
