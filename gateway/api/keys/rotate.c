/* POST /keys/{name}/rotate, GET and PUT /keys/{name}/rotationpolicy */

#include "gateway/api/json/read.h"
#include "gateway/api/keys/common.h"
#include "gateway/api/keys/keys.h"
#include "gateway/api/objects/object_json.h"
#include "gateway/api/reply.h"
#include "gateway/app.h"
#include "gateway/vault/keys/rotation.h"

#define DEFAULT_NOTIFY "P30D" /* shown where a key has no policy */

static void rotate_it(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    gw_request_ref(req);
    vault_key_rotate(site->vault, req->loop, site->name, req->params[0], gw_reply_bundle, req);
}

void gw_keys_rotate(struct gw_request *req)
{
    gw_unless_managed(req, false, rotate_it);
}

/* --- writing --- */

static void write_action(struct gw_out *out, const char **comma, const char *trigger,
                         const char *duration, const char *type)
{
    if (!duration[0])
        return;
    gw_out_text(out, *comma);
    gw_out_text(out, "{\"trigger\":{\"");
    gw_out_text(out, trigger);
    gw_write_word(out, "\":", duration);
    gw_write_word(out, "},\"action\":{\"type\":", type);
    gw_out_text(out, "}}");
    *comma = ",";
}

static void write_policy(struct gw_out *out, struct gw_request *req,
                         const struct vault_rotation_policy *policy)
{
    const char *comma = "";
    const char *notify = policy->created ? policy->notify_before_expiry.text : DEFAULT_NOTIFY;
    const char *id = gw_arena_printf(req->arena, "%.*s/rotationpolicy", (int)req->params[0].len,
                                     (const char *)req->params[0].data);
    gw_out_text(out, "{\"id\":");
    gw_write_url(out, gw_authority_of(req), "/keys/", id ? id : "", NULL);
    gw_out_text(out, ",\"lifetimeActions\":[");
    write_action(out, &comma, "timeAfterCreate", policy->rotate_after_create.text, "Rotate");
    write_action(out, &comma, "timeBeforeExpiry", policy->rotate_before_expiry.text, "Rotate");
    write_action(out, &comma, "timeBeforeExpiry", notify, "Notify");
    gw_out_text(out, "],\"attributes\":{");
    if (policy->expiry.text[0])
        gw_write_word(out, "\"expiryTime\":", policy->expiry.text);
    if (policy->created) {
        gw_out_text(out, policy->expiry.text[0] ? "," : "");
        gw_write_number(out, "\"created\":", policy->created);
        gw_write_number(out, ",\"updated\":", policy->updated);
    }
    gw_out_text(out, "}}");
    out->failed |= !id;
}

static void reply_policy(void *ctx, kw_status status, const struct vault_rotation_policy *policy,
                         const char *why)
{
    struct gw_request *req = ctx;
    struct gw_fault fault;
    if (status == KW_OK) {
        struct gw_out out;
        gw_out_init(&out, req->arena, 512, 1u << 16);
        write_policy(&out, req, policy);
        gw_reply_json(req, 200, &out);
    } else if (why) {
        gw_fault_bad(&fault, "The rotation policy is not valid: %s.", why);
        gw_reply_fault(req, &fault);
    } else {
        gw_reply_status(req, status, req->params[0]);
    }
    gw_request_unref(req);
}

void gw_keys_get_policy(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    gw_request_ref(req);
    vault_rotation_get(site->vault, req->loop, site->name, req->params[0], reply_policy, req);
}

/* --- reading --- */

/** `present` is whether the member is there; what is there must be a duration. */
static bool read_duration(const json_t *holder, const char *name, struct vault_duration *out,
                          bool *present, struct gw_fault *fault)
{
    struct kw_span text = {0};
    *present = false;
    if (!holder)
        return true;
    if (!gw_json_string(holder, name, 256, &text, fault))
        return false;
    *present = text.data != NULL;
    if (*present && !vault_duration_parse(out, text))
        return gw_fault_bad(fault, "Property '%s' must be an ISO 8601 duration such as P90D.",
                            name);
    return true;
}

static bool word_is(struct kw_span word, const char *text)
{
    return word.len == strlen(text) && strncasecmp((const char *)word.data, text, word.len) == 0;
}

static bool read_action(const json_t *item, struct vault_rotation_policy *out,
                        struct gw_fault *fault)
{
    json_t *trigger, *action;
    struct vault_duration after, before;
    struct kw_span type = {0};
    bool has_after, has_before;
    if (!json_is_object(item))
        return gw_fault_bad(fault, "Property 'lifetimeActions' must hold objects only.");
    if (!gw_json_object(item, "trigger", &trigger, fault) ||
        !gw_json_object(item, "action", &action, fault) ||
        (action && !gw_json_string(action, "type", 32, &type, fault)) ||
        !read_duration(trigger, "timeAfterCreate", &after, &has_after, fault) ||
        !read_duration(trigger, "timeBeforeExpiry", &before, &has_before, fault))
        return false;
    bool rotate = type.data && word_is(type, "Rotate"),
         notify = type.data && word_is(type, "Notify");
    if (!rotate && !notify)
        return gw_fault_bad(fault, "Property 'type' of an action must be Rotate or Notify.");
    if (has_after == has_before)
        return gw_fault_bad(fault, "An action needs one trigger, 'timeAfterCreate' or "
                                   "'timeBeforeExpiry'.");
    if (notify && has_after)
        return gw_fault_bad(fault, "The trigger of Notify must be 'timeBeforeExpiry'.");
    bool again = rotate ? out->rotate_after_create.text[0] || out->rotate_before_expiry.text[0]
                        : out->notify_before_expiry.text[0];
    if (again)
        return gw_fault_bad(fault, "Property 'lifetimeActions' holds the same action twice.");
    *(notify      ? &out->notify_before_expiry
      : has_after ? &out->rotate_after_create
                  : &out->rotate_before_expiry) = has_after ? after : before;
    return true;
}

static bool read_change(const json_t *root, struct vault_rotation_change *out,
                        struct gw_fault *fault)
{
    json_t *actions, *attributes;
    *out = (struct vault_rotation_change){0};
    if (!gw_json_array(root, "lifetimeActions", &actions, fault) ||
        !gw_json_object(root, "attributes", &attributes, fault) ||
        !read_duration(attributes, "expiryTime", &out->values.expiry, &out->has_expiry, fault))
        return false;
    out->has_actions = actions != NULL;
    for (size_t i = 0; actions && i < json_array_size(actions); i++)
        if (!read_action(json_array_get(actions, i), &out->values, fault))
            return false;
    return true;
}

static void set_policy(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    struct vault_rotation_change change;
    struct gw_fault fault;
    json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    bool ok = root && read_change(root, &change, &fault);
    json_decref(root);
    if (!ok) {
        gw_reply_fault(req, &fault);
        return;
    }
    gw_request_ref(req);
    vault_rotation_set(site->vault, req->loop, site->name, req->params[0], &change, reply_policy,
                       req);
}

void gw_keys_set_policy(struct gw_request *req)
{
    gw_unless_managed(req, false, set_policy);
}
