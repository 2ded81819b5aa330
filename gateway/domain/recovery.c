#include "gateway/domain/recovery.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/config/domain_key.h"
#include "gateway/domain/domain.h"
#include "gateway/domain/exchange_key.h"
#include "gateway/domain/file.h"
#include "gateway/obs/log.h"

/* One call at a time, for the whole of it: they are rare. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gw_app *serving;
static struct gw_exchange_key exchange;
static struct kc_domain
    *made; /* by the activation of this run; the restart reads it from its file */

/* What is said of the last upload; read by loops. */
static pthread_mutex_t state_lock = PTHREAD_MUTEX_INITIALIZER;
static bool upload_under_way;
static char upload_error[512];

static void keep_state(bool under_way, const char *error)
{
    pthread_mutex_lock(&state_lock);
    upload_under_way = under_way;
    snprintf(upload_error, sizeof upload_error, "%s", error);
    pthread_mutex_unlock(&state_lock);
}

void gw_recovery_begin(struct gw_app *app)
{
    char error[sizeof upload_error] = "";
    if (store_setting_get(app->store, GW_DOMAIN_UPLOAD_SETTING, error, sizeof error) != KW_OK ||
        strcmp(error, GW_DOMAIN_UPLOAD_TAKEN) == 0)
        error[0] = '\0';
    keep_state(false, error);
    pthread_mutex_lock(&lock);
    serving = app;
    pthread_mutex_unlock(&lock);
}

void gw_recovery_end(struct gw_app *app)
{
    pthread_mutex_lock(&lock);
    if (serving == app) {
        serving = NULL;
        gw_exchange_key_clear(&exchange);
        kc_domain_destroy(made);
        made = NULL;
    }
    pthread_mutex_unlock(&lock);
}

static bool enter(struct gw_app *app, struct gw_recovery_answer *out)
{
    *out = (struct gw_recovery_answer){.text = NULL};
    pthread_mutex_lock(&lock);
    if (serving == app)
        return true;
    pthread_mutex_unlock(&lock);
    out->http = 503;
    snprintf(out->error, sizeof out->error, "The gateway is ending. Try again.");
    return false;
}

static int http_of(kw_status status)
{
    switch (status) {
    case KW_OK:
        return 0;
    case KW_E_INPUT:
    case KW_E_CRYPTO:
        return 400;
    case KW_E_CONFLICT:
        return 409;
    default:
        return 503;
    }
}

/* --- download --- */

static kw_status download(struct gw_app *app, X509 *const *certs, size_t count, unsigned required,
                          struct gw_recovery_answer *out)
{
    struct kc_domain *fresh = NULL;
    const struct kc_domain *domain = made ? made : app->domain;
    if (app->awaiting && !made) {
        if (app->lost_domain[0]) {
            snprintf(out->error, sizeof out->error,
                     "the store belongs to security domain %.8s, whose key is missing; recover it "
                     "by an upload",
                     app->lost_domain);
            return KW_E_CONFLICT;
        }
        KW_TRY(kc_domain_create(&fresh));
        domain = fresh;
    }
    /* sealed first: what cannot be handed out must not become the domain */
    kw_status status = gw_domain_file_make(&out->text, domain, certs, count, required, out->error,
                                           sizeof out->error);
    if (status == KW_OK && fresh)
        status = gw_domain_key_keep(fresh, app->config->data, out->error, sizeof out->error);
    if (status == KW_OK && fresh) {
        made = fresh;
        fresh = NULL;
        out->restart = true;
    }
    kc_domain_destroy(fresh);
    return status;
}

void gw_recovery_download(struct gw_app *app, X509 *const *certs, size_t count, unsigned required,
                          struct gw_recovery_answer *out)
{
    if (!enter(app, out))
        return;
    out->http = http_of(download(app, certs, count, required, out));
    if (out->http) {
        free(out->text);
        out->text = NULL;
    }
    pthread_mutex_unlock(&lock);
    if (out->http)
        return;
    gw_log_n(GW_LOG_WARN, "the security domain was downloaded", "quorum", required, "activated",
             out->restart ? "true" : "false", NULL);
}

/* --- upload --- */

void gw_recovery_transfer_key(struct gw_app *app, struct gw_recovery_answer *out)
{
    if (!enter(app, out))
        return;
    kw_status status = exchange.key ? KW_OK : gw_exchange_key_make(&exchange);
    if (status == KW_OK)
        out->text = gw_exchange_key_jwk(&exchange);
    if (!out->text) {
        out->http = 503;
        snprintf(out->error, sizeof out->error, "The exchange key cannot be made. Try again.");
    }
    pthread_mutex_unlock(&lock);
}

/* Nothing may be written under the old domain from the second look on; what was under way during it
 * is found by the start that follows. */
