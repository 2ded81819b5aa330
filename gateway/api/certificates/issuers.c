/* /certificates/issuers, /certificates/contacts: kept and shown. No certification authority stands
 * behind an issuer here, so its password is not kept: nothing could use it. */

#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/api/certificates/certificates.h"
#include "gateway/api/certificates/common.h"
#include "gateway/api/json/read.h"
#include "gateway/api/reply.h"

#define TEXT_MAX     254
#define ADMINS_MAX   32
#define CONTACTS_MAX 32

/* One change of a document; in the request's arena. */
struct change {
    struct gw_request *req;
    json_t *body; /* of the request, checked; NULL: remove */
    bool replace; /* set, not merge */
};

static void write_json(struct gw_out *out, const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (!text)
        out->failed = true;
    else
        gw_out_text(out, text);
    free(text);
}

static void reply_status(struct gw_request *req, kw_status status, const char *code,
                         const char *text)
{
    struct gw_fault fault;
    if (status == KW_E_NOT_FOUND)
        gw_fault_set(&fault, 404, code, NULL, "%s", text);
    else
        gw_fault_status_of(&fault, STORE_CERTIFICATE, status, (struct kw_span){0});
    gw_reply_fault(req, &fault);
}

/* Strings that are kept have a bound. */
static bool copy_text(json_t *to, const json_t *from, const char *name, struct gw_fault *fault)
{
    struct kw_span text;
    if (!gw_json_string(from, name, TEXT_MAX, &text, fault))
        return false;
    if (text.data)
        json_object_set_new(to, name, json_stringn((const char *)text.data, text.len));
    return true;
}

static bool copy_people(json_t *to, const json_t *from, const char *list,
                        const char *const *members, size_t count, size_t max,
                        struct gw_fault *fault)
{
    json_t *array = NULL;
    if (!gw_json_array(from, list, &array, fault))
        return false;
    if (json_array_size(array) > max)
        return gw_fault_bad(fault, "Property '%s' holds more than %zu entries.", list, max);
    if (!array)
        return true;
    json_t *copies = json_array();
    json_object_set_new(to, list, copies);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *one = json_array_get(array, i);
        if (!json_is_object(one))
            return gw_fault_bad(fault, "Property '%s' must hold objects.", list);
        json_t *copy = json_object();
        json_array_append_new(copies, copy);
        for (size_t m = 0; m < count; m++)
            if (!copy_text(copy, one, members[m], fault))
                return false;
    }
    return true;
}

/* --- issuers --- */

