#include "gateway/auth/tokens_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "crypto/base/hex.h"
#include "crypto/base/secret.h"
#include "gateway/api/json/base64url.h"
#include "gateway/auth/auth.h"
#include "gateway/auth/principal.h"

#define TOKENS_MAX 10000

kw_status gw_token_hash(struct kw_span token, uint8_t out[GW_TOKEN_HASH])
{
    unsigned len = 0;
    if (EVP_Digest(token.data, token.len, out, &len, EVP_sha256(), NULL) != 1 ||
        len != GW_TOKEN_HASH)
        return KW_E_INTERNAL;
    return KW_OK;
}

void gw_token_set_free(struct gw_token_set *set)
{
    free(set->tokens);
    *set = (struct gw_token_set){0};
}

static bool id_ok(const char *id)
{
    size_t len = strlen(id);
    if (len < 1 || len > GW_TOKEN_ID_MAX)
        return false;
    return strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@") == len;
}

kw_status gw_token_set_add(struct gw_token_set *set, const struct gw_token *token)
{
    if (!id_ok(token->id))
        return KW_E_INPUT;
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->tokens[i].id, token->id) == 0)
            return KW_E_CONFLICT;
    }
    if (set->count == TOKENS_MAX)
        return KW_E_TOO_LARGE;
    struct gw_token *tokens = realloc(set->tokens, (set->count + 1) * sizeof *tokens);
    if (!tokens)
        return KW_E_NOMEM;
    set->tokens = tokens;
    tokens[set->count++] = *token;
    return KW_OK;
}

static bool copy_id(struct gw_token *token, const char *id)
{
    size_t len = strlen(id);
    if (len < sizeof token->id)
        memcpy(token->id, id, len + 1);
    return len < sizeof token->id;
}

static bool parse_hash(const char *text, uint8_t out[GW_TOKEN_HASH])
{
    return text && strlen(text) == (size_t)2 * GW_TOKEN_HASH &&
           kw_hex_read(out, GW_TOKEN_HASH, text);
}

/* What is not understood must not give rights: another word than "full" is no "full". */
static bool read_rights(struct gw_token *token, const json_t *item, const char *id)
{
    const json_t *access = json_object_get(item, "access");
    const json_t *principal = json_object_get(item, "principal");
    const char *word = access ? json_string_value(access) : "full";
    const char *guid = json_string_value(principal);
    token->full = word && strcmp(word, "full") == 0;
    if (!word || (!token->full && strcmp(word, "assigned") != 0))
        return false;
    if (!principal)
        /* a name that is too long is refused as a name */
        return gw_principal_of_token(token->principal, id) == KW_OK || strlen(id) > GW_TOKEN_ID_MAX;
    return guid && gw_guid_read(token->principal, kw_span_str(guid));
}

static kw_status read_entry(struct gw_token_set *set, const json_t *item, size_t index,
                            const char *file, char *error, size_t error_len)
{
    const char *id = json_string_value(json_object_get(item, "id"));
    const char *sha256 = json_string_value(json_object_get(item, "sha256"));
    const json_t *created = json_object_get(item, "created");
    struct gw_token token = {.created = json_integer_value(created)};
    if (!id || !parse_hash(sha256, token.hash) || (created && !json_is_integer(created))) {
        snprintf(error, error_len,
                 "%s: tokens[%zu] needs \"id\" (text), \"sha256\" (64 hexadecimal digits) and, if "
                 "given, \"created\" (seconds)",
                 file, index);
        return KW_E_INPUT;
    }
    if (!read_rights(&token, item, id)) {
        snprintf(error, error_len,
                 "%s: tokens[%zu]: \"access\" is \"full\" or \"assigned\", \"principal\" a GUID",
                 file, index);
        return KW_E_INPUT;
    }
    kw_status status = copy_id(&token, id) ? gw_token_set_add(set, &token) : KW_E_INPUT;
    if (status == KW_E_CONFLICT)
        snprintf(error, error_len, "%s: tokens[%zu]: the id \"%s\" is there twice", file, index,
                 id);
    else if (status == KW_E_INPUT)
        snprintf(error, error_len,
                 "%s: tokens[%zu]: an id has 1 to %d letters, digits, '-', '_', '.', '@'", file,
                 index, GW_TOKEN_ID_MAX);
    else if (status != KW_OK)
        snprintf(error, error_len, "%s: tokens[%zu]: %s", file, index, kw_status_name(status));
    return status;
}

