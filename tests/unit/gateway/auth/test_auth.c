#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/auth/access.h"
#include "gateway/auth/auth.h"
#include "gateway/auth/tokens_file.h"
#include "gateway/base/arena.h"

static char folder[64], file[96];
static char error[512];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/keyward-auth-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(file, sizeof file, "%s/tokens.json", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char lock[128];
    snprintf(lock, sizeof lock, "%s.lock", file);
    unlink(file);
    unlink(lock);
    return rmdir(folder);
}

static void write_file(const char *text)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

/* One request on a connection with this Authorization header (NULL: none). */
static kw_status ask(struct gw_auth *auth, struct gw_peer *peer, const char *header, char *subject)
{
    struct gw_request req = {.peer = peer, .arena = gw_arena_create()};
    /* in memory of its own, so that a read behind it is seen */
    char *copy = header ? strdup(header) : NULL;
    if (copy)
        req.authorization = kw_span_of(copy, strlen(copy));
    kw_status status = gw_auth_identify(auth, &req);
    assert_int_equal(status == KW_OK, req.identity != NULL);
    enum vault_access access = gw_access(req.identity, NULL, vault_action_find("keys/sign/action"),
                                         (struct role_scope){.level = ROLE_AT_ROOT});
    assert_int_equal(access, status == KW_OK ? VAULT_ACCESS_YES : VAULT_ACCESS_NO);
    if (status == KW_OK && subject)
        strcpy(subject, req.identity->subject);
    gw_arena_destroy(req.arena);
    free(copy);
    return status;
}

static kw_status ask_token(struct gw_auth *auth, struct gw_peer *peer, const char *token)
{
    char header[256];
    snprintf(header, sizeof header, "Bearer %s", token);
    return ask(auth, peer, header, NULL);
}

static void forget(struct gw_peer *peer)
{
    if (peer->token_cache)
        peer->token_cache_free(peer->token_cache);
    memset(peer, 0, sizeof *peer);
}

static void made_and_used(void **state)
{
    (void)state;
    char token[64], second[64], subject[64];
    assert_int_equal(gw_tokens_create(file, "ci", NULL, token, sizeof token, error, sizeof error),
                     KW_OK);
    assert_int_equal(
        gw_tokens_create(file, "ops@x", NULL, second, sizeof second, error, sizeof error), KW_OK);
    assert_int_equal(strlen(token), 43);
    assert_string_not_equal(token, second);
    struct stat info;
    assert_int_equal(stat(file, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    struct gw_auth *auth;
    assert_int_equal(gw_auth_create(&auth, file, error, sizeof error), KW_OK);
    struct gw_peer peer = {0};
    char header[128];
    snprintf(header, sizeof header, "Bearer %s", second);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(auth, &peer, header, subject), KW_OK);
        assert_string_equal(subject, "ops@x");
    }
    /* another token on the same connection takes over */
    assert_int_equal(ask_token(auth, &peer, token), KW_OK);
    assert_int_equal(ask_token(auth, &peer, second), KW_OK);
    forget(&peer);
    gw_auth_destroy(auth);
}

static void refused_headers(void **state)
{
    (void)state;
    char token[64], header[256];
    assert_int_equal(gw_tokens_create(file, "t", NULL, token, sizeof token, error, sizeof error),
                     KW_OK);
    struct gw_auth *auth;
    assert_int_equal(gw_auth_create(&auth, file, error, sizeof error), KW_OK);
    struct gw_peer peer = {0};
    static const char *const forms[] = {"%s",         "Basic %s",     "Bearer%s",   "Bearer x%s",
                                        "Bearer %sx", "Bearer",       "Bearer ",    "Bearer  ",
                                        "bearer",     "Bearer %s %s", "Bearer %s,", "Bearer \"%s\"",
                                        "%s Bearer",  " Bearer %s",   "Bearer\t%s"};
    for (int cached = 0; cached < 2; cached++) {
        for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
            const char *at = strstr(forms[i], "%s");
            int before = at ? (int)(at - forms[i]) : (int)strlen(forms[i]);
            snprintf(header, sizeof header, "%.*s%s%s", before, forms[i], at ? token : "",
                     at ? at + 2 : "");
            if (ask(auth, &peer, header, NULL) != KW_E_FORBIDDEN)
                fail_msg("%s", forms[i]);
        }
        assert_int_equal(ask(auth, &peer, NULL, NULL), KW_E_FORBIDDEN);
        /* every single changed character */
        for (size_t i = 0; i < strlen(token); i++) {
            char other[64];
            strcpy(other, token);
            other[i] = other[i] == 'A' ? 'B' : 'A';
            assert_int_equal(ask_token(auth, &peer, other), KW_E_FORBIDDEN);
        }
        assert_int_equal(ask_token(auth, &peer, token), KW_OK);
    }
    snprintf(header, sizeof header, "bEARER   %s ", token);
    assert_int_equal(ask(auth, &peer, header, NULL), KW_OK);
    forget(&peer);
    gw_auth_destroy(auth);
}

