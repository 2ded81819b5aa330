/* The API as a table. Rows of one resource stand together, in the order of the handlers' files. */

#include "gateway/admin/admin.h"
#include "gateway/api/certificates/certificates.h"
#include "gateway/api/keys/keys.h"
#include "gateway/api/objects/deletion.h"
#include "gateway/api/recovery/export.h"
#include "gateway/api/recovery/full_backup.h"
#include "gateway/api/recovery/security_domain.h"
#include "gateway/api/roles/roles.h"
#include "gateway/api/route.h"
#include "gateway/api/secrets/secrets.h"
#include "gateway/vault/archive/export.h"

/* clang-format off */
#define KEYS(method_, pattern_, label_, run_, action_) \
    {.method = method_, .pattern = pattern_, .label = label_, .run = run_, .face = GW_FACE_API, .action = action_}
#define SECRETS(method_, pattern_, label_, run_, action_) \
    {.method = method_, .pattern = pattern_, .label = label_, .run = run_, .face = GW_FACE_API, .kind = STORE_SECRET, \
     .action = action_}
#define CERTS(method_, pattern_, label_, run_, action_) \
    {.method = method_, .pattern = pattern_, .label = label_, .run = run_, .face = GW_FACE_API, .kind = STORE_CERTIFICATE, \
     .action = action_}
#define HSM(method_, pattern_, label_, run_, action_) \
    {.method = method_, .pattern = pattern_, .label = label_, .run = run_, .face = GW_FACE_API, .hsm = true, .action = action_}
/* for clients and for the CLI; the pending paths are polled without an api-version */
#define DOMAIN(method_, pattern_, label_, run_, action_, no_version_) \
    {.method = method_, .pattern = "/securitydomain/" pattern_, .label = label_, .run = run_, .face = GW_FACE_API, .hsm = true, \
     .no_version = no_version_, .bare = true, .action = "securitydomain/" action_}, \
    {.method = method_, .pattern = "/securitydomain/" pattern_, .label = label_, .run = run_, .face = GW_FACE_CONTROL, \
     .no_version = true, .bare = true, .action = "control/domain"}
#define ADMIN(method_, pattern_, label_, run_) \
    {.method = method_, .pattern = pattern_, .label = label_, .run = run_, .face = GW_FACE_ADMIN, .open = true, .no_version = true}
#define CONTROL(method_, pattern_, label_, run_, action_) \
    {.method = method_, .pattern = pattern_, .label = label_, .run = run_, .face = GW_FACE_CONTROL, .no_version = true, .action = action_}

#define TRANSFER(face_, no_version_, method_, pattern_, label_, run_, action_) \
    {.method = method_, .pattern = pattern_, .label = label_, .run = run_, .face = face_, .no_version = no_version_, \
     .action = action_, .body_max = VAULT_TRANSFER_PIECE}
#define TRANSFERS(face_, v_) \
    TRANSFER(face_, v_, GW_POST,   "/export",           "export_start",  gw_export_start,  "export/start/action"), \
    TRANSFER(face_, v_, GW_GET,    "/export/{}",        "export_get",    gw_transfer_get,  "export/read/action"), \
    TRANSFER(face_, v_, GW_GET,    "/export/{}/data",   "export_data",   gw_export_data,   "export/read/action"), \
    TRANSFER(face_, v_, GW_DELETE, "/export/{}",        "export_drop",   gw_transfer_drop, "export/start/action"), \
    TRANSFER(face_, v_, GW_POST,   "/import",           "import_start",  gw_import_start,  "import/start/action"), \
    TRANSFER(face_, v_, GW_GET,    "/import/{}",        "import_get",    gw_transfer_get,  "import/start/action"), \
    TRANSFER(face_, v_, GW_PUT,    "/import/{}/data",   "import_data",   gw_import_data,   "import/start/action"), \
    TRANSFER(face_, v_, GW_POST,   "/import/{}/commit", "import_commit", gw_import_commit, "import/start/action"), \
    TRANSFER(face_, v_, GW_DELETE, "/import/{}",        "import_drop",   gw_transfer_drop, "import/start/action")

#define FULL(face_, no_version_, method_, pattern_, label_, run_, action_) \
    {.method = method_, .pattern = pattern_, .label = label_, .run = run_, .face = face_, .no_version = no_version_, .hsm = true, \
     .action = action_}
