#include "gateway/api/keys/byok.h"

#include "crypto/base/clock.h"
#include "crypto/wrap/keywrap.h"
#include "gateway/api/aside.h"
#include "gateway/api/crypto/alg_names.h"
#include "gateway/api/crypto/call.h"
#include "gateway/api/json/read.h"
#include "gateway/api/keys/common.h"
#include "gateway/app.h"

#define FILE_MAX    16384
#define WRAPPED_MAX 8192
#define AES_KEY_MAX 32

/* One import; in the request's arena, of which it holds a reference. */
struct byok {
    struct gw_request *req;
    struct vault_key_request request;
    struct kw_span kek_name, kek_version;
    struct kw_span wrapped; /* both parts */
    struct vault_key *kek;  /* one reference */
    struct pool_op op;      /* opens the first part */
    uint8_t *plain;         /* the target, in room as long as the second part */
    struct kc_key *key;
    kw_status status;
};

static void end(struct byok *byok, const struct gw_fault *fault)
{
    struct gw_request *req = byok->req;
    vault_key_unref(byok->kek);
    if (fault)
        gw_reply_fault(req, fault);
    gw_request_unref(req);
}

static void end_bad(struct byok *byok, const char *text)
{
    struct gw_fault fault;
    gw_fault_bad(&fault, "%s", text);
    end(byok, &fault);
}

/* --- the file --- */

/** "https://HOST/keys/NAME/VERSION": the host is what the client calls this vault. */
static bool read_kid(struct byok *byok, struct kw_span kid, struct gw_fault *fault)
{
    static const char collection[] = "/keys/";
    const uint8_t *at = memmem(kid.data, kid.len, collection, sizeof collection - 1);
    if (at) {
        at += sizeof collection - 1;
        size_t left = (size_t)(kid.data + kid.len - at);
        const uint8_t *slash = memchr(at, '/', left);
        byok->kek_name = kw_span_of(at, slash ? (size_t)(slash - at) : left);
        if (slash)
            byok->kek_version = kw_span_of(slash + 1, left - byok->kek_name.len - 1);
    }
    char *version = gw_arena_alloc(byok->req->arena, STORE_VERSION_LEN);
    if (!version)
        return gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
    if (!at || !gw_object_name_ok(byok->kek_name) ||
        (byok->kek_version.len > 0 && !gw_version_lower(byok->kek_version, version)))
        return gw_fault_bad(fault, "Property 'kid' in the header of the key transfer blob is not "
                                   "the id of a key.");
    if (byok->kek_version.len > 0)
        byok->kek_version = kw_span_of(version, STORE_VERSION_LEN);
    return true;
}

/** A copy that outlives the parsed file. */
static bool keep(struct gw_arena *arena, struct kw_span *text, struct gw_fault *fault)
{
    const char *copy = gw_arena_strndup(arena, (const char *)text->data, text->len);
    if (!copy)
        return gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
    text->data = (const uint8_t *)copy;
    return true;
}

static bool read_members(struct byok *byok, const json_t *root, struct gw_fault *fault)
{
    struct gw_arena *arena = byok->req->arena;
    struct kw_span kid = {0}, alg = {0}, enc = {0};
    json_t *header;
    if (!gw_json_object(root, "header", &header, fault) ||
        (header && (!gw_json_string(header, "kid", 1024, &kid, fault) ||
                    !gw_json_string(header, "alg", 64, &alg, fault) ||
                    !gw_json_string(header, "enc", 64, &enc, fault))) ||
        !gw_json_bytes(root, "ciphertext", WRAPPED_MAX, arena, &byok->wrapped, fault))
        return false;
    if (!kid.data || !byok->wrapped.data)
        return gw_fault_bad(fault, "The key transfer blob in 'key_hsm' needs a header with 'kid' "
                                   "and a 'ciphertext'.");
    if ((alg.data && !kw_span_equal(alg, kw_span_str("dir"))) || !enc.data ||
        !kw_span_equal(enc, kw_span_str("CKM_RSA_AES_KEY_WRAP")))
        return gw_fault_bad(fault, "The key transfer blob in 'key_hsm' must have alg 'dir' and enc "
                                   "'CKM_RSA_AES_KEY_WRAP'.");
    return keep(arena, &kid, fault) && read_kid(byok, kid, fault);
}