static void revoked_on_an_open_connection(void **state)
{
    (void)state;
    char token[64], other[64];
    assert_int_equal(gw_tokens_create(file, "a", NULL, token, sizeof token, error, sizeof error),
                     KW_OK);
    assert_int_equal(gw_tokens_create(file, "b", NULL, other, sizeof other, error, sizeof error),
                     KW_OK);
    struct gw_auth *auth;
    assert_int_equal(gw_auth_create(&auth, file, error, sizeof error), KW_OK);
    struct gw_peer peer = {0};
    assert_int_equal(ask_token(auth, &peer, token), KW_OK);
    assert_int_equal(gw_tokens_revoke(file, "a", error, sizeof error), KW_OK);
    assert_int_equal(ask_token(auth, &peer, token), KW_OK); /* not reloaded yet */
    assert_int_equal(gw_auth_reload(auth, error, sizeof error), KW_OK);
    assert_int_equal(ask_token(auth, &peer, token), KW_E_FORBIDDEN);
    assert_int_equal(ask_token(auth, &peer, other), KW_OK);
    /* a broken file changes nothing */
    write_file("{\"tokens\":[{\"id\":\"b\"}]}");
    assert_int_equal(gw_auth_reload(auth, error, sizeof error), KW_E_INPUT);
    assert_non_null(strstr(error, "tokens[0]"));
    assert_int_equal(ask_token(auth, &peer, other), KW_OK);
    unlink(file);
    assert_int_equal(gw_auth_reload(auth, error, sizeof error), KW_E_IO);
    assert_int_equal(ask_token(auth, &peer, other), KW_OK);
    forget(&peer);
    gw_auth_destroy(auth);
}

static void in_memory(void **state)
{
    (void)state;
    struct gw_auth *auth;
    assert_int_equal(gw_auth_create(&auth, NULL, error, sizeof error), KW_OK);
    struct gw_peer peer = {0};
    const char *token = "0123456789abcdef0123456789abcdef";
    assert_int_equal(ask_token(auth, &peer, token), KW_E_FORBIDDEN);
    assert_int_equal(gw_auth_add(auth, "dev", kw_span_str(token)), KW_OK);
    assert_int_equal(gw_auth_add(auth, "dev", kw_span_str(token)), KW_E_CONFLICT);
    assert_int_equal(gw_auth_add(auth, "short", kw_span_str("0123456789")), KW_E_INPUT);
    assert_int_equal(ask_token(auth, &peer, token), KW_OK);
    assert_int_equal(gw_auth_reload(auth, error, sizeof error), KW_OK);
    assert_int_equal(ask_token(auth, &peer, token), KW_OK);
    forget(&peer);
    gw_auth_destroy(auth);
}

static void unix_peers(void **state)
{
    (void)state;
    char subject[64], expected[64];
    struct gw_auth *auth;
    assert_int_equal(gw_auth_create(&auth, NULL, error, sizeof error), KW_OK);
    struct gw_peer own = {.local = true, .uid = geteuid()};
    assert_int_equal(ask(auth, &own, NULL, subject), KW_OK);
    snprintf(expected, sizeof expected, "uid:%u", (unsigned)geteuid());
    assert_string_equal(subject, expected);
    struct gw_peer root = {.local = true, .uid = 0};
    assert_int_equal(ask(auth, &root, NULL, subject), KW_OK);
    assert_string_equal(subject, "uid:0");
    struct gw_peer other = {.local = true, .uid = geteuid() + 4711};
    assert_int_equal(ask(auth, &other, NULL, NULL), KW_E_FORBIDDEN);
    struct gw_peer nobody = {.local = true, .uid = 65534};
    assert_int_equal(ask(auth, &nobody, NULL, NULL), KW_E_FORBIDDEN);
    struct gw_peer remote = {.local = false, .uid = 0};
    assert_int_equal(ask(auth, &remote, NULL, NULL), KW_E_FORBIDDEN);
    /* a wrong token is not made good by the uid */
    assert_int_equal(ask(auth, &root, "Bearer wrong", NULL), KW_E_FORBIDDEN);
    gw_auth_destroy(auth);
}

