#include "gateway/vault/certificates/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "crypto/base/clock.h"
#include "gateway/api/crypto/alg_names.h"

/* In the order of the bits of KeyUsage. */
static const char *const usage_names[GW_X509_USAGES] = {
    "digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
    "keyCertSign",      "cRLSign",        "encipherOnly",    "decipherOnly"};

static const struct {
    const char *name;
    enum gw_x509_san_kind kind;
} san_lists[] = {{"emails", GW_X509_SAN_EMAIL},
                 {"dns_names", GW_X509_SAN_DNS},
                 {"upns", GW_X509_SAN_UPN},
                 {"uris", GW_X509_SAN_URI},
                 {"ipAddresses", GW_X509_SAN_IP}};
#define SAN_LISTS (sizeof san_lists / sizeof san_lists[0])

static bool bad(char *why, const char *text)
{
    snprintf(why, VAULT_POLICY_WHY, "%s", text);
    return false;
}

static const json_t *member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

/* --- merging --- */

enum type { T_BOOL, T_INT, T_STRING, T_STRINGS, T_OBJECT };

struct rule {
    const char *section, *name;
    enum type type;
};

static const struct rule rules[] = {
    {"key_props", "exportable", T_BOOL},
    {"key_props", "kty", T_STRING},
    {"key_props", "key_size", T_INT},
    {"key_props", "crv", T_STRING},
    {"key_props", "reuse_key", T_BOOL},
    {"secret_props", "contentType", T_STRING},
    {"x509_props", "subject", T_STRING},
    {"x509_props", "sans", T_OBJECT},
    {"x509_props", "ekus", T_STRINGS},
    {"x509_props", "key_usage", T_STRINGS},
    {"x509_props", "validity_months", T_INT},
    {"x509_props", "basic_constraints", T_OBJECT},
    {"issuer", "name", T_STRING},
    {"issuer", "cty", T_STRING},
    {"issuer", "cert_transparency", T_BOOL},
    {"attributes", "enabled", T_BOOL},
};

static bool strings_ok(const json_t *array)
{
    if (!json_is_array(array))
        return false;
    for (size_t i = 0; i < json_array_size(array); i++)
        if (!json_is_string(json_array_get(array, i)))
            return false;
    return true;
}

static bool type_ok(const json_t *value, enum type type)
{
    switch (type) {
    case T_BOOL:
        return json_is_boolean(value);
    case T_INT:
        return json_is_integer(value);
    case T_STRING:
        return json_is_string(value) && json_string_length(value) <= GW_X509_TEXT_MAX &&
               strlen(json_string_value(value)) == json_string_length(value);
    case T_STRINGS:
        return strings_ok(value);
    case T_OBJECT:
        break;
    }
    return json_is_object(value);
}

static bool merge_rule(json_t *out, const json_t *change, const struct rule *rule, char *why)
{
    const json_t *from = member(change, rule->section);
    if (from && !json_is_object(from)) {
        snprintf(why, VAULT_POLICY_WHY, "Property '%s' must be an object.", rule->section);
        return false;
    }
    const json_t *value = member(from, rule->name);
    if (!value)
        return true;
    if (!type_ok(value, rule->type)) {
        snprintf(why, VAULT_POLICY_WHY, "Property '%s.%s' has a wrong type or length.",
                 rule->section, rule->name);
        return false;
    }
    json_t *section = json_object_get(out, rule->section);
    if (!section) {
        section = json_object();
        json_object_set_new(out, rule->section, section);
    }
    return json_object_set_new(section, rule->name, json_deep_copy(value)) == 0 ||
           bad(why, "The service is short of memory.");
}

static json_t *default_policy(void)
{
    return json_pack("{s:{s:b,s:s,s:b}, s:{s:s}, s:{s:s,s:[s,s],s:i}, s:[{s:{s:i},s:{s:s}}], "
                     "s:{s:s}, s:{s:b,s:I}}",
                     "key_props", "exportable", 1, "kty", "RSA", "reuse_key", 0, "secret_props",
                     "contentType", "application/x-pkcs12", "x509_props", "subject", "", "ekus",
                     "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "validity_months", 12,
                     "lifetime_actions", "trigger", "lifetime_percentage", 80, "action",
                     "action_type", "EmailContacts", "issuer", "name", "Unknown", "attributes",
                     "enabled", 1, "created", (json_int_t)kw_wall_s());
}

