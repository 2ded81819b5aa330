/* PUT /keys/{name}: a key that was made elsewhere, as a JWK with its private members (wrapped ones:
 * byok.c). */

#include "gateway/api/aside.h"
#include "gateway/api/crypto/alg_names.h"
#include "gateway/api/json/read.h"
#include "gateway/api/keys/byok.h"
#include "gateway/api/keys/common.h"
#include "gateway/api/keys/keys.h"
#include "gateway/app.h"

#define PART_MAX 1024 /* bytes of one member: more than any key that is offered has */

/* Big-endian integers of RSA: zeros in front mean nothing. */
static struct kw_span strip_zeros(struct kw_span number)
{
    while (number.len > 0 && number.data[0] == 0) {
        number.data++;
        number.len--;
    }
    return number;
}

static bool read_rsa(const json_t *jwk, struct gw_arena *arena, struct kc_private_parts *parts,
                     struct gw_fault *fault)
{
    const struct {
        const char *name;
        struct kw_span *to;
    } all[] = {{"n", &parts->n}, {"e", &parts->e},   {"d", &parts->d},   {"p", &parts->p},
               {"q", &parts->q}, {"dp", &parts->dp}, {"dq", &parts->dq}, {"qi", &parts->qi}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (!gw_json_bytes(jwk, all[i].name, PART_MAX, arena, all[i].to, fault))
            return false;
        *all[i].to = strip_zeros(*all[i].to);
    }
    if (parts->n.len == 0 || parts->e.len == 0 || parts->d.len == 0)
        return gw_fault_bad(fault, "Property 'key' needs n, e and d for an RSA key.");
    bool any = parts->p.len || parts->q.len || parts->dp.len || parts->dq.len || parts->qi.len;
    bool all_five = parts->p.len && parts->q.len && parts->dp.len && parts->dq.len && parts->qi.len;
    if (any && !all_five)
        return gw_fault_bad(fault, "Property 'key' needs all of p, q, dp, dq and qi, or none.");
    return true;
}

/* Coordinates and d to the width of the field; old clients leave zeros in front away. */
static bool pad(struct kw_span *number, size_t width, struct gw_arena *arena, const char *name,
                struct gw_fault *fault)
{
    struct kw_span short_form = strip_zeros(*number);
    if (short_form.len == 0)
        return gw_fault_bad(fault, "Property 'key' needs '%s' for an EC key.", name);
    if (short_form.len > width)
        return gw_fault_bad(fault, "Property '%s' is longer than the field of the curve.", name);
    uint8_t *room = gw_arena_alloc(arena, width);
    if (!room)
        return gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
    memcpy(room + width - short_form.len, short_form.data, short_form.len);
    *number = kw_span_of(room, width);
    return true;
}

static bool read_ec(const json_t *jwk, struct gw_arena *arena, enum kw_curve *curve,
                    struct kc_private_parts *parts, struct gw_fault *fault)
{
    struct kw_span crv;
    if (!gw_json_string(jwk, "crv", 32, &crv, fault))
        return false;
    *curve = crv.data ? gw_curve_parse(crv) : KW_CURVE_NONE;
    if (*curve == KW_CURVE_NONE)
        return gw_fault_bad(fault, "Property 'crv' must be P-256, P-384, P-521 or P-256K.");
    size_t width = kw_curve_bytes(*curve);
    return gw_json_bytes(jwk, "x", PART_MAX, arena, &parts->x, fault) &&
           gw_json_bytes(jwk, "y", PART_MAX, arena, &parts->y, fault) &&
           gw_json_bytes(jwk, "d", PART_MAX, arena, &parts->ec_d, fault) &&
           pad(&parts->x, width, arena, "x", fault) && pad(&parts->y, width, arena, "y", fault) &&
           pad(&parts->ec_d, width, arena, "d", fault);
}

static bool read_oct(const json_t *jwk, struct gw_arena *arena, struct kc_private_parts *parts,
                     struct gw_fault *fault)
{
    if (!gw_json_bytes(jwk, "k", PART_MAX, arena, &parts->k, fault))
        return false;
    if (parts->k.len != 16 && parts->k.len != 24 && parts->k.len != 32)
        return gw_fault_bad(fault, "Property 'k' must have 16, 24 or 32 bytes for an oct key.");
    return true;
}