static void broken_files(void **state)
{
    (void)state;
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", ":"},
        {"{", ":1"},
        {"[]", "tokens"},
        {"{}", "tokens"},
        {"{\"tokens\":{}}", "tokens"},
        {"{\"tokens\":[5]}", "tokens[0]"},
        {"{\"tokens\":[{\"id\":\"a\"}]}", "tokens[0]"},
        {"{\"tokens\":[{\"sha256\":\"" HASH "\"}]}", "tokens[0]"},
        {"{\"tokens\":[{\"id\":\"a\",\"sha256\":\"12\"}]}", "sha256"},
        {"{\"tokens\":[{\"id\":\"a\",\"sha256\":\"" HASH "0\"}]}", "sha256"},
        {"{\"tokens\":[{\"id\":\"a b\",\"sha256\":\"" HASH "\"}]}", "id"},
        {"{\"tokens\":[{\"id\":\"\",\"sha256\":\"" HASH "\"}]}", "id"},
        {"{\"tokens\":[{\"id\":\"a\",\"sha256\":\"" HASH "\",\"created\":\"x\"}]}", "created"},
        {"{\"tokens\":[{\"id\":\"a\",\"sha256\":\"" HASH "\"},{\"id\":\"a\",\"sha256\":\"" HASH
         "\"}]}",
         "twice"},
        {"{\"tokens\":[],\n\"tokens\":[]}", ":2"},
        {"{\"tokens\":[{\"id\":\"a\",\"sha256\":\"" HASH "\",\"access\":\"some\"}]}", "access"},
        {"{\"tokens\":[{\"id\":\"a\",\"sha256\":\"" HASH "\",\"access\":null}]}", "access"},
        {"{\"tokens\":[{\"id\":\"a\",\"sha256\":\"" HASH "\",\"principal\":\"x\"}]}", "principal"},
        {"{\"tokens\":[{\"id\":\"a\",\"sha256\":\"" HASH "\",\"principal\":1}]}", "principal"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gw_auth *auth = NULL;
        write_file(cases[i].text);
        if (gw_auth_create(&auth, file, error, sizeof error) == KW_OK)
            fail_msg("%s", cases[i].text);
        if (!strstr(error, file) || !strstr(error, cases[i].says))
            fail_msg("%s: %s", cases[i].text, error);
    }
    unlink(file);
    struct gw_auth *auth = NULL;
    assert_int_equal(gw_auth_create(&auth, file, error, sizeof error), KW_E_IO);
    assert_non_null(strstr(error, "No such file"));
}

static void count_row(void *ctx, const struct gw_token *token)
{
    char *text = ctx;
    assert_true(token->created > 1700000000);
    assert_true(token->full);
    strcat(text, token->id);
    strcat(text, " ");
}

static void edits(void **state)
{
    (void)state;
    char token[64], rows[128] = "";
    static const char *const ids[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            gw_tokens_create(file, ids[i], NULL, token, sizeof token, error, sizeof error), KW_OK);
    assert_int_equal(gw_tokens_create(file, "two", NULL, token, sizeof token, error, sizeof error),
                     KW_E_CONFLICT);
    assert_int_equal(token[0], 0);
    assert_int_equal(gw_tokens_create(file, "a b", NULL, token, sizeof token, error, sizeof error),
                     KW_E_INPUT);
    assert_int_equal(gw_tokens_create(file, "room", NULL, token, 43, error, sizeof error),
                     KW_E_INPUT);
    assert_int_equal(gw_tokens_revoke(file, "four", error, sizeof error), KW_E_NOT_FOUND);
    assert_int_equal(gw_tokens_revoke(file, "two", error, sizeof error), KW_OK);
    assert_int_equal(gw_tokens_list(file, count_row, rows, error, sizeof error), KW_OK);
    assert_string_equal(rows, "one three ");
    assert_int_equal(gw_tokens_create("/nowhere/at/all.json", "x", NULL, token, sizeof token, error,
                                      sizeof error),
                     KW_E_IO);
    assert_non_null(strstr(error, "/nowhere/at/all.json"));
}