/** A key type that was changed leaves the size or curve of the other one behind, and a HSM key is
 *  not exportable unless that was asked for (then it is refused later). */
static void settle(json_t *out, const json_t *change)
{
    json_t *key = json_object_get(out, "key_props"), *x509 = json_object_get(out, "x509_props");
    const json_t *asked = member(change, "key_props");
    const char *kty = json_string_value(json_object_get(key, "kty"));
    bool ec = kty && strncasecmp(kty, "EC", 2) == 0;
    bool hsm = kty && strlen(kty) > 4 && strcasecmp(kty + strlen(kty) - 4, "-HSM") == 0;
    json_object_del(key, ec ? "key_size" : "crv");
    if (ec && !json_object_get(key, "crv"))
        json_object_set_new(key, "crv", json_string("P-256"));
    if (!ec && !json_object_get(key, "key_size"))
        json_object_set_new(key, "key_size", json_integer(2048));
    if (hsm && !member(asked, "exportable"))
        json_object_set_new(key, "exportable", json_false());
    if (!json_object_get(x509, "key_usage"))
        json_object_set_new(x509, "key_usage",
                            ec ? json_pack("[s]", "digitalSignature")
                               : json_pack("[ss]", "digitalSignature", "keyEncipherment"));
    json_object_set_new(json_object_get(out, "attributes"), "updated", json_integer(kw_wall_s()));
}

static bool merge(json_t *out, const json_t *change, char *why)
{
    if (!json_is_object(change))
        return bad(why, "Property 'policy' must be an object.");
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (!merge_rule(out, change, &rules[i], why))
            return false;
    const json_t *actions = member(change, "lifetime_actions");
    if (actions && !json_is_array(actions))
        return bad(why, "Property 'lifetime_actions' must be an array.");
    if (actions && json_object_set_new(out, "lifetime_actions", json_deep_copy(actions)) != 0)
        return bad(why, "The service is short of memory.");
    return true;
}

json_t *vault_policy_merge(const json_t *base, const json_t *change, char why[VAULT_POLICY_WHY])
{
    json_t *out = base ? json_deep_copy(base) : default_policy();
    bool ok = out ? merge(out, change, why) : bad(why, "The service is short of memory.");
    struct vault_policy *read = NULL;
    if (ok) {
        settle(out, change);
        read = vault_policy_read(out, why);
    }
    ok = read != NULL;
    free(read);
    if (!ok) {
        json_decref(out);
        return NULL;
    }
    return out;
}

/* --- reading --- */

static const char *text_at(const json_t *policy, const char *section, const char *name)
{
    return json_string_value(json_object_get(json_object_get(policy, section), name));
}

static bool flag_at(const json_t *policy, const char *section, const char *name)
{
    return json_is_true(json_object_get(json_object_get(policy, section), name));
}

static int64_t int_at(const json_t *policy, const char *section, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(policy, section), name));
}

static bool read_key(struct vault_policy *p, const json_t *policy, char *why)
{
    const char *kty = text_at(policy, "key_props", "kty");
    const char *crv = text_at(policy, "key_props", "crv");
    int64_t bits = int_at(policy, "key_props", "key_size");
    p->exportable = flag_at(policy, "key_props", "exportable");
    p->reuse_key = flag_at(policy, "key_props", "reuse_key");
    if (!kty || !gw_kty_parse(kw_span_str(kty), &p->kty, &p->hsm) || p->kty == KW_KTY_OCT)
        return bad(why, "Property 'key_props.kty' must be RSA, RSA-HSM, EC or EC-HSM.");
    if (p->hsm && p->exportable)
        return bad(why, "Property 'key_props.exportable' must be false for a key in an HSM.");
    if (p->kty == KW_KTY_EC) {
        p->curve = crv ? gw_curve_parse(kw_span_str(crv)) : KW_CURVE_NONE;
        p->bits = kw_curve_bits(p->curve);
        return p->curve != KW_CURVE_NONE ||
               bad(why, "Property 'key_props.crv' must be P-256, P-384, P-521 or P-256K.");
    }
    p->bits = (unsigned)bits;
    return bits == 2048 || bits == 3072 || bits == 4096 ||
           bad(why, "Property 'key_props.key_size' must be 2048, 3072 or 4096.");
}