/* status addresses are polled as they are given out, without an api-version */
#define FULLS(face_, v_) \
    FULL(face_, v_,   GW_POST, "/backup",              "full_backup",         gw_backup_start,      "backup/start/action"), \
    FULL(face_, v_,   GW_POST, "/backup/verify",       "full_backup_verify",  gw_backup_verify,     "backup/start/action"), \
    FULL(face_, true, GW_GET,  "/backup/{}/pending",   "full_backup_status",  gw_backup_pending,    "backup/status/action"), \
    FULL(face_, v_,   GW_POST, "/prebackup",           "full_backup_check",   gw_prebackup_start,   "backup/start/action"), \
    FULL(face_, v_,   GW_PUT,  "/restore",             "full_restore",        gw_restore_start,     "restore/start/action"), \
    FULL(face_, v_,   GW_PUT,  "/prerestore",          "full_restore_check",  gw_prerestore_start,  "restore/start/action"), \
    FULL(face_, v_,   GW_PUT,  "/keys/{}/restore",     "full_restore_key",    gw_restore_key_start, "restore/start/action"), \
    FULL(face_, true, GW_GET,  "/restore/{}/pending",  "full_restore_status", gw_restore_pending,   "restore/status/action")

/* definitions exist at the root alone; clients read them at the scope of an assignment too */
#define ROLE(face_, v_, method_, pattern_, label_, run_, action_) \
    {.method = method_, .pattern = pattern_, .label = label_, .run = run_, .face = face_, .no_version = v_, .hsm = true, \
     .action = action_}
#define DEFINITIONS "/providers/Microsoft.Authorization/roleDefinitions"
#define ASSIGNMENTS "/providers/Microsoft.Authorization/roleAssignments"
#define ROLES_AT(face_, v_, scope_) \
    ROLE(face_, v_, GW_GET,    scope_ DEFINITIONS,       "role_definitions_list",   gw_role_definitions_list,   "roleDefinitions/read/action"), \
    ROLE(face_, v_, GW_GET,    scope_ DEFINITIONS "/{}", "role_definitions_get",    gw_role_definitions_get,    "roleDefinitions/read/action"), \
    ROLE(face_, v_, GW_GET,    scope_ ASSIGNMENTS,       "role_assignments_list",   gw_role_assignments_list,   "roleAssignments/read/action"), \
    ROLE(face_, v_, GW_GET,    scope_ ASSIGNMENTS "/{}", "role_assignments_get",    gw_role_assignments_get,    "roleAssignments/read/action"), \
    ROLE(face_, v_, GW_PUT,    scope_ ASSIGNMENTS "/{}", "role_assignments_put",    gw_role_assignments_put,    "roleAssignments/write/action"), \
    ROLE(face_, v_, GW_DELETE, scope_ ASSIGNMENTS "/{}", "role_assignments_delete", gw_role_assignments_delete, "roleAssignments/delete/action")
#define ROLES(face_, v_) \
    ROLES_AT(face_, v_, ""), \
    ROLES_AT(face_, v_, "/keys"), \
    ROLES_AT(face_, v_, "/keys/{}"), \
    ROLE(face_, v_, GW_PUT,    DEFINITIONS "/{}",        "role_definitions_put",    gw_role_definitions_put,    "roleDefinitions/write/action"), \
    ROLE(face_, v_, GW_DELETE, DEFINITIONS "/{}",        "role_definitions_delete", gw_role_definitions_delete, "roleDefinitions/delete/action")

