/* What a certificate says. */

#include <arpa/inet.h>
#include <openssl/err.h>
#include <stdio.h>

#include "crypto/keys/ossl.h"
#include "gateway/x509/ossl.h"

X509 *gw_cert_parse(struct kw_span der)
{
    const uint8_t *at = der.data;
    if (der.len == 0 || der.len > GW_X509_CERT_MAX)
        return NULL;
    X509 *cert = d2i_X509(NULL, &at, (long)der.len);
    if (cert && at == der.data + der.len)
        return cert;
    X509_free(cert);
    return NULL;
}

static bool seconds(const ASN1_TIME *time, int64_t *out)
{
    int days = 0, rest = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    bool ok = epoch && time && ASN1_TIME_diff(&days, &rest, epoch, time) == 1;
    ASN1_TIME_free(epoch);
    *out = (int64_t)days * 86400 + rest;
    return ok;
}

kw_status gw_x509_read(struct gw_x509_info *out, struct kw_span der)
{
    kw_status status = KW_E_INPUT;
    *out = (struct gw_x509_info){0};
    ERR_set_mark();
    X509 *cert = gw_cert_parse(der);
    if (cert && seconds(X509_get0_notBefore(cert), &out->not_before) &&
        seconds(X509_get0_notAfter(cert), &out->not_after)) {
        const EVP_PKEY *pkey = X509_get0_pubkey(cert);
        status = pkey ? gw_ossl_public_of(&out->pub, pkey) : KW_E_UNSUPPORTED;
    }
    X509_free(cert);
    ERR_pop_to_mark();
    return status;
}

kw_status gw_x509_thumbprint(uint8_t out[GW_X509_THUMBPRINT], struct kw_span der)
{
    const struct kc_ossl *ossl = kc_ossl();
    unsigned len = 0;
    if (!ossl || EVP_Digest(der.data, der.len, out, &len, ossl->md[KW_HASH_SHA1], NULL) != 1)
        return KW_E_INTERNAL;
    return KW_OK;
}

void gw_x509_subject(char *out, size_t room, struct kw_span der)
{
    out[0] = '\0';
    ERR_set_mark();
    struct gw_arena *arena = gw_arena_create();
    X509 *cert = gw_cert_parse(der);
    const char *text = arena && cert ? gw_name_text(arena, X509_get_subject_name(cert)) : NULL;
    if (text)
        snprintf(out, room, "%s", text);
    X509_free(cert);
    gw_arena_destroy(arena);
    ERR_pop_to_mark();
}

/* --- the profile of a certificate --- */

struct description {
    struct gw_arena *arena;
    struct gw_x509_profile *out;
    struct gw_x509_san *sans;
};

/** Text of a string type in the arena; NULL for one with a NUL in it, too long, or without memory.
 */
static const char *text_of(struct gw_arena *arena, const ASN1_STRING *string)
{
    const char *data = (const char *)ASN1_STRING_get0_data(string);
    int len = ASN1_STRING_length(string);
    if (len <= 0 || len > GW_X509_TEXT_MAX || memchr(data, 0, (size_t)len))
        return NULL;
    return gw_arena_strndup(arena, data, (size_t)len);
}

static const char *ip_text(struct gw_arena *arena, const ASN1_OCTET_STRING *bytes)
{
    char text[INET6_ADDRSTRLEN];
    int len = ASN1_STRING_length(bytes);
    if ((len != 4 && len != 16) ||
        !inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(bytes), text, sizeof text))
        return NULL;
    return gw_arena_strndup(arena, text, strlen(text));
}

static const char *upn_text(struct gw_arena *arena, GENERAL_NAME *name)
{
    char oid[64];
    ASN1_OBJECT *type = NULL;
    ASN1_TYPE *value = NULL;
    if (GENERAL_NAME_get0_otherName(name, &type, &value) != 1 ||
        OBJ_obj2txt(oid, sizeof oid, type, 1) <= 0 || strcmp(oid, "1.3.6.1.4.1.311.20.2.3") != 0 ||
        value->type != V_ASN1_UTF8STRING)
        return NULL;
    return text_of(arena, value->value.utf8string);
}