static bool read_file(struct byok *byok, const json_t *jwk, struct gw_fault *fault)
{
    struct kw_span file = {0};
    struct gw_fault inner;
    if (!gw_json_bytes(jwk, "key_hsm", FILE_MAX, byok->req->arena, &file, fault))
        return false;
    json_t *root = gw_json_parse(file, &inner);
    bool ok = root && read_members(byok, root, fault);
    if (!root)
        gw_fault_bad(fault, "Property 'key_hsm' is not a key transfer blob: no JSON object.");
    json_decref(root);
    return ok;
}

static bool read_request(struct byok *byok, const json_t *root, const json_t *jwk,
                         struct gw_fault *fault)
{
    struct vault_key_request *request = &byok->request;
    struct gw_key_body body;
    struct kw_span kty = {0}, crv = {0};
    if (!gw_json_string(jwk, "kty", 32, &kty, fault) ||
        !gw_json_string(jwk, "crv", 32, &crv, fault))
        return false;
    if (!kty.data || !gw_kty_parse(kty, &request->kty, &request->hsm))
        return gw_fault_bad(fault, "Property 'kty' of 'key' must be RSA-HSM, EC-HSM or oct-HSM.");
    request->hsm = true; /* what comes wrapped is not to be seen */
    if (crv.data && request->kty == KW_KTY_EC) {
        request->curve = gw_curve_parse(crv);
        if (request->curve == KW_CURVE_NONE)
            return gw_fault_bad(fault, "Property 'crv' must be P-256, P-384, P-521 or P-256K.");
    }
    if (!read_file(byok, jwk, fault) ||
        !gw_key_body_read(root, jwk, byok->req->arena, &body, fault))
        return false;
    gw_key_body_apply(&body, request);
    return true;
}

/* --- unwrapping --- */

static kw_status parse_target(struct byok *byok, struct kw_span plain)
{
    static const enum kw_curve curves[] = {KW_CURVE_P256, KW_CURVE_P384, KW_CURVE_P521,
                                           KW_CURVE_P256K};
    struct vault_key_request *request = &byok->request;
    if (request->kty != KW_KTY_EC || request->curve != KW_CURVE_NONE)
        return kc_key_from_private(&byok->key, request->kty, request->curve, plain);
    kw_status status = KW_E_INPUT;
    for (size_t i = 0; i < sizeof curves / sizeof curves[0] && status != KW_OK; i++) {
        status = kc_key_from_private(&byok->key, KW_KTY_EC, curves[i], plain);
        request->curve = curves[i];
    }
    return status;
}

/* On the thread beside the loops: the check of an RSA key takes its time. */
static void open_target(void *ctx)
{
    struct byok *byok = ctx;
    size_t first = byok->op.lane.in.len, len = 0;
    struct kw_span second = kw_span_of(byok->wrapped.data + first, byok->wrapped.len - first);
    EVP_CIPHER_CTX *ecb = kc_kw_context(kw_buf_span(&byok->op.lane.out), 0);
    byok->status = ecb ? kc_kwp_unwrap(byok->plain, &len, ecb, second) : KW_E_NOMEM;
    EVP_CIPHER_CTX_free(ecb);
    if (byok->status == KW_OK)
        byok->status = parse_target(byok, kw_span_of(byok->plain, len));
    kw_wipe(byok->plain, second.len);
    kw_wipe(byok->op.lane.out.data, byok->op.lane.out.cap);
}

static void store_target(void *ctx)
{
    struct byok *byok = ctx;
    struct gw_request *req = byok->req;
    struct vault_key_request *request = &byok->request;
    struct gw_fault fault;
    if (byok->status == KW_E_INPUT || byok->status == KW_E_CRYPTO) {
        end_bad(byok, "Property 'key_hsm': the key could not be unwrapped, or is not of the type "
                      "that 'kty' says.");
        return;
    }
    if (byok->status != KW_OK) {
        gw_fault_status(&fault, byok->status, (struct kw_span){0});
        end(byok, &fault);
        return;
    }
    const struct kc_public *pub = kc_key_public(byok->key);
    request->bits = pub->bits;
    for (size_t i = 0; i < pub->e_len && i < sizeof request->exponent; i++)
        request->exponent = request->exponent << 8 | pub->e[i];
    struct kc_key *key = byok->key; /* the request may end in the call, and all of this with it */
    vault_key_unref(byok->kek);
    byok->kek = NULL;
    vault_key_import(gw_site_of(req)->vault, req->loop, request, key, gw_reply_bundle, req);
    kc_key_unref(key);
}

