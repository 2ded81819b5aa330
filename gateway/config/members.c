#include "gateway/config/members.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/config/files.h"
#include "gateway/config/values.h"

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

#define HOST_CHARS    NAME_CHARS
#define ADDRESS_CHARS "0123456789abcdefABCDEF:.%" NAME_CHARS
#define MEMORY_MIN    (64u << 20)
#define MEMORY_MAX    ((size_t)1 << 40)
#define FILES_MIN     64
#define PRIORITY_MAX  100

/* the file's words and the pool's mean the same */
_Static_assert((int)RAW_SANDBOX_DEFAULT == (int)POOL_SANDBOX_DEFAULT &&
                   (int)RAW_SANDBOX_STRICT == (int)POOL_SANDBOX_STRICT &&
                   (int)RAW_SANDBOX_OFF == (int)POOL_SANDBOX_OFF,
               "sandbox profiles");

struct member_check {
    struct gw_document *doc;
    size_t index;
};

static void problem(const struct member_check *check, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void problem(const struct member_check *check, const char *field, const char *format, ...)
{
    char path[96], text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(path, sizeof path, "group.members[%zu]%s%s", check->index, *field ? "." : "", field);
    gw_document_problem(check->doc, path, "%s", text);
}

static void check_module(const struct member_check *check, const char *module)
{
    struct stat st;
    if (stat(module, &st) != 0)
        problem(check, "module", "found \"%.256s\", which cannot be read: %s", module,
                strerror(errno));
    else if (!S_ISREG(st.st_mode) || access(module, R_OK) != 0)
        problem(check, "module", "found \"%.256s\"; allowed: a readable shared object", module);
}

static void check_secret_file(const struct member_check *check, const char *field, const char *file)
{
    struct stat st;
    if (stat(file, &st) != 0)
        problem(check, field, "found \"%.256s\", which cannot be read: %s", file, strerror(errno));
    else if (!S_ISREG(st.st_mode) || access(file, R_OK) != 0)
        problem(check, field, "found \"%.256s\"; allowed: a readable file", file);
    else if (st.st_mode & 077)
        problem(check, field,
                "found mode %04o on \"%.256s\"; allowed: 0600 or 0400 (others must not read a %s)",
                (unsigned)st.st_mode & 07777u, file,
                strcmp(field, "pin_file") == 0 ? "PIN" : "token");
}

static void refuse_fields(const struct member_check *check, const char *type,
                          const struct raw_member *raw, enum raw_member_type of)
{
    const struct {
        const char *name;
        bool present;
        enum raw_member_type of;
    } fields[] = {
        {"module", raw->module != NULL, RAW_MEMBER_PKCS11},
        {"token", raw->token != NULL, RAW_MEMBER_PKCS11},
        {"serial", raw->serial != NULL, RAW_MEMBER_PKCS11},
        {"pin_file", raw->pin_file != NULL, RAW_MEMBER_PKCS11},
        {"sessions", raw->sessions != NULL, RAW_MEMBER_PKCS11},
        {"hosts", raw->hosts != NULL, RAW_MEMBER_PKCS11},
        {"coalesce", raw->coalesce != RAW_COALESCE_AUTO, RAW_MEMBER_PKCS11},
        {"sandbox", raw->sandbox != NULL, RAW_MEMBER_PKCS11},
        {"rlimits", raw->rlimits != NULL, RAW_MEMBER_PKCS11},
        {"paths", raw->paths_count > 0, RAW_MEMBER_PKCS11},
        {"probe", raw->probe != NULL, RAW_MEMBER_PKCS11},
        {"loaded_keys", raw->loaded_keys != NULL, RAW_MEMBER_PKCS11},
        {"opens_hsm_keys", raw->opens_hsm_keys, RAW_MEMBER_CORE},
        {"url", raw->url != NULL, RAW_MEMBER_REMOTE},
        {"token_file", raw->token_file != NULL, RAW_MEMBER_REMOTE},
        {"ca", raw->ca != NULL, RAW_MEMBER_REMOTE},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].present && fields[i].of != of)
            problem(check, fields[i].name, "has no meaning for a member of type %s", type);
    }
}

