/* The configuration file: what is taken, and the exact words of what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/base/clock.h"
#include "gateway/config/backup.h"
#include "gateway/config/config.h"
#include "gateway/config/durable.h"

static char folder[64];
static char error[4096];

static void put_file(const char *name, const char *text, unsigned mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(gw_write_durable(path, kw_span_str(text), mode, error, sizeof error), KW_OK);
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/kw-config-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    put_file("a.pin", "1234", 0600);
    put_file("open.pin", "1234", 0644);
    put_file("module.so", "x", 0644);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"a.pin", "open.pin", "module.so", "k.yaml"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

static struct gw_config *load(const char *text)
{
    char path[128];
    struct gw_config *config = NULL;
    put_file("k.yaml", text, 0644);
    snprintf(path, sizeof path, "%s/k.yaml", folder);
    kw_status status = gw_config_load(&config, path, error, sizeof error);
    assert_true((status == KW_OK) == (config != NULL));
    return config;
}

/* Each expected line follows "FOLDER/k.yaml:". */
static void refused(const char *text, const char *const *expected, size_t count)
{
    struct gw_config *config = load(text);
    assert_null(config);
    char *line = error;
    for (size_t i = 0; i < count; i++) {
        char wanted[768];
        snprintf(wanted, sizeof wanted, "%s/k.yaml:%s", folder, expected[i]);
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        assert_string_equal(line, wanted);
        assert_true((end != NULL) == (i + 1 < count));
        line = end ? end + 1 : line;
    }
}

static void refused_one(const char *text, const char *expected)
{
    refused(text, &expected, 1);
}

#define MINIMAL "data: d\nlisteners:\n  - bind: unix:/run/k.sock\n"

static void test_minimal(void **state)
{
    (void)state;
    struct gw_config *config = load(MINIMAL);
    assert_non_null(config);
    char wanted[128];
    snprintf(wanted, sizeof wanted, "%s/d", folder);
    assert_string_equal(config->data, wanted);
    snprintf(wanted, sizeof wanted, "%s/d/control.sock", folder);
    assert_string_equal(config->control_path, wanted);
    assert_string_equal(config->listeners[0].bind, "unix:/run/k.sock");
    assert_int_equal(config->recovery_retries, -1);
    assert_int_equal(config->limits.max_body, 262144);
    assert_int_equal(config->limits.max_batch_body, 16 << 20);
    assert_null(config->admin_bind);
    assert_null(config->tokens_file);
    gw_config_free(config);
}

static void test_whole(void **state)
{
    (void)state;
    struct gw_config *config = load(
        "data: /var/lib/k\ncontrol: run/c.sock\nloops: 2\nworkers: 3\n"
        "listeners:\n  - bind: unix:k.sock\nadmin: { bind: 127.0.0.1:8444 }\n"
        "store: { engine: sqlite }\n"
        "group:\n  recovery: { retries: 5, interval: 250ms }\n  hedge: on\n"
        "  soft_deadline: 1s\n  hard_deadline: 10s\n  queue_max: 17\n  min_copies: 1\n  members:\n"
        "    - { name: hsm-a, type: pkcs11, module: module.so, token: tok, serial: \"0042\","
        " pin_file: a.pin, sessions: 4, hosts: 2, coalesce: off, loaded_keys: 64, standby: true, "
        "role: user }\n"
        "    - { name: soft, type: core, opens_hsm_keys: true }\n"
        "auth: { tokens: t.json }\n"
        "limits: { rate: 250, max_body: 1KiB, max_batch_body: 2MiB, max_connections: 5,"
        " max_streams: 6, header_timeout: 1s, body_timeout: 2s, idle_timeout: 3s,"
        " handshake_timeout: 4s, drain: 5s }\n");
    assert_non_null(config);
    assert_int_equal(config->member_count, 2);
    const struct pool_member_config *hsm = &config->members[0];
    assert_string_equal(hsm->name, "hsm-a");
    assert_int_equal(hsm->kind, POOL_MEMBER_PKCS11);
    assert_int_equal(hsm->role, POOL_ROLE_STANDBY);
    assert_string_equal(hsm->token_label, "tok");
    assert_string_equal(hsm->token_serial, "0042");
    assert_int_equal(hsm->sessions, 4);
    assert_int_equal(hsm->hosts, 2);
    assert_int_equal(config->members[1].kind, POOL_MEMBER_CORE);
    assert_true(config->members[1].opens_hsm_keys);
    assert_int_equal(config->recovery_retries, 5);
    assert_int_equal(config->recovery_interval_ns, KW_MS(250));
    assert_int_equal(config->soft_deadline_ns, KW_S(1));
    assert_int_equal(config->hard_deadline_ns, KW_S(10));
    assert_int_equal(config->queue_max, 17);
    assert_true(config->hedge);
    assert_true(config->members[0].coalesce_off);
    assert_int_equal(config->limits.rate, 250);
    assert_int_equal(config->min_copies, 1);
    assert_int_equal(config->members[0].loaded_keys, 64);
    assert_int_equal(config->limits.max_body, 1024);
    assert_int_equal(config->limits.handshake_timeout_ms, 4000);
    assert_int_equal(config->limits.drain_ms, 5000);
    assert_int_equal(config->loops, 2);
    assert_int_equal(config->workers, 3);
    gw_config_free(config);
}