static kw_status install(struct gw_app *app, const struct kc_domain *domain,
                         struct gw_recovery_answer *out)
{
    const char *data = app->config->data;
    atomic_store(&app->closed, true);
    kw_status status = gw_domain_fits(domain, app->store, data, out->error, sizeof out->error);
    if (status == KW_OK)
        status = gw_domain_next_write(domain, data, out->error, sizeof out->error);
    out->restart = status == KW_OK;
    if (status != KW_OK)
        atomic_store(&app->closed, false);
    return status;
}

/* The domain that is here already, shown with its quorum: an operator's word for every token that
 * waits for one. */
static void join_members(struct gw_app *app)
{
    struct pool_stats *stats = malloc(sizeof *stats);
    if (!stats)
        return;
    pool_stats_read(app->pool, stats);
    for (size_t i = 0; i < stats->member_count; i++) {
        if (strcmp(stats->members[i].health, "mismatched") == 0 &&
            pool_member_command(app->pool, stats->members[i].name, POOL_CMD_REPLACE) == KW_OK)
            gw_log(GW_LOG_WARN, "the member joins the uploaded domain", "member",
                   stats->members[i].name, NULL);
    }
    free(stats);
}

static kw_status upload(struct gw_app *app, const char *text, size_t len,
                        struct gw_recovery_answer *out)
{
    char *error = out->error;
    const size_t error_len = sizeof out->error;
    struct kc_domain *domain = NULL;
    if (!exchange.key) {
        snprintf(error, error_len,
                 "there is no exchange key: ask for one (init-recovery) and make the transfer "
                 "blob with it");
        return KW_E_CONFLICT;
    }
    if (made) {
        snprintf(error, error_len, "the gateway was just activated with a domain of its own");
        return KW_E_CONFLICT;
    }
    KW_TRY(
        gw_domain_transfer_open(&domain, text, len, exchange.x5t, exchange.key, error, error_len));
    char now[2 * KC_DOMAIN_CHECK_LEN + 1], then[2 * KC_DOMAIN_CHECK_LEN + 1];
    kc_domain_check(app->domain, now);
    kc_domain_check(domain, then);
    bool same = !app->awaiting && strcmp(now, then) == 0;
    kw_status status = gw_domain_fits(domain, app->store, app->config->data, error, error_len);
    if (status == KW_OK && !same)
        status = install(app, domain, out);
    else if (status == KW_OK)
        join_members(app);
    if (status == KW_OK) {
        gw_exchange_key_clear(&exchange); /* used once */
        gw_log(GW_LOG_WARN, "a security domain was uploaded", "domain", then, "replaces",
               app->awaiting ? "none" : now, NULL);
    }
    kc_domain_destroy(domain);
    return status;
}

void gw_recovery_upload(struct gw_app *app, const char *text, size_t len,
                        struct gw_recovery_answer *out)
{
    if (!enter(app, out))
        return;
    keep_state(true, "");
    kw_status status =
        store_setting_put(app->store, GW_DOMAIN_UPLOAD_SETTING, GW_DOMAIN_UPLOAD_TAKEN);
    if (status == KW_OK)
        status = upload(app, text, len, out);
    out->http = http_of(status);
    if (status != KW_OK && !out->error[0])
        snprintf(out->error, sizeof out->error, "The upload cannot be taken now (%s). Try again.",
                 kw_status_name(status));
    keep_state(out->restart, out->error);
    if (status != KW_OK)
        gw_log(GW_LOG_WARN, "an upload of a security domain was refused", "error", out->error,
               NULL);
    pthread_mutex_unlock(&lock);
}

/* A domain is on the members once they serve: those that do not yet are named. */
static void say_members(struct gw_app *app, char *details, size_t len)
{
    struct pool_stats *stats = malloc(sizeof *stats);
    size_t tokens = 0, serve = 0;
    char away[256] = "";
    int used = 0;
    snprintf(details, len, "The gateway has its security domain.");
    if (!stats)
        return;
    pool_stats_read(app->pool, stats);
    for (size_t i = 0; i < stats->member_count; i++) {
        const struct pool_member_stats *member = &stats->members[i];
        if (strcmp(member->kind, "pkcs11") != 0)
            continue;
        tokens++;
        serve += member->serving;
        if (!member->serving && used < (int)sizeof away)
            used += snprintf(away + used, sizeof away - (size_t)used, "%s%s", used ? ", " : "",
                             member->name);
    }
    free(stats);
    if (tokens > 0)
        snprintf(details, len, "The gateway has its security domain; %zu of %zu tokens serve%s%s.",
                 serve, tokens, *away ? ", not yet: " : "", away);
}

const char *gw_recovery_status(struct gw_app *app, bool upload_status, char *details, size_t len)
{
    pthread_mutex_lock(&state_lock);
    bool under_way = upload_under_way;
    snprintf(details, len, "%s", upload_status ? upload_error : "");
    pthread_mutex_unlock(&state_lock);
    if (details[0])
        return "Failed";
    if (app->awaiting || under_way || atomic_load(&app->closed)) {
        snprintf(details, len, "%s",
                 under_way ? "The security domain is being installed."
                           : "The gateway has no security domain yet.");
        return "InProgress";
    }
    say_members(app, details, len);
    return "Success";
}
