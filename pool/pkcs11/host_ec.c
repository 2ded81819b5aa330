#include "pool/pkcs11/host.h"

/** r and s as one string of two equal halves (RFC 7518 section 3.4). Modules that drop leading
 *  zeros drop them from both halves alike. */
static bool widen(uint8_t *sig, size_t *len, size_t width)
{
    if (*len > 2 * width || *len % 2 != 0 || *len == 0) {
        return false;
    }
    size_t half = *len / 2;
    uint8_t wide[2 * 66] = {0};
    memcpy(wide + (width - half), sig, half);
    memcpy(wide + width + (width - half), sig + half, half);
    memcpy(sig, wide, 2 * width);
    *len = 2 * width;
    return true;
}

CK_RV pool_host_ecdsa(struct pool_host_call *call)
{
    const struct pool_wire_request *req = call->req;
    const struct kw_alg_info *info = kw_alg_info(req->alg);
    if (req->kind != KW_KIND_SIGN) {
        return CKR_MECHANISM_INVALID;
    }
    if (req->in.len != info->digest_len) {
        call->status = KW_E_INPUT;
        return CKR_OK;
    }
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_RV rv = pool_host_sign(call, &mechanism, req->in, call->out, 256, &call->out_len);
    if (rv == CKR_OK && !widen(call->out, &call->out_len, kw_curve_bytes(info->curve))) {
        rv = CKR_DEVICE_ERROR;
    }
    return rv;
}
