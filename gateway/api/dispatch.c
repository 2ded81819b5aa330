/* The order of checks, the same for every request: identity, api-version, route and method, access,
 * then the body and the handler. The 401 comes before anything of the request is looked at, because
 * every client's first request is an empty probe for it. */

#include "crypto/base/clock.h"
#include "gateway/api/error.h"
#include "gateway/api/keys/common.h"
#include "gateway/api/keys/keys.h"
#include "gateway/api/reply.h"
#include "gateway/api/roles/scope.h"
#include "gateway/api/router.h"
#include "gateway/app.h"
#include "gateway/auth/access.h"
#include "gateway/auth/rate.h"

/* The tenant is read from the path of `authorization` and must be there; the value is the one that
 * says "no particular tenant". One header line in exactly this form: see the clients' parsers. */
#define CHALLENGE(resource)                                                                        \
    "Bearer authorization=\"https://login.microsoftonline.com/"                                    \
    "00000000-0000-0000-0000-000000000000\", resource=\"https://" resource "\""

static void reply_challenge(struct gw_request *req)
{
    struct gw_fault fault;
    bool hsm = req->site && req->site->managed_hsm;
    gw_reply_header(req, "www-authenticate",
                    hsm ? CHALLENGE("managedhsm.azure.net") : CHALLENGE("vault.azure.net"));
    if (hsm && req->authorization.len == 0) {
        gw_reply(req, 401, NULL, NULL, 0); /* a Managed HSM's has no body */
        return;
    }
    if (req->authorization.len == 0)
        gw_fault_set(&fault, 401, "Unauthorized", NULL,
                     "AKV10000: Request is missing a Bearer or PoP token.");
    else
        gw_fault_set(&fault, 401, "Unauthorized", NULL,
                     "AKV10032: The token of the request is not valid here.");
    gw_reply_fault(req, &fault);
}

/* The pool's loop guard, on the side that receives. */
static bool check_via(const struct gw_request *req, struct gw_fault *fault)
{
    if (req->via.len == 0 || pool_via_allows(pool_instance(gw_loop_app(req->loop)->pool), req->via))
        return true;
    return gw_fault_set(fault, 508, "LoopDetected", NULL,
                        "The request has come through this gateway before, or through too many.");
}

static bool digits(const uint8_t **at, const uint8_t *end, size_t min, size_t max)
{
    size_t n = 0;
    while (*at < end && **at >= '0' && **at <= '9') {
        (*at)++;
        n++;
    }
    return n >= min && n <= max;
}

static bool take(const uint8_t **at, const uint8_t *end, const char *text)
{
    size_t len = strlen(text);
    if ((size_t)(end - *at) < len || memcmp(*at, text, len) != 0)
        return false;
    *at += len;
    return true;
}

/* "7.N", "7.N-preview", "7.N-preview.M", "YYYY-MM-DD", "YYYY-MM-DD-preview" */
static bool version_ok(struct kw_span version)
{
    const uint8_t *at = version.data, *end = at + version.len;
    if (take(&at, end, "7.")) {
        if (!digits(&at, end, 1, 2))
            return false;
        if (take(&at, end, "-preview") && take(&at, end, "."))
            return digits(&at, end, 1, 2) && at == end;
        return at == end;
    }
    if (!digits(&at, end, 4, 4) || !take(&at, end, "-") || !digits(&at, end, 2, 2) ||
        !take(&at, end, "-") || !digits(&at, end, 2, 2))
        return false;
    take(&at, end, "-preview");
    return at == end;
}

static bool check_version(struct gw_request *req, struct gw_fault *fault)
{
    struct kw_span version;
    if (!gw_query_get(req, "api-version", &version) || version.len == 0)
        return gw_fault_bad(fault, "The query parameter 'api-version' is missing.");
    if (!version_ok(version))
        return gw_fault_bad(fault, "The query parameter 'api-version' has no known form; "
                                   "'2025-07-01' or '7.4' would do.");
    return true;
}

