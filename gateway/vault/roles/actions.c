#include "gateway/vault/roles/actions.h"

#include <strings.h>

#define HSM    "Microsoft.KeyVault/managedHsm/"
#define VAULTS "Microsoft.KeyVault/vaults/"

/* One bit for each built-in role, in the order of `builtins`. */
enum {
    AD = 1 << 0, /* Administrator */
    OF = 1 << 1, /* Crypto Officer */
    US = 1 << 2, /* Crypto User */
    PO = 1 << 3, /* Policy Administrator */
    AU = 1 << 4, /* Crypto Auditor */
    EN = 1 << 5, /* Crypto Service Encryption User */
    RE = 1 << 6, /* Crypto Service Release User */
    BA = 1 << 7, /* Backup */
    RS = 1 << 8  /* Restore */
};

/* clang-format off */
static const struct row {
    const char *name;
    unsigned roles;
} rows[] = {
    {HSM "securitydomain/download/action", AD},
    {HSM "securitydomain/download/read", AD},
    {HSM "securitydomain/upload/action", AD},
    {HSM "securitydomain/upload/read", AD},
    {HSM "securitydomain/transferkey/read", AD},
    {HSM "keys/read/action", US | AU | EN},
    {HSM "keys/write/action", US},
    {HSM "keys/create", US},
    {HSM "keys/delete", US},
    {HSM "keys/rotate/action", US},
    {HSM "keys/import/action", US},
    {HSM "keys/deletedKeys/read/action", OF | AU},
    {HSM "keys/deletedKeys/recover/action", OF},
    {HSM "keys/deletedKeys/delete", OF},
    {HSM "keys/export/action", OF},
    {HSM "keys/backup/action", US | BA},
    {HSM "keys/restore/action", US | RS},
    {HSM "keys/release/action", US | RE},
    {HSM "keys/encrypt/action", US},
    {HSM "keys/decrypt/action", US},
    {HSM "keys/sign/action", US},
    {HSM "keys/verify/action", US},
    {HSM "keys/derive/action", US},
    {HSM "keys/wrap/action", US | EN},
    {HSM "keys/unwrap/action", US | EN},
    {HSM "rng/action", US},
    {HSM "roleAssignments/read/action", AD | OF | US | PO | AU},
    {HSM "roleAssignments/write/action", AD | OF | PO},
    {HSM "roleAssignments/delete/action", AD | OF | PO},
    {HSM "roleDefinitions/read/action", AD | OF | US | PO | AU},
    {HSM "roleDefinitions/write/action", AD | OF | PO},
    {HSM "roleDefinitions/delete/action", AD | OF | PO},
    {HSM "backup/start/action", AD | BA},
    {HSM "backup/status/action", AD | BA},
    {HSM "restore/start/action", AD | RS},
    {HSM "restore/status/action", AD | RS},

    /* keyward's own: the service names none for its settings, and has no export of a vault */
    {HSM "settings/read/action", AD},
    {HSM "settings/write/action", AD},
    {HSM "export/start/action", AD},
    {HSM "export/read/action", AD},
    {HSM "import/start/action", AD},

    /* a vault that is both has secrets and certificates too: by custom roles alone */
    {VAULTS "secrets/getSecret/action", 0},
    {VAULTS "secrets/setSecret/action", 0},
    {VAULTS "secrets/readMetadata/action", 0},
    {VAULTS "secrets/delete", 0},
    {VAULTS "secrets/recover/action", 0},
    {VAULTS "secrets/purge/action", 0},
    {VAULTS "secrets/backup/action", 0},
    {VAULTS "secrets/restore/action", 0},
    {VAULTS "certificates/read", 0},
    {VAULTS "certificates/update/action", 0},
    {VAULTS "certificates/create/action", 0},
    {VAULTS "certificates/import/action", 0},
    {VAULTS "certificates/delete", 0},
    {VAULTS "certificates/recover/action", 0},
    {VAULTS "certificates/purge/action", 0},
    {VAULTS "certificates/backup/action", 0},
    {VAULTS "certificates/restore/action", 0},
    {VAULTS "certificatecas/read", 0},
    {VAULTS "certificatecas/write", 0},
    {VAULTS "certificatecas/delete", 0},
    {VAULTS "certificatecontacts/read", 0},
    {VAULTS "certificatecontacts/write", 0},
};
/* clang-format on */