static void test_names_and_types(void **state)
{
    (void)state;
    refused_one(MINIMAL "limts: { rate: 1 }\n",
                "4: limts: unknown field; did you mean \"limits\"? allowed: data, control, loops, "
                "workers, listeners, admin, store, group, auth, limits, backup, vaults");
    refused_one(MINIMAL "limits:\n  rate: many\n",
                "5: limits.rate: found \"many\"; allowed: a whole number from 0 to 4294967295");
    refused_one(MINIMAL "limits: [1]\n",
                "4: limits: found a list; allowed: a mapping with rate, max_body, max_batch_body, "
                "max_connections, max_streams, header_timeout, body_timeout, idle_timeout, "
                "handshake_timeout, drain");
    refused_one("listeners:\n  - bind: unix:/x\n", "1: required field \"data\" is missing");
    refused_one("data: d\nlisteners: []\n",
                "2: listeners: found an empty list; needed: at least 1 entry");
    refused_one(MINIMAL "group:\n  hedge: p95\n",
                "5: group.hedge: found \"p95\"; allowed: off, on");
    refused_one(MINIMAL "data: e\n", "4: field \"data\" is given twice (first on line 1)");
    refused_one("data: [\n", "2: not valid YAML: did not find expected node content (column 1)");
    refused_one("data: &a d\ncontrol: *a\n",
                "2: found a YAML alias (*name); allowed: plain values");
    refused_one("- a\n", "1: found a list; allowed: a mapping with data, control, loops, workers, "
                         "listeners, admin, store, group, auth, limits, backup, vaults");
}

static void test_one_token_twice(void **state)
{
    (void)state;
    refused_one(MINIMAL "group:\n  members:\n"
                        "    - { name: a, type: pkcs11, module: module.so, token: t, pin_file: "
                        "a.pin }\n"
                        "    - { name: b, type: pkcs11, module: module.so, token: t, pin_file: "
                        "a.pin, serial: \"1\" }\n",
                "7: group.members[1].token: found \"t\" of the same module a second time (first in "
                "member a); allowed: a token in one member, or \"serial\" in both where two tokens "
                "have one label");
    refused_one(
        MINIMAL "group:\n  members:\n"
                "    - { name: a, type: pkcs11, module: module.so, serial: \"1\", "
                "pin_file: a.pin }\n"
                "    - { name: b, type: pkcs11, module: module.so, token: t, serial: "
                "\"1\", pin_file: a.pin }\n",
        "7: group.members[1].serial: found \"1\" of the same module a second time (first in "
        "member a); allowed: a token in one member");
    refused_one(MINIMAL "group:\n  members:\n"
                        "    - { name: a, type: remote, url: \"https://h\", token_file: a.pin }\n"
                        "    - { name: b, type: remote, url: \"https://h\", token_file: a.pin }\n",
                "7: group.members[1].url: found \"https://h\" a second time (first in member a)");
    struct gw_config *config =
        load(MINIMAL "group:\n  members:\n"
                     "    - { name: a, type: pkcs11, module: module.so, token: t, serial: \"1\", "
                     "pin_file: a.pin, priority: 1 }\n"
                     "    - { name: b, type: pkcs11, module: module.so, token: t, serial: \"2\", "
                     "pin_file: a.pin, priority: 100 }\n");
    assert_non_null(config);
    assert_int_equal(config->members[1].priority, 100);
    gw_config_free(config);
    refused_one(MINIMAL "group:\n  members:\n"
                        "    - { name: a, type: pkcs11, module: module.so, token: t, "
                        "pin_file: a.pin, priority: 0 }\n",
                "6: group.members[0].priority: found 0; allowed: 1 to 100");
}

static void test_several_at_once(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "4: loops: found \"x\"; allowed: a whole number from 0 to 4294967295",
        "7: group.members[0].type: found \"hsm\"; allowed: pkcs11, core, remote",
        "8: group.members[1].pinfile: unknown field; did you mean \"pin_file\"? allowed: name, "
        "type, module, token, serial, pin_file, role, sandbox, rlimits, paths, sessions, hosts, "
        "coalesce, loaded_keys, standby, priority, opens_hsm_keys, "
        "probe, url, token_file, ca",
    };
    refused(MINIMAL "loops: x\ngroup:\n  members:\n    - { name: a, type: hsm }\n"
                    "    - { name: b, type: pkcs11, pinfile: x }\n",
            lines, 3);
}

