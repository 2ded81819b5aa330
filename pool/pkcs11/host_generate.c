/* Keys born in the token: made as session objects, wrapped there under the member wrapping key, and
 * answered only when the blob itself, unwrapped again, has been seen to work. */
#include "pool/pkcs11/host.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

static const uint8_t oid_p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t oid_p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t oid_p521[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};
static const uint8_t oid_p256k[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a};

struct kw_span pool_host_curve_oid(enum kw_curve curve)
{
    switch (curve) {
    case KW_CURVE_P256:
        return kw_span_of(oid_p256, sizeof(oid_p256));
    case KW_CURVE_P384:
        return kw_span_of(oid_p384, sizeof(oid_p384));
    case KW_CURVE_P521:
        return kw_span_of(oid_p521, sizeof(oid_p521));
    case KW_CURVE_P256K:
        return kw_span_of(oid_p256k, sizeof(oid_p256k));
    case KW_CURVE_NONE:
        break;
    }
    return kw_span_of(NULL, 0);
}

enum kw_curve pool_host_curve_of(struct kw_span oid)
{
    for (unsigned curve = KW_CURVE_P256; curve <= KW_CURVE_P256K; curve++) {
        if (kw_span_equal(pool_host_curve_oid((enum kw_curve)curve), oid)) {
            return (enum kw_curve)curve;
        }
    }
    return KW_CURVE_NONE;
}

static CK_RV make_pair(struct pool_host_call *call, CK_OBJECT_HANDLE *public,
                       CK_OBJECT_HANDLE *private)
{
    const struct pool_wire_request *req = call->req;
    bool rsa = req->kty == KW_KTY_RSA;
    CK_MECHANISM mechanism = {rsa ? CKM_RSA_PKCS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE, decrypts = rsa;
    CK_ULONG bits = req->bits;
    uint8_t exponent[4] = {(uint8_t)(req->exponent >> 24), (uint8_t)(req->exponent >> 16),
                           (uint8_t)(req->exponent >> 8), (uint8_t)req->exponent};
    size_t skip = 0;
    while (skip < 3 && exponent[skip] == 0) {
        skip++;
    }
    struct kw_span oid = pool_host_curve_oid(req->curve);
    CK_ATTRIBUTE public_part[5] = {{CKA_TOKEN, &no, sizeof(no)}, {CKA_VERIFY, &yes, sizeof(yes)}};
    CK_ULONG public_count = 2;
    if (rsa) {
        public_part[2] = (CK_ATTRIBUTE){CKA_ENCRYPT, &yes, sizeof(yes)};
        public_part[3] = (CK_ATTRIBUTE){CKA_MODULUS_BITS, &bits, sizeof(bits)};
        public_part[4] = (CK_ATTRIBUTE){CKA_PUBLIC_EXPONENT, exponent + skip, 4 - skip};
        public_count = 5;
    } else {
        public_part[public_count++] = (CK_ATTRIBUTE){CKA_EC_PARAMS, (void *)oid.data, oid.len};
    }
    CK_ATTRIBUTE private_part[] = {
        {CKA_TOKEN, &no, sizeof(no)},       {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_SENSITIVE, &yes, sizeof(yes)}, {CKA_EXTRACTABLE, &yes, sizeof(yes)},
        {CKA_SIGN, &yes, sizeof(yes)},      {CKA_DECRYPT, &decrypts, sizeof(decrypts)},
    };
    return call->host->p11->C_GenerateKeyPair(
        call->session, &mechanism, public_part, public_count, private_part,
        sizeof(private_part) / sizeof(private_part[0]), public, private);
}

static CK_RV make_secret_key(struct pool_host_call *call, CK_OBJECT_HANDLE *out)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG len = call->req->bits / 8;
    CK_ATTRIBUTE attributes[] = {
        {CKA_TOKEN, &no, sizeof(no)},       {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_SENSITIVE, &yes, sizeof(yes)}, {CKA_EXTRACTABLE, &yes, sizeof(yes)},
        {CKA_ENCRYPT, &yes, sizeof(yes)},   {CKA_DECRYPT, &yes, sizeof(yes)},
        {CKA_VALUE_LEN, &len, sizeof(len)},
    };
    return call->host->p11->C_GenerateKey(call->session, &mechanism, attributes,
                                          sizeof(attributes) / sizeof(attributes[0]), out);
}

