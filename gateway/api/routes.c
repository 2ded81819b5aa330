/* The API as a table. Rows of one resource stand together, in the order of the handlers' files. */

#include "gateway/admin/admin.h"
#include "gateway/api/keys.h"
#include "gateway/api/route.h"
#include "gateway/api/security_domain.h"

/* clang-format off */
#define KEYS(method_, pattern_, label_, run_, action_) \
    {.method = method_, .pattern = pattern_, .label = label_, .run = run_, .face = GW_FACE_API, .action = action_}
#define HSM(method_, pattern_, label_, run_, action_) \
    {.method = method_, .pattern = pattern_, .label = label_, .run = run_, .face = GW_FACE_API, .hsm = true, .action = action_}
/* the pending paths are polled without an api-version */
#define DOMAIN(method_, pattern_, label_, run_, action_) \
    {.method = method_, .pattern = "/securitydomain/" pattern_, .label = label_, .run = run_, .face = GW_FACE_API, .hsm = true, \
     .no_version = true, .bare = true, .action = "securitydomain/" action_}, \
    {.method = method_, .pattern = "/securitydomain/" pattern_, .label = label_, .run = run_, .face = GW_FACE_CONTROL, \
     .no_version = true, .bare = true, .action = "control/domain"}
#define ADMIN(method_, pattern_, label_, run_) \
    {.method = method_, .pattern = pattern_, .label = label_, .run = run_, .face = GW_FACE_ADMIN, .open = true, .no_version = true}
#define CONTROL(method_, pattern_, label_, run_, action_) \
    {.method = method_, .pattern = pattern_, .label = label_, .run = run_, .face = GW_FACE_CONTROL, .no_version = true, .action = action_}

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
    HSM(GW_POST,    "/rng",                    "rng",              gw_rng,               "rng/action"),

    DOMAIN(GW_POST, "download",         "domain_download",         gw_domain_download,         "download/action"),
    DOMAIN(GW_GET,  "download/pending", "domain_download_pending", gw_domain_download_pending, "download/read"),
    DOMAIN(GW_GET,  "upload",           "domain_transfer_key",     gw_domain_transfer_key,     "transferkey/read"),
    DOMAIN(GW_POST, "upload",           "domain_upload",           gw_domain_upload,           "upload/action"),
    DOMAIN(GW_GET,  "upload/pending",   "domain_upload_pending",   gw_domain_upload_pending,   "upload/read"),

    /* an extension of keyward; the right to each operation is asked per operation */
    {.method = GW_POST, .pattern = "/batch", .label = "batch", .run = gw_batch_end, .face = GW_FACE_API,
     .batch = true, .begin = gw_batch_begin, .piece = gw_batch_piece},

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