/* A token of before there were principals: everything, and always the same principal. */
static void principals(void **state)
{
    (void)state;
    char token[64], header[96];
    struct gw_token_terms terms = {.assigned = true}, again = {.assigned = true};
    struct gw_auth *auth = NULL;
    struct gw_token_set set = {0};
    assert_int_equal(
        gw_tokens_create(file, "app", &terms, token, sizeof token, error, sizeof error), KW_OK);
    snprintf(header, sizeof header, "Bearer %s", token);
    assert_int_equal(terms.principal[6] >> 4, 4);
    again.has_principal = true;
    memcpy(again.principal, terms.principal, sizeof again.principal);
    assert_int_equal(
        gw_tokens_create(file, "app2", &again, token, sizeof token, error, sizeof error), KW_OK);
    assert_int_equal(gw_tokens_load(&set, file, error, sizeof error), KW_OK);
    assert_int_equal(set.count, 2);
    for (size_t i = 0; i < set.count; i++) {
        assert_false(set.tokens[i].full);
        assert_memory_equal(set.tokens[i].principal, terms.principal, GW_GUID_LEN);
    }
    gw_token_set_free(&set);
    /* what the request is given, the first time and from the connection's memory */
    assert_int_equal(gw_auth_create(&auth, file, error, sizeof error), KW_OK);
    struct gw_peer peer = {.face = GW_FACE_API};
    for (int i = 0; i < 2; i++) {
        struct gw_request req = {.peer = &peer, .arena = gw_arena_create()};
        req.authorization = kw_span_str(header);
        assert_int_equal(gw_auth_identify(auth, &req), KW_OK);
        assert_false(req.identity->full);
        assert_memory_equal(req.identity->principal, terms.principal, GW_GUID_LEN);
        /* no roles, no rights */
        assert_int_equal(gw_access(req.identity, NULL, vault_action_find("keys/read/action"),
                                   (struct role_scope){.level = ROLE_AT_KEYS}),
                         VAULT_ACCESS_NO);
        gw_arena_destroy(req.arena);
    }
    forget(&peer);
    gw_auth_destroy(auth);
    uint8_t before[GW_GUID_LEN] = {0};
    for (int i = 0; i < 3; i++) {
        write_file(i == 1 ? "{\"tokens\":[{\"id\":\"b\",\"sha256\":\"" HASH "\"}]}"
                          : "{\"tokens\":[{\"id\":\"a\",\"sha256\":\"" HASH "\"}]}");
        assert_int_equal(gw_tokens_load(&set, file, error, sizeof error), KW_OK);
        assert_true(set.tokens[0].full);
        if (i == 0)
            memcpy(before, set.tokens[0].principal, sizeof before);
        assert_int_equal(memcmp(before, set.tokens[0].principal, GW_GUID_LEN) == 0, i != 1);
        gw_token_set_free(&set);
    }
}

/* An edit puts another file in the place of the old one: whose it is must not change, or the
 * gateway cannot read what root has added. */
static void owner_and_mode_stay(void **state)
{
    (void)state;
    char token[64];
    struct stat now;
    bool root = geteuid() == 0;
    assert_int_equal(gw_tokens_create(file, "one", NULL, token, sizeof token, error, sizeof error),
                     KW_OK);
    assert_int_equal(stat(file, &now), 0);
    assert_int_equal(now.st_mode & 07777, 0600);
    assert_int_equal(chmod(file, 0640), 0);
    assert_int_equal(chown(file, root ? 12345 : geteuid(), root ? 54321 : getegid()), 0);
    assert_int_equal(gw_tokens_create(file, "two", NULL, token, sizeof token, error, sizeof error),
                     KW_OK);
    assert_int_equal(gw_tokens_revoke(file, "one", error, sizeof error), KW_OK);
    assert_int_equal(stat(file, &now), 0);
    assert_int_equal(now.st_mode & 07777, 0640);
    assert_int_equal(now.st_uid, root ? 12345 : geteuid());
    assert_int_equal(now.st_gid, root ? 54321 : getegid());
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(made_and_used), TEST(refused_headers),     TEST(revoked_on_an_open_connection),
        TEST(in_memory),     TEST(unix_peers),          TEST(broken_files),
        TEST(edits),         TEST(owner_and_mode_stay), TEST(principals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
