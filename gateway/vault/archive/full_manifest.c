#include "gateway/vault/archive/full_manifest.h"

#include <jansson.h>
#include <stdio.h>

#include "crypto/base/hex.h"

static const char *const names[STORE_KIND_MAX + 1] = {
    [STORE_KEY] = "keys",
    [STORE_SECRET] = "secrets",
    [STORE_CERTIFICATE] = "certificates",
    [STORE_KEY_POLICY] = "keyPolicies",
    [STORE_CERTIFICATE_POLICY] = "certificatePolicies",
    [STORE_PENDING] = "pendingCertificates",
    [STORE_ISSUER] = "issuers",
    [STORE_CONTACTS] = "contacts",
    [STORE_ROLE] = "roleDefinitions",
    [STORE_ROLE_ASSIGNMENT] = "roleAssignments",
    [STORE_SETTING] = "settings",
};

const char *vault_transfer_kind_name(enum store_kind kind)
{
    return (unsigned)kind <= STORE_KIND_MAX && names[kind] ? names[kind] : "other";
}

static json_t *hex(const uint8_t *bytes, size_t len)
{
    char text[2 * 64 + 1];
    kw_hex_write(text, bytes, len < 64 ? len : 64);
    return json_string(text);
}

static json_t *counts(const struct vault_transfer_info *info)
{
    json_t *all = json_object();
    for (unsigned i = 1; i <= STORE_KIND_MAX; i++) {
        if (info->versions[i] > 0)
            json_object_set_new(all, vault_transfer_kind_name((enum store_kind)i),
                                json_pack("{s:I,s:I}", "objects", (json_int_t)info->objects[i],
                                          "versions", (json_int_t)info->versions[i]));
    }
    return all;
}

char *full_manifest_text(const struct vault_transfer_info *info)
{
    json_t *root = json_pack("{s:i,s:s,s:o,s:o,s:I,s:{s:s,s:I,s:o},s:o}", "format", 1, "vault",
                             info->origin, "snapshot", hex(info->head.id, sizeof info->head.id),
                             "domain", hex(info->head.check, sizeof info->head.check), "created",
                             (json_int_t)info->head.created, "archive", "name", FULL_ARCHIVE,
                             "size", (json_int_t)info->size, "sha256",
                             hex(info->digest, sizeof info->digest), "counts", counts(info));
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    return text;
}
