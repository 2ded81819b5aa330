/* The file format as a table: the one place that names its fields. libcyaml loads by it, and
 * document.c checks by it and lists what is allowed. */

#include "gateway/config/raw.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define OPTIONAL     CYAML_FLAG_OPTIONAL
#define TEXT(key, type, member)                                                                    \
    CYAML_FIELD_STRING_PTR(key, OPTIONAL, struct type, member, 1, CYAML_UNLIMITED)
#define NEEDED(key, type, member)                                                                  \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_DEFAULT, struct type, member, 1, CYAML_UNLIMITED)
#define NUMBER(key, type, member) CYAML_FIELD_UINT_PTR(key, OPTIONAL, struct type, member)

static const cyaml_strval_t engines[] = {{"sqlite", RAW_ENGINE_SQLITE},
                                         {"postgresql", RAW_ENGINE_POSTGRESQL}};
static const cyaml_strval_t member_types[] = {
    {"pkcs11", RAW_MEMBER_PKCS11}, {"core", RAW_MEMBER_CORE}, {"remote", RAW_MEMBER_REMOTE}};
static const cyaml_strval_t hedges[] = {{"off", RAW_HEDGE_OFF}, {"on", RAW_HEDGE_ON}};
static const cyaml_strval_t coalescings[] = {{"auto", RAW_COALESCE_AUTO},
                                             {"off", RAW_COALESCE_OFF}};
static const cyaml_strval_t vault_types[] = {
    {"both", RAW_VAULT_BOTH}, {"vault", RAW_VAULT_VAULT}, {"hsm", RAW_VAULT_HSM}};
static const cyaml_strval_t roles[] = {{"user", RAW_ROLE_USER}, {"so", RAW_ROLE_SO}};

static const cyaml_strval_t sandboxes[] = {
    {"default", RAW_SANDBOX_DEFAULT}, {"strict", RAW_SANDBOX_STRICT}, {"off", RAW_SANDBOX_OFF}};

static const cyaml_schema_value_t text_entry = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CYAML_UNLIMITED)};

static const cyaml_schema_field_t tls_fields[] = {
    NEEDED("certificate", raw_tls, certificate), NEEDED("private_key", raw_tls, private_key),
    TEXT("client_ca", raw_tls, client_ca), CYAML_FIELD_END};

static const cyaml_schema_field_t listener_fields[] = {
    NEEDED("bind", raw_listener, bind),
    CYAML_FIELD_MAPPING_PTR("tls", OPTIONAL, struct raw_listener, tls, tls_fields),
    CYAML_FIELD_END};

static const cyaml_schema_field_t admin_fields[] = {NEEDED("bind", raw_admin, bind),
                                                    CYAML_FIELD_END};

static const cyaml_schema_field_t store_fields[] = {CYAML_FIELD_ENUM("engine", CYAML_FLAG_STRICT,
                                                                     struct raw_store, engine,
                                                                     engines, COUNT(engines)),
                                                    TEXT("dsn", raw_store, dsn), CYAML_FIELD_END};

static const cyaml_schema_field_t recovery_fields[] = {
    CYAML_FIELD_INT_PTR("retries", OPTIONAL, struct raw_recovery, retries),
    TEXT("interval", raw_recovery, interval), CYAML_FIELD_END};

static const cyaml_schema_field_t rlimits_fields[] = {
    TEXT("memory", raw_rlimits, memory), NUMBER("files", raw_rlimits, files), CYAML_FIELD_END};

static const cyaml_schema_field_t member_fields[] = {
    NEEDED("name", raw_member, name),
    CYAML_FIELD_ENUM("type", CYAML_FLAG_STRICT, struct raw_member, type, member_types,
                     COUNT(member_types)),
    TEXT("module", raw_member, module),
    TEXT("token", raw_member, token),
    TEXT("serial", raw_member, serial),
    TEXT("pin_file", raw_member, pin_file),
    CYAML_FIELD_ENUM("role", OPTIONAL | CYAML_FLAG_STRICT, struct raw_member, role, roles,
                     COUNT(roles)),
    CYAML_FIELD_ENUM_PTR("sandbox", OPTIONAL | CYAML_FLAG_STRICT, struct raw_member, sandbox,
                         sandboxes, COUNT(sandboxes)),
    CYAML_FIELD_MAPPING_PTR("rlimits", OPTIONAL, struct raw_member, rlimits, rlimits_fields),
    CYAML_FIELD_SEQUENCE("paths", OPTIONAL | CYAML_FLAG_POINTER, struct raw_member, paths,
                         &text_entry, 0, CYAML_UNLIMITED),
    NUMBER("sessions", raw_member, sessions),
    NUMBER("hosts", raw_member, hosts),
    CYAML_FIELD_ENUM("coalesce", OPTIONAL | CYAML_FLAG_STRICT, struct raw_member, coalesce,
                     coalescings, COUNT(coalescings)),
    NUMBER("loaded_keys", raw_member, loaded_keys),
    CYAML_FIELD_BOOL("standby", OPTIONAL, struct raw_member, standby),
    NUMBER("priority", raw_member, priority),
    CYAML_FIELD_BOOL("opens_hsm_keys", OPTIONAL, struct raw_member, opens_hsm_keys),
    TEXT("probe", raw_member, probe),
    TEXT("url", raw_member, url),
    TEXT("token_file", raw_member, token_file),
    TEXT("ca", raw_member, ca),
    CYAML_FIELD_END};