static bool read_parts(const json_t *jwk, struct gw_arena *arena, struct vault_key_request *request,
                       struct kc_private_parts *parts, struct gw_fault *fault)
{
    struct kw_span kty;
    if (!gw_json_string(jwk, "kty", 32, &kty, fault))
        return false;
    if (!kty.data)
        return gw_fault_bad(fault, "Property 'kty' of 'key' is missing.");
    bool hsm = false;
    if (!gw_kty_parse(kty, &request->kty, &hsm))
        return gw_fault_bad(fault, "Property 'kty' of 'key' must be RSA, RSA-HSM, EC, EC-HSM, oct "
                                   "or oct-HSM.");
    request->hsm |= hsm;
    switch (request->kty) {
    case KW_KTY_RSA:
        return read_rsa(jwk, arena, parts, fault);
    case KW_KTY_EC:
        return read_ec(jwk, arena, &request->curve, parts, fault);
    case KW_KTY_OCT:
        break;
    }
    return read_oct(jwk, arena, parts, fault);
}

static bool read_request(const json_t *root, struct gw_arena *arena,
                         struct vault_key_request *request, struct kc_private_parts *parts,
                         struct gw_fault *fault)
{
    struct gw_key_body body;
    json_t *jwk;
    bool present;
    if (!gw_json_object(root, "key", &jwk, fault) ||
        !gw_json_bool(root, "Hsm", &request->hsm, &present, fault))
        return false;
    if (!jwk)
        return gw_fault_bad(fault, "Property 'key' is missing.");
    if (!read_parts(jwk, arena, request, parts, fault) ||
        !gw_key_body_read(root, jwk, arena, &body, fault))
        return false;
    gw_key_body_apply(&body, request);
    return true;
}

/* One import; in the request's arena, of which it holds a reference. */
struct import {
    struct gw_request *req;
    struct vault_key_request request;
    struct kc_private_parts parts;
    struct kc_key *key;
    kw_status status;
};

/* On the thread beside the loops. */
static void make_key(void *ctx)
{
    struct import *import = ctx;
    import->status =
        kc_key_import(&import->key, import->request.kty, import->request.curve, &import->parts);
}

static bool check_key(const struct import *import, struct gw_fault *fault)
{
    if (import->status == KW_E_INPUT)
        return gw_fault_bad(fault, "Property 'key': the members do not make up a valid key pair.");
    if (import->status == KW_E_UNSUPPORTED)
        return gw_fault_bad(fault, "Property 'key': keys of this size are not offered.");
    if (import->status != KW_OK)
        return gw_fault_status(fault, import->status, (struct kw_span){0});
    return true;
}

static void store_key(void *ctx)
{
    struct import *import = ctx;
    struct gw_request *req = import->req;
    struct vault_key_request *request = &import->request;
    struct gw_fault fault;
    if (!check_key(import, &fault)) {
        gw_reply_fault(req, &fault);
        gw_request_unref(req);
        return;
    }
    const struct kc_public *pub = kc_key_public(import->key);
    request->bits = pub->bits;
    for (size_t i = 0; i < pub->e_len && i < sizeof request->exponent; i++)
        request->exponent = request->exponent << 8 | pub->e[i];
    struct kc_key *key = import->key; /* the request may end in the call, and the import with it */
    vault_key_import(gw_site_of(req)->vault, req->loop, request, key, gw_reply_bundle, req);
    kc_key_unref(key);
}

static void import_it(struct gw_request *req)
{
    struct import *import = gw_arena_alloc(req->arena, sizeof *import);
    struct gw_fault fault;
    if (!import) {
        gw_reply_nomem(req);
        return;
    }
    import->req = req;
    import->request.vault = gw_site_of(req)->name;
    json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    const json_t *jwk = json_object_get(root, "key");
    if (json_is_string(json_object_get(jwk, "key_hsm"))) {
        gw_keys_import_wrapped(req, root, jwk);
        json_decref(root);
        return;
    }
    bool ok = root && read_request(root, req->arena, &import->request, &import->parts, &fault);
    json_decref(root);
    if (!ok) {
        gw_reply_fault(req, &fault);
        return;
    }
    import->request.hsm |= gw_site_of(req)->managed_hsm;
    import->request.name = gw_name_param(req);
    if (!import->request.name)
        return;
    gw_request_ref(req);
    kw_status status = gw_aside_run(req->loop, make_key, store_key, import);
    if (status != KW_OK) {
        gw_reply_status(req, status, (struct kw_span){0});
        gw_request_unref(req);
    }
}

void gw_keys_import(struct gw_request *req)
{
    gw_unless_managed(req, false, import_it);
}