static bool read_secret(struct vault_policy *p, const json_t *policy, char *why)
{
    const char *type = text_at(policy, "secret_props", "contentType");
    p->pem = type && strcasecmp(type, "application/x-pem-file") == 0;
    return p->pem || (type && strcasecmp(type, "application/x-pkcs12") == 0) ||
           bad(why, "Property 'secret_props.contentType' must be application/x-pkcs12 or "
                    "application/x-pem-file.");
}

static bool read_sans(struct vault_policy *p, const json_t *policy, char *why)
{
    const json_t *sans = json_object_get(json_object_get(policy, "x509_props"), "sans");
    for (size_t list = 0; list < SAN_LISTS; list++) {
        const json_t *names = member(sans, san_lists[list].name);
        if (names && !strings_ok(names))
            return bad(why, "Property 'sans' must hold arrays of strings.");
        for (size_t i = 0; i < json_array_size(names); i++) {
            const json_t *name = json_array_get(names, i);
            if (p->profile.san_count == GW_X509_SANS_MAX)
                return bad(why, "Property 'sans' holds more than 256 names.");
            if (!type_ok(name, T_STRING))
                return bad(why, "Property 'sans' holds a name that is too long.");
            p->sans[p->profile.san_count++] =
                (struct gw_x509_san){san_lists[list].kind, json_string_value(name)};
        }
    }
    p->profile.sans = p->sans;
    return true;
}

static bool read_ekus(struct vault_policy *p, const json_t *policy, char *why)
{
    const json_t *ekus = json_object_get(json_object_get(policy, "x509_props"), "ekus");
    if (json_array_size(ekus) > GW_X509_EKUS_MAX)
        return bad(why, "Property 'ekus' holds more than 32 identifiers.");
    for (size_t i = 0; i < json_array_size(ekus); i++)
        p->ekus[p->profile.eku_count++] = json_string_value(json_array_get(ekus, i));
    p->profile.ekus = p->ekus;
    return true;
}

static bool read_usage(struct vault_policy *p, const json_t *policy, char *why)
{
    const json_t *usages = json_object_get(json_object_get(policy, "x509_props"), "key_usage");
    for (size_t i = 0; i < json_array_size(usages); i++) {
        const char *name = json_string_value(json_array_get(usages, i));
        unsigned bit = 0;
        while (bit < GW_X509_USAGES && strcasecmp(usage_names[bit], name) != 0)
            bit++;
        if (bit == GW_X509_USAGES)
            return bad(why, "Property 'key_usage' holds a word that is none of digitalSignature, "
                            "nonRepudiation, keyEncipherment, dataEncipherment, keyAgreement, "
                            "keyCertSign, cRLSign, encipherOnly, decipherOnly.");
        p->profile.usage |= (uint16_t)(1u << bit);
    }
    return true;
}

static bool read_constraints(struct vault_policy *p, const json_t *policy, char *why)
{
    const json_t *constraints =
        json_object_get(json_object_get(policy, "x509_props"), "basic_constraints");
    const json_t *ca = member(constraints, "ca"), *len = member(constraints, "path_len_constraint");
    p->profile.path_len = -1;
    if ((ca && !json_is_boolean(ca)) || (len && !json_is_integer(len)) ||
        (len && (json_integer_value(len) < 0 || json_integer_value(len) > 255)))
        return bad(why, "Property 'basic_constraints' must hold 'ca' (true or false) and may hold "
                        "'path_len_constraint' (0 to 255).");
    p->profile.ca = json_is_true(ca);
    if (p->profile.ca && len)
        p->profile.path_len = (int)json_integer_value(len);
    return true;
}

static bool read_action(struct vault_policy *p, const json_t *action, char *why)
{
    const json_t *trigger = member(action, "trigger");
    const json_t *percent = member(trigger, "lifetime_percentage");
    const json_t *days = member(trigger, "days_before_expiry");
    const char *type = json_string_value(json_object_get(member(action, "action"), "action_type"));
    bool renew = type && strcasecmp(type, "AutoRenew") == 0;
    if (!type || (!renew && strcasecmp(type, "EmailContacts") != 0))
        return bad(why, "Property 'lifetime_actions' must name AutoRenew or EmailContacts as "
                        "'action_type'.");
    if ((percent == NULL) == (days == NULL) || (percent && !json_is_integer(percent)) ||
        (days && !json_is_integer(days)))
        return bad(why, "Property 'lifetime_actions' needs a trigger with either "
                        "'lifetime_percentage' or 'days_before_expiry'.");
    int64_t value = json_integer_value(percent ? percent : days);
    int64_t most = percent ? 99 : 27 * (int64_t)p->months;
    if (value < 1 || value > most) {
        snprintf(why, VAULT_POLICY_WHY, "Property 'lifetime_actions': '%s' must be from 1 to %d.",
                 percent ? "lifetime_percentage" : "days_before_expiry", (int)most);
        return false;
    }
    if (renew && percent)
        p->renew_percent = (unsigned)value;
    else if (renew)
        p->renew_days = (unsigned)value;
    return true;
}