static void count(const struct member_check *check, const char *field, const unsigned *value,
                  unsigned max, unsigned fallback, unsigned *out)
{
    *out = value ? *value : fallback;
    if (*out < 1 || *out > max)
        problem(check, field, "found %u; allowed: 1 to %u", *out, max);
}

static void read_limits(const struct member_check *check, const struct raw_rlimits *raw,
                        struct pool_member_config *out)
{
    size_t memory = 0;
    if (raw->memory &&
        (gw_parse_size_to(raw->memory, MEMORY_MAX, &memory) != KW_OK || memory < MEMORY_MIN))
        problem(check, "rlimits.memory",
                "found \"%.64s\"; allowed: " GW_SIZE_ALLOWED ", at least 64MiB", raw->memory);
    if (raw->files && (*raw->files < FILES_MIN || *raw->files > 1048576))
        problem(check, "rlimits.files", "found %u; allowed: %d to 1048576", *raw->files, FILES_MIN);
    out->memory_max = memory;
    out->files_max = raw->files ? *raw->files : 0;
}

/** What a strict sandbox lets through besides: put end to end, as the pool takes them. */
static kw_status read_paths(const struct member_check *check, const struct raw_member *raw,
                            struct pool_member_config *out)
{
    char field[32];
    struct stat st;
    char *all = malloc(POOL_PATHS_MAX);
    if (!all)
        return KW_E_NOMEM;
    out->paths = all;
    if (out->sandbox != POOL_SANDBOX_STRICT)
        problem(check, "paths", "has no meaning without sandbox: strict");
    for (unsigned i = 0; i < raw->paths_count; i++) {
        const char *path = raw->paths[i];
        size_t len = strlen(path) + 1;
        snprintf(field, sizeof field, "paths[%u]", i);
        if (path[0] != '/')
            problem(check, field, "found \"%.256s\"; allowed: a path from the root", path);
        else if (stat(path, &st) != 0)
            problem(check, field, "found \"%.256s\", which cannot be opened: %s", path,
                    strerror(errno));
        if (len > POOL_PATHS_MAX - out->paths_len) {
            problem(check, "paths", "allowed: %u bytes in all", POOL_PATHS_MAX);
            return KW_OK;
        }
        memcpy(all + out->paths_len, path, len);
        out->paths_len += len;
    }
    return KW_OK;
}

/* tcp://HOST:PORT, the host a name, an IPv4 address or an IPv6 address in brackets */
static kw_status read_probe(const struct member_check *check, const char *text,
                            struct pool_member_config *out)
{
    const char *host = strncmp(text, "tcp://", 6) == 0 ? text + 6 : "";
    const char *colon = strrchr(host, ':');
    size_t len = colon ? (size_t)(colon - host) : 0;
    char *end = NULL;
    unsigned long port =
        colon && colon[1] >= '0' && colon[1] <= '9' ? strtoul(colon + 1, &end, 10) : 0;
    bool brackets = len > 2 && host[0] == '[' && host[len - 1] == ']';
    host += brackets;
    len -= brackets ? 2 : 0;
    if (len == 0 || len > 255 || port == 0 || port > 65535 || *end != '\0' ||
        strspn(host, brackets ? ADDRESS_CHARS : HOST_CHARS) < len) {
        problem(check, "probe", "found \"%.128s\"; allowed: tcp://HOST:PORT", text);
        return KW_OK;
    }
    out->probe_host = strndup(host, len);
    out->probe_port = (unsigned)port;
    return out->probe_host ? KW_OK : KW_E_NOMEM;
}

