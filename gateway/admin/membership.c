/* An operator joins or removes a member. The configuration file is read for it, so the work is done
 * beside the loops. */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/admin/admin.h"
#include "gateway/api/aside.h"
#include "gateway/api/error.h"
#include "gateway/api/route.h"
#include "gateway/app.h"

struct change {
    struct gw_request *req;
    struct gw_app *app;
    enum gw_member_change what;
    char name[POOL_NAME_MAX + 1];
    int http;
    char text[4096];
};

static void work(void *ctx)
{
    struct change *change = ctx;
    change->http = gw_app_change_member(change->app, change->name, change->what, change->text,
                                        sizeof change->text);
}

static void done(void *ctx)
{
    struct change *change = ctx;
    struct gw_request *req = change->req;
    json_t *json = json_pack("{s:b,s:s}", "accepted", change->http == 202, "text", change->text);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (text) {
        gw_reply_header(req, "cache-control", "no-store");
        gw_reply_owned(req, change->http, "application/json; charset=utf-8", text, strlen(text),
                       free);
    } else {
        gw_reply_nomem(req);
    }
    free(change);
    gw_request_unref(req);
}

void gw_admin_membership(struct gw_request *req)
{
    const char *word = strrchr(req->route->pattern, '/');
    struct change *change = calloc(1, sizeof *change);
    if (!change) {
        gw_reply_nomem(req);
        return;
    }
    change->req = req;
    change->app = gw_loop_app(req->loop);
    change->what = strcmp(word, "/add") == 0      ? GW_MEMBER_ADD
                   : strcmp(word, "/remove") == 0 ? GW_MEMBER_REMOVE
                                                  : GW_MEMBER_REMOVE_FORCED;
    if (req->param_count > 0 && req->params[0].len < sizeof change->name)
        memcpy(change->name, req->params[0].data, req->params[0].len);
    gw_request_ref(req);
    if (gw_aside_run(req->loop, work, done, change) != KW_OK) {
        free(change);
        gw_reply_nomem(req);
        gw_request_unref(req);
    }
}