#define COUNT (sizeof rows / sizeof rows[0])
_Static_assert(COUNT <= VAULT_ACTIONS_MAX, "a set has a bit for each action");

const unsigned vault_action_count = COUNT;

/** Behind "Microsoft.KeyVault/managedHsm/" or its like. */
static const char *word_of(const struct row *row)
{
    return strchr(strchr(row->name, '/') + 1, '/') + 1;
}

unsigned vault_action_find(const char *word)
{
    for (unsigned i = 0; i < COUNT; i++) {
        if (strcasecmp(word_of(&rows[i]), word) == 0)
            return i;
    }
    return VAULT_ACTION_NONE;
}

const char *vault_action_name(unsigned action)
{
    return action < COUNT ? rows[action].name : "unknown";
}

static char fold(uint8_t c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* '*' stands for any characters. On a mismatch only the last '*' is tried further: linear in the
 * product of the lengths. */
static bool fits(struct kw_span pattern, const char *name)
{
    size_t at = 0, star = SIZE_MAX;
    const char *mark = name;
    while (*name) {
        if (at < pattern.len && pattern.data[at] == '*') {
            star = at++;
            mark = name;
        } else if (at < pattern.len && fold(pattern.data[at]) == fold((uint8_t)*name)) {
            at++;
            name++;
        } else if (star != SIZE_MAX) {
            at = star + 1;
            name = ++mark;
        } else {
            return false;
        }
    }
    while (at < pattern.len && pattern.data[at] == '*')
        at++;
    return at == pattern.len;
}

bool vault_actions_add_named(struct vault_actions *set, struct kw_span name)
{
    bool any = false;
    for (unsigned i = 0; i < COUNT; i++) {
        if (fits(name, rows[i].name)) {
            vault_actions_add(set, i);
            any = true;
        }
    }
    return any;
}

/* --- built-in roles --- */

static const char *const none[] = {NULL};
static const char *const arm[] = {HSM "keys/createIfNotExists", HSM "keys/read/action", NULL};

static const struct {
    const char *id, *name;
    const char *const *management;
} builtins[VAULT_BUILTINS] = {
    {"a290e904-7015-4bba-90c8-60543313cdb4", "Managed HSM Administrator", none},
    {"515eb02d-2335-4d2d-92f2-b1cbdf9c3778", "Managed HSM Crypto Officer", none},
    {"21dbd100-6940-42c2-9190-5d6cb909625b", "Managed HSM Crypto User", none},
    {"4bd23610-cdcf-4971-bdee-bdc562cc28e4", "Managed HSM Policy Administrator", none},
    {"2c18b078-7c48-4d3a-af88-5a3a1b3f82b3", "Managed HSM Crypto Auditor", none},
    {"33413926-3206-4cdd-b39a-83574fe37a17", "Managed HSM Crypto Service Encryption User", none},
    {"21dbd100-6940-42c2-9190-5d6cb909625c", "Managed HSM Crypto Service Release User", none},
    {"7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8", "Managed HSM Backup", none},
    {"6efe6056-5259-49d2-8b3d-d3d73544b20b", "Managed HSM Restore", none},
    {"770fd66c-6266-4643-9d4e-b616870898d5", "Managed HSM ARM User", arm},
};

struct vault_builtin vault_builtin_at(unsigned index)
{
    struct vault_builtin role = {.id = builtins[index].id,
                                 .name = builtins[index].name,
                                 .management = builtins[index].management};
    for (unsigned i = 0; i < COUNT; i++) {
        if (rows[i].roles >> index & 1)
            vault_actions_add(&role.actions, i);
    }
    return role;
}