static void test_members(void **state)
{
    (void)state;
    char wanted[512];
#define MEMBER(rest) MINIMAL "group:\n  members:\n    - { name: a, type: " rest " }\n"
#define PKCS11       "pkcs11, module: module.so, token: t"
    snprintf(wanted, sizeof wanted,
             "6: group.members[0].pin_file: found mode 0644 on \"%s/open.pin\"; allowed: 0600 or "
             "0400 (others must not read a PIN)",
             folder);
    refused_one(MEMBER(PKCS11 ", pin_file: open.pin"), wanted);
    snprintf(wanted, sizeof wanted,
             "6: group.members[0].pin_file: found \"%s/none.pin\", which cannot be read: No such "
             "file or directory",
             folder);
    refused_one(MEMBER(PKCS11 ", pin_file: none.pin"), wanted);
    snprintf(wanted, sizeof wanted,
             "6: group.members[0].module: found \"%s/none.so\", which cannot be read: No such file "
             "or directory",
             folder);
    refused_one(MEMBER("pkcs11, module: none.so, token: t, pin_file: a.pin"), wanted);
    refused_one(MEMBER(PKCS11 ", pin_file: a.pin, role: so"),
                "6: group.members[0].role: found \"so\"; allowed: user (a gateway never needs the "
                "security officer)");
    refused_one(MEMBER(PKCS11 ", pin_file: a.pin, sessions: 0"),
                "6: group.members[0].sessions: found 0; allowed: 1 to 256");
    refused_one(MEMBER(PKCS11 ", pin_file: a.pin, loaded_keys: 0"),
                "6: group.members[0].loaded_keys: found 0; allowed: 1 to 65536");
    refused_one(MINIMAL "group:\n  min_copies: 3\n  members:\n    - { name: a, type: core, "
                        "opens_hsm_keys: true }\n",
                "5: group.min_copies: found 3; allowed: 1 to 1");
    refused_one(MEMBER("remote, url: \"https://x\""),
                "6: group.members[0]: required field \"token_file\" is missing");
    refused_one(MEMBER("remote, url: \"http://x\", token_file: a.pin"),
                "6: group.members[0].url: found \"http://x\"; allowed: https://HOST or "
                "https://HOST:PORT");
    refused_one(MEMBER("remote, url: \"https://x\", token_file: a.pin, module: m.so"),
                "6: group.members[0].module: has no meaning for a member of type remote");
    refused_one(
        MEMBER("core"),
        "6: group.members[0]: a core member in the group needs \"opens_hsm_keys: true\": it "
        "opens keys of HSM type in software (software keys need no member)");
    refused_one(MEMBER("core, opens_hsm_keys: true") "    - { name: a, type: core, "
                                                     "opens_hsm_keys: true }\n",
                "7: group.members[1].name: found \"a\" a second time (first on line 6)");
}

static void test_meaning(void **state)
{
    (void)state;
    refused_one(MINIMAL "store: { engine: postgresql, dsn: x }\n",
                "4: store.engine: found \"postgresql\", which is not available in this version; "
                "allowed: sqlite");
    refused_one(MINIMAL "auth:\n  jwt: { issuer: x }\n",
                "5: auth.jwt: not available in this version; allowed: tokens");
    refused_one("data: d\nlisteners:\n  - bind: localhost:8443\n",
                "3: listeners[0].bind: found \"localhost:8443\"; allowed: ADDRESS:PORT such as "
                "127.0.0.1:8443 or [::1]:8443, or unix:/PATH");
    refused_one("data: d\nlisteners:\n  - bind: 127.0.0.1:8443\n",
                "3: listeners[0]: a TCP listener needs tls: { certificate: FILE, private_key: FILE "
                "}");
    refused_one(
        MINIMAL "limits: { drain: 5 }\n",
        "4: limits.drain: found \"5\"; allowed: a number with ms, s, m or h, such as 250ms, "
        "1s, 2m");
    refused_one(MINIMAL "group: { recovery: { retries: -2 } }\n",
                "4: group.recovery.retries: found -2; allowed: -1 (for ever), 0 (off) or a count");
}