static bool read_actions(struct vault_policy *p, const json_t *policy, char *why)
{
    const json_t *actions = json_object_get(policy, "lifetime_actions");
    if (json_array_size(actions) > 8)
        return bad(why, "Property 'lifetime_actions' holds more than 8 actions.");
    for (size_t i = 0; i < json_array_size(actions); i++)
        if (!read_action(p, json_array_get(actions, i), why))
            return false;
    return true;
}

static bool read_issuer(struct vault_policy *p, const json_t *policy)
{
    p->issuer_name = text_at(policy, "issuer", "name");
    if (!p->issuer_name)
        p->issuer_name = "Unknown";
    p->issuer = strcasecmp(p->issuer_name, "Self") == 0      ? VAULT_ISSUER_SELF
                : strcasecmp(p->issuer_name, "Unknown") == 0 ? VAULT_ISSUER_UNKNOWN
                                                             : VAULT_ISSUER_NAMED;
    return true;
}

static bool read_x509(struct vault_policy *p, const json_t *policy, char *why)
{
    const char *reason = NULL;
    int64_t months = int_at(policy, "x509_props", "validity_months");
    if (months < 1 || months > GW_X509_MONTHS_MAX)
        return bad(why, "Property 'x509_props.validity_months' must be from 1 to 1200.");
    p->months = (unsigned)months;
    p->profile.subject = text_at(policy, "x509_props", "subject");
    if (!read_sans(p, policy, why) || !read_ekus(p, policy, why) || !read_usage(p, policy, why) ||
        !read_constraints(p, policy, why))
        return false;
    return gw_x509_profile_check(&p->profile, &reason) == KW_OK || bad(why, reason);
}

/** What the uses of the certificate let its key do; without any, what its type can do. */
static uint16_t ops_of(const struct vault_policy *p)
{
    const uint16_t sign = 1u << KW_KIND_SIGN | 1u << KW_KIND_VERIFY;
    const uint16_t wrap = 1u << KW_KIND_WRAP | 1u << KW_KIND_UNWRAP;
    const uint16_t encrypt = 1u << KW_KIND_ENCRYPT | 1u << KW_KIND_DECRYPT;
    uint16_t usage = p->profile.usage, ops = 0;
    if (usage & (1u << 0 | 1u << 1 | 1u << 5 | 1u << 6))
        ops |= sign;
    if (usage & 1u << 2)
        ops |= wrap;
    if (usage & 1u << 3)
        ops |= encrypt;
    if (usage == 0)
        ops = sign | wrap | encrypt;
    return p->kty == KW_KTY_EC ? ops & sign : ops;
}

struct vault_policy *vault_policy_read(const json_t *policy, char why[VAULT_POLICY_WHY])
{
    struct vault_policy *p = calloc(1, sizeof *p);
    if (!p) {
        bad(why, "The service is short of memory.");
        return NULL;
    }
    if (!read_key(p, policy, why) || !read_secret(p, policy, why) || !read_x509(p, policy, why) ||
        !read_issuer(p, policy) || !read_actions(p, policy, why)) {
        free(p);
        return NULL;
    }
    p->ops = ops_of(p);
    return p;
}

int64_t vault_policy_renew_at(const struct vault_policy *policy, int64_t not_before,
                              int64_t not_after)
{
    int64_t at = 0;
    if (policy->issuer != VAULT_ISSUER_SELF || not_after <= not_before)
        return 0;
    if (policy->renew_days)
        at = not_after - (int64_t)policy->renew_days * 86400;
    else if (policy->renew_percent)
        at = not_before + (not_after - not_before) / 100 * policy->renew_percent;
    else
        return 0;
    return at > 0 ? at : 1;
}

/* --- from a certificate --- */

