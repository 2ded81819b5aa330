#include "gateway/domain.h"

#include <stdio.h>
#include <string.h>

#include "gateway/config/domain_key.h"

#define CHECK_SETTING "domain_check"

static kw_status obtain(struct kc_domain **out, const char *data, const char *stored, bool create,
                        char *error, size_t error_len)
{
    kw_status status = gw_domain_key_read(out, data, error, error_len);
    if (status != KW_E_NOT_FOUND)
        return status;
    if (stored[0] != '\0')
        snprintf(error, error_len,
                 "%s/" GW_DOMAIN_KEY_FILE
                 " is missing, but the store in %s belongs to the security "
                 "domain %s; put its key back (a new one could not open the keys there)",
                 data, data, stored);
    else if (create)
        return gw_domain_key_create(out, data, error, error_len);
    else
        snprintf(error, error_len, "%s has no security domain yet; run: keyward init -c FILE",
                 data);
    return KW_E_NOT_FOUND;
}

kw_status gw_domain_open(struct kc_domain **out, struct store *store, const char *data, bool create,
                         char *error, size_t error_len)
{
    char stored[2 * KC_DOMAIN_CHECK_LEN + 1] = "", check[2 * KC_DOMAIN_CHECK_LEN + 1];
    struct kc_domain *domain = NULL;
    kw_status status = store_setting_get(store, CHECK_SETTING, stored, sizeof stored);
    if (status != KW_OK && status != KW_E_NOT_FOUND) {
        snprintf(error, error_len, "the store in %s cannot be read (%s)", data,
                 kw_status_name(status));
        return status;
    }
    bool known = status == KW_OK;
    KW_TRY(obtain(&domain, data, known ? stored : "", create, error, error_len));
    kc_domain_check(domain, check);
    if (known && strcmp(stored, check) != 0) {
        snprintf(error, error_len,
                 "%s/" GW_DOMAIN_KEY_FILE
                 " is of security domain %s, but the store in %s belongs to "
                 "domain %s; put the right key back, nothing was changed",
                 data, check, data, stored);
        status = KW_E_INTEGRITY;
    } else if (!known) {
        status = store_setting_put(store, CHECK_SETTING, check);
        if (status != KW_OK)
            snprintf(error, error_len, "the store in %s cannot be written (%s)", data,
                     kw_status_name(status));
    } else {
        status = KW_OK;
    }
    if (status == KW_OK)
        *out = domain;
    else
        kc_domain_destroy(domain);
    return status;
}
