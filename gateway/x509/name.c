/* Distinguished names as RFC 4514 writes them: "CN=host, O=Who\, Inc., C=DE". The last part of the
 * text is the first of the encoding. */

#include <stdlib.h>
#include <strings.h>

#include "crypto/base/hex.h"
#include "gateway/x509/ossl.h"

#define PARTS_MAX 32

static const struct {
    const char *text;
    int nid;
} types[] = {
    {"CN", NID_commonName},
    {"O", NID_organizationName},
    {"OU", NID_organizationalUnitName},
    {"L", NID_localityName},
    {"ST", NID_stateOrProvinceName},
    {"S", NID_stateOrProvinceName},
    {"C", NID_countryName},
    {"STREET", NID_streetAddress},
    {"DC", NID_domainComponent},
    {"UID", NID_userId},
    {"E", NID_pkcs9_emailAddress},
    {"EMAIL", NID_pkcs9_emailAddress},
    {"EMAILADDRESS", NID_pkcs9_emailAddress},
    {"SERIALNUMBER", NID_serialNumber},
    {"G", NID_givenName},
    {"GN", NID_givenName},
    {"GIVENNAME", NID_givenName},
    {"SN", NID_surname},
    {"SURNAME", NID_surname},
    {"T", NID_title},
    {"TITLE", NID_title},
    {"INITIALS", NID_initials},
    {"POSTALCODE", NID_postalCode},
};

struct part {
    ASN1_OBJECT *type;
    char value[GW_X509_TEXT_MAX + 1];
    size_t len;
    bool joined; /* with '+' to the part before it */
};

struct names {
    struct part parts[PARTS_MAX];
    size_t count;
};

/** Digits with single dots between them. */
static bool dotted(const char *text)
{
    bool digit = false;
    for (; *text; text++) {
        if (*text == '.' && !digit)
            return false;
        if (*text != '.' && (*text < '0' || *text > '9'))
            return false;
        digit = *text != '.';
    }
    return digit;
}

ASN1_OBJECT *gw_oid_parse(const char *text)
{
    return dotted(text) ? OBJ_txt2obj(text, 1) : NULL;
}

static ASN1_OBJECT *type_of(const char *text, size_t len)
{
    char name[64];
    if (len == 0 || len >= sizeof name)
        return NULL;
    memcpy(name, text, len);
    name[len] = '\0';
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcasecmp(types[i].text, name) == 0)
            return OBJ_nid2obj(types[i].nid);
    const char *digits = strncasecmp(name, "OID.", 4) == 0 ? name + 4 : name;
    return gw_oid_parse(digits);
}

static bool add_char(struct part *part, char c)
{
    if (part->len == GW_X509_TEXT_MAX || c == '\0')
        return false;
    part->value[part->len++] = c;
    return true;
}

/** What follows a backslash: two hexadecimal digits, or the character itself. */
static bool take_escape(const char **at, struct part *part)
{
    int high = kw_hex_digit((uint8_t)(*at)[1]),
        low = high >= 0 ? kw_hex_digit((uint8_t)(*at)[2]) : -1;
    if ((*at)[1] == '\0')
        return false;
    char c = low >= 0 ? (char)(high << 4 | low) : (*at)[1];
    *at += low >= 0 ? 3 : 2;
    return add_char(part, c);
}

static bool take_quoted(const char **at, struct part *part)
{
    for ((*at)++; **at != '"';) {
        if (**at == '\\') {
            if (!take_escape(at, part))
                return false;
        } else if (!add_char(part, *(*at)++)) {
            return false;
        }
    }
    (*at)++;
    while (**at == ' ')
        (*at)++;
    return true;
}

static bool take_plain(const char **at, struct part *part)
{
    size_t kept = 0; /* spaces at the end that are not escaped do not count */
    while (**at && !strchr(",;+", **at)) {
        if (strchr("\"<>", **at))
            return false;
        if (**at == '\\') {
            if (!take_escape(at, part))
                return false;
            kept = part->len;
            continue;
        }
        char c = *(*at)++;
        if (!add_char(part, c))
            return false;
        if (c != ' ')
            kept = part->len;
    }
    part->len = kept;
    return true;
}

static bool take_part(const char **at, struct part *part)
{
    while (**at == ' ')
        (*at)++;
    const char *equals = strchr(*at, '=');
    if (!equals)
        return false;
    size_t len = (size_t)(equals - *at);
    while (len > 0 && (*at)[len - 1] == ' ')
        len--;
    part->type = type_of(*at, len);
    if (!part->type)
        return false;
    *at = equals + 1;
    while (**at == ' ')
        (*at)++;
    return **at == '"' ? take_quoted(at, part) : take_plain(at, part);
}

static bool take_all(struct names *names, const char *text)
{
    bool joined = false;
    for (;;) {
        if (names->count == PARTS_MAX)
            return false;
        struct part *part = &names->parts[names->count++];
        part->joined = joined;
        if (!take_part(&text, part) || part->len == 0)
            return false;
        if (*text == '\0')
            return true;
        if (!strchr(",;+", *text))
            return false;
        joined = *text++ == '+';
    }
}

static X509_NAME *encode(const struct names *names)
{
    X509_NAME *name = X509_NAME_new();
    size_t end = names->count;
    while (name && end > 0) {
        size_t from = end - 1;
        while (names->parts[from].joined)
            from--;
        for (size_t i = from; i < end; i++) {
            const struct part *part = &names->parts[i];
            if (X509_NAME_add_entry_by_OBJ(name, part->type, MBSTRING_UTF8,
                                           (const unsigned char *)part->value, (int)part->len, -1,
                                           part->joined ? -1 : 0) != 1) {
                X509_NAME_free(name);
                return NULL;
            }
        }
        end = from;
    }
    return name;
}

X509_NAME *gw_name_parse(const char *text, const char **why)
{
    if (!text || !*text)
        return X509_NAME_new();
    struct names *names = calloc(1, sizeof *names);
    X509_NAME *name = NULL;
    *why = "Property 'subject' is not a distinguished name such as \"CN=host, O=Company, C=DE\".";
    if (names && take_all(names, text)) {
        name = encode(names);
        *why = "Property 'subject' has a value that X.509 does not allow there (a country has two "
               "letters, a common name at most 64 characters).";
    }
    for (size_t i = 0; names && i < names->count; i++)
        ASN1_OBJECT_free(names->parts[i].type); /* static ones stay */
    free(names);
    return name;
}

char *gw_name_text(struct gw_arena *arena, const X509_NAME *name)
{
    const unsigned long flags = (ASN1_STRFLGS_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) |
                                XN_FLAG_SEP_CPLUS_SPC | XN_FLAG_DN_REV | XN_FLAG_FN_SN;
    char *text = NULL, *data = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio && X509_NAME_print_ex(bio, name, 0, flags) >= 0) {
        long len = BIO_get_mem_data(bio, &data);
        text = gw_arena_strndup(arena, data ? data : "", len > 0 ? (size_t)len : 0);
    }
    BIO_free(bio);
    return text;
}