static const cyaml_schema_value_t member_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_member, member_fields)};

static const cyaml_schema_field_t group_fields[] = {
    CYAML_FIELD_MAPPING_PTR("recovery", OPTIONAL, struct raw_group, recovery, recovery_fields),
    CYAML_FIELD_ENUM("hedge", OPTIONAL | CYAML_FLAG_STRICT, struct raw_group, hedge, hedges,
                     COUNT(hedges)),
    TEXT("soft_deadline", raw_group, soft_deadline),
    TEXT("hard_deadline", raw_group, hard_deadline),
    NUMBER("queue_max", raw_group, queue_max),
    NUMBER("min_copies", raw_group, min_copies),
    CYAML_FIELD_SEQUENCE("members", OPTIONAL | CYAML_FLAG_POINTER, struct raw_group, members,
                         &member_entry, 0, CYAML_UNLIMITED),
    CYAML_FIELD_END};

static const cyaml_schema_field_t jwt_fields[] = {TEXT("issuer", raw_jwt, issuer),
                                                  TEXT("audience", raw_jwt, audience),
                                                  TEXT("jwks", raw_jwt, jwks), CYAML_FIELD_END};

static const cyaml_schema_field_t auth_fields[] = {
    TEXT("tokens", raw_auth, tokens),
    CYAML_FIELD_MAPPING_PTR("jwt", OPTIONAL, struct raw_auth, jwt, jwt_fields), CYAML_FIELD_END};

static const cyaml_schema_field_t limits_fields[] = {
    NUMBER("rate", raw_limits, rate),
    TEXT("max_body", raw_limits, max_body),
    TEXT("max_batch_body", raw_limits, max_batch_body),
    NUMBER("max_connections", raw_limits, max_connections),
    NUMBER("max_streams", raw_limits, max_streams),
    TEXT("header_timeout", raw_limits, header_timeout),
    TEXT("body_timeout", raw_limits, body_timeout),
    TEXT("idle_timeout", raw_limits, idle_timeout),
    TEXT("handshake_timeout", raw_limits, handshake_timeout),
    TEXT("drain", raw_limits, drain),
    CYAML_FIELD_END};

static const cyaml_schema_field_t vault_fields[] = {
    NEEDED("name", raw_vault, name),
    CYAML_FIELD_ENUM("type", OPTIONAL | CYAML_FLAG_STRICT, struct raw_vault, type, vault_types,
                     COUNT(vault_types)),
    CYAML_FIELD_SEQUENCE("hosts", OPTIONAL | CYAML_FLAG_POINTER, struct raw_vault, hosts,
                         &text_entry, 0, CYAML_UNLIMITED),
    CYAML_FIELD_SEQUENCE("members", OPTIONAL | CYAML_FLAG_POINTER, struct raw_vault, members,
                         &text_entry, 0, CYAML_UNLIMITED),
    NUMBER("retention_days", raw_vault, retention_days),
    CYAML_FIELD_BOOL("purge_protection", OPTIONAL, struct raw_vault, purge_protection),
    CYAML_FIELD_END};

static const cyaml_schema_value_t vault_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_vault, vault_fields)};

static const cyaml_schema_value_t listener_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_listener, listener_fields)};

static const cyaml_schema_field_t backup_fields[] = {
    CYAML_FIELD_SEQUENCE("folders", OPTIONAL | CYAML_FLAG_POINTER, struct raw_backup, folders,
                         &text_entry, 0, 100),
    TEXT("ca", raw_backup, ca),
    TEXT("to", raw_backup, to),
    TEXT("token_file", raw_backup, token_file),
    TEXT("every", raw_backup, every),
    NUMBER("keep", raw_backup, keep),
    NUMBER("keep_days", raw_backup, keep_days),
    CYAML_FIELD_END};

static const cyaml_schema_field_t config_fields[] = {
    NEEDED("data", raw_config, data),
    TEXT("control", raw_config, control),
    NUMBER("loops", raw_config, loops),
    NUMBER("workers", raw_config, workers),
    CYAML_FIELD_SEQUENCE("listeners", CYAML_FLAG_POINTER, struct raw_config, listeners,
                         &listener_entry, 1, CYAML_UNLIMITED),
    CYAML_FIELD_MAPPING_PTR("admin", OPTIONAL, struct raw_config, admin, admin_fields),
    CYAML_FIELD_MAPPING_PTR("store", OPTIONAL, struct raw_config, store, store_fields),
    CYAML_FIELD_MAPPING_PTR("group", OPTIONAL, struct raw_config, group, group_fields),
    CYAML_FIELD_MAPPING_PTR("auth", OPTIONAL, struct raw_config, auth, auth_fields),
    CYAML_FIELD_MAPPING_PTR("limits", OPTIONAL, struct raw_config, limits, limits_fields),
    CYAML_FIELD_MAPPING_PTR("backup", OPTIONAL, struct raw_config, backup, backup_fields),
    CYAML_FIELD_SEQUENCE("vaults", OPTIONAL | CYAML_FLAG_POINTER, struct raw_config, vaults,
                         &vault_entry, 0, 1000),
    CYAML_FIELD_END};

const cyaml_schema_value_t gw_config_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_config, config_fields)};
