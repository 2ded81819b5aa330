/* Policies: defaults, changes member by member, what they mean, when they renew. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/vault/certificates/policy.h"
#include "pool/pool.h"

#include <cmocka.h>

static json_t *json(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    if (!value)
        fail_msg("%s: %s", text, error.text);
    return value;
}

static json_t *merge(const json_t *base, const char *change)
{
    char why[VAULT_POLICY_WHY] = "";
    json_t *value = json(change);
    json_t *out = vault_policy_merge(base, value, why);
    json_decref(value);
    if (!out)
        print_message("%s: %s\n", change, why);
    return out;
}

static struct vault_policy *read(const json_t *policy)
{
    char why[VAULT_POLICY_WHY] = "";
    struct vault_policy *out = vault_policy_read(policy, why);
    if (!out)
        fail_msg("%s", why);
    return out;
}

static void defaults(void **state)
{
    (void)state;
    json_t *policy = merge(NULL, "{\"x509_props\":{\"subject\":\"CN=a\"}}");
    struct vault_policy *p = read(policy);
    assert_int_equal(p->kty, KW_KTY_RSA);
    assert_int_equal(p->bits, 2048);
    assert_true(p->exportable && !p->hsm && !p->reuse_key && !p->pem);
    assert_int_equal(p->issuer, VAULT_ISSUER_UNKNOWN);
    assert_int_equal(p->months, 12);
    assert_int_equal(p->profile.eku_count, 2);
    assert_int_equal(p->profile.usage, 1 << 0 | 1 << 2);
    assert_int_equal(p->ops, 1 << KW_KIND_SIGN | 1 << KW_KIND_VERIFY | 1 << KW_KIND_WRAP |
                                 1 << KW_KIND_UNWRAP);
    assert_int_equal(vault_policy_renew_at(p, 0, 1000000), 0); /* mail is not a renewal */
    free(p);
    json_decref(policy);
}

static void members_that_are_left_out_stay(void **state)
{
    (void)state;
    json_t *base = merge(NULL, "{\"x509_props\":{\"subject\":\"CN=a\",\"sans\":{\"dns_names\":["
                               "\"x\",\"y\"]},\"validity_months\":3},\"issuer\":{\"name\":\"Self\"}"
                               ",\"key_props\":{\"kty\":\"EC\",\"crv\":\"P-384\"}}");
    json_t *same = merge(base, "{\"key_props\":{},\"secret_props\":{},\"x509_props\":null,"
                               "\"unknown\":5,\"issuer\":{\"name\":null}}");
    json_object_del(json_object_get(base, "attributes"), "updated");
    json_object_del(json_object_get(same, "attributes"), "updated");
    assert_true(json_equal(base, same));
    json_t *other = merge(base, "{\"x509_props\":{\"sans\":{\"emails\":[\"a@b\"]}}}");
    struct vault_policy *p = read(other);
    assert_int_equal(p->profile.san_count, 1); /* taken as a whole */
    assert_int_equal(p->months, 3);
    assert_int_equal(p->curve, KW_CURVE_P384);
    free(p);
    json_decref(other);
    json_decref(same);
    json_decref(base);
}

static void a_key_type_takes_its_own_size(void **state)
{
    (void)state;
    json_t *ec = merge(NULL, "{\"x509_props\":{\"subject\":\"CN=a\"},\"key_props\":{\"kty\":\"EC\","
                             "\"key_size\":256}}");
    struct vault_policy *p = read(ec);
    assert_int_equal(p->curve, KW_CURVE_P256);
    assert_int_equal(p->ops, 1 << KW_KIND_SIGN | 1 << KW_KIND_VERIFY);
    assert_int_equal(p->profile.usage, 1 << 0);
    free(p);
    json_t *rsa = merge(ec, "{\"key_props\":{\"kty\":\"RSA-HSM\"}}");
    p = read(rsa);
    assert_int_equal(p->bits, 2048);
    assert_true(p->hsm && !p->exportable); /* not exportable unless that was asked for */
    assert_null(json_object_get(json_object_get(rsa, "key_props"), "crv"));
    free(p);
    assert_null(merge(rsa, "{\"key_props\":{\"exportable\":true}}"));
    json_decref(rsa);
    json_decref(ec);
}

