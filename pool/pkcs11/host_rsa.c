/* RSA in the token: signatures, and decryption whose padding is undone here. */
#include "pool/pkcs11/host.h"

#include <openssl/bn.h>

#include "crypto/padding/padding.h"

/* DigestInfo of RFC 8017 section 9.2, note 1 */
static const uint8_t info_sha256[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
static const uint8_t info_sha384[] = {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30};
static const uint8_t info_sha512[] = {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40};
#define INFO_LEN sizeof(info_sha256)

/** Some modules drop leading zeros of a result: put them back. False when it is too long. */
static bool left_pad(uint8_t *data, size_t *len, size_t wanted)
{
    if (*len > wanted) {
        return false;
    }
    memmove(data + (wanted - *len), data, *len);
    memset(data, 0, wanted - *len);
    *len = wanted;
    return true;
}

static CK_RV sign_pkcs1(struct pool_host_call *call, const struct kw_alg_info *info, size_t k)
{
    uint8_t data[KW_RSA_MAX_BYTES];
    struct kw_span in = call->req->in;
    size_t prefix = info->hash == KW_HASH_NONE ? 0 : INFO_LEN;
    if (in.len + prefix + 11 > k) {
        call->status = KW_E_INPUT;
        return CKR_OK;
    }
    if (prefix > 0) {
        memcpy(data,
               info->hash == KW_HASH_SHA256   ? info_sha256
               : info->hash == KW_HASH_SHA384 ? info_sha384
                                              : info_sha512,
               INFO_LEN);
    }
    if (in.len > 0) {
        memcpy(data + prefix, in.data, in.len);
    }
    CK_MECHANISM mechanism = {CKM_RSA_PKCS, NULL, 0};
    return pool_host_sign(call, &mechanism, kw_span_of(data, prefix + in.len), call->out,
                          KW_RSA_MAX_BYTES, &call->out_len);
}

static CK_RV sign_pss(struct pool_host_call *call, const struct kw_alg_info *info)
{
    CK_RSA_PKCS_PSS_PARAMS params = {CKM_SHA256, CKG_MGF1_SHA256, kw_hash_len(info->hash)};
    if (info->hash == KW_HASH_SHA384) {
        params.hashAlg = CKM_SHA384;
        params.mgf = CKG_MGF1_SHA384;
    } else if (info->hash == KW_HASH_SHA512) {
        params.hashAlg = CKM_SHA512;
        params.mgf = CKG_MGF1_SHA512;
    }
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_PSS, &params, sizeof(params)};
    return pool_host_sign(call, &mechanism, call->req->in, call->out, KW_RSA_MAX_BYTES,
                          &call->out_len);
}

/** Undoes the padding in constant time; `block` is used up. */
static CK_RV unpad(struct pool_host_call *call, const struct kw_alg_info *info, uint8_t *block,
                   size_t k)
{
    size_t good = 0;
    kw_status status = KW_OK;
    if (info->family == KW_FAMILY_RSA_V15) {
        good = kc_pkcs1_encrypt_decode(call->out, &call->out_len, block, k);
    } else {
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        status = md == NULL
                     ? KW_E_NOMEM
                     : kc_oaep_decode(call->out, &call->out_len, &good, block, k, info->hash, md);
        EVP_MD_CTX_free(md);
    }
    kw_wipe(block, k);
    call->status = good == 0 ? KW_E_CRYPTO : KW_OK;
    return status == KW_OK ? CKR_OK : CKR_HOST_MEMORY;
}

/** Is `block` what the private key makes of the input: does the public key lead back to it? An
 *  answer that is not would be taken for a padding fault of the caller, or, where the padding
 *  shows nothing, for the plaintext. KW_E_CRYPTO: the input is no number below the modulus. */
