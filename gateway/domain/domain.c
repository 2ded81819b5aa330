#include "gateway/domain/domain.h"

#include <stdio.h>
#include <string.h>

#include "gateway/config/domain_key.h"
#include "gateway/obs/log.h"
#include "gateway/store/peek.h"
#include "pool/pool.h"

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
        snprintf(error, error_len,
                 "%s has no security domain yet; run: keyward init -c FILE, or start with "
                 "--await-domain to activate it by a download or to recover it",
                 data);
    return KW_E_NOT_FOUND;
}

static void count_row(void *ctx, const char *vault, const struct store_row *row)
{
    (void)vault;
    (void)row;
    ++*(size_t *)ctx;
}

kw_status gw_domain_objects(size_t *count, const char *data, char *error, size_t error_len)
{
    char check[2 * KC_DOMAIN_CHECK_LEN + 1];
    *count = 0;
    for (int kind = STORE_KEY; kind <= STORE_KIND_MAX; kind++)
        KW_TRY(store_peek(data, (enum store_kind)kind, check, sizeof check, count_row, count, error,
                          error_len));
    return KW_OK;
}

void gw_domain_lost(char check[2 * KC_DOMAIN_CHECK_LEN + 1], struct store *store)
{
    if (store_setting_get(store, CHECK_SETTING, check, 2 * KC_DOMAIN_CHECK_LEN + 1) != KW_OK)
        check[0] = '\0';
}

kw_status gw_domain_fits(const struct kc_domain *domain, struct store *store, const char *data,
                         char *error, size_t error_len)
{
    char stored[2 * KC_DOMAIN_CHECK_LEN + 1] = "", check[2 * KC_DOMAIN_CHECK_LEN + 1];
    size_t objects = 0;
    kw_status status = store_setting_get(store, CHECK_SETTING, stored, sizeof stored);
    kc_domain_check(domain, check);
    if (status == KW_E_NOT_FOUND || (status == KW_OK && strcmp(stored, check) == 0))
        return KW_OK;
    if (status == KW_OK)
        KW_TRY(gw_domain_objects(&objects, data, error, error_len));
    else
        snprintf(error, error_len, "the store cannot be read (%s)", kw_status_name(status));
    if (objects == 0)
        return status;
    snprintf(error, error_len,
             "the store holds %zu versions under security domain %.8s, which domain %.8s could not "
             "open; recover into an instance without objects",
             objects, stored, check);
    return KW_E_CONFLICT;
}

/* A key that was uploaded before this start. Until the check value of the store is the new one, a
 * crash leaves the old domain; from then on the next start ends here again. */
static void take_next(struct store *store, const struct gw_config *config)
{
    const char *data = config->data;
    char error[512] = "", check[2 * KC_DOMAIN_CHECK_LEN + 1];
    struct kc_domain *next = NULL;
    kw_status status = gw_domain_next_read(&next, data, error, sizeof error);
    if (status == KW_E_NOT_FOUND)
        return;
    if (status == KW_OK)
        status = gw_domain_fits(next, store, data, error, sizeof error);
    if (status == KW_OK) {
        status = pool_join_order(data, config->members, config->member_count, next);
        if (status != KW_OK)
            snprintf(error, sizeof error, "the members' orders to join cannot be written");
    }
    if (status == KW_OK) {
        kc_domain_check(next, check);
        status = store_setting_put(store, CHECK_SETTING, check);
    }
    if (status == KW_OK)
        status = gw_domain_next_take(data, error, sizeof error);
    kc_domain_destroy(next);
    if (status == KW_OK) {
        gw_log(GW_LOG_WARN, "the uploaded security domain is installed", "domain", check, NULL);
        return;
    }
    gw_log(GW_LOG_ERROR, "the uploaded security domain was not installed", "error", error, NULL);
    if (status == KW_E_CONFLICT || status == KW_E_INPUT) {
        gw_domain_next_drop(data);
        if (store_setting_put(store, GW_DOMAIN_UPLOAD_SETTING, error) != KW_OK)
            gw_log(GW_LOG_ERROR, "why it was not installed cannot be kept", NULL);
    }
}

kw_status gw_domain_open(struct kc_domain **out, struct store *store,
                         const struct gw_config *config, bool create, char *error, size_t error_len)
{
    const char *data = config->data;
    char stored[2 * KC_DOMAIN_CHECK_LEN + 1] = "", check[2 * KC_DOMAIN_CHECK_LEN + 1];
    struct kc_domain *domain = NULL;
    take_next(store, config);
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