/* --- the public half --- */

size_t pool_host_strip_zeros(uint8_t *number, size_t len)
{
    size_t skip = 0;
    while (skip + 1 < len && number[skip] == 0) {
        skip++;
    }
    memmove(number, number + skip, len - skip);
    return len - skip;
}

static CK_RV read_rsa(struct pool_host_call *call, CK_OBJECT_HANDLE public)
{
    struct kc_public *pub = &call->pub;
    CK_ATTRIBUTE parts[] = {{CKA_MODULUS, pub->n, sizeof(pub->n)},
                            {CKA_PUBLIC_EXPONENT, pub->e, sizeof(pub->e)}};
    CK_RV rv = call->host->p11->C_GetAttributeValue(call->session, public, parts, 2);
    if (rv != CKR_OK) {
        return rv;
    }
    if (parts[0].ulValueLen > sizeof(pub->n) || parts[1].ulValueLen > sizeof(pub->e) ||
        parts[0].ulValueLen == 0 || parts[1].ulValueLen == 0) {
        return CKR_DEVICE_ERROR;
    }
    pub->n_len = pool_host_strip_zeros(pub->n, parts[0].ulValueLen);
    pub->e_len = pool_host_strip_zeros(pub->e, parts[1].ulValueLen);
    return pub->n_len == call->req->bits / 8 && (pub->n[0] & 0x80) != 0 ? CKR_OK : CKR_DEVICE_ERROR;
}

bool pool_host_read_point(struct kc_public *pub, const uint8_t *point, size_t len, size_t width)
{
    /* what the last 1 + 2 * width bytes are in both forms */
    if (width == 0 || len < 1 + 2 * width || len > 1 + 2 * width + 3 ||
        point[len - 1 - 2 * width] != 0x04) {
        return false;
    }
    memcpy(pub->x, point + len - 2 * width, width);
    memcpy(pub->y, point + len - width, width);
    pub->coord_len = width;
    return true;
}

static CK_RV read_ec(struct pool_host_call *call, CK_OBJECT_HANDLE public)
{
    struct kc_public *pub = &call->pub;
    size_t width = kw_curve_bytes(call->req->curve);
    uint8_t point[160];
    CK_ATTRIBUTE part = {CKA_EC_POINT, point, sizeof(point)};
    CK_RV rv = call->host->p11->C_GetAttributeValue(call->session, public, &part, 1);
    if (rv != CKR_OK) {
        return rv;
    }
    return part.ulValueLen <= sizeof(point) &&
                   pool_host_read_point(pub, point, part.ulValueLen, width)
               ? CKR_OK
               : CKR_DEVICE_ERROR;
}

/* --- the blob --- */

static CK_RV wrap_key(struct pool_host_call *call, CK_OBJECT_HANDLE key)
{
    struct pool_host *host = call->host;
    bool secret = call->req->kty == KW_KTY_OCT;
    CK_MECHANISM mechanism = {secret ? CKM_AES_KEY_WRAP : host->transport, NULL, 0};
    CK_ULONG len = KC_BLOB_MAX - KC_BLOB_HEADER;
    CK_RV rv = host->p11->C_WrapKey(call->session, &mechanism, host->wrapping_key, key,
                                    call->out + KC_BLOB_HEADER, &len);
    if (rv != CKR_OK) {
        return rv;
    }
    call->out[0] = 1;
    call->out[1] = secret ? KC_BLOB_MEMBER_KW : KC_BLOB_MEMBER_KWP;
    call->out[2] = (uint8_t)call->req->kty;
    call->out[3] = (uint8_t)call->req->curve;
    call->out_len = KC_BLOB_HEADER + len;
    return CKR_OK;
}

