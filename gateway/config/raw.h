#pragma once
/* The file as libcyaml gives it: strings as they are written, defaults not yet applied. Inside
 * gateway/config only; load.c makes a gw_config of it. */

#include <cyaml/cyaml.h>
#include <stdbool.h>

enum raw_engine { RAW_ENGINE_SQLITE, RAW_ENGINE_POSTGRESQL };
enum raw_member_type { RAW_MEMBER_PKCS11, RAW_MEMBER_CORE, RAW_MEMBER_REMOTE };
enum raw_hedge { RAW_HEDGE_OFF, RAW_HEDGE_ON };
enum raw_coalesce { RAW_COALESCE_AUTO, RAW_COALESCE_OFF };
enum raw_sandbox { RAW_SANDBOX_DEFAULT, RAW_SANDBOX_STRICT, RAW_SANDBOX_OFF };
enum raw_vault_type { RAW_VAULT_BOTH, RAW_VAULT_VAULT, RAW_VAULT_HSM };
enum raw_role { RAW_ROLE_USER, RAW_ROLE_SO };

struct raw_tls {
    char *certificate, *private_key, *client_ca;
};

struct raw_listener {
    char *bind;
    struct raw_tls *tls;
};

struct raw_admin {
    char *bind;
};

struct raw_store {
    enum raw_engine engine;
    char *dsn;
};

struct raw_recovery {
    int *retries;
    char *interval;
};

struct raw_rlimits {
    char *memory;
    unsigned *files;
};

struct raw_member {
    char *name;
    enum raw_member_type type;
    char *module, *token, *serial, *pin_file, *probe;
    enum raw_role role;
    unsigned *sessions, *hosts, *loaded_keys;
    enum raw_sandbox *sandbox;
    struct raw_rlimits *rlimits;
    char **paths;
    unsigned paths_count;
    enum raw_coalesce coalesce;
    bool standby, opens_hsm_keys;
    unsigned *priority;
    char *url, *token_file, *ca;
};

struct raw_group {
    struct raw_recovery *recovery;
    enum raw_hedge hedge;
    char *soft_deadline, *hard_deadline;
    unsigned *queue_max, *min_copies;
    struct raw_member *members;
    unsigned members_count;
};

struct raw_jwt {
    char *issuer, *audience, *jwks;
};

struct raw_auth {
    char *tokens;
    struct raw_jwt *jwt;
};

struct raw_limits {
    unsigned *rate, *max_connections, *max_streams;
    char *max_body, *max_batch_body;
    char *header_timeout, *body_timeout, *idle_timeout, *handshake_timeout, *drain;
};

struct raw_vault {
    char *name;
    enum raw_vault_type type;
    char **hosts, **members;
    unsigned hosts_count, members_count;
    unsigned *retention_days;
    bool purge_protection;
};

struct raw_backup {
    char **folders;
    unsigned folders_count;
    char *ca;
    char *to, *token_file, *every;
    unsigned *keep, *keep_days;
};

struct raw_config {
    char *data, *control;
    unsigned *loops, *workers;
    struct raw_listener *listeners;
    unsigned listeners_count;
    struct raw_admin *admin;
    struct raw_store *store;
    struct raw_group *group;
    struct raw_auth *auth;
    struct raw_limits *limits;
    struct raw_backup *backup;
    struct raw_vault *vaults;
    unsigned vaults_count;
};

/** Schema of the whole document (a pointer to struct raw_config). */
extern const cyaml_schema_value_t gw_config_schema;
