#include "gateway/api/key_json.h"

#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/api/alg_names.h"
#include "gateway/api/recovery.h"
#include "gateway/api/url.h"
#include "gateway/app.h"

/* Members do not change kind while the process lives, but reading the pool's state locks it: once a
 * second and thread is plenty. */
static bool pool_has_hsm(struct pool *pool)
{
    static _Thread_local int64_t read_at;
    static _Thread_local const struct pool *read_of;
    static _Thread_local bool hsm;
    int64_t now = kw_now_ns();
    if (read_of == pool && now - read_at < KW_S(1))
        return hsm;
    struct pool_stats *stats = malloc(sizeof *stats);
    if (!stats)
        return hsm;
    pool_stats_read(pool, stats);
    hsm = stats->hsm;
    free(stats);
    read_of = pool;
    read_at = now;
    return hsm;
}

struct gw_key_view gw_key_view_of(const struct gw_request *req)
{
    struct gw_key_view view = {.site = gw_site_of(req),
                               .hsm_members = pool_has_hsm(gw_loop_app(req->loop)->pool)};
    if (!gw_authority(req, &view.authority))
        view.authority = kw_span_str("localhost");
    return view;
}

static void write_url(struct gw_out *out, struct kw_span authority, const char *collection,
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

void gw_key_write_kid(struct gw_out *out, struct kw_span authority, const struct vault_key *key,
                      bool with_version)
{
    write_url(out, authority, "/keys/", key->name, with_version ? key->version : NULL);
}

static void write_word(struct gw_out *out, const char *name, const char *word)
{
    gw_out_text(out, name);
    gw_out_string(out, word, strlen(word));
}

static void write_ops(struct gw_out *out, const struct vault_key *key)
{
    const char *comma = "";
    gw_out_text(out, ",\"key_ops\":[");
    for (unsigned kind = 0; kind < KW_KIND_COUNT; kind++) {
        const char *op = gw_key_op_name((enum kw_kind)kind);
        if (!op || !(key->ops & 1u << kind))
            continue;
        write_word(out, comma, op);
        comma = ",";
    }
    if (key->op_import) {
        write_word(out, comma, "import");
        comma = ",";
    }
    if (key->op_export)
        write_word(out, comma, "export");
    gw_out_text(out, "]");
}

static void write_jwk(struct gw_out *out, const struct gw_key_view *view,
                      const struct vault_key *key)
{
    const struct kc_public *pub = pool_key_public(key->key);
    gw_out_text(out, "{\"kid\":");
    gw_key_write_kid(out, view->authority, key, true);
    write_word(out, ",\"kty\":", gw_kty_name(pub->kty, key->hsm));
    write_ops(out, key);
    if (pub->kty == KW_KTY_RSA) {
        gw_out_text(out, ",\"n\":");
        gw_out_b64(out, kw_span_of(pub->n, pub->n_len));
        gw_out_text(out, ",\"e\":");
        gw_out_b64(out, kw_span_of(pub->e, pub->e_len));
    } else if (pub->kty == KW_KTY_EC) {
        write_word(out, ",\"crv\":", gw_curve_name(pub->curve));
        gw_out_text(out, ",\"x\":");
        gw_out_b64(out, kw_span_of(pub->x, pub->coord_len));
        gw_out_text(out, ",\"y\":");
        gw_out_b64(out, kw_span_of(pub->y, pub->coord_len));
    }
    gw_out_text(out, "}");
}

static void write_number(struct gw_out *out, const char *name, int64_t value)
{
    gw_out_text(out, name);
    gw_out_int(out, value);
}

static void write_attributes(struct gw_out *out, const struct gw_key_view *view,
                             const struct vault_key *key)
{
    const struct vault_attributes *attributes = &key->attributes;
    gw_out_text(out, "\"attributes\":{\"enabled\":");
    gw_out_bool(out, attributes->enabled);
    if (attributes->nbf > 0)
        write_number(out, ",\"nbf\":", attributes->nbf);
    if (attributes->exp > 0)
        write_number(out, ",\"exp\":", attributes->exp);
    write_number(out, ",\"created\":", attributes->created);
    write_number(out, ",\"updated\":", attributes->updated);
    gw_out_text(out, ",");
    gw_write_recovery(out, view->site);
    gw_out_text(out, ",\"exportable\":");
    gw_out_bool(out, attributes->exportable);
    write_word(out, ",\"hsmPlatform\":", key->hsm && view->hsm_members ? "1" : "0");
    gw_out_text(out, "}");
}

static void write_tags(struct gw_out *out, const struct vault_key *key)
{
    if (key->tag_count == 0)
        return;
    gw_out_text(out, ",\"tags\":{");
    for (size_t i = 0; i < key->tag_count; i++) {
        write_word(out, i > 0 ? "," : "", key->tags[i].name);
        write_word(out, ":", key->tags[i].value);
    }
    gw_out_text(out, "}");
}

static void write_deletion(struct gw_out *out, const struct gw_key_view *view,
                           const struct vault_key *key)
{
    gw_out_text(out, "\"recoveryId\":");
    write_url(out, view->authority, "/deletedkeys/", key->name, NULL);
    write_number(out, ",\"deletedDate\":", key->deleted_at);
    write_number(out, ",\"scheduledPurgeDate\":", key->purge_at);
    gw_out_text(out, ",");
}

static void write_bundle_members(struct gw_out *out, const struct gw_key_view *view,
                                 const struct vault_key *key)
{
    gw_out_text(out, "\"key\":");
    write_jwk(out, view, key);
    gw_out_text(out, ",");
    write_attributes(out, view, key);
    write_tags(out, key);
}

static void write_item_members(struct gw_out *out, const struct gw_key_view *view,
                               const struct vault_key *key, bool with_version)
{
    gw_out_text(out, "\"kid\":");
    gw_key_write_kid(out, view->authority, key, with_version);
    gw_out_text(out, ",");
    write_attributes(out, view, key);
    write_tags(out, key);
}

void gw_key_write_bundle(struct gw_out *out, const struct gw_key_view *view,
                         const struct vault_key *key)
{
    gw_out_text(out, "{");
    write_bundle_members(out, view, key);
    gw_out_text(out, "}");
}

void gw_key_write_item(struct gw_out *out, const struct gw_key_view *view,
                       const struct vault_key *key, bool with_version)
{
    gw_out_text(out, "{");
    write_item_members(out, view, key, with_version);
    gw_out_text(out, "}");
}

void gw_key_write_deleted_bundle(struct gw_out *out, const struct gw_key_view *view,
                                 const struct vault_key *key)
{
    gw_out_text(out, "{");
    write_deletion(out, view, key);
    write_bundle_members(out, view, key);
    gw_out_text(out, "}");
}

void gw_key_write_deleted_item(struct gw_out *out, const struct gw_key_view *view,
                               const struct vault_key *key)
{
    gw_out_text(out, "{");
    write_deletion(out, view, key);
    write_item_members(out, view, key, false);
    gw_out_text(out, "}");
}
