#include "gateway/admin/admin.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/admin/page.h"
#include "gateway/api/route.h"
#include "gateway/app.h"
#include "gateway/obs/log.h"
#include "gateway/obs/metrics.h"
#include "gateway/obs/status_json.h"

#define JSON_TYPE "application/json; charset=utf-8"
#define CSP                                                                                        \
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src "      \
    "'self'; "                                                                                     \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static void reply_text(struct gw_request *req, int status, const char *type, const char *text)
{
    gw_reply_header(req, "cache-control", "no-store");
    gw_reply(req, status, type, text, strlen(text));
}

static void reply_made(struct gw_request *req, int status, const char *type, char *text, size_t len)
{
    if (!text) {
        reply_text(req, 503, JSON_TYPE, "{\"ready\":false,\"reasons\":[\"out of memory\"]}");
        return;
    }
    gw_reply_header(req, "cache-control", "no-store");
    gw_reply_owned(req, status, type, text, len, free);
}

void gw_admin_index(struct gw_request *req)
{
    gw_reply_header(req, "content-security-policy", CSP);
    gw_reply_header(req, "x-content-type-options", "nosniff");
    reply_text(req, 200, "text/html; charset=utf-8", gw_admin_page);
}

void gw_admin_healthz(struct gw_request *req)
{
    bool alive = gw_app_loops_alive(gw_loop_app(req->loop));
    reply_text(req, alive ? 200 : 503, JSON_TYPE,
               alive ? "{\"alive\":true}"
                     : "{\"alive\":false,\"reason\":\"a loop does not turn\"}");
}

void gw_admin_readyz(struct gw_request *req)
{
    bool ready = false;
    size_t len = 0;
    char *text = gw_ready_json(gw_loop_app(req->loop), &ready, &len);
    reply_made(req, ready ? 200 : 503, JSON_TYPE, text, len);
}

void gw_admin_metrics(struct gw_request *req)
{
    struct gw_app *app = gw_loop_app(req->loop);
    size_t len = 0;
    char *text = gw_metrics_render(app->metrics, app->pool, &len);
    reply_made(req, 200, "text/plain; version=0.0.4; charset=utf-8", text, len);
}

void gw_admin_status(struct gw_request *req)
{
    size_t len = 0;
    char *text = gw_status_json(gw_loop_app(req->loop), &len);
    reply_made(req, 200, JSON_TYPE, text, len);
}

void gw_admin_member(struct gw_request *req)
{
    static const struct {
        const char *word;
        enum pool_command command;
    } commands[] = {{"/recover", POOL_CMD_RECOVER},
                    {"/drain", POOL_CMD_DRAIN},
                    {"/activate", POOL_CMD_ACTIVATE},
                    {"/replace", POOL_CMD_REPLACE},
                    {"/sync", POOL_CMD_SYNC}};
    const char *word = strrchr(req->route->pattern, '/');
    char name[POOL_NAME_MAX + 1] = "";
    if (req->param_count > 0 && req->params[0].len < sizeof name)
        memcpy(name, req->params[0].data, req->params[0].len);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(word, commands[i].word) != 0)
            continue;
        struct gw_app *app = gw_loop_app(req->loop);
        kw_status status = pool_member_command(app->pool, name, commands[i].command);
        if (status == KW_E_CONFLICT) {
            reply_text(req, 409, JSON_TYPE,
                       "{\"error\":\"the member is not in a state where this has a meaning\"}");
            return;
        }
        if (status != KW_OK) {
            reply_text(req, 404, JSON_TYPE, "{\"error\":\"no member has this name\"}");
            return;
        }
        gw_log(GW_LOG_INFO, "operator command", "member", name, "command", word + 1, NULL);
        reply_text(req, 202, JSON_TYPE, "{\"accepted\":true}");
        return;
    }
    reply_text(req, 404, JSON_TYPE, "{\"error\":\"no such command\"}");
}
