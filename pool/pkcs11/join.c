#include "pool/pkcs11/join.h"

#include <stdio.h>
#include <string.h>

#include "pool/pkcs11/identity.h"
#include "pool/pkcs11/state_file.h"
#include "pool/pool.h"

#define PREFIX "join-"

bool pool_join_ordered(const char *dir, const char *member, const char *check)
{
    char path[POOL_STATE_PATH], text[128], domain[2 * POOL_DOMAIN_CHECK_LEN + 1];
    size_t len = 0;
    return pool_state_path(path, dir, PREFIX, member) == KW_OK &&
           pool_state_read(path, text, sizeof text, &len) == KW_OK &&
           sscanf(text, "{\"domain\":\"%32[0-9a-f]\"}", domain) == 1 && strcmp(domain, check) == 0;
}

kw_status pool_join_end(const char *dir, const char *member)
{
    char path[POOL_STATE_PATH];
    KW_TRY(pool_state_path(path, dir, PREFIX, member));
    return pool_state_remove(dir, path);
}

kw_status pool_join_order(const char *state_dir, const struct pool_member_config *members,
                          size_t count, const struct kc_domain *domain)
{
    char path[POOL_STATE_PATH], text[128], check[2 * POOL_DOMAIN_CHECK_LEN + 1];
    KW_TRY(pool_domain_check(check, domain));
    int len = snprintf(text, sizeof text, "{\"domain\":\"%s\"}\n", check);
    for (size_t i = 0; i < count; i++) {
        if (members[i].kind != POOL_MEMBER_PKCS11) {
            continue;
        }
        KW_TRY(pool_state_path(path, state_dir, PREFIX, members[i].name));
        KW_TRY(pool_state_write(state_dir, path, text, (size_t)len));
    }
    return KW_OK;
}
