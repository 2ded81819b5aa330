/* Requests and certificates up to the signature, and with it. */

#include <openssl/err.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/keys/ossl.h"
#include "gateway/x509/ossl.h"

enum kw_alg gw_x509_alg(const struct kc_public *pub)
{
    if (pub->kty == KW_KTY_RSA)
        return KW_ALG_RS256;
    if (pub->kty != KW_KTY_EC)
        return KW_ALG_NONE;
    switch (pub->curve) {
    case KW_CURVE_P256:
        return KW_ALG_ES256;
    case KW_CURVE_P384:
        return KW_ALG_ES384;
    case KW_CURVE_P521:
        return KW_ALG_ES512;
    case KW_CURVE_P256K:
        return KW_ALG_ES256K;
    case KW_CURVE_NONE:
        break;
    }
    return KW_ALG_NONE;
}

/** RFC 4055, RFC 5758: RSA has a NULL as parameters, ECDSA none. */
static int signature_nid(enum kw_alg alg)
{
    switch (alg) {
    case KW_ALG_RS256:
        return NID_sha256WithRSAEncryption;
    case KW_ALG_ES256:
    case KW_ALG_ES256K:
        return NID_ecdsa_with_SHA256;
    case KW_ALG_ES384:
        return NID_ecdsa_with_SHA384;
    case KW_ALG_ES512:
        return NID_ecdsa_with_SHA512;
    default:
        return NID_undef;
    }
}

static bool set_algorithm(X509_ALGOR *to, enum kw_alg alg)
{
    int nid = signature_nid(alg);
    return nid != NID_undef &&
           X509_ALGOR_set0(to, OBJ_nid2obj(nid), alg == KW_ALG_RS256 ? V_ASN1_NULL : V_ASN1_UNDEF,
                           NULL) == 1;
}

int64_t gw_x509_add_months(int64_t wall_s, unsigned months)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    time_t at = (time_t)wall_s;
    struct tm tm;
    if (!gmtime_r(&at, &tm))
        return wall_s;
    unsigned month = (unsigned)tm.tm_mon + months;
    tm.tm_year += (int)(month / 12);
    tm.tm_mon = (int)(month % 12);
    int year = tm.tm_year + 1900;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int last = days[tm.tm_mon] + (tm.tm_mon == 1 && leap);
    if (tm.tm_mday > last)
        tm.tm_mday = last;
    return (int64_t)timegm(&tm);
}

/** Takes over the encoding of OpenSSL's and hashes it. */
static kw_status take_tbs(struct gw_x509_draft *out, uint8_t *der, int len, enum kw_alg alg)
{
    kw_status status = KW_E_INTERNAL;
    const struct kc_ossl *ossl = kc_ossl();
    unsigned digest_len = 0;
    *out = (struct gw_x509_draft){.alg = alg};
    if (der && len > 0 && ossl &&
        EVP_Digest(der, (size_t)len, out->digest, &digest_len, ossl->md[kw_alg_info(alg)->hash],
                   NULL) == 1) {
        out->digest_len = digest_len;
        out->tbs = malloc((size_t)len);
        status = out->tbs ? KW_OK : KW_E_NOMEM;
    }
    if (status == KW_OK) {
        memcpy(out->tbs, der, (size_t)len);
        out->tbs_len = (size_t)len;
    }
    OPENSSL_free(der);
    return status;
}

void gw_x509_draft_clear(struct gw_x509_draft *draft)
{
    free(draft->tbs);
    *draft = (struct gw_x509_draft){0};
}

/** What requests and certificates are both made of. */
struct materials {
    X509_NAME *subject;
    EVP_PKEY *pub;
    STACK_OF(X509_EXTENSION) * extensions;
};

static void materials_clear(struct materials *m)
{
    X509_NAME_free(m->subject);
    EVP_PKEY_free(m->pub);
    sk_X509_EXTENSION_pop_free(m->extensions, X509_EXTENSION_free);
}

static kw_status gather(struct materials *m, const struct gw_x509_profile *profile,
                        const struct kc_public *pub)
{
    const char *why = NULL;
    *m = (struct materials){0};
    m->subject = gw_name_parse(profile->subject, &why);
    m->extensions = m->subject ? gw_extensions_make(profile, &why) : NULL;
    if (!m->extensions)
        return KW_E_INPUT;
    m->pub = gw_ossl_public(pub);
    return m->pub ? KW_OK : KW_E_UNSUPPORTED;
}

