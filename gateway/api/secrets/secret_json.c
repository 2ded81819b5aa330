#include "gateway/api/secrets/secret_json.h"

#include "gateway/api/reply.h"
#include "gateway/app.h"

static void write_members_as(struct gw_out *out, const struct gw_request *req,
                             const struct vault_secret *secret, bool with_version,
                             struct kw_span type)
{
    struct kw_span authority = gw_authority_of(req);
    gw_out_text(out, "\"id\":");
    gw_write_url(out, authority, "/secrets/", secret->name, with_version ? secret->version : NULL);
    if (type.len > 0) {
        gw_out_text(out, ",\"contentType\":");
        gw_out_string(out, (const char *)type.data, type.len);
    }
    if (secret->managed) {
        gw_out_text(out, ",\"managed\":true,\"kid\":");
        gw_write_url(out, authority, "/keys/", secret->name, with_version ? secret->version : NULL);
    }
    gw_out_text(out, ",");
    gw_write_attributes_open(out, gw_site_of(req), &secret->object);
    gw_out_text(out, "}");
    gw_write_tags(out, &secret->object);
}

static struct kw_span type_of(const struct vault_secret *secret)
{
    return kw_span_of(secret->content_type, secret->content_type_len);
}

static void write_members(struct gw_out *out, const struct gw_request *req,
                          const struct vault_secret *secret, bool with_version)
{
    write_members_as(out, req, secret, with_version, type_of(secret));
}

/* Elements of lists are without it. */
static void write_previous(struct gw_out *out, const struct vault_secret *secret)
{
    if (!secret->previous[0])
        return;
    gw_out_text(out, ",\"previousVersion\":");
    gw_out_string(out, secret->previous, strlen(secret->previous));
}

void gw_secret_write_item(struct gw_out *out, const struct gw_request *req,
                          const struct vault_secret *secret, bool with_version)
{
    gw_out_text(out, "{");
    write_members(out, req, secret, with_version);
    gw_out_text(out, "}");
}

void gw_secret_write_deleted(struct gw_out *out, const struct gw_request *req,
                             const struct vault_secret *secret, bool with_version)
{
    gw_out_text(out, "{");
    gw_write_deletion(out, gw_authority_of(req), "/deletedsecrets/", &secret->object);
    write_members(out, req, secret, with_version);
    if (with_version)
        write_previous(out, secret);
    gw_out_text(out, "}");
}

void gw_reply_secret(void *ctx, kw_status status, struct vault_secret *secret)
{
    struct gw_request *req = ctx;
    if (status == KW_OK) {
        struct gw_out out;
        gw_out_init(&out, req->arena, 1024, 1u << 20);
        gw_out_text(&out, "{");
        write_members(&out, req, secret, true);
        write_previous(&out, secret);
        gw_out_text(&out, "}");
        gw_reply_json(req, 200, &out);
    } else {
        gw_reply_status(req, status, gw_object_subject(req));
    }
    gw_request_unref(req);
}

/* The arena is wiped when the request ends: the opened value and the answer are in it. */
void gw_secret_reply_as(struct gw_request *req, const struct vault_secret *secret,
                        struct kw_span value, struct kw_span type)
{
    struct gw_out out;
    gw_out_init(&out, req->arena, 2048 + value.len + value.len / 8, 1u << 20);
    gw_out_text(&out, "{\"value\":");
    gw_out_string(&out, (const char *)value.data, value.len);
    gw_out_text(&out, ",");
    write_members_as(&out, req, secret, true, type);
    write_previous(&out, secret);
    gw_out_text(&out, "}");
    gw_reply_json(req, 200, &out);
}

static kw_status reply_value(struct gw_request *req, const struct vault_secret *secret)
{
    size_t room = vault_secret_room(secret);
    struct kw_buf value = {.data = gw_arena_alloc(req->arena, room + 1), .cap = room};
    if (!value.data)
        return KW_E_NOMEM;
    KW_TRY(vault_secret_value(gw_site_of(req)->vault, secret, &value));
    gw_secret_reply_as(req, secret, kw_buf_span(&value), type_of(secret));
    return KW_OK;
}

void gw_reply_secret_value(void *ctx, kw_status status, struct vault_secret *secret)
{
    struct gw_request *req = ctx;
    if (status == KW_OK)
        status = reply_value(req, secret);
    if (status != KW_OK)
        gw_reply_status(req, status, gw_object_subject(req));
    gw_request_unref(req);
}
