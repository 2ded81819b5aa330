#include "gateway/api/objects/deletion.h"

#include "gateway/api/aside.h"
#include "gateway/api/json/read.h"
#include "gateway/api/objects/common.h"
#include "gateway/api/reply.h"
#include "gateway/api/route.h"

#define BACKUP_READ_HERE (64u << 10) /* bytes of a body; some 0.1 ms of the loop */

struct vault_terms gw_site_terms(const struct gw_site *site)
{
    return (struct vault_terms){.retention_days = site->retention_days,
                                .purge_protection = site->purge_protection};
}

void gw_write_recovery(struct gw_out *out, const struct gw_site *site)
{
    struct vault_terms terms = gw_site_terms(site);
    gw_out_text(out, "\"recoveryLevel\":\"");
    gw_out_text(out, vault_recovery_level(&terms));
    gw_out_text(out, "\",\"recoverableDays\":");
    gw_out_int(out, terms.retention_days);
}

bool gw_fault_purge_protected(struct gw_fault *fault, enum store_kind kind, struct kw_span name)
{
    return gw_fault_set(
        fault, 403, "Forbidden", "ForbiddenByPolicy",
        "Operation purge is not allowed on %s %.*s: purge protection is enabled for "
        "this vault, which purges it itself when its retention ends.",
        gw_kind_title(kind), (int)name.len, (const char *)name.data);
}

bool gw_fault_restore(struct gw_fault *fault, enum store_kind kind,
                      const struct vault_restored *what, const struct kc_domain *domain)
{
    char check[2 * KC_DOMAIN_CHECK_LEN + 1];
    kc_domain_check(domain, check);
    switch (what->status) {
    case KW_E_INPUT:
        return gw_fault_bad(fault,
                            "Property 'value' is not a valid backup of a %s: it is damaged, or of "
                            "another kind of object.",
                            gw_kind_title(kind));
    case KW_E_UNSUPPORTED:
        return gw_fault_bad(fault, "Property 'value' is a backup that a newer version of this "
                                   "service has made.");
    case KW_E_FORBIDDEN:
        return gw_fault_bad(fault,
                            "Property 'value' is a backup of another security domain (%s; here: "
                            "%s). A backup can be restored only where the domain is the same.",
                            what->check, check);
    case KW_E_CONFLICT:
        return gw_fault_conflict(fault, kind, what->conflict,
                                 kw_span_str(what->name ? what->name : ""));
    default:
        return gw_fault_status_of(fault, kind, what->status,
                                  kw_span_str(what->name ? what->name : ""));
    }
}

static void reply_backup(struct gw_request *req, kw_status status, struct kw_span blob)
{
    enum store_kind kind = req->route->kind ? req->route->kind : STORE_KEY;
    struct gw_fault fault;
    struct gw_out out;
    if (status == KW_OK) {
        gw_out_init(&out, req->arena, blob.len / 3 * 4 + 64, 2 * (size_t)VAULT_BACKUP_MAX);
        gw_out_text(&out, "{\"value\":");
        gw_out_b64(&out, blob);
        gw_out_text(&out, "}");
        gw_reply_json(req, 200, &out);
        return;
    }
    if (status == KW_E_TOO_LARGE)
        gw_fault_bad(&fault,
                     "%s %.*s has more versions than one backup holds (%u MB, %u versions).",
                     gw_kind_title(kind), (int)req->params[0].len,
                     (const char *)req->params[0].data, VAULT_BACKUP_MAX >> 20, STORE_CHANGES_MAX);
    else
        gw_fault_status_of(&fault, kind, status, req->params[0]);
    gw_reply_fault(req, &fault);
}

static void on_backup(void *ctx, kw_status status, struct kw_span blob)
{
    struct gw_request *req = ctx;
    reply_backup(req, status, blob);
    gw_request_unref(req);
}

void gw_back_up(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    enum store_kind kind = req->route->kind ? req->route->kind : STORE_KEY;
    struct store_ref ref = {.vault = site->name, .kind = kind, .name = gw_name_param(req)};
    if (!ref.name)
        return;
    gw_request_ref(req);
    vault_backup(site->vault, req->loop, &ref, on_backup, req);
}

static bool read_backup(struct gw_request *req, struct gw_arena *arena, struct kw_span *blob,
                        struct gw_fault *fault)
{
    json_t *root = gw_json_parse(kw_buf_span(&req->body), fault);
    bool ok = root && gw_json_bytes(root, "value", VAULT_BACKUP_MAX, arena, blob, fault);
    json_decref(root);
    if (ok && !blob->data)
        return gw_fault_bad(fault, "Property 'value' is missing.");
    return ok;
}

/* A large body on its way; in the request's arena, of which it holds a reference. */
struct reading {
    struct gw_request *req;
    gw_backup_next_fn *next;
    struct gw_arena *arena; /* the request's own is of the loop's thread */
    struct kw_span blob;
    bool ok;
    struct gw_fault fault;
};

/* On the thread beside the loops. */
static void read_aside(void *ctx)
{
    struct reading *reading = ctx;
    reading->ok = read_backup(reading->req, reading->arena, &reading->blob, &reading->fault);
}

static void on_read(void *ctx)
{
    struct reading *reading = ctx;
    struct gw_request *req = reading->req;
    struct gw_arena *arena = reading->arena;
    if (reading->ok)
        reading->next(req, reading->blob);
    else
        gw_reply_fault(req, &reading->fault);
    gw_arena_destroy(arena);
    gw_request_unref(req);
}

static void start_reading(struct gw_request *req, gw_backup_next_fn *next)
{
    struct reading *reading = gw_arena_alloc(req->arena, sizeof *reading);
    struct gw_arena *arena = gw_arena_create();
    if (!reading || !arena) {
        gw_arena_destroy(arena);
        gw_reply_nomem(req);
        return;
    }
    *reading = (struct reading){.req = req, .next = next, .arena = arena};
    gw_request_ref(req);
    kw_status status = gw_aside_run(req->loop, read_aside, on_read, reading);
    if (status != KW_OK) {
        gw_arena_destroy(arena);
        gw_reply_status(req, status, (struct kw_span){0});
        gw_request_unref(req);
    }
}

void gw_with_backup(struct gw_request *req, gw_backup_next_fn *next)
{
    struct gw_fault fault;
    struct kw_span blob;
    if (req->body.len > BACKUP_READ_HERE)
        start_reading(req, next);
    else if (read_backup(req, req->arena, &blob, &fault))
        next(req, blob);
    else
        gw_reply_fault(req, &fault);
}