static bool check_route(struct gw_request *req, enum gw_match match,
                        const struct gw_match_result *result, struct gw_fault *fault)
{
    if (match == GW_MATCH_NO_PATH)
        return gw_fault_set(fault, 404, "NotFound", NULL,
                            "The path of the request names nothing that this service has.");
    if (match == GW_MATCH_NO_METHOD) {
        const char *allow = gw_router_allow(result->methods, req->arena);
        if (allow)
            gw_reply_header(req, "allow", allow);
        return gw_fault_set(fault, 405, "MethodNotAllowed", NULL,
                            "The method of the request is not allowed for this path.");
    }
    return true;
}

/* Which vault? Before anything is refused, because refusals look different by its type. */
static bool find_site(struct gw_request *req, struct gw_fault *fault)
{
    struct kw_span authority;
    if (!gw_authority(req, &authority))
        return gw_fault_bad(fault, "The Host of the request is not a host name and port.");
    if (req->peer->face == GW_FACE_ADMIN)
        return true;
    req->site = gw_sites_find(gw_loop_app(req->loop)->sites, authority);
    if (!req->site)
        return gw_fault_set(fault, 404, "VaultNotFound", NULL,
                            "No vault of this gateway has the host name %.*s.", (int)authority.len,
                            (const char *)authority.data);
    return true;
}

/* A Managed HSM has keys and its own administration, a Key Vault has no HSM to administer. */
static bool check_kind(const struct gw_request *req, struct gw_fault *fault)
{
    const struct gw_route *route = req->route;
    bool secret = route->kind == STORE_SECRET || route->kind == STORE_CERTIFICATE;
    if (req->peer->face == GW_FACE_CONTROL)
        return true; /* operators back up and restore vaults of each kind */
    if (!req->site || !((secret && req->site->managed_hsm) || (route->hsm && req->site->key_vault)))
        return true;
    return gw_fault_set(fault, 404, "NotFound", NULL,
                        "The path of the request names nothing that a %s has.",
                        req->site->managed_hsm ? "Managed HSM" : "Key Vault");
}

/* Before activation, and while one domain takes the place of another, there is nothing to work on.
 */
static bool check_domain(struct gw_app *app, const struct gw_request *req, struct gw_fault *fault)
{
    if (req->route->bare || req->route->face == GW_FACE_ADMIN)
        return true;
    if (app->awaiting)
        return gw_fault_set(fault, 403, "Forbidden", "HsmNotActivated",
                            "This instance is not activated: its security domain has to be "
                            "downloaded, or recovered by an upload, first.");
    if (!atomic_load(&app->closed))
        return true;
    gw_fault_set(fault, 503, "ServiceUnavailable", NULL,
                 "A security domain is being installed. Try again.");
    fault->retry_after_s = 2;
    return false;
}

/* A key's name stands in every path of the API face that has a parameter. */
static bool check_names(const struct gw_request *req, struct gw_fault *fault)
{
    if (req->route->face != GW_FACE_API || req->param_count == 0)
        return true;
    if (!gw_object_name_ok(req->params[0]))
        return gw_fault_bad(fault,
                            "The request URI contains an invalid name: 1 to %d letters, "
                            "digits and '-' are allowed.",
                            STORE_NAME_MAX);
    return true;
}

/* UNKNOWN is gone soon: the roles are read. */
static enum vault_access access_in(const struct gw_request *req, const struct gw_site *site,
                                   struct role_scope resource)
{
    enum vault_access access =
        gw_access(req->identity, site, gw_access_action(req->route), resource);
    if (access == VAULT_ACCESS_UNKNOWN)
        vault_roles_prompt(site->roles, req->loop);
    return access;
}

/* The security domain opens every vault: a right to it is one in each vault that has roles. */
static enum vault_access access_in_all(const struct gw_app *app, const struct gw_request *req,
                                       struct role_scope resource)
{
    const struct gw_site *site;
    enum vault_access access = VAULT_ACCESS_YES;
    for (size_t i = 0; access == VAULT_ACCESS_YES && (site = gw_sites_at(app->sites, i)); i++) {
        if (!site->key_vault)
            access = access_in(req, site, resource);
    }
    return access;
}

static bool check_access(const struct gw_app *app, const struct gw_request *req,
                         struct gw_fault *fault)
{
    const struct gw_route *route = req->route;
    if (route->open || !route->action || (req->identity && req->identity->full))
        return true;
    struct role_scope resource = gw_route_scope(route, req->params);
    /* without a security domain no assignment can be read, and nobody was given anything */
    enum vault_access access = app->awaiting ? VAULT_ACCESS_NO
                               : route->bare ? access_in_all(app, req, resource)
                                             : access_in(req, req->site, resource);
    return access == VAULT_ACCESS_YES ||
           gw_access_fault(fault, access, req->identity, route->action, resource);
}