static void on_opened(struct pool_op *op)
{
    struct byok *byok = op->owner;
    struct gw_fault fault;
    kw_status status = op->lane.status;
    size_t len = op->lane.out.len;
    bool aes = len == 16 || len == 24 || len == 32;
    if (status == KW_E_CRYPTO || status == KW_E_INPUT || (status == KW_OK && !aes)) {
        byok->status = KW_E_CRYPTO;
        store_target(byok);
        return;
    }
    if (status == KW_OK)
        status = gw_aside_run(byok->req->loop, open_target, store_target, byok);
    if (status != KW_OK) {
        gw_fault_status(&fault, status, (struct kw_span){0});
        end(byok, &fault);
    }
}

static bool is_exchange_key(const struct vault_key *key)
{
    return key->hsm && key->op_import && key->ops == 0 &&
           pool_key_public(key->key)->kty == KW_KTY_RSA;
}

static kw_status open_first(struct byok *byok)
{
    struct pool_op *op = &byok->op;
    size_t first = pool_key_public(byok->kek->key)->n_len;
    if (byok->wrapped.len < first + 16)
        return KW_E_INPUT;
    op->lane.kind = KW_KIND_UNWRAP;
    op->lane.alg = KW_ALG_RSA_OAEP;
    op->lane.in = kw_span_of(byok->wrapped.data, first);
    op->lane.out.cap = first;
    op->lane.out.data = gw_arena_alloc(byok->req->arena, first);
    byok->plain = gw_arena_alloc(byok->req->arena, byok->wrapped.len - first);
    if (!op->lane.out.data || !byok->plain)
        return KW_E_NOMEM;
    op->key = byok->kek->key;
    op->deadline_ns = kw_now_ns() + GW_CALL_DEADLINE_NS;
    op->on_done = on_opened;
    op->owner = byok;
    return pool_submit(gw_loop_port(byok->req->loop), op);
}

static void on_kek(void *ctx, kw_status status, struct vault_key *kek)
{
    struct byok *byok = ctx;
    struct gw_fault fault;
    if (status == KW_E_NOT_FOUND || (status == KW_OK && !is_exchange_key(kek))) {
        end_bad(byok, "Property 'key_hsm': 'kid' does not name a key exchange key of this vault "
                      "(RSA-HSM with key_ops import alone).");
        return;
    }
    if (status == KW_OK && !kek->attributes.enabled) {
        gw_fault_set(&fault, 403, "Forbidden", "KeyDisabled",
                     "Operation import is not allowed on a disabled key.");
        end(byok, &fault);
        return;
    }
    if (status == KW_OK) {
        byok->kek = vault_key_ref(kek);
        status = open_first(byok);
    }
    if (status == KW_E_INPUT) {
        end_bad(byok, "Property 'key_hsm': the ciphertext is too short for its key exchange key.");
    } else if (status != KW_OK) {
        gw_fault_status(&fault, status, byok->kek_name);
        end(byok, &fault);
    }
}

void gw_keys_import_wrapped(struct gw_request *req, const json_t *root, const json_t *jwk)
{
    const struct gw_site *site = gw_site_of(req);
    struct byok *byok = gw_arena_alloc(req->arena, sizeof *byok);
    struct gw_fault fault;
    if (!byok) {
        gw_reply_nomem(req);
        return;
    }
    byok->req = req;
    byok->request.vault = site->name;
    if (!read_request(byok, root, jwk, &fault)) {
        gw_reply_fault(req, &fault);
        return;
    }
    byok->request.name = gw_name_param(req);
    if (!byok->request.name)
        return;
    gw_request_ref(req);
    vault_key_get(site->vault, req->loop, site->name, byok->kek_name, byok->kek_version, on_kek,
                  byok);
}