/** What the body says, and nothing else; NULL with the fault filled. */
static json_t *read_issuer(const json_t *root, bool whole, struct gw_fault *fault)
{
    static const char *const admin[] = {"first_name", "last_name", "email", "phone"};
    json_t *out = json_object(), *credentials = NULL, *org = NULL, *attributes = NULL;
    bool enabled = true, present = false;
    bool ok = out && copy_text(out, root, "provider", fault) &&
              gw_json_object(root, "credentials", &credentials, fault) &&
              gw_json_object(root, "org_details", &org, fault) &&
              gw_json_object(root, "attributes", &attributes, fault) &&
              (!attributes || gw_json_bool(attributes, "enabled", &enabled, &present, fault));
    if (ok && whole && !json_object_get(out, "provider"))
        ok = gw_fault_bad(fault, "Property 'provider' is missing.");
    if (ok && credentials) {
        json_t *copy = json_object();
        json_object_set_new(out, "credentials", copy);
        ok = copy_text(copy, credentials, "account_id", fault);
    }
    if (ok && org) {
        json_t *copy = json_object();
        json_object_set_new(out, "org_details", copy);
        ok = copy_text(copy, org, "id", fault) &&
             copy_people(copy, org, "admin_details", admin, 4, ADMINS_MAX, fault);
    }
    if (ok && present)
        json_object_set_new(out, "attributes", json_pack("{s:b}", "enabled", enabled));
    if (!ok) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static void write_issuer_id(struct gw_out *out, const struct gw_request *req, const char *name)
{
    gw_out_text(out, "{\"id\":");
    gw_write_url(out, gw_authority_of(req), "/certificates/issuers/", name, NULL);
}

static void reply_issuer(void *ctx, kw_status status, const json_t *json, const char *why)
{
    static const char *const members[] = {"provider", "credentials", "org_details", "attributes"};
    struct change *change = ctx;
    struct gw_request *req = change->req;
    struct gw_out out;
    (void)why;
    if (status != KW_OK) {
        reply_status(req, status, "CertificateIssuerNotFound", "Issuer not found.");
    } else {
        const char *name = gw_name_param(req);
        gw_out_init(&out, req->arena, 1024, 1u << 20);
        write_issuer_id(&out, req, name ? name : "");
        for (size_t i = 0; i < 4; i++) {
            const json_t *value = json_object_get(json, members[i]);
            if (!value)
                continue;
            gw_out_text(&out, ",\"");
            gw_out_text(&out, members[i]);
            gw_out_text(&out, "\":");
            write_json(&out, value);
        }
        gw_out_text(&out, "}");
        gw_reply_json(req, 200, &out);
    }
    json_decref(change->body);
    gw_request_unref(req);
}

static kw_status change_issuer(void *ctx, const json_t *old, json_t **out, const char **why)
{
    const struct change *change = ctx;
    json_int_t now = kw_wall_s(), created = now;
    (void)why;
    if (!old && (!change->body || !change->replace))
        return KW_E_NOT_FOUND;
    if (!change->body)
        return KW_OK; /* removed */
    if (old)
        created =
            json_integer_value(json_object_get(json_object_get(old, "attributes"), "created"));
    json_t *made = change->replace ? json_object() : json_deep_copy(old);
    if (!made)
        return KW_E_NOMEM;
    json_t *attributes = json_object_get(made, "attributes");
    bool enabled = !json_is_false(json_object_get(attributes, "enabled"));
    const json_t *wanted = json_object_get(change->body, "attributes");
    if (wanted)
        enabled = json_is_true(json_object_get(wanted, "enabled"));
    json_object_update(made, change->body);
    json_object_set_new(
        made, "attributes",
        json_pack("{s:b,s:I,s:I}", "enabled", enabled, "created", created, "updated", now));
    *out = made;
    return KW_OK;
}

static struct vault_doc_call doc_call(struct gw_request *req, enum store_kind kind,
                                      const char *name, vault_doc_fn *done, void *ctx)
{
    const struct gw_site *site = gw_site_of(req);
    return (struct vault_doc_call){.vault = site->vault,
                                   .loop = req->loop,
                                   .vault_name = site->name,
                                   .kind = kind,
                                   .name = name,
                                   .done = done,
                                   .ctx = ctx};
}

/** A change with a reference to the request; NULL: answered. */
static struct change *change_new(struct gw_request *req)
{
    struct change *change = gw_arena_alloc(req->arena, sizeof *change);
    if (!change) {
        gw_reply_nomem(req);
        return NULL;
    }
    change->req = req;
    gw_request_ref(req);
    return change;
}

static void run_issuer(struct gw_request *req, json_t *body, bool replace, bool read_only)
{
    const char *name = gw_name_param(req);
    struct change *change = name ? change_new(req) : NULL;
    if (!change) {
        json_decref(body);
        return;
    }
    change->body = body;
    change->replace = replace;
    const struct vault_doc_call call = doc_call(req, STORE_ISSUER, name, reply_issuer, change);
    if (read_only)
        vault_doc_get(&call);
    else
        vault_doc_update(&call, change_issuer, change);
}

void gw_issuers_get(struct gw_request *req)
{
    run_issuer(req, NULL, false, true);
}

void gw_issuers_delete(struct gw_request *req)
{
    run_issuer(req, NULL, false, false);
}

static void set_issuer(struct gw_request *req, bool whole)
{
    struct gw_fault fault; /* who finds more wrong than memory says so */
    gw_fault_status_of(&fault, STORE_CERTIFICATE, KW_E_NOMEM, (struct kw_span){0});
    json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    json_t *body = root ? read_issuer(root, whole, &fault) : NULL;
    json_decref(root);
    if (body)
        run_issuer(req, body, whole, false);
    else
        gw_reply_fault(req, &fault);
}

void gw_issuers_set(struct gw_request *req)
{
    set_issuer(req, true);
}

void gw_issuers_update(struct gw_request *req)
{
    set_issuer(req, false);
}

static void write_issuer_item(struct gw_out *out, const struct gw_page *page,
                              const struct vault_object *object)
{
    const json_t *json = ((const struct vault_doc *)object)->json;
    write_issuer_id(out, page->req, object->name);
    gw_out_text(out, ",\"provider\":");
    write_json(out, json_object_get(json, "provider"));
    gw_out_text(out, "}");
}

static void issuers_done(void *ctx, kw_status status, struct vault_object *const *objects,
                         size_t count, bool more)
{
    gw_page_done(ctx, status, objects, count, more, write_issuer_item);
}

void gw_issuers_list(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    struct gw_page *page = gw_page_start(req, "/certificates/issuers", false, false);
    if (page)
        vault_issuer_list(site->vault, req->loop, site->name, page->after, page->limit,
                          issuers_done, page);
}

/* --- contacts --- */

#define CONTACTS "contacts" /* the name of the one document */

static void reply_contacts(void *ctx, kw_status status, const json_t *json, const char *why)
{
    struct change *change = ctx;
    struct gw_request *req = change->req;
    struct gw_out out;
    (void)why;
    if (status != KW_OK) {
        reply_status(req, status, "ContactsNotFound", "No certificate contacts are set.");
    } else {
        gw_out_init(&out, req->arena, 1024, 1u << 20);
        gw_out_text(&out, "{\"id\":");
        gw_write_url(&out, gw_authority_of(req), "/certificates/", CONTACTS, NULL);
        gw_out_text(&out, ",\"contacts\":");
        write_json(&out, json_object_get(json, "contacts"));
        gw_out_text(&out, "}");
        gw_reply_json(req, 200, &out);
    }
    json_decref(change->body);
    gw_request_unref(req);
}

static kw_status change_contacts(void *ctx, const json_t *old, json_t **out, const char **why)
{
    const struct change *change = ctx;
    (void)why;
    if (!change->body)
        return old ? KW_OK : KW_E_NOT_FOUND;
    *out = json_incref(change->body);
    return KW_OK;
}

static void run_contacts(struct gw_request *req, json_t *body, bool read_only)
{
    struct change *change = change_new(req);
    if (!change) {
        json_decref(body);
        return;
    }
    change->body = body;
    const struct vault_doc_call call =
        doc_call(req, STORE_CONTACTS, CONTACTS, reply_contacts, change);
    if (read_only)
        vault_doc_get(&call);
    else
        vault_doc_update(&call, change_contacts, change);
}

void gw_contacts_get(struct gw_request *req)
{
    run_contacts(req, NULL, true);
}

void gw_contacts_delete(struct gw_request *req)
{
    run_contacts(req, NULL, false);
}

void gw_contacts_set(struct gw_request *req)
{
    static const char *const members[] = {"email", "name", "phone"};
    struct gw_fault fault;
    gw_fault_status_of(&fault, STORE_CERTIFICATE, KW_E_NOMEM, (struct kw_span){0});
    json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault), *body = json_object();
    bool ok = root && body && copy_people(body, root, "contacts", members, 3, CONTACTS_MAX, &fault);
    const json_t *list = json_object_get(body, "contacts");
    if (ok && !list)
        ok = gw_fault_bad(&fault, "Property 'contacts' is missing.");
    for (size_t i = 0; ok && i < json_array_size(list); i++)
        if (!json_object_get(json_array_get(list, i), "email"))
            ok = gw_fault_bad(&fault, "Property 'contacts' holds an entry without 'email'.");
    json_decref(root);
    if (ok) {
        run_contacts(req, body, false);
        return;
    }
    json_decref(body);
    gw_reply_fault(req, &fault);
}
