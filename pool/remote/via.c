#include "pool/remote/via.h"

#include <stdio.h>
#include <string.h>

#include "crypto/base/secret.h"

kw_status pool_via_make(char id[POOL_VIA_ID_LEN + 1])
{
    uint64_t random;
    KW_TRY(kw_random(&random, sizeof random));
    snprintf(id, POOL_VIA_ID_LEN + 1, "%016llx", (unsigned long long)random);
    return KW_OK;
}

kw_status pool_via_append(char out[POOL_VIA_TEXT_MAX + 1], const char *via, const char *id)
{
    bool first = via == NULL || via[0] == 0;
    int len =
        snprintf(out, POOL_VIA_TEXT_MAX + 1, "%s%s%s", first ? "" : via, first ? "" : ",", id);
    return len > POOL_VIA_TEXT_MAX ? KW_E_TOO_LARGE : KW_OK;
}

bool pool_via_allows(const char *own, struct kw_span via)
{
    const size_t step = POOL_VIA_ID_LEN + 1;
    if (via.len > POOL_VIA_TEXT_MAX || (via.len > 0 && (via.len + 1) % step != 0)) {
        return false;
    }
    for (size_t at = 0; at < via.len; at += step) {
        if (memcmp(via.data + at, own, POOL_VIA_ID_LEN) == 0 ||
            (at + step <= via.len && via.data[at + POOL_VIA_ID_LEN] != ',')) {
            return false;
        }
        for (size_t i = 0; i < POOL_VIA_ID_LEN; i++) {
            if (via.data[at + i] == 0 || strchr("0123456789abcdef", via.data[at + i]) == NULL) {
                return false;
            }
        }
    }
    return true;
}