static kw_status read_pkcs11(const struct member_check *check, const char *base,
                             const struct raw_member *raw, struct pool_member_config *out)
{
    out->kind = POOL_MEMBER_PKCS11;
    refuse_fields(check, "pkcs11", raw, RAW_MEMBER_PKCS11);
    if (raw->role == RAW_ROLE_SO)
        problem(check, "role",
                "found \"so\"; allowed: user (a gateway never needs the security "
                "officer)");
    if (!raw->module)
        problem(check, "", "required field \"module\" is missing (the PKCS#11 shared object)");
    if (!raw->pin_file)
        problem(check, "", "required field \"pin_file\" is missing");
    if (!raw->token && !raw->serial)
        problem(check, "", "one of \"token\" (label) and \"serial\" is needed");
    if (raw->token && strlen(raw->token) > 32)
        problem(check, "token", "found %zu characters; allowed: a token label of at most 32",
                strlen(raw->token));
    count(check, "sessions", raw->sessions, 256, 8, &out->sessions);
    count(check, "hosts", raw->hosts, 16, 1, &out->hosts);
    count(check, "loaded_keys", raw->loaded_keys, 65536, POOL_LOADED_KEYS, &out->loaded_keys);
    out->coalesce_off = raw->coalesce == RAW_COALESCE_OFF;
    out->sandbox = raw->sandbox ? (enum pool_sandbox) * raw->sandbox : POOL_SANDBOX_DEFAULT;
    if (raw->rlimits)
        read_limits(check, raw->rlimits, out);
    if (raw->paths_count > 0)
        KW_TRY(read_paths(check, raw, out));
    if (raw->probe)
        KW_TRY(read_probe(check, raw->probe, out));
    out->module = gw_config_path(base, raw->module);
    out->pin_file = gw_config_path(base, raw->pin_file);
    out->token_label = raw->token ? strdup(raw->token) : NULL;
    out->token_serial = raw->serial ? strdup(raw->serial) : NULL;
    if ((raw->module && !out->module) || (raw->pin_file && !out->pin_file) ||
        (raw->token && !out->token_label) || (raw->serial && !out->token_serial))
        return KW_E_NOMEM;
    if (out->module)
        check_module(check, out->module);
    if (out->pin_file)
        check_secret_file(check, "pin_file", out->pin_file);
    return KW_OK;
}

#define REMOTE_PARALLEL                                                                            \
    32 /* what one endpoint is taken to do at a time, for the choice by load                       \
        */

static kw_status read_remote(const struct member_check *check, const char *base,
                             const struct raw_member *raw, struct pool_member_config *out)
{
    struct stat st;
    out->kind = POOL_MEMBER_REMOTE;
    refuse_fields(check, "remote", raw, RAW_MEMBER_REMOTE);
    if (!raw->url)
        problem(check, "", "required field \"url\" is missing");
    else if (pool_remote_url_check(raw->url) != KW_OK)
        problem(check, "url", "found \"%.256s\"; allowed: https://HOST or https://HOST:PORT",
                raw->url);
    if (!raw->token_file)
        problem(check, "", "required field \"token_file\" is missing");
    out->sessions = REMOTE_PARALLEL;
    out->hosts = 1;
    out->url = raw->url ? strdup(raw->url) : NULL;
    out->token_file = gw_config_path(base, raw->token_file);
    out->ca = gw_config_path(base, raw->ca);
    if ((raw->url && !out->url) || (raw->token_file && !out->token_file) || (raw->ca && !out->ca))
        return KW_E_NOMEM;
    if (out->token_file)
        check_secret_file(check, "token_file", out->token_file);
    if (out->ca && stat(out->ca, &st) != 0)
        problem(check, "ca", "found \"%.256s\", which cannot be read: %s", out->ca,
                strerror(errno));
    else if (out->ca && (!S_ISREG(st.st_mode) || access(out->ca, R_OK) != 0))
        problem(check, "ca", "found \"%.256s\"; allowed: a readable file of PEM certificates",
                out->ca);
    return KW_OK;
}