/* Operators' faces are not limited: they must answer when the rest is flooded. */
static bool check_rate(struct gw_app *app, const struct gw_request *req, struct gw_fault *fault)
{
    if (!app->rate || req->peer->face != GW_FACE_API)
        return true;
    unsigned wait_s = gw_rate_take(app->rate, req->identity->subject, req->started_ns);
    if (wait_s == 0)
        return true;
    gw_fault_set(fault, 429, "Throttled", NULL,
                 "The client sends more requests than limits.rate allows. Try again later.");
    fault->retry_after_s = wait_s;
    return false;
}

static void reply_options(struct gw_request *req, unsigned methods)
{
    const char *allow = gw_router_allow(methods, req->arena);
    if (allow)
        gw_reply_header(req, "allow", allow);
    gw_reply(req, 204, NULL, NULL, 0);
}

/* Everything that can be said without the body. False: answered. */
static bool check_head(struct gw_request *req)
{
    struct gw_app *app = gw_loop_app(req->loop);
    enum gw_face face = req->peer->face;
    struct gw_fault fault;
    struct gw_path path;
    struct gw_match_result result = {0};
    const char *why = NULL;
    bool known = find_site(req, &fault);
    if (face != GW_FACE_ADMIN && gw_auth_identify(app->auth, req) != KW_OK) {
        reply_challenge(req);
        return false;
    }
    if (!known || !check_rate(app, req, &fault)) {
        gw_reply_fault(req, &fault);
        return false;
    }
    if (req->method == GW_OPTIONS && req->target.len == 1 && req->target.data[0] == '*') {
        reply_options(req, ~0u);
        return false;
    }
    bool parsed = gw_target_parse(req->target, req->arena, &path, &req->query, &why);
    if (!parsed) {
        gw_fault_bad(&fault, "The request URI is not valid: %s.", why);
        gw_reply_fault(req, &fault);
        return false;
    }
    enum gw_match match = gw_router_match(face, req->method, &path, &result);
    if (match != GW_MATCH_NO_PATH && req->method == GW_OPTIONS) {
        reply_options(req, result.methods);
        return false;
    }
    bool versionless = face != GW_FACE_API || (match == GW_MATCH_FOUND && result.route->no_version);
    if (!check_via(req, &fault) || (!versionless && !check_version(req, &fault)) ||
        !check_route(req, match, &result, &fault)) {
        gw_reply_fault(req, &fault);
        return false;
    }
    req->route = result.route;
    req->param_count = result.param_count;
    memcpy(req->params, result.params, sizeof req->params);
    if (!check_kind(req, &fault) || !check_access(app, req, &fault) || !check_names(req, &fault) ||
        !check_domain(app, req, &fault)) {
        gw_reply_fault(req, &fault);
        return false;
    }
    return true;
}

enum gw_begin gw_request_begin(struct gw_request *req)
{
    if (req->started_ns == 0)
        req->started_ns = kw_now_ns();
    gw_request_id(req->id);
    if (!check_head(req))
        return GW_BEGIN_REPLIED;
    const struct gw_limits *limits = gw_app_limits(gw_loop_app(req->loop));
    req->body_max = req->route->batch      ? limits->max_batch_body
                    : req->route->body_max ? req->route->body_max
                                           : limits->max_body;
    if (!req->route->piece)
        return GW_BEGIN_BUFFER;
    req->route->begin(req);
    return req->replied ? GW_BEGIN_REPLIED : GW_BEGIN_STREAM;
}

void gw_request_body(struct gw_request *req, struct kw_span piece)
{
    if (!req->replied && req->route && req->route->piece)
        req->route->piece(req, piece);
}

void gw_request_run(struct gw_request *req)
{
    if (!req->replied && req->route)
        req->route->run(req);
}

void gw_request_too_large(struct gw_request *req)
{
    if (req->replied)
        return;
    if (req->route && req->route->piece) {
        gw_batch_too_large(req);
        return;
    }
    gw_reply_status(req, KW_E_TOO_LARGE, (struct kw_span){0});
}
