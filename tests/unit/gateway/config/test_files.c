/* What is written to the data directory: modes, reuse, refusal of what is half there or too open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "gateway/config/dev_files.h"
#include "gateway/config/domain_key.h"
#include "gateway/config/durable.h"

static char folder[64], error[512];

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/kw-files-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"ca.pem", "tls.pem", "tls.key", "token", "domain.key", "f"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_folder(names[i]));
    return rmdir(folder); /* fails when a temporary file was left behind */
}

static unsigned mode_of(const char *name)
{
    struct stat st;
    assert_int_equal(stat(in_folder(name), &st), 0);
    return st.st_mode & 07777;
}

static X509 *certificate(const char *name)
{
    FILE *stream = fopen(in_folder(name), "re");
    assert_non_null(stream);
    X509 *cert = PEM_read_X509(stream, NULL, NULL, NULL);
    fclose(stream);
    assert_non_null(cert);
    return cert;
}

static void test_tls(void **state)
{
    (void)state;
    bool renewed = true;
    assert_int_equal(gw_dev_tls(folder, &renewed, error, sizeof error), KW_OK);
    assert_false(renewed);
    assert_int_equal(mode_of("tls.key"), 0600);
    X509 *ca = certificate("ca.pem"), *leaf = certificate("tls.pem");
    assert_int_equal(X509_verify(leaf, X509_get0_pubkey(ca)), 1);
    assert_int_equal(X509_check_ca(leaf), 0);
    assert_true(X509_check_ca(ca) == 1);
    assert_int_equal(X509_check_host(leaf, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(leaf, "keys.vault.localhost", 0, 0, NULL), 1);
    /* curl and OpenSSL take no wildcard of one label; the name itself is what others match */
    assert_int_equal(X509_check_host(leaf, "*.localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(leaf, "example.com", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(leaf, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(leaf, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(leaf, "127.0.0.2", 0), 0);
    X509_free(ca);
    /* a second start uses what is there */
    assert_int_equal(gw_dev_tls(folder, &renewed, error, sizeof error), KW_OK);
    X509 *again = certificate("tls.pem");
    assert_int_equal(X509_cmp(leaf, again), 0);
    X509_free(leaf);
    X509_free(again);
    unlink(in_folder("tls.pem"));
    assert_int_equal(gw_dev_tls(folder, &renewed, error, sizeof error), KW_E_INPUT);
    assert_non_null(strstr(error, "tls.key is there but"));
}

static void test_token(void **state)
{
    (void)state;
    char first[GW_DEV_TOKEN_MAX], second[GW_DEV_TOKEN_MAX];
    assert_int_equal(gw_dev_token(folder, first, error, sizeof error), KW_OK);
    assert_int_equal(strlen(first), 64);
    assert_int_equal(mode_of("token"), 0600);
    assert_int_equal(gw_dev_token(folder, second, error, sizeof error), KW_OK);
    assert_string_equal(first, second);
    chmod(in_folder("token"), 0644);
    assert_int_equal(gw_dev_token(folder, second, error, sizeof error), KW_E_FORBIDDEN);
    assert_int_equal(
        gw_write_durable(in_folder("token"), kw_span_str("short\n"), 0600, error, sizeof error),
        KW_OK);
    assert_int_equal(gw_dev_token(folder, second, error, sizeof error), KW_E_INPUT);
}

static void test_domain_key(void **state)
{
    (void)state;
    struct kc_domain *made = NULL, *read = NULL;
    char a[2 * KC_DOMAIN_CHECK_LEN + 1], b[2 * KC_DOMAIN_CHECK_LEN + 1];
    assert_int_equal(gw_domain_key_read(&read, folder, error, sizeof error), KW_E_NOT_FOUND);
    assert_int_equal(gw_domain_key_create(&made, folder, error, sizeof error), KW_OK);
    assert_int_equal(mode_of("domain.key"), 0600);
    assert_int_equal(gw_domain_key_read(&read, folder, error, sizeof error), KW_OK);
    kc_domain_check(made, a);
    kc_domain_check(read, b);
    assert_string_equal(a, b);
    kc_domain_destroy(made);
    kc_domain_destroy(read);
    made = read = NULL;
    assert_int_equal(gw_domain_key_create(&made, folder, error, sizeof error), KW_E_CONFLICT);
    chmod(in_folder("domain.key"), 0640);
    assert_int_equal(gw_domain_key_read(&read, folder, error, sizeof error), KW_E_FORBIDDEN);
    chmod(in_folder("domain.key"), 0600);
    assert_int_equal(truncate(in_folder("domain.key"), 31), 0);
    assert_int_equal(gw_domain_key_read(&read, folder, error, sizeof error), KW_E_INPUT);
    assert_null(read);
}

static void test_durable(void **state)
{
    (void)state;
    assert_int_equal(
        gw_write_durable(in_folder("f"), kw_span_str("one"), 0640, error, sizeof error), KW_OK);
    assert_int_equal(mode_of("f"), 0640);
    assert_int_equal(
        gw_write_durable("/nonexistent/f", kw_span_str("x"), 0600, error, sizeof error), KW_E_IO);
    assert_non_null(strstr(error, "/nonexistent/f"));
    assert_int_equal(gw_make_folder(in_folder("f"), error, sizeof error), KW_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_token, setup, teardown),
        cmocka_unit_test_setup_teardown(test_domain_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_durable, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
