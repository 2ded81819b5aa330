/* Who may do what is read before the first request can ask. */

#include <pthread.h>
#include <stdio.h>

#include "gateway/app.h"
#include "gateway/obs/log.h"

struct wait {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
    kw_status status;
};

static void on_loaded(void *ctx, kw_status status)
{
    struct wait *wait = ctx;
    pthread_mutex_lock(&wait->lock);
    wait->status = status;
    wait->done = true;
    pthread_cond_signal(&wait->ended);
    pthread_mutex_unlock(&wait->lock);
}

static kw_status load(struct gw_app *app, const struct gw_site *site)
{
    struct wait wait = {.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
    vault_roles_load(site->roles, app->loops[0], on_loaded, &wait);
    pthread_mutex_lock(&wait.lock);
    while (!wait.done)
        pthread_cond_wait(&wait.ended, &wait.lock);
    pthread_mutex_unlock(&wait.lock);
    pthread_cond_destroy(&wait.ended);
    pthread_mutex_destroy(&wait.lock);
    return wait.status;
}

void gw_app_load_roles(struct gw_app *app)
{
    const struct gw_site *site;
    for (size_t i = 0; !app->awaiting && (site = gw_sites_at(app->sites, i)); i++) {
        kw_status status = load(app, site);
        if (status != KW_OK)
            gw_log(GW_LOG_ERROR,
                   "the role assignments of a vault cannot be read: tokens without full access are "
                   "refused there",
                   "vault", site->name, "error", kw_status_name(status), NULL);
    }
}