static void read_core(const struct member_check *check, const struct raw_member *raw,
                      struct pool_member_config *out)
{
    out->kind = POOL_MEMBER_CORE;
    out->opens_hsm_keys = raw->opens_hsm_keys;
    refuse_fields(check, "core", raw, RAW_MEMBER_CORE);
    if (!raw->opens_hsm_keys)
        problem(check, "",
                "a core member in the group needs \"opens_hsm_keys: true\": it opens "
                "keys of HSM type in software (software keys need no member)");
}

static void check_name(const struct member_check *check, const struct raw_group *raw)
{
    const char *name = raw->members[check->index].name;
    size_t len = strlen(name);
    if (len > POOL_NAME_MAX || strspn(name, NAME_CHARS) != len)
        problem(check, "name", "found \"%.80s\"; allowed: 1 to %d letters, digits, '.', '_', '-'",
                name, POOL_NAME_MAX);
    for (size_t i = 0; i < check->index; i++) {
        if (strcmp(raw->members[i].name, name) == 0) {
            char path[64];
            snprintf(path, sizeof path, "group.members[%zu]", i);
            problem(check, "name", "found \"%.64s\" a second time (first on line %u)", name,
                    gw_document_line(check->doc, path));
            return;
        }
    }
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return same(a, b) || (a && b && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino &&
                          x.st_dev == y.st_dev);
}

/* One device under two names looks like a second copy of every key, and is none. What only the
 * tokens themselves can tell (a label here, a serial number there) is found when they are seen. */
static void check_twice(const struct member_check *check, const struct pool_member_config *members)
{
    const struct pool_member_config *own = &members[check->index];
    for (size_t i = 0; i < check->index; i++) {
        const struct pool_member_config *other = &members[i];
        bool serials = own->token_serial && other->token_serial;
        if (own->kind == POOL_MEMBER_PKCS11 && other->kind == POOL_MEMBER_PKCS11 &&
            same_file(own->module, other->module) &&
            (serials ? same(own->token_serial, other->token_serial)
                     : same(own->token_label, other->token_label)))
            problem(check, serials ? "serial" : "token",
                    "found \"%.64s\" of the same module a second time (first in member %s); "
                    "allowed: a token in one member%s",
                    serials ? own->token_serial : own->token_label, other->name,
                    serials ? "" : ", or \"serial\" in both where two tokens have one label");
        else if (own->kind == POOL_MEMBER_REMOTE && same(own->url, other->url))
            problem(check, "url", "found \"%.256s\" a second time (first in member %s)", own->url,
                    other->name);
        else
            continue;
        return;
    }
}

kw_status gw_config_members(struct gw_document *doc, const char *base, const struct raw_group *raw,
                            struct gw_config *config)
{
    if (raw->members_count == 0)
        return KW_OK;
    if (raw->members_count > POOL_MAX_MEMBERS) {
        gw_document_problem(doc, "group.members", "found %u members; allowed: at most %d",
                            raw->members_count, POOL_MAX_MEMBERS);
        return KW_OK;
    }
    config->members = calloc(raw->members_count, sizeof *config->members);
    if (!config->members)
        return KW_E_NOMEM;
    config->member_count = raw->members_count;
    for (size_t i = 0; i < raw->members_count; i++) {
        const struct raw_member *from = &raw->members[i];
        struct pool_member_config *to = &config->members[i];
        struct member_check check = {doc, i};
        check_name(&check, raw);
        snprintf(to->name, sizeof to->name, "%s", from->name);
        count(&check, "priority", from->priority, PRIORITY_MAX, 1, &to->priority);
        to->role = from->standby ? POOL_ROLE_STANDBY : POOL_ROLE_ACTIVE;
        if (from->type == RAW_MEMBER_REMOTE)
            KW_TRY(read_remote(&check, base, from, to));
        else if (from->type == RAW_MEMBER_CORE)
            read_core(&check, from, to);
        else
            KW_TRY(read_pkcs11(&check, base, from, to));
        check_twice(&check, config->members);
    }
    return KW_OK;
}
