/* The extensions of a profile (RFC 5280 section 4.2.1). */

#include <arpa/inet.h>

#include "gateway/x509/ossl.h"

#define UPN_OID "1.3.6.1.4.1.311.20.2.3"

static bool ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= 0x20 || (unsigned char)*text >= 0x7f)
            return false;
    return true;
}

static bool set_string(GENERAL_NAME *name, int type, const char *text)
{
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    if (!value || !*text || !ascii(text) || ASN1_STRING_set(value, text, -1) != 1) {
        ASN1_IA5STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    return true;
}

static bool set_ip(GENERAL_NAME *name, const char *text)
{
    uint8_t bytes[16];
    int len = inet_pton(AF_INET, text, bytes) == 1    ? 4
              : inet_pton(AF_INET6, text, bytes) == 1 ? 16
                                                      : 0;
    ASN1_OCTET_STRING *value = len ? ASN1_OCTET_STRING_new() : NULL;
    if (!value || ASN1_OCTET_STRING_set(value, bytes, len) != 1) {
        ASN1_OCTET_STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, GEN_IPADD, value);
    return true;
}

static bool set_upn(GENERAL_NAME *name, const char *text)
{
    ASN1_OBJECT *type = OBJ_txt2obj(UPN_OID, 1);
    ASN1_TYPE *value = ASN1_TYPE_new();
    ASN1_UTF8STRING *string = ASN1_UTF8STRING_new();
    if (!type || !value || !string || !*text || ASN1_STRING_set(string, text, -1) != 1) {
        ASN1_UTF8STRING_free(string);
    } else {
        ASN1_TYPE_set(value, V_ASN1_UTF8STRING, string);
        if (GENERAL_NAME_set0_othername(name, type, value) == 1)
            return true;
    }
    ASN1_OBJECT_free(type);
    ASN1_TYPE_free(value);
    return false;
}

static bool set_name(GENERAL_NAME *name, const struct gw_x509_san *san)
{
    switch (san->kind) {
    case GW_X509_SAN_EMAIL:
        return set_string(name, GEN_EMAIL, san->text);
    case GW_X509_SAN_DNS:
        return set_string(name, GEN_DNS, san->text);
    case GW_X509_SAN_URI:
        return set_string(name, GEN_URI, san->text);
    case GW_X509_SAN_IP:
        return set_ip(name, san->text);
    case GW_X509_SAN_UPN:
        break;
    }
    return set_upn(name, san->text);
}

static bool push(STACK_OF(X509_EXTENSION) * list, int nid, bool critical, void *value)
{
    X509_EXTENSION *extension = value ? X509V3_EXT_i2d(nid, critical, value) : NULL;
    if (extension && sk_X509_EXTENSION_push(list, extension) > 0)
        return true;
    X509_EXTENSION_free(extension);
    return false;
}

static bool push_sans(STACK_OF(X509_EXTENSION) * list, const struct gw_x509_profile *profile,
                      const char **why)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool ok = names != NULL;
    for (size_t i = 0; ok && i < profile->san_count; i++) {
        GENERAL_NAME *name = GENERAL_NAME_new();
        if (!name || !set_name(name, &profile->sans[i]) || sk_GENERAL_NAME_push(names, name) <= 0) {
            GENERAL_NAME_free(name);
            *why = "Property 'sans' holds a name that has not the form of its kind.";
            ok = false;
        }
    }
    /* without a subject the names are all there is (RFC 5280 section 4.1.2.6) */
    bool critical = !profile->subject || !*profile->subject;
    ok = ok && push(list, NID_subject_alt_name, critical, names);
    GENERAL_NAMES_free(names);
    return ok;
}

static bool push_ekus(STACK_OF(X509_EXTENSION) * list, const struct gw_x509_profile *profile,
                      const char **why)
{
    EXTENDED_KEY_USAGE *uses = EXTENDED_KEY_USAGE_new();
    bool ok = uses != NULL;
    for (size_t i = 0; ok && i < profile->eku_count; i++) {
        ASN1_OBJECT *use = gw_oid_parse(profile->ekus[i]);
        if (!use || sk_ASN1_OBJECT_push(uses, use) <= 0) {
            ASN1_OBJECT_free(use);
            *why = "Property 'ekus' holds something that is not an object identifier.";
            ok = false;
        }
    }
    ok = ok && push(list, NID_ext_key_usage, false, uses);
    EXTENDED_KEY_USAGE_free(uses);
    return ok;
}

static bool push_usage(STACK_OF(X509_EXTENSION) * list, uint16_t usage)
{
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    bool ok = bits != NULL;
    for (int bit = 0; ok && bit < GW_X509_USAGES; bit++)
        if (usage & 1u << bit)
            ok = ASN1_BIT_STRING_set_bit(bits, bit, 1) == 1;
    ok = ok && push(list, NID_key_usage, true, bits);
    ASN1_BIT_STRING_free(bits);
    return ok;
}

static bool push_constraints(STACK_OF(X509_EXTENSION) * list, const struct gw_x509_profile *profile)
{
    BASIC_CONSTRAINTS *value = BASIC_CONSTRAINTS_new();
    bool ok = value != NULL;
    if (ok && profile->ca) {
        value->ca = 0xff;
        if (profile->path_len >= 0) {
            value->pathlen = ASN1_INTEGER_new();
            ok = value->pathlen && ASN1_INTEGER_set(value->pathlen, profile->path_len) == 1;
        }
    }
    ok = ok && push(list, NID_basic_constraints, profile->ca, value);
    BASIC_CONSTRAINTS_free(value);
    return ok;
}

STACK_OF(X509_EXTENSION) *
    gw_extensions_make(const struct gw_x509_profile *profile, const char **why)
{
    STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
    bool ok = list != NULL;
    *why = "The certificate could not be put together.";
    ok = ok && (!profile->usage || push_usage(list, profile->usage));
    ok = ok && (profile->eku_count == 0 || push_ekus(list, profile, why));
    ok = ok && (profile->san_count == 0 || push_sans(list, profile, why));
    ok = ok && push_constraints(list, profile);
    if (!ok) {
        sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
        return NULL;
    }
    return list;
}