static kw_status check_power(const struct pool_wire_request *req, const uint8_t *block, size_t k,
                             bool *right)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *n = BN_bin2bn(req->n.data, (int)req->n.len, NULL);
    BIGNUM *e = BN_bin2bn(req->e.data, (int)req->e.len, NULL);
    BIGNUM *in = BN_bin2bn(req->in.data, (int)req->in.len, NULL);
    BIGNUM *root = block != NULL ? BN_bin2bn(block, (int)k, NULL) : BN_new();
    kw_status status = KW_E_NOMEM;
    if (ctx != NULL && n != NULL && e != NULL && in != NULL && root != NULL) {
        status = BN_cmp(in, n) < 0 ? KW_OK : KW_E_CRYPTO;
    }
    if (status == KW_OK && block != NULL) {
        if (BN_cmp(root, n) >= 0) {
            *right = false;
        } else if (BN_mod_exp_mont(root, root, e, n, ctx, NULL) == 1) {
            *right = BN_cmp(root, in) == 0;
        } else {
            status = KW_E_NOMEM;
        }
    }
    BN_clear_free(root);
    BN_free(in);
    BN_free(e);
    BN_free(n);
    BN_CTX_free(ctx);
    return status;
}

/** The token does the arithmetic alone and the padding is undone here, so that a padding fault
 *  differs from success in nothing that an error path of the token would show. */
static CK_RV decrypt_raw(struct pool_host_call *call, const struct kw_alg_info *info, size_t k)
{
    uint8_t block[KW_RSA_MAX_BYTES];
    size_t len = 0;
    bool right = false;
    CK_MECHANISM mechanism = {CKM_RSA_X_509, NULL, 0};
    CK_RV rv = pool_host_decrypt(call, &mechanism, call->req->in, block, sizeof(block), &len);
    if (rv == CKR_OK && !left_pad(block, &len, k)) {
        rv = CKR_DEVICE_ERROR;
    }
    if (rv == CKR_OK && check_power(call->req, block, k, &right) != KW_OK) {
        rv = CKR_HOST_MEMORY;
    }
    call->wrong = rv == CKR_OK && !right;
    if (rv == CKR_OK && right) {
        rv = unpad(call, info, block, k);
    }
    kw_wipe(block, sizeof(block));
    return rv;
}

/** For tokens that do not give out raw RSA. */
static CK_RV decrypt_padded(struct pool_host_call *call, const struct kw_alg_info *info)
{
    CK_RSA_PKCS_OAEP_PARAMS params = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    if (info->hash == KW_HASH_SHA256) {
        params.hashAlg = CKM_SHA256;
        params.mgf = CKG_MGF1_SHA256;
    }
    CK_MECHANISM oaep = {CKM_RSA_PKCS_OAEP, &params, sizeof(params)};
    CK_MECHANISM v15 = {CKM_RSA_PKCS, NULL, 0};
    return pool_host_decrypt(call, info->family == KW_FAMILY_RSA_OAEP ? &oaep : &v15, call->req->in,
                             call->out, KW_RSA_MAX_BYTES, &call->out_len);
}

CK_RV pool_host_rsa(struct pool_host_call *call)
{
    const struct pool_wire_request *req = call->req;
    const struct kw_alg_info *info = kw_alg_info(req->alg);
    size_t k = (req->bits + 7) / 8;
    if (req->kind == KW_KIND_DECRYPT || req->kind == KW_KIND_UNWRAP) {
        bool unused;
        kw_status fit = req->in.len == k ? check_power(req, NULL, 0, &unused) : KW_E_CRYPTO;
        if (fit != KW_OK) {
            call->status = fit;
            return CKR_OK;
        }
        return call->host->rsa_raw ? decrypt_raw(call, info, k) : decrypt_padded(call, info);
    }
    if (req->kind != KW_KIND_SIGN) {
        return CKR_MECHANISM_INVALID; /* public halves are not worth a token's time */
    }
    if (info->digest_len != 0 && req->in.len != info->digest_len) {
        call->status = KW_E_INPUT;
        return CKR_OK;
    }
    CK_RV rv = info->family == KW_FAMILY_RSA_PSS ? sign_pss(call, info) : sign_pkcs1(call, info, k);
    if (rv == CKR_OK && !left_pad(call->out, &call->out_len, k)) {
        rv = CKR_DEVICE_ERROR;
    }
    return rv;
}