kw_status gw_tokens_load(struct gw_token_set *out, const char *file, char *error, size_t error_len)
{
    *out = (struct gw_token_set){0};
    json_error_t where;
    json_t *root = json_load_file(file, JSON_REJECT_DUPLICATES, &where);
    if (!root) {
        if (json_error_code(&where) == json_error_cannot_open_file)
            snprintf(error, error_len, "%s: %s", file, strerror(errno));
        else
            snprintf(error, error_len, "%s:%d: %s", file, where.line, where.text);
        return json_error_code(&where) == json_error_cannot_open_file ? KW_E_IO : KW_E_INPUT;
    }
    const json_t *tokens = json_object_get(root, "tokens");
    kw_status status = KW_OK;
    if (!json_is_array(tokens)) {
        snprintf(error, error_len, "%s:1: an object with an array \"tokens\" is expected", file);
        status = KW_E_INPUT;
    }
    for (size_t i = 0; status == KW_OK && i < json_array_size(tokens); i++)
        status = read_entry(out, json_array_get(tokens, i), i, file, error, error_len);
    json_decref(root);
    if (status != KW_OK)
        gw_token_set_free(out);
    return status;
}

static json_t *set_to_json(const struct gw_token_set *set)
{
    json_t *list = json_array();
    for (size_t i = 0; i < set->count; i++) {
        const struct gw_token *token = &set->tokens[i];
        char text[2 * GW_TOKEN_HASH + 1], principal[GW_GUID_TEXT + 1];
        kw_hex_write(text, token->hash, GW_TOKEN_HASH);
        gw_guid_write(principal, token->principal);
        json_t *item = json_pack("{s:s,s:s,s:I,s:s,s:s}", "id", token->id, "sha256", text,
                                 "created", (json_int_t)token->created, "principal", principal,
                                 "access", token->full ? "full" : "assigned");
        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return json_pack("{s:o}", "tokens", list);
}

/* Directory of `file`, synced so that the rename itself is durable. */
static void sync_folder(const char *file)
{
    const char *slash = strrchr(file, '/');
    char *folder = slash ? strndup(file, (size_t)(slash - file) + 1) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

/* The gateway's user goes on reading what root has edited. */
static bool keep_owner(int fd, const char *file)
{
    struct stat old, made;
    if (stat(file, &old) != 0)
        return errno == ENOENT;
    if (fstat(fd, &made) != 0)
        return false;
    if ((old.st_uid != made.st_uid || old.st_gid != made.st_gid) &&
        fchown(fd, old.st_uid, old.st_gid) != 0)
        return false;
    return fchmod(fd, old.st_mode & 0664) == 0;
}

/* Written beside, synced, renamed over: a reader sees the old file or the new one. */
static kw_status save(const struct gw_token_set *set, const char *file, char *error,
                      size_t error_len)
{
    char *temp = NULL;
    if (asprintf(&temp, "%s.XXXXXX", file) < 0)
        return KW_E_NOMEM;
    json_t *root = set_to_json(set);
    int fd = root ? mkostemp(temp, O_CLOEXEC) : -1; /* mode 0600 */
    bool ok = fd >= 0 && keep_owner(fd, file) && json_dumpfd(root, fd, JSON_INDENT(1)) == 0 &&
              write(fd, "\n", 1) == 1 && fsync(fd) == 0;
    if (fd >= 0 && close(fd) != 0)
        ok = false;
    ok = ok && rename(temp, file) == 0;
    if (ok)
        sync_folder(file);
    else
        snprintf(error, error_len, "%s: cannot be written: %s", file, strerror(errno));
    if (!ok && fd >= 0)
        unlink(temp);
    json_decref(root);
    free(temp);
    return ok ? KW_OK : KW_E_IO;
}

/* One editor at a time: the lock is on a file beside, because the file itself is replaced. */
static int lock_file(const char *file)
{
    char *name = NULL;
    if (asprintf(&name, "%s.lock", file) < 0)
        return -1;
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(name);
    if (fd >= 0 && flock(fd, LOCK_EX) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static kw_status load_or_empty(struct gw_token_set *set, const char *file, char *error,
                               size_t error_len)
{
    if (access(file, F_OK) != 0 && errno == ENOENT) {
        *set = (struct gw_token_set){0};
        return KW_OK;
    }
    return gw_tokens_load(set, file, error, error_len);
}

static kw_status add_new(struct gw_token_set *set, const char *id, struct gw_token_terms *terms,
                         char *token_out, char *error, size_t error_len)
{
    uint8_t secret[32];
    struct gw_token token = {.created = kw_wall_s(), .full = !terms || !terms->assigned};
    if (terms && terms->has_principal)
        memcpy(token.principal, terms->principal, GW_GUID_LEN);
    else
        KW_TRY(gw_principal_new(token.principal));
    if (terms)
        memcpy(terms->principal, token.principal, GW_GUID_LEN);
    KW_TRY(kw_random(secret, sizeof secret));
    size_t len = gw_b64_encode(token_out, secret, sizeof secret);
    token_out[len] = '\0';
    kw_wipe(secret, sizeof secret);
    KW_TRY(gw_token_hash(kw_span_of(token_out, len), token.hash));
    kw_status status = copy_id(&token, id) ? gw_token_set_add(set, &token) : KW_E_INPUT;
    if (status == KW_E_CONFLICT)
        snprintf(error, error_len, "a token with the id \"%s\" is there already", id);
    else if (status == KW_E_INPUT)
        snprintf(error, error_len, "an id has 1 to %d letters, digits, '-', '_', '.', '@'",
                 GW_TOKEN_ID_MAX);
    else if (status != KW_OK)
        snprintf(error, error_len, "the token cannot be added: %s", kw_status_name(status));
    return status;
}

kw_status gw_tokens_create(const char *file, const char *id, struct gw_token_terms *terms,
                           char *token_out, size_t token_len, char *error, size_t error_len)
{
    struct gw_token_set set = {0};
    snprintf(error, error_len, "the token cannot be made");
    if (token_len < gw_b64_encoded_len(32) + 1)
        return KW_E_INPUT;
    int lock = lock_file(file);
    if (lock < 0) {
        snprintf(error, error_len, "%s.lock: %s", file, strerror(errno));
        return KW_E_IO;
    }
    kw_status status = load_or_empty(&set, file, error, error_len);
    if (status == KW_OK)
        status = add_new(&set, id, terms, token_out, error, error_len);
    if (status == KW_OK)
        status = save(&set, file, error, error_len);
    if (status != KW_OK)
        kw_wipe(token_out, token_len);
    gw_token_set_free(&set);
    close(lock);
    return status;
}

kw_status gw_tokens_revoke(const char *file, const char *id, char *error, size_t error_len)
{
    struct gw_token_set set = {0};
    int lock = lock_file(file);
    if (lock < 0) {
        snprintf(error, error_len, "%s.lock: %s", file, strerror(errno));
        return KW_E_IO;
    }
    kw_status status = gw_tokens_load(&set, file, error, error_len);
    if (status == KW_OK) {
        size_t kept = 0;
        for (size_t i = 0; i < set.count; i++) {
            if (strcmp(set.tokens[i].id, id) != 0)
                set.tokens[kept++] = set.tokens[i];
        }
        if (kept == set.count) {
            snprintf(error, error_len, "%s: no token has the id \"%s\"", file, id);
            status = KW_E_NOT_FOUND;
        } else {
            set.count = kept;
            status = save(&set, file, error, error_len);
        }
    }
    gw_token_set_free(&set);
    close(lock);
    return status;
}

kw_status gw_tokens_list(const char *file, void (*row)(void *ctx, const struct gw_token *token),
                         void *ctx, char *error, size_t error_len)
{
    struct gw_token_set set;
    KW_TRY(gw_tokens_load(&set, file, error, error_len));
    for (size_t i = 0; i < set.count; i++)
        row(ctx, &set.tokens[i]);
    gw_token_set_free(&set);
    return KW_OK;
}