/** Kinds of names that a policy has no word for are left out. */
static void take_san(struct description *d, GENERAL_NAME *name)
{
    int type = 0;
    void *value = GENERAL_NAME_get0_value(name, &type);
    struct gw_x509_san san = {0};
    switch (type) {
    case GEN_EMAIL:
        san = (struct gw_x509_san){GW_X509_SAN_EMAIL, text_of(d->arena, value)};
        break;
    case GEN_DNS:
        san = (struct gw_x509_san){GW_X509_SAN_DNS, text_of(d->arena, value)};
        break;
    case GEN_URI:
        san = (struct gw_x509_san){GW_X509_SAN_URI, text_of(d->arena, value)};
        break;
    case GEN_IPADD:
        san = (struct gw_x509_san){GW_X509_SAN_IP, ip_text(d->arena, value)};
        break;
    case GEN_OTHERNAME:
        san = (struct gw_x509_san){GW_X509_SAN_UPN, upn_text(d->arena, name)};
        break;
    default:
        break;
    }
    if (san.text && d->out->san_count < GW_X509_SANS_MAX)
        d->sans[d->out->san_count++] = san;
}

static void take_sans(struct description *d, const X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    d->sans = gw_arena_alloc(d->arena, GW_X509_SANS_MAX * sizeof *d->sans);
    d->out->sans = d->sans;
    for (int i = 0; d->sans && i < sk_GENERAL_NAME_num(names); i++)
        take_san(d, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
}

static void take_ekus(struct description *d, const X509 *cert)
{
    EXTENDED_KEY_USAGE *uses = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
    const char **list = gw_arena_alloc(d->arena, GW_X509_EKUS_MAX * sizeof *list);
    d->out->ekus = list;
    for (int i = 0; list && i < sk_ASN1_OBJECT_num(uses); i++) {
        char oid[128];
        int len = OBJ_obj2txt(oid, sizeof oid, sk_ASN1_OBJECT_value(uses, i), 1);
        if (len <= 0 || (size_t)len >= sizeof oid || d->out->eku_count == GW_X509_EKUS_MAX)
            continue;
        const char *text = gw_arena_strndup(d->arena, oid, (size_t)len);
        if (text)
            list[d->out->eku_count++] = text;
    }
    EXTENDED_KEY_USAGE_free(uses);
}

static void take_usage(struct gw_x509_profile *out, const X509 *cert)
{
    ASN1_BIT_STRING *bits = X509_get_ext_d2i(cert, NID_key_usage, NULL, NULL);
    for (int bit = 0; bits && bit < GW_X509_USAGES; bit++)
        if (ASN1_BIT_STRING_get_bit(bits, bit))
            out->usage |= (uint16_t)(1u << bit);
    ASN1_BIT_STRING_free(bits);
    BASIC_CONSTRAINTS *constraints = X509_get_ext_d2i(cert, NID_basic_constraints, NULL, NULL);
    if (constraints && constraints->ca) {
        out->ca = true;
        long limit = constraints->pathlen ? ASN1_INTEGER_get(constraints->pathlen) : -1;
        out->path_len = limit >= 0 && limit <= 255 ? (int)limit : -1;
    }
    BASIC_CONSTRAINTS_free(constraints);
}

kw_status gw_x509_describe(struct gw_x509_profile *out, struct gw_arena *arena, struct kw_span der)
{
    struct description d = {.arena = arena, .out = out};
    *out = (struct gw_x509_profile){.path_len = -1};
    ERR_set_mark();
    X509 *cert = gw_cert_parse(der);
    if (cert) {
        out->subject = gw_name_text(arena, X509_get_subject_name(cert));
        take_sans(&d, cert);
        take_ekus(&d, cert);
        take_usage(out, cert);
    }
    bool whole = cert && out->subject && out->sans && out->ekus;
    X509_free(cert);
    ERR_pop_to_mark();
    return whole ? KW_OK : cert ? KW_E_NOMEM : KW_E_INPUT;
}