static kw_status request(struct gw_x509_draft *out, const struct materials *m, enum kw_alg alg)
{
    kw_status status = KW_E_NOMEM;
    uint8_t *der = NULL;
    X509_REQ *req = X509_REQ_new();
    if (req && X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 &&
        X509_REQ_set_subject_name(req, m->subject) == 1 && X509_REQ_set_pubkey(req, m->pub) == 1 &&
        X509_REQ_add_extensions(req, m->extensions) == 1) {
        int len = i2d_re_X509_REQ_tbs(req, &der);
        status = take_tbs(out, der, len, alg);
    }
    X509_REQ_free(req);
    return status;
}

kw_status gw_x509_draft_request(struct gw_x509_draft *out, const struct gw_x509_profile *profile,
                                const struct kc_public *pub)
{
    struct materials m;
    *out = (struct gw_x509_draft){0};
    ERR_set_mark();
    kw_status status = gather(&m, profile, pub);
    if (status == KW_OK)
        status = request(out, &m, gw_x509_alg(pub));
    materials_clear(&m);
    ERR_pop_to_mark();
    return status;
}

/** 127 random bits: positive, and no two alike (RFC 5280 section 4.1.2.2). */
static bool set_serial(X509 *cert)
{
    uint8_t bytes[16];
    if (kw_random(bytes, sizeof bytes) != KW_OK)
        return false;
    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40);
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return ok;
}

/** RFC 5280 section 4.2.1.2, method 1: SHA-1 of the bits of the public key. */
static bool add_key_ids(X509 *cert)
{
    uint8_t hash[SHA_DIGEST_LENGTH];
    unsigned len = 0;
    ASN1_OCTET_STRING *subject = ASN1_OCTET_STRING_new();
    AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
    bool ok = subject && authority && X509_pubkey_digest(cert, EVP_sha1(), hash, &len) == 1 &&
              ASN1_OCTET_STRING_set(subject, hash, (int)len) == 1;
    if (ok) {
        authority->keyid = ASN1_OCTET_STRING_dup(subject);
        ok = authority->keyid &&
             X509_add1_ext_i2d(cert, NID_subject_key_identifier, subject, 0, 0) == 1 &&
             X509_add1_ext_i2d(cert, NID_authority_key_identifier, authority, 0, 0) == 1;
    }
    ASN1_OCTET_STRING_free(subject);
    AUTHORITY_KEYID_free(authority);
    return ok;
}

static bool add_extensions(X509 *cert, STACK_OF(X509_EXTENSION) * extensions)
{
    for (int i = 0; i < sk_X509_EXTENSION_num(extensions); i++)
        if (X509_add_ext(cert, sk_X509_EXTENSION_value(extensions, i), -1) != 1)
            return false;
    return add_key_ids(cert);
}

static kw_status certificate(struct gw_x509_draft *out, const struct materials *m,
                             int64_t not_before, int64_t not_after, enum kw_alg alg)
{
    kw_status status = KW_E_NOMEM;
    uint8_t *der = NULL;
    X509 *cert = X509_new();
    /* the algorithm stands in the signed part too; OpenSSL sets it only when it signs itself, and
     * gives it out as const */
    if (cert && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
        set_algorithm((X509_ALGOR *)X509_get0_tbs_sigalg(cert), alg) &&
        X509_set_issuer_name(cert, m->subject) == 1 &&
        X509_set_subject_name(cert, m->subject) == 1 &&
        ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)not_before) &&
        ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)not_after) &&
        X509_set_pubkey(cert, m->pub) == 1 && add_extensions(cert, m->extensions)) {
        int len = i2d_re_X509_tbs(cert, &der);
        status = take_tbs(out, der, len, alg);
    }
    X509_free(cert);
    return status;
}

kw_status gw_x509_draft_self_signed(struct gw_x509_draft *out,
                                    const struct gw_x509_profile *profile,
                                    const struct kc_public *pub, int64_t not_before,
                                    int64_t not_after)
{
    struct materials m;
    *out = (struct gw_x509_draft){0};
    ERR_set_mark();
    kw_status status = gather(&m, profile, pub);
    if (status == KW_OK)
        status = certificate(out, &m, not_before, not_after, gw_x509_alg(pub));
    materials_clear(&m);
    ERR_pop_to_mark();
    return status;
}

