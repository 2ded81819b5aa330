#pragma once
/* The configuration, parsed and checked. The file format is the contract of DESIGN section 8. */

#include "pool/pool.h"

struct gw_listener_config {
    char *bind;                      /* "127.0.0.1:8443", "[::1]:8443" or "unix:/path" */
    char *certificate, *private_key; /* PEM files; NULL: cleartext (Unix sockets only) */
    char *client_ca;
};

#define GW_VAULT_NAME_MIN     3
#define GW_VAULT_NAME_MAX     24
#define GW_VAULT_NAME_ALLOWED "3 to 24 letters, digits and '-', beginning with a letter"
#define GW_RETENTION_MIN      7 /* days that a deleted object is kept */
#define GW_RETENTION_MAX      90

/** Is it the name of a vault (GW_VAULT_NAME_ALLOWED)? */
bool gw_vault_name_ok(struct kw_span name);

struct gw_config;
/** Gives each member of `config` the scopes of the vaults of `vaults_of` that list it. */
void gw_config_scopes(struct gw_config *config, const struct gw_config *vaults_of);
struct gw_vault_config;
/** The vault of that name, without case; NULL: the file does not list it. */
const struct gw_vault_config *gw_config_vault(const struct gw_config *config, const char *name);
/** Has the vault `fresh` other members than it has in `running` (none where that has no such
 * vault)? */
bool gw_config_vault_members_changed(const struct gw_config *running,
                                     const struct gw_vault_config *fresh);

enum gw_vault_type {
    GW_VAULT_BOTH, /* Key Vault and Managed HSM at once */
    GW_VAULT_KEYS, /* a Key Vault */
    GW_VAULT_HSM   /* a Managed HSM */
};

struct gw_vault_config {
    char *name;
    enum gw_vault_type type;
    char **hosts; /* host names besides NAME.localhost, without port */
    size_t host_count;
    unsigned retention_days;
    bool purge_protection;
    char **members; /* names of those that serve its keys; none: every member */
    size_t member_count;
    unsigned scope; /* of its keys (pool_key_desc.scope): 0, or one of its own */
};

struct gw_limits {
    unsigned rate;            /* requests a second and client; 0: none */
    size_t max_body;          /* bytes of one body, default 262144 */
    size_t max_batch_body;    /* bytes of one POST /batch, default 16 MiB */
    unsigned max_connections; /* of one loop, default 8192 */
    unsigned max_streams;     /* of one connection, default 128 */
    unsigned header_timeout_ms, body_timeout_ms, idle_timeout_ms, handshake_timeout_ms;
    unsigned drain_ms; /* how long SIGTERM waits for requests in flight, default 30000 */
};

/** Full backups: where they may lie, and those that the gateway makes by itself. */
struct gw_backup_config {
    char **folders; /* below which they may lie; that of `to` is among them */
    size_t folder_count;
    char *ca;         /* PEM file: authorities of storage; NULL: those of the system */
    char *to;         /* address of the place of scheduled ones; NULL: there are none */
    char *token_file; /* the place's SAS token; NULL: none */
    int64_t every_s;  /* seconds between two of one vault */
    unsigned keep, keep_days;
};

struct gw_config {
    char *path; /* of the file, NULL for --dev */
    char *data; /* directory */
    bool dev;
    bool await_domain; /* --await-domain: start without a security domain */
    unsigned loops;    /* 0: one per processor, at most 4 */
    unsigned workers;  /* crypto worker threads; 0: one per processor */
    struct gw_listener_config *listeners;
    size_t listener_count;
    char *admin_bind;   /* NULL: none */
    char *control_path; /* Unix socket of the CLI, default DATA/control.sock */
    char *tokens_file;  /* NULL: none */
    struct gw_backup_config backup;
    struct gw_vault_config *vaults; /* beside the default one, which may be among them */
    size_t vault_count;
    struct pool_member_config *members;
    size_t member_count;
    int recovery_retries;
    int64_t recovery_interval_ns;
    int64_t soft_deadline_ns, hard_deadline_ns; /* 0: the pool's defaults */
    unsigned queue_max;                         /* 0: the pool's default */
    bool hedge;
    unsigned min_copies; /* 0: the pool's default */
    struct gw_limits limits;
};

/** Reads FILE; relative paths in it are relative to its folder. On failure `error` names file,
 *  line, field, what was found and what is allowed, one problem a line. */
KW_MUST_CHECK kw_status gw_config_load(struct gw_config **out, const char *file, char *error,
                                       size_t error_len);
/** The same for a diagnosis: where the file can be read but what it names is wrong (KW_E_INPUT,
 *  `error`), `*out` holds what could be understood, with gaps; NULL when nothing could. */
KW_MUST_CHECK kw_status gw_config_look(struct gw_config **out, const char *file, char *error,
                                       size_t error_len);
/** The configuration of `serve --dev`. NULL arguments take the defaults. */
KW_MUST_CHECK kw_status gw_config_dev(struct gw_config **out, const char *dir, const char *listen,
                                      const char *admin, char *error, size_t error_len);
void gw_config_free(struct gw_config *config);

/** Where a gateway keeps what the CLI needs: of FILE, or of `serve --dev --data DIR`. */
struct gw_place {
    char *data, *control;
    char *tokens; /* NULL: the file names none */
};

/** Finds it for `file`, or when that is NULL for `dir` (NULL: the default). Nothing else of the
 * file is checked, nothing is created. */
KW_MUST_CHECK kw_status gw_place_find(struct gw_place *out, const char *file, const char *dir,
                                      char *error, size_t error_len);
void gw_place_clear(struct gw_place *place);

#define GW_DEV_DATA   "keyward-dev"
#define GW_DEV_LISTEN "127.0.0.1:8443"
#define GW_DEV_ADMIN  "127.0.0.1:8444"