static void test_backup(void **state)
{
    (void)state;
    char wanted[512];
    struct gw_config *config = load(MINIMAL "backup: { folders: [/b], to: \"a b\" }\n");
    assert_non_null(config);
    snprintf(wanted, sizeof wanted, "file://%s/a%%20b", folder);
    assert_string_equal(config->backup.to, wanted);
    assert_int_equal(config->backup.folder_count, 2);
    snprintf(wanted, sizeof wanted, "%s/a b", folder);
    assert_string_equal(config->backup.folders[1], wanted);
    assert_int_equal(config->backup.every_s, 86400);
    assert_int_equal(config->backup.keep, 7);
    assert_int_equal(config->backup.keep_days, 30);
    gw_config_free(config);
    config = load(MINIMAL "backup: { to: \"https://a.b/c\", token_file: a.pin, every: 2h, keep: 1, "
                          "keep_days: 0, ca: x.pem }\n");
    assert_non_null(config);
    assert_string_equal(config->backup.to, "https://a.b/c");
    assert_int_equal(config->backup.folder_count, 0);
    assert_int_equal(config->backup.every_s, 7200);
    assert_int_equal(config->backup.keep, 1);
    struct gw_backup_config copy;
    assert_int_equal(gw_config_backup_copy(&copy, &config->backup), KW_OK);
    assert_true(gw_config_backup_equal(&copy, &config->backup));
    copy.keep = 2;
    assert_false(gw_config_backup_equal(&copy, &config->backup));
    gw_config_backup_fini(&copy);
    gw_config_free(config);
#define TO "backup: { to: /b, "
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        {"backup: { to: \"ftp://x\" }\n",
         "4: backup.to: found \"ftp://x\"; allowed: a folder, file:///PATH or "
         "https://HOST/CONTAINER"},
        {"backup: { to: \"https://x\" }\n",
         "4: backup.to: found \"https://x\"; allowed: a folder, file:///PATH or "
         "https://HOST/CONTAINER"},
        {"backup: { to: \"https://x/y?sig=z\" }\n",
         "4: backup.to: found \"https://x/y?sig=z\"; allowed: a folder, file:///PATH or "
         "https://HOST/CONTAINER"},
        {"backup: { every: 1h }\n", "4: backup.every: has no meaning without backup.to"},
        {TO "every: 4s }\n",
         "4: backup.every: found \"4s\"; allowed: a number with ms, s, m or h, such as 250ms, 1s, "
         "2m, from 5s to 720h"},
        {TO "keep: 0 }\n", "4: backup.keep: found 0; allowed: 1 to 1000"},
        {TO "keep_days: 3651 }\n", "4: backup.keep_days: found 3651; allowed: 0 to 3650"},
        {TO "every: 10s }\n",
         "4: backup.keep_days: found 30 with one backup every 10 s: 259207 backups; allowed: at "
         "most 3900"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[512];
        snprintf(text, sizeof text, MINIMAL "%s", rows[i].text);
        refused_one(text, rows[i].wanted);
    }
    snprintf(wanted, sizeof wanted,
             "4: backup.token_file: found mode 0644 on \"%s/open.pin\"; allowed: 0600 or 0400 "
             "(others must not read a token)",
             folder);
    refused_one(MINIMAL TO "token_file: open.pin }\n", wanted);
    snprintf(wanted, sizeof wanted,
             "4: backup.token_file: found \"%s/none\", which cannot be read: No such file or "
             "directory",
             folder);
    refused_one(MINIMAL TO "token_file: none }\n", wanted);
}

static void test_missing_file(void **state)
{
    (void)state;
    struct gw_config *config = NULL;
    assert_int_equal(gw_config_load(&config, "/nowhere/k.yaml", error, sizeof error), KW_E_IO);
    assert_string_equal(error, "/nowhere/k.yaml: cannot be read: No such file or directory");
}

static void test_place(void **state)
{
    (void)state;
    char path[128], wanted[160];
    struct gw_place place;
    put_file("k.yaml", "data: d\nnonsense: 1\nauth: { tokens: t.json }\n", 0644);
    snprintf(path, sizeof path, "%s/k.yaml", folder);
    assert_int_equal(gw_place_find(&place, path, NULL, error, sizeof error), KW_OK);
    snprintf(wanted, sizeof wanted, "%s/d/control.sock", folder);
    assert_string_equal(place.control, wanted);
    snprintf(wanted, sizeof wanted, "%s/t.json", folder);
    assert_string_equal(place.tokens, wanted);
    gw_place_clear(&place);
    assert_int_equal(gw_place_find(&place, NULL, "x", error, sizeof error), KW_OK);
    assert_string_equal(place.control, "x/control.sock");
    gw_place_clear(&place);
    put_file("k.yaml", "control: c\n", 0644);
    assert_int_equal(gw_place_find(&place, path, NULL, error, sizeof error), KW_E_INPUT);
    assert_null(place.control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minimal),         cmocka_unit_test(test_whole),
        cmocka_unit_test(test_names_and_types), cmocka_unit_test(test_one_token_twice),
        cmocka_unit_test(test_several_at_once), cmocka_unit_test(test_members),
        cmocka_unit_test(test_meaning),         cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_place),           cmocka_unit_test(test_backup),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