/** r then s to SEQUENCE { INTEGER r, INTEGER s } (RFC 3279 section 2.2.3). */
static int ecdsa_der(struct kw_span raw, uint8_t **der)
{
    int half = (int)(raw.len / 2), len = -1;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw.data, half, NULL), *s = BN_bin2bn(raw.data + half, half, NULL);
    if (signature && r && s && ECDSA_SIG_set0(signature, r, s) == 1) {
        r = s = NULL;
        len = i2d_ECDSA_SIG(signature, der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(signature);
    return len;
}

/** SEQUENCE { draft, AlgorithmIdentifier, BIT STRING }: certificate and request alike. */
static kw_status assemble(const struct gw_x509_draft *draft, struct kw_span algorithm,
                          struct kw_span signature, uint8_t **der, size_t *len)
{
    int bits = (int)signature.len + 1; /* one byte that says how many bits are unused */
    int bits_len = ASN1_object_size(0, bits, V_ASN1_BIT_STRING);
    size_t inner = draft->tbs_len + algorithm.len + (size_t)bits_len;
    if (inner > GW_X509_CERT_MAX)
        return KW_E_TOO_LARGE;
    int whole = ASN1_object_size(1, (int)inner, V_ASN1_SEQUENCE);
    uint8_t *at = *der = malloc((size_t)whole);
    if (!at)
        return KW_E_NOMEM;
    *len = (size_t)whole;
    ASN1_put_object(&at, 1, (int)inner, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    memcpy(at, draft->tbs, draft->tbs_len);
    at += draft->tbs_len;
    memcpy(at, algorithm.data, algorithm.len);
    at += algorithm.len;
    ASN1_put_object(&at, 0, bits, V_ASN1_BIT_STRING, V_ASN1_UNIVERSAL);
    *at++ = 0;
    memcpy(at, signature.data, signature.len);
    return KW_OK;
}

static kw_status finish(const struct gw_x509_draft *draft, struct kw_span signature, uint8_t **der,
                        size_t *len)
{
    uint8_t *algorithm_der = NULL, *signature_der = NULL;
    int algorithm_len = -1, signature_len = (int)signature.len;
    X509_ALGOR *algorithm = X509_ALGOR_new();
    if (algorithm && set_algorithm(algorithm, draft->alg))
        algorithm_len = i2d_X509_ALGOR(algorithm, &algorithm_der);
    X509_ALGOR_free(algorithm);
    if (kw_alg_info(draft->alg)->family == KW_FAMILY_ECDSA)
        signature_len = ecdsa_der(signature, &signature_der);
    kw_status status = KW_E_NOMEM;
    if (algorithm_len > 0 && signature_len > 0)
        status = assemble(
            draft, kw_span_of(algorithm_der, (size_t)algorithm_len),
            kw_span_of(signature_der ? signature_der : signature.data, (size_t)signature_len), der,
            len);
    OPENSSL_free(algorithm_der);
    OPENSSL_free(signature_der);
    return status;
}

kw_status gw_x509_draft_finish(const struct gw_x509_draft *draft, struct kw_span signature,
                               uint8_t **der, size_t *len)
{
    *der = NULL;
    *len = 0;
    if (signature.len == 0 || signature.len > KW_RSA_MAX_BYTES)
        return KW_E_INPUT;
    ERR_set_mark();
    kw_status status = finish(draft, signature, der, len);
    ERR_pop_to_mark();
    return status;
}

kw_status gw_x509_profile_check(const struct gw_x509_profile *profile, const char **why)
{
    *why = "A certificate needs a subject or a subject alternative name.";
    bool subject = profile->subject && *profile->subject;
    if (!subject && profile->san_count == 0)
        return KW_E_INPUT;
    ERR_set_mark();
    X509_NAME *name = gw_name_parse(profile->subject, why);
    STACK_OF(X509_EXTENSION) *extensions = name ? gw_extensions_make(profile, why) : NULL;
    kw_status status = extensions ? KW_OK : KW_E_INPUT;
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    X509_NAME_free(name);
    ERR_pop_to_mark();
    return status;
}
