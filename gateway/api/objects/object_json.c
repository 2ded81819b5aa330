#include "gateway/api/objects/object_json.h"

#include "gateway/api/objects/deletion.h"
#include "gateway/api/url.h"
#include "gateway/vault/keys/keys.h"

struct kw_span gw_authority_of(const struct gw_request *req)
{
    struct kw_span authority;
    return gw_authority(req, &authority) ? authority : kw_span_str("localhost");
}

void gw_write_url(struct gw_out *out, struct kw_span authority, const char *collection,
                  const char *name, const char *version)
{
    gw_out_text(out, "\"https://");
    gw_out_raw(out, authority.data, authority.len);
    gw_out_text(out, collection);
    gw_out_text(out, name);
    if (version) {
        gw_out_text(out, "/");
        gw_out_text(out, version);
    }
    gw_out_text(out, "\"");
}

void gw_write_word(struct gw_out *out, const char *name, const char *word)
{
    gw_out_text(out, name);
    gw_out_string(out, word, strlen(word));
}

void gw_write_number(struct gw_out *out, const char *name, int64_t value)
{
    gw_out_text(out, name);
    gw_out_int(out, value);
}

void gw_write_attributes_open(struct gw_out *out, const struct gw_site *site,
                              const struct vault_object *object)
{
    const struct vault_attributes *a = &object->attributes;
    gw_out_text(out, "\"attributes\":{\"enabled\":");
    gw_out_bool(out, a->enabled);
    if (a->nbf > 0)
        gw_write_number(out, ",\"nbf\":", a->nbf);
    if (a->exp > 0)
        gw_write_number(out, ",\"exp\":", a->exp);
    gw_write_number(out, ",\"created\":", a->created);
    gw_write_number(out, ",\"updated\":", a->updated);
    gw_out_text(out, ",");
    gw_write_recovery(out, site);
}

void gw_write_tags(struct gw_out *out, const struct vault_object *object)
{
    if (object->tag_count == 0)
        return;
    gw_out_text(out, ",\"tags\":{");
    for (size_t i = 0; i < object->tag_count; i++) {
        gw_write_word(out, i > 0 ? "," : "", object->tags[i].name);
        gw_write_word(out, ":", object->tags[i].value);
    }
    gw_out_text(out, "}");
}

void gw_write_deletion(struct gw_out *out, struct kw_span authority, const char *collection,
                       const struct vault_object *object)
{
    gw_out_text(out, "\"recoveryId\":");
    gw_write_url(out, authority, collection, object->name, NULL);
    gw_write_number(out, ",\"deletedDate\":", object->deleted_at);
    gw_write_number(out, ",\"scheduledPurgeDate\":", object->purge_at);
    gw_out_text(out, ",");
}