static int64_t renew_at(const char *actions, const char *issuer, int64_t from, int64_t to)
{
    char text[512];
    snprintf(text, sizeof text,
             "{\"x509_props\":{\"subject\":\"CN=a\"},\"issuer\":{\"name\":\"%s\"},"
             "\"lifetime_actions\":%s}",
             issuer, actions);
    json_t *policy = merge(NULL, text);
    assert_non_null(policy);
    struct vault_policy *p = read(policy);
    int64_t at = vault_policy_renew_at(p, from, to);
    free(p);
    json_decref(policy);
    return at;
}

#define ACTION(trigger, type)                                                                      \
    "{\"trigger\":{" trigger "},\"action\":{\"action_type\":\"" type "\"}}"
#define DAYS    "\"days_before_expiry\":10"
#define PERCENT "\"lifetime_percentage\":80"

static void renewal(void **state)
{
    (void)state;
    const int64_t from = 1700000000, to = from + 100 * 86400;
    assert_int_equal(renew_at("[" ACTION(DAYS, "AutoRenew") "]", "Self", from, to),
                     to - 10 * 86400);
    assert_int_equal(renew_at("[" ACTION(PERCENT, "AutoRenew") "]", "self", from, to),
                     from + 80 * 86400);
    assert_int_equal(
        renew_at("[" ACTION(DAYS, "autorenew") "," ACTION(PERCENT, "EmailContacts") "]", "Self",
                 from, to),
        to - 10 * 86400);
    assert_int_equal(renew_at("[" ACTION(DAYS, "AutoRenew") "]", "Unknown", from, to), 0);
    assert_int_equal(renew_at("[" ACTION(DAYS, "EmailContacts") "]", "Self", from, to), 0);
    assert_int_equal(renew_at("[]", "Self", from, to), 0);
    /* never a time that would mean "never", nor one for a certificate without a life */
    assert_int_equal(renew_at("[" ACTION(DAYS, "AutoRenew") "]", "Self", 0, 5), 1);
    assert_int_equal(renew_at("[" ACTION(DAYS, "AutoRenew") "]", "Self", to, from), 0);
}

static void refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{\"key_props\":{\"kty\":\"oct\"}}",
        "{\"key_props\":{\"kty\":\"RSA\",\"key_size\":2047}}",
        "{\"key_props\":{\"key_size\":\"2048\"}}",
        "{\"key_props\":{\"kty\":\"EC\",\"crv\":\"P-224\"}}",
        "{\"key_props\":5}",
        "{\"x509_props\":{\"ekus\":[1]}}",
        "{\"x509_props\":{\"key_usage\":\"digitalSignature\"}}",
        "{\"x509_props\":{\"key_usage\":[\"everything\"]}}",
        "{\"x509_props\":{\"sans\":{\"dns_names\":[1]}}}",
        "{\"x509_props\":{\"subject\":\"\"}}",
        "{\"x509_props\":{\"validity_months\":1201}}",
        "{\"x509_props\":{\"basic_constraints\":{\"path_len_constraint\":256}}}",
        "{\"secret_props\":{\"contentType\":\"text/html\"}}",
        "{\"lifetime_actions\":5}",
        "{\"lifetime_actions\":[5]}",
        "{\"lifetime_actions\":[{}]}",
        "{\"lifetime_actions\":[" ACTION(DAYS "," PERCENT, "AutoRenew") "]}",
        "{\"lifetime_actions\":[" ACTION("\"days_before_expiry\":325", "AutoRenew") "]}",
        "{\"lifetime_actions\":[" ACTION("\"lifetime_percentage\":0", "AutoRenew") "]}",
    };
    json_t *base = merge(NULL, "{\"x509_props\":{\"subject\":\"CN=a\"}}");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char why[VAULT_POLICY_WHY] = "";
        json_t *change = json(bad[i]), *out = vault_policy_merge(base, change, why);
        if (out)
            print_message("taken: %s\n", bad[i]);
        assert_null(out);
        assert_true(why[0] != '\0');
        json_decref(change);
    }
    json_decref(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(members_that_are_left_out_stay),
        cmocka_unit_test(a_key_type_takes_its_own_size),
        cmocka_unit_test(renewal),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