static json_t *sans_json(const struct gw_x509_profile *profile)
{
    json_t *sans = json_object();
    for (size_t i = 0; sans && i < profile->san_count; i++) {
        const char *list = NULL;
        for (size_t k = 0; k < SAN_LISTS; k++)
            if (san_lists[k].kind == profile->sans[i].kind)
                list = san_lists[k].name;
        json_t *names = json_object_get(sans, list);
        if (!names) {
            names = json_array();
            json_object_set_new(sans, list, names);
        }
        json_array_append_new(names, json_string(profile->sans[i].text));
    }
    return sans;
}

static json_t *x509_json(const struct gw_x509_profile *profile, unsigned months)
{
    json_t *x509 = json_pack("{s:s, s:o, s:[], s:[], s:i, s:{s:b}}", "subject", profile->subject,
                             "sans", sans_json(profile), "ekus", "key_usage", "validity_months",
                             (int)months, "basic_constraints", "ca", profile->ca);
    for (size_t i = 0; i < profile->eku_count; i++)
        json_array_append_new(json_object_get(x509, "ekus"), json_string(profile->ekus[i]));
    for (unsigned bit = 0; bit < GW_X509_USAGES; bit++)
        if (profile->usage & 1u << bit)
            json_array_append_new(json_object_get(x509, "key_usage"),
                                  json_string(usage_names[bit]));
    if (profile->ca && profile->path_len >= 0)
        json_object_set_new(json_object_get(x509, "basic_constraints"), "path_len_constraint",
                            json_integer(profile->path_len));
    return x509;
}

static unsigned months_between(int64_t from, int64_t to)
{
    int64_t months = (to - from + 86400 * 15) / (86400 * 30 + 37800);
    return months < 1 ? 1 : months > GW_X509_MONTHS_MAX ? GW_X509_MONTHS_MAX : (unsigned)months;
}

static json_t *key_json(const struct kc_public *pub, bool hsm, bool exportable, bool reuse)
{
    const char *kty = gw_kty_name(pub->kty, hsm);
    if (pub->kty == KW_KTY_EC)
        return json_pack("{s:b,s:s,s:s,s:b}", "exportable", exportable, "kty", kty, "crv",
                         gw_curve_name(pub->curve), "reuse_key", reuse);
    return json_pack("{s:b,s:s,s:i,s:b}", "exportable", exportable, "kty", kty, "key_size",
                     (int)pub->bits, "reuse_key", reuse);
}

static json_t *from_cert(struct gw_arena *arena, struct kw_span der, const struct kc_public *pub,
                         bool pem, const json_t *change, char *why)
{
    struct gw_x509_profile profile;
    struct gw_x509_info info;
    const json_t *asked = member(change, "key_props");
    const char *kty = json_string_value(json_object_get(asked, "kty"));
    bool hsm = kty && strlen(kty) > 4 && strcasecmp(kty + strlen(kty) - 4, "-HSM") == 0;
    const json_t *exportable = member(asked, "exportable");
    if (gw_x509_read(&info, der) != KW_OK || gw_x509_describe(&profile, arena, der) != KW_OK) {
        bad(why, "The certificate cannot be read.");
        return NULL;
    }
    json_t *said = json_pack("{s:o, s:{s:s}, s:o}", "key_props",
                             key_json(pub, hsm, exportable ? json_is_true(exportable) : !hsm,
                                      json_is_true(json_object_get(asked, "reuse_key"))),
                             "secret_props", "contentType",
                             pem ? "application/x-pem-file" : "application/x-pkcs12", "x509_props",
                             x509_json(&profile, months_between(info.not_before, info.not_after)));
    /* what the caller may choose: who renews it, and when */
    static const char *const chosen[] = {"issuer", "lifetime_actions", "attributes"};
    for (size_t i = 0; said && i < 3; i++)
        if (member(change, chosen[i]))
            json_object_set_new(said, chosen[i], json_deep_copy(member(change, chosen[i])));
    json_t *policy = said ? vault_policy_merge(NULL, said, why) : NULL;
    if (!said)
        bad(why, "The certificate holds text that is not UTF-8.");
    json_decref(said);
    return policy;
}

json_t *vault_policy_of_cert(struct kw_span der, const struct kc_public *pub, bool pem,
                             const json_t *change, char why[VAULT_POLICY_WHY])
{
    struct gw_arena *arena = gw_arena_create();
    json_t *policy = NULL;
    if (arena)
        policy = from_cert(arena, der, pub, pem, change, why);
    else
        bad(why, "The service is short of memory.");
    gw_arena_destroy(arena);
    return policy;
}