/* --- the proof --- */

static EVP_PKEY *public_key(const struct kc_public *pub)
{
    static const char *const names[] = {"", "P-256", "P-384", "P-521", "secp256k1"};
    EVP_PKEY *key = NULL;
    BIGNUM *n = BN_bin2bn(pub->n, (int)pub->n_len, NULL);
    BIGNUM *e = BN_bin2bn(pub->e, (int)pub->e_len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    bool rsa = pub->kty == KW_KTY_RSA;
    uint8_t point[1 + 2 * 66] = {0x04};
    memcpy(point + 1, pub->x, pub->coord_len);
    memcpy(point + 1 + pub->coord_len, pub->y, pub->coord_len);
    bool ok = n != NULL && e != NULL && build != NULL;
    if (ok && rsa) {
        ok = OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
             OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1;
    } else if (ok) {
        ok = OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, names[pub->curve],
                                             0) == 1 &&
             OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
                                              1 + 2 * pub->coord_len) == 1;
    }
    OSSL_PARAM *params = ok ? OSSL_PARAM_BLD_to_param(build) : NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, rsa ? "RSA" : "EC", NULL);
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return key;
}

/** Verifies with the public half, by OpenSSL: PKCS#1 type 1 of bare bytes, or ECDSA as r then s. */
static bool verifies(const struct kc_public *pub, struct kw_span digest, struct kw_span sig)
{
    if (pub->kty == KW_KTY_EC && sig.len > 2 * pub->coord_len) {
        return false; /* more than the room for its DER below */
    }
    EVP_PKEY *key = public_key(pub);
    EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    uint8_t der[160];
    uint8_t *der_end = der;
    bool ok = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1;
    if (ok && pub->kty == KW_KTY_EC) {
        ECDSA_SIG *pair = ECDSA_SIG_new();
        BIGNUM *r = BN_bin2bn(sig.data, (int)(sig.len / 2), NULL);
        BIGNUM *s = BN_bin2bn(sig.data + sig.len / 2, (int)(sig.len / 2), NULL);
        ok = pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1;
        if (!ok) {
            BN_free(r);
            BN_free(s);
        }
        int len = ok ? i2d_ECDSA_SIG(pair, &der_end) : -1;
        ECDSA_SIG_free(pair);
        ok = len > 0 && EVP_PKEY_verify(ctx, der, (size_t)len, digest.data, digest.len) == 1;
    } else if (ok) {
        ok = EVP_PKEY_verify(ctx, sig.data, sig.len, digest.data, digest.len) == 1;
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

static CK_RV sign_probe(struct pool_host_call *call, struct kw_span digest, uint8_t *sig,
                        size_t *len)
{
    CK_MECHANISM mechanism = {call->req->kty == KW_KTY_RSA ? CKM_RSA_PKCS : CKM_ECDSA, NULL, 0};
    return pool_host_sign(call, &mechanism, digest, sig, KW_RSA_MAX_BYTES, len);
}

static CK_RV encrypt_probe(struct pool_host_call *call, CK_OBJECT_HANDLE key, struct kw_span block,
                           uint8_t *out)
{
    struct pool_host_call probe = *call;
    uint8_t room[2 * KW_AES_BLOCK_LEN];
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    size_t len = 0;
    probe.handle = key;
    CK_RV rv = pool_host_encrypt(&probe, &ecb, block, room, sizeof(room), &len);
    if (rv == CKR_OK && len != KW_AES_BLOCK_LEN) {
        rv = CKR_DEVICE_ERROR;
    }
    memcpy(out, room, KW_AES_BLOCK_LEN);
    return rv;
}

/** Uses the key as it comes back out of the blob, not the one that was made. */
static CK_RV prove(struct pool_host_call *call, CK_OBJECT_HANDLE original)
{
    struct pool_wire_request load = *call->req;
    bool bad_blob;
    load.blob = kw_span_of(call->out, call->out_len);
    struct pool_host_key *key = pool_host_key_get(call->host, &load, &bad_blob);
    if (key == NULL) {
        return CKR_DEVICE_ERROR;
    }
    uint8_t digest[32], result[KW_RSA_MAX_BYTES], expected[KW_AES_BLOCK_LEN];
    size_t len = 0;
    struct kw_span probe = kw_span_of(digest, sizeof(digest));
    CK_RV rv = pool_host_key_handle(call->host, key, false, &call->handle);
    if (rv == CKR_OK && kw_random(digest, sizeof(digest)) != KW_OK) {
        rv = CKR_FUNCTION_FAILED;
    }
    if (rv == CKR_OK && call->req->kty == KW_KTY_OCT) {
        probe.len = KW_AES_BLOCK_LEN;
        rv = encrypt_probe(call, call->handle, probe, result);
        rv = rv == CKR_OK ? encrypt_probe(call, original, probe, expected) : rv;
        if (rv == CKR_OK && memcmp(result, expected, sizeof(expected)) != 0) {
            rv = CKR_DEVICE_ERROR;
        }
    } else if (rv == CKR_OK) {
        rv = sign_probe(call, probe, result, &len);
        if (rv == CKR_OK && !verifies(&call->pub, probe, kw_span_of(result, len))) {
            rv = CKR_DEVICE_ERROR;
        }
    }
    pool_host_key_put(call->host, key);
    return rv;
}

static bool offered(const struct pool_wire_request *req)
{
    switch (req->kty) {
    case KW_KTY_RSA:
        return (req->bits == 2048 || req->bits == 3072 || req->bits == 4096) &&
               req->exponent >= 3 && req->exponent % 2 == 1;
    case KW_KTY_EC:
        return pool_host_curve_oid(req->curve).len > 0;
    case KW_KTY_OCT:
        return req->bits == 128 || req->bits == 192 || req->bits == 256;
    }
    return false;
}

static CK_RV make(struct pool_host_call *call, CK_OBJECT_HANDLE *public, CK_OBJECT_HANDLE *private)
{
    CK_RV rv = call->req->kty == KW_KTY_OCT ? make_secret_key(call, private)
                                            : make_pair(call, public, private);
    if (rv == CKR_OK && call->req->kty == KW_KTY_RSA) {
        rv = read_rsa(call, *public);
    } else if (rv == CKR_OK && call->req->kty == KW_KTY_EC) {
        rv = read_ec(call, *public);
    }
    rv = rv == CKR_OK ? wrap_key(call, *private) : rv;
    return rv == CKR_OK ? prove(call, *private) : rv;
}

CK_RV pool_host_generate(struct pool_host_call *call)
{
    const struct pool_wire_request *req = call->req;
    CK_OBJECT_HANDLE public = CK_INVALID_HANDLE, private = CK_INVALID_HANDLE;
    if (!offered(req)) {
        call->status = KW_E_UNSUPPORTED;
        return CKR_OK;
    }
    call->pub.kty = req->kty;
    call->pub.curve = req->kty == KW_KTY_EC ? req->curve : KW_CURVE_NONE;
    call->pub.bits = req->kty == KW_KTY_EC ? kw_curve_bits(req->curve) : req->bits;
    pthread_mutex_lock(&call->host->generating);
    CK_RV rv = make(call, &public, &private);
    if (public != CK_INVALID_HANDLE) {
        call->host->p11->C_DestroyObject(call->session, public);
    }
    if (private != CK_INVALID_HANDLE) {
        call->host->p11->C_DestroyObject(call->session, private);
    }
    if (rv != CKR_OK) {
        /* the proof may have loaded it; another member will make the key of this id */
        pool_host_keys_forget(call->host, kw_span_of(req->key_id, sizeof(req->key_id)));
    }
    pthread_mutex_unlock(&call->host->generating);
    return rv;
}
