/* POST /keys/{name}/create */

#include "gateway/api/crypto/alg_names.h"
#include "gateway/api/json/read.h"
#include "gateway/api/keys/common.h"
#include "gateway/api/keys/keys.h"
#include "gateway/app.h"

static bool read_rsa(const json_t *root, struct vault_key_request *request, struct gw_fault *fault)
{
    int64_t bits = 2048, exponent = 65537;
    bool present;
    if (!gw_json_int(root, "key_size", INT64_MIN, INT64_MAX, &bits, &present, fault) ||
        !gw_json_int(root, "public_exponent", INT64_MIN, INT64_MAX, &exponent, &present, fault))
        return false;
    if (bits != 2048 && bits != 3072 && bits != 4096)
        return gw_fault_bad(fault, "Property 'key_size' must be 2048, 3072 or 4096 for RSA.");
    if (exponent != 65537 && exponent != 3)
        return gw_fault_bad(fault, "Property 'public_exponent' must be 65537 or 3.");
    request->bits = (unsigned)bits;
    request->exponent = (uint32_t)exponent;
    return true;
}

static bool read_ec(const json_t *root, struct vault_key_request *request, struct gw_fault *fault)
{
    struct kw_span crv;
    if (!gw_json_string(root, "crv", 32, &crv, fault))
        return false;
    request->curve = crv.data ? gw_curve_parse(crv) : KW_CURVE_P256;
    if (request->curve == KW_CURVE_NONE)
        return gw_fault_bad(fault, "Property 'crv' must be P-256, P-384, P-521 or P-256K.");
    request->bits = kw_curve_bits(request->curve);
    return true;
}

static bool read_oct(const json_t *root, struct vault_key_request *request, struct gw_fault *fault)
{
    int64_t bits = 256;
    bool present;
    if (!gw_json_int(root, "key_size", INT64_MIN, INT64_MAX, &bits, &present, fault))
        return false;
    if (bits != 128 && bits != 192 && bits != 256)
        return gw_fault_bad(fault, "Property 'key_size' must be 128, 192 or 256 for oct.");
    request->bits = (unsigned)bits;
    return true;
}

static bool read_request(const json_t *root, struct gw_arena *arena,
                         struct vault_key_request *request, struct gw_fault *fault)
{
    struct gw_key_body body;
    struct kw_span kty;
    bool ok = false;
    if (!gw_json_string(root, "kty", 32, &kty, fault))
        return false;
    if (!kty.data)
        return gw_fault_bad(fault, "Property 'kty' is missing.");
    if (!gw_kty_parse(kty, &request->kty, &request->hsm))
        return gw_fault_bad(fault, "Property 'kty' must be RSA, RSA-HSM, EC, EC-HSM, oct or "
                                   "oct-HSM.");
    switch (request->kty) {
    case KW_KTY_RSA:
        ok = read_rsa(root, request, fault);
        break;
    case KW_KTY_EC:
        ok = read_ec(root, request, fault);
        break;
    case KW_KTY_OCT:
        ok = read_oct(root, request, fault);
        break;
    }
    if (!ok || !gw_key_body_read(root, root, arena, &body, fault))
        return false;
    gw_key_body_apply(&body, request);
    if (request->op_import && (request->ops != 0 || request->kty != KW_KTY_RSA || !request->hsm))
        return gw_fault_bad(fault,
                            "Property 'key_ops': 'import' makes a key exchange key, which is "
                            "RSA-HSM and has no other operation.");
    return true;
}

static void create_it(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    struct vault_key_request request = {.vault = site->name};
    struct gw_fault fault;
    json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    bool ok = root && read_request(root, req->arena, &request, &fault);
    json_decref(root);
    if (!ok) {
        gw_reply_fault(req, &fault);
        return;
    }
    request.hsm |= site->managed_hsm; /* where every key is one of the HSM */
    request.name = gw_name_param(req);
    if (!request.name)
        return;
    gw_request_ref(req);
    vault_key_create(site->vault, req->loop, &request, gw_reply_bundle, req);
}

void gw_keys_create(struct gw_request *req)
{
    gw_unless_managed(req, false, create_it);
}
