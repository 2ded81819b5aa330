#include "gateway/api/keys/key_json.h"

#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/api/crypto/alg_names.h"
#include "gateway/api/objects/object_json.h"
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
    return (struct gw_key_view){.authority = gw_authority_of(req),
                                .site = gw_site_of(req),
                                .hsm_members = pool_has_hsm(gw_loop_app(req->loop)->pool)};
}

void gw_key_write_kid(struct gw_out *out, struct kw_span authority, const struct vault_key *key,
                      bool with_version)
{
    gw_write_url(out, authority, "/keys/", key->name, with_version ? key->version : NULL);
}

static void write_ops(struct gw_out *out, const struct vault_key *key)
{
    const char *comma = "";
    gw_out_text(out, ",\"key_ops\":[");
    for (unsigned kind = 0; kind < KW_KIND_COUNT; kind++) {
        const char *op = gw_key_op_name((enum kw_kind)kind);
        if (!op || !(key->ops & 1u << kind))
            continue;
        gw_write_word(out, comma, op);
        comma = ",";
    }
    if (key->op_import) {
        gw_write_word(out, comma, "import");
        comma = ",";
    }
    if (key->op_export)
        gw_write_word(out, comma, "export");
    gw_out_text(out, "]");
}

static void write_jwk(struct gw_out *out, const struct gw_key_view *view,
                      const struct vault_key *key)
{
    const struct kc_public *pub = pool_key_public(key->key);
    gw_out_text(out, "{\"kid\":");
    gw_key_write_kid(out, view->authority, key, true);
    gw_write_word(out, ",\"kty\":", gw_kty_name(pub->kty, key->hsm));
    write_ops(out, key);
    if (pub->kty == KW_KTY_RSA) {
        gw_out_text(out, ",\"n\":");
        gw_out_b64(out, kw_span_of(pub->n, pub->n_len));
        gw_out_text(out, ",\"e\":");
        gw_out_b64(out, kw_span_of(pub->e, pub->e_len));
    } else if (pub->kty == KW_KTY_EC) {
        gw_write_word(out, ",\"crv\":", gw_curve_name(pub->curve));
        gw_out_text(out, ",\"x\":");
        gw_out_b64(out, kw_span_of(pub->x, pub->coord_len));
        gw_out_text(out, ",\"y\":");
        gw_out_b64(out, kw_span_of(pub->y, pub->coord_len));
    }
    gw_out_text(out, "}");
}

static void write_attributes(struct gw_out *out, const struct gw_key_view *view,
                             const struct vault_key *key)
{
    gw_write_attributes_open(out, view->site, &key->object);
    gw_out_text(out, ",\"exportable\":");
    gw_out_bool(out, key->attributes.exportable);
    gw_write_word(out, ",\"hsmPlatform\":", key->hsm && view->hsm_members ? "1" : "0");
    gw_out_text(out, "}");
}

static void write_bundle_members(struct gw_out *out, const struct gw_key_view *view,
                                 const struct vault_key *key)
{
    gw_out_text(out, "\"key\":");
    write_jwk(out, view, key);
    gw_out_text(out, ",");
    write_attributes(out, view, key);
    gw_write_tags(out, &key->object);
    if (key->managed)
        gw_out_text(out, ",\"managed\":true");
}

static void write_item_members(struct gw_out *out, const struct gw_key_view *view,
                               const struct vault_key *key, bool with_version)
{
    gw_out_text(out, "\"kid\":");
    gw_key_write_kid(out, view->authority, key, with_version);
    gw_out_text(out, ",");
    write_attributes(out, view, key);
    gw_write_tags(out, &key->object);
    if (key->managed)
        gw_out_text(out, ",\"managed\":true");
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
    gw_write_deletion(out, view->authority, "/deletedkeys/", &key->object);
    write_bundle_members(out, view, key);
    gw_out_text(out, "}");
}

void gw_key_write_deleted_item(struct gw_out *out, const struct gw_key_view *view,
                               const struct vault_key *key)
{
    gw_out_text(out, "{");
    gw_write_deletion(out, view->authority, "/deletedkeys/", &key->object);
    write_item_members(out, view, key, false);
    gw_out_text(out, "}");
}