const struct gw_route gw_routes[] = {
    KEYS(GW_POST,   "/keys/{}/{?}/sign",       "keys_sign",        gw_keys_sign,         "keys/sign/action"),
    KEYS(GW_POST,   "/keys/{}/{?}/verify",     "keys_verify",      gw_keys_verify,       "keys/verify/action"),
    KEYS(GW_POST,   "/keys/{}/{?}/encrypt",    "keys_encrypt",     gw_keys_encrypt,      "keys/encrypt/action"),
    KEYS(GW_POST,   "/keys/{}/{?}/decrypt",    "keys_decrypt",     gw_keys_decrypt,      "keys/decrypt/action"),
    KEYS(GW_POST,   "/keys/{}/{?}/wrapkey",    "keys_wrap",        gw_keys_wrap,         "keys/wrap/action"),
    KEYS(GW_POST,   "/keys/{}/{?}/unwrapkey",  "keys_unwrap",      gw_keys_unwrap,       "keys/unwrap/action"),
    KEYS(GW_POST,   "/keys/{}/create",         "keys_create",      gw_keys_create,       "keys/create"),
    KEYS(GW_PUT,    "/keys/{}",                "keys_import",      gw_keys_import,       "keys/import/action"),
    KEYS(GW_GET,    "/keys/{}/{?}",            "keys_get",         gw_keys_get,          "keys/read/action"),
    KEYS(GW_GET,    "/keys",                   "keys_list",        gw_keys_list,         "keys/read/action"),
    KEYS(GW_GET,    "/keys/{}/versions",       "keys_versions",    gw_keys_versions,     "keys/read/action"),
    KEYS(GW_PATCH,  "/keys/{}/{?}",            "keys_update",      gw_keys_update,       "keys/write/action"),
    KEYS(GW_DELETE, "/keys/{}",                "keys_delete",      gw_keys_delete,       "keys/delete"),
    KEYS(GW_GET,    "/deletedkeys",            "deletedkeys_list", gw_keys_list_deleted, "keys/deletedKeys/read/action"),
    KEYS(GW_GET,    "/deletedkeys/{}",         "deletedkeys_get",  gw_keys_get_deleted,  "keys/deletedKeys/read/action"),
    KEYS(GW_POST,   "/deletedkeys/{}/recover", "keys_recover",     gw_keys_recover,      "keys/deletedKeys/recover/action"),
    KEYS(GW_DELETE, "/deletedkeys/{}",         "keys_purge",       gw_keys_purge,        "keys/deletedKeys/delete"),
    KEYS(GW_POST,   "/keys/{}/backup",         "keys_backup",      gw_keys_backup,       "keys/backup/action"),
    {.method = GW_POST, .pattern = "/keys/restore", .label = "keys_restore", .run = gw_keys_restore,
     .face = GW_FACE_API, .action = "keys/restore/action", .body_max = GW_BACKUP_BODY_MAX},
    KEYS(GW_POST,   "/keys/{}/rotate",         "keys_rotate",      gw_keys_rotate,       "keys/rotate/action"),
    KEYS(GW_GET,    "/keys/{}/rotationpolicy", "keys_policy_get",  gw_keys_get_policy,   "keys/read/action"),
    KEYS(GW_PUT,    "/keys/{}/rotationpolicy", "keys_policy_set",  gw_keys_set_policy,   "keys/write/action"),
    KEYS(GW_POST,   "/keys/{}/{?}/release",    "keys_release",     gw_keys_release,      "keys/release/action"),
    KEYS(GW_GET,    "/keys/{}/{?}/attestation", "keys_attestation", gw_keys_attestation, "keys/read/action"),
    HSM(GW_POST,    "/rng",                    "rng",              gw_rng,               "rng/action"),

    DOMAIN(GW_POST, "download",         "domain_download",         gw_domain_download,         "download/action", false),
    DOMAIN(GW_GET,  "download/pending", "domain_download_pending", gw_domain_download_pending, "download/read", true),
    DOMAIN(GW_GET,  "upload",           "domain_transfer_key",     gw_domain_transfer_key,     "transferkey/read", false),
    DOMAIN(GW_POST, "upload",           "domain_upload",           gw_domain_upload,           "upload/action", false),
    DOMAIN(GW_GET,  "upload/pending",   "domain_upload_pending",   gw_domain_upload_pending,   "upload/read", true),

    ROLES(GW_FACE_API, false),
    ROLES(GW_FACE_CONTROL, true),
    HSM(GW_GET,   "/settings",    "settings_list",   gw_settings_list,   "settings/read/action"),
    HSM(GW_GET,   "/settings/{}", "settings_get",    gw_settings_get,    "settings/read/action"),
    HSM(GW_PATCH, "/settings/{}", "settings_update", gw_settings_update, "settings/write/action"),

    SECRETS(GW_PUT,    "/secrets/{}",                "secrets_set",         gw_secrets_set,          "secrets/setSecret/action"),
    SECRETS(GW_GET,    "/secrets/{}/{?}",            "secrets_get",         gw_secrets_get,          "secrets/getSecret/action"),
    SECRETS(GW_PATCH,  "/secrets/{}/{?}",            "secrets_update",      gw_secrets_update,       "secrets/setSecret/action"),
    SECRETS(GW_GET,    "/secrets",                   "secrets_list",        gw_secrets_list,         "secrets/readMetadata/action"),
    SECRETS(GW_GET,    "/secrets/{}/versions",       "secrets_versions",    gw_secrets_versions,     "secrets/readMetadata/action"),
    SECRETS(GW_DELETE, "/secrets/{}",                "secrets_delete",      gw_secrets_delete,       "secrets/delete"),
    SECRETS(GW_GET,    "/deletedsecrets",            "deletedsecrets_list", gw_secrets_list_deleted, "secrets/readMetadata/action"),
    SECRETS(GW_GET,    "/deletedsecrets/{}",         "deletedsecrets_get",  gw_secrets_get_deleted,  "secrets/readMetadata/action"),
    SECRETS(GW_POST,   "/deletedsecrets/{}/recover", "secrets_recover",     gw_secrets_recover,      "secrets/recover/action"),
    SECRETS(GW_DELETE, "/deletedsecrets/{}",         "secrets_purge",       gw_secrets_purge,        "secrets/purge/action"),
    SECRETS(GW_POST,   "/secrets/{}/backup",         "secrets_backup",      gw_secrets_backup,       "secrets/backup/action"),
    {.method = GW_POST, .pattern = "/secrets/restore", .label = "secrets_restore", .run = gw_secrets_restore,
     .face = GW_FACE_API, .kind = STORE_SECRET, .action = "secrets/restore/action", .body_max = GW_BACKUP_BODY_MAX},

    CERTS(GW_GET,    "/certificates/{}/{?}",            "certificates_get",            gw_certs_get,            "certificates/read"),
    CERTS(GW_PATCH,  "/certificates/{}/{?}",            "certificates_update",         gw_certs_update,         "certificates/update/action"),
    CERTS(GW_GET,    "/certificates/{}/policy",         "certificates_policy_get",     gw_certs_policy_get,     "certificates/read"),
    CERTS(GW_PATCH,  "/certificates/{}/policy",         "certificates_policy_update",  gw_certs_policy_update,  "certificates/update/action"),
    CERTS(GW_GET,    "/certificates",                   "certificates_list",           gw_certs_list,           "certificates/read"),
    CERTS(GW_GET,    "/certificates/{}/versions",       "certificates_versions",       gw_certs_versions,       "certificates/read"),
    CERTS(GW_POST,   "/certificates/{}/create",         "certificates_create",         gw_certs_create,         "certificates/create/action"),
    CERTS(GW_POST,   "/certificates/{}/import",         "certificates_import",         gw_certs_import,         "certificates/import/action"),
    CERTS(GW_GET,    "/certificates/{}/pending",        "certificates_pending_get",    gw_certs_pending_get,    "certificates/read"),
    CERTS(GW_PATCH,  "/certificates/{}/pending",        "certificates_pending_update", gw_certs_pending_update, "certificates/create/action"),
    CERTS(GW_DELETE, "/certificates/{}/pending",        "certificates_pending_delete", gw_certs_pending_delete, "certificates/create/action"),
    CERTS(GW_POST,   "/certificates/{}/pending/merge",  "certificates_merge",          gw_certs_merge,          "certificates/create/action"),
    CERTS(GW_DELETE, "/certificates/{}",                "certificates_delete",         gw_certs_delete,         "certificates/delete"),
    CERTS(GW_GET,    "/deletedcertificates",            "deletedcertificates_list",    gw_certs_list_deleted,   "certificates/read"),
    CERTS(GW_GET,    "/deletedcertificates/{}",         "deletedcertificates_get",     gw_certs_get_deleted,    "certificates/read"),
    CERTS(GW_POST,   "/deletedcertificates/{}/recover", "certificates_recover",        gw_certs_recover,        "certificates/recover/action"),
    CERTS(GW_DELETE, "/deletedcertificates/{}",         "certificates_purge",          gw_certs_purge,          "certificates/purge/action"),
    CERTS(GW_POST,   "/certificates/{}/backup",         "certificates_backup",         gw_certs_backup,         "certificates/backup/action"),
    {.method = GW_POST, .pattern = "/certificates/restore", .label = "certificates_restore", .run = gw_certs_restore,
     .face = GW_FACE_API, .kind = STORE_CERTIFICATE, .action = "certificates/restore/action", .body_max = GW_BACKUP_BODY_MAX},
    CERTS(GW_GET,    "/certificates/issuers",           "issuers_list",                gw_issuers_list,         "certificatecas/read"),
    CERTS(GW_GET,    "/certificates/issuers/{}",        "issuers_get",                 gw_issuers_get,          "certificatecas/read"),
    CERTS(GW_PUT,    "/certificates/issuers/{}",        "issuers_set",                 gw_issuers_set,          "certificatecas/write"),
    CERTS(GW_PATCH,  "/certificates/issuers/{}",        "issuers_update",              gw_issuers_update,       "certificatecas/write"),
    CERTS(GW_DELETE, "/certificates/issuers/{}",        "issuers_delete",              gw_issuers_delete,       "certificatecas/delete"),
    CERTS(GW_GET,    "/certificates/contacts",          "contacts_get",                gw_contacts_get,         "certificatecontacts/read"),
    CERTS(GW_PUT,    "/certificates/contacts",          "contacts_set",                gw_contacts_set,         "certificatecontacts/write"),
    CERTS(GW_DELETE, "/certificates/contacts",          "contacts_delete",             gw_contacts_delete,      "certificatecontacts/write"),

    /* an extension of keyward; the right to each operation is asked per operation */
    {.method = GW_POST, .pattern = "/batch", .label = "batch", .run = gw_batch_end, .face = GW_FACE_API,
     .batch = true, .begin = gw_batch_begin, .piece = gw_batch_piece},

    /* an extension of keyward: whole vaults, by the API and by the control socket */
    TRANSFERS(GW_FACE_API, false),
    TRANSFERS(GW_FACE_CONTROL, true),

    /* full backup and restore, by the API and by the control socket; /backup/verify is an extension */
    FULLS(GW_FACE_API, false),
    FULLS(GW_FACE_CONTROL, true),

    ADMIN(GW_GET, "/",            "admin_index",   gw_admin_index),
    ADMIN(GW_GET, "/healthz",     "admin_healthz", gw_admin_healthz),
    ADMIN(GW_GET, "/readyz",      "admin_readyz",  gw_admin_readyz),
    ADMIN(GW_GET, "/metrics",     "admin_metrics", gw_admin_metrics),
    ADMIN(GW_GET, "/status.json", "admin_status",  gw_admin_status),

    {.method = GW_GET, .pattern = "/status.json", .label = "control_status", .run = gw_admin_status, .face = GW_FACE_CONTROL,
     .no_version = true, .bare = true, .action = "control/read"},
    CONTROL(GW_GET,  "/keys",                 "control_keys",   gw_admin_keys,   "control/read"),
    CONTROL(GW_GET,  "/tokens/keys",          "control_tokens", gw_admin_token_keys, "control/read"),
    CONTROL(GW_POST, "/keys/{}/adopt",        "control_adopt",  gw_admin_adopt,  "control/key"),
    CONTROL(GW_POST, "/members/{}/probe",     "control_probe",  gw_admin_probe,  "control/member"),
    CONTROL(GW_POST, "/members/{}/recover",   "control_member", gw_admin_member, "control/member"),
    CONTROL(GW_POST, "/members/{}/drain",     "control_member", gw_admin_member, "control/member"),
    CONTROL(GW_POST, "/members/{}/replace",   "control_member", gw_admin_member, "control/member"),
    CONTROL(GW_POST, "/members/{}/sync",      "control_member", gw_admin_member, "control/member"),
    CONTROL(GW_POST, "/members/{}/zeroize",   "control_member", gw_admin_member, "control/member"),
    CONTROL(GW_POST, "/members/{}/activate",  "control_member", gw_admin_member, "control/member"),
    CONTROL(GW_POST, "/members/{}/add",       "control_member", gw_admin_membership, "control/member"),
    CONTROL(GW_POST, "/members/{}/remove",    "control_member", gw_admin_membership, "control/member"),
    CONTROL(GW_POST, "/members/{}/remove-forced", "control_member", gw_admin_membership, "control/member"),
};
/* clang-format on */

const size_t gw_route_count = sizeof gw_routes / sizeof gw_routes[0];
