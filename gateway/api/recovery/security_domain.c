/* The security domain: downloaded sealed to the operators' certificates, uploaded as a transfer
 * blob. Sealing and opening take RSA operations by the dozen, so they run beside the loops. */

#include "gateway/api/recovery/security_domain.h"

#include <openssl/err.h>
#include <stdlib.h>

#include "gateway/api/aside.h"
#include "gateway/api/json/base64url.h"
#include "gateway/api/json/read.h"
#include "gateway/api/reply.h"
#include "gateway/api/route.h"
#include "gateway/api/url.h"
#include "gateway/domain/file.h"
#include "gateway/domain/recovery.h"

#define ANSWER_MAX (1 << 20)
#define CERT_MAX   8192 /* bytes of DER */

struct work {
    struct gw_request *req;
    struct gw_app *app;
    json_t *body;
    X509 *certs[GW_DOMAIN_CERTS_MAX];
    size_t count;
    unsigned required;
    struct kw_span blob; /* in `body` */
    struct gw_recovery_answer answer;
    void (*reply)(struct work *work);
};

static void work_free(struct work *work)
{
    for (size_t i = 0; i < work->count; i++)
        X509_free(work->certs[i]);
    json_decref(work->body);
    if (work->answer.text)
        kw_wipe(work->answer.text, strlen(work->answer.text));
    free(work->answer.text);
    free(work);
}

/* --- answers --- */

static bool poll_at(struct gw_request *req, const char *path)
{
    struct kw_span authority;
    if (req->route->face != GW_FACE_API) /* the peer may be gone by now */
        return true;
    if (!gw_authority(req, &authority))
        return false;
    const char *url = gw_arena_printf(req->arena, "https://%.*s/securitydomain/%s/pending",
                                      (int)authority.len, (const char *)authority.data, path);
    if (!url)
        return false;
    gw_reply_header(req, "azure-asyncoperation", url);
    gw_reply_header(req, "retry-after", "1");
    return true;
}

static void write_status(struct gw_request *req, int http, bool upload)
{
    char details[512];
    struct gw_out out;
    const char *status =
        gw_recovery_status(gw_loop_app(req->loop), upload, details, sizeof details);
    gw_out_init(&out, req->arena, 512, 4096);
    gw_out_text(&out, "{\"status\":");
    gw_out_string(&out, status, strlen(status));
    gw_out_text(&out, ",\"status_details\":");
    gw_out_string(&out, details, strlen(details));
    gw_out_text(&out, "}");
    gw_reply_json(req, http, &out);
}

static void reply_text(struct work *work, int http, const char *before, const char *after)
{
    struct gw_out out;
    gw_out_init(&out, work->req->arena, 16384, ANSWER_MAX);
    gw_out_text(&out, before);
    gw_out_string(&out, work->answer.text, strlen(work->answer.text));
    gw_out_text(&out, after);
    gw_reply_json(work->req, http, &out);
}

static void reply_download(struct work *work)
{
    if (poll_at(work->req, "download"))
        reply_text(work, 202, "{\"value\":", "}");
    else
        gw_reply_nomem(work->req);
}

static void reply_transfer_key(struct work *work)
{
    reply_text(work, 200, "{\"key_format\":\"jwk\",\"transfer_key\":", "}");
}

static void reply_upload(struct work *work)
{
    if (poll_at(work->req, "upload"))
        write_status(work->req, 202, true);
    else
        gw_reply_nomem(work->req);
}

static void done(void *ctx)
{
    struct work *work = ctx;
    struct gw_request *req = work->req;
    struct gw_fault fault;
    if (work->answer.http) {
        int http = work->answer.http;
        gw_fault_set(&fault, http,
                     http == 400   ? "BadParameter"
                     : http == 409 ? "Conflict"
                                   : "ServiceUnavailable",
                     NULL, "%s", work->answer.error);
        fault.retry_after_s = http == 503 ? 2 : 0;
        gw_reply_fault(req, &fault);
    } else {
        work->reply(work);
        if (work->answer.restart)
            gw_app_restart(work->app);
    }
    work_free(work);
    gw_request_unref(req);
}

static void start(struct work *work, void (*run)(void *ctx), void (*reply)(struct work *work))
{
    struct gw_request *req = work->req;
    work->app = gw_loop_app(req->loop);
    work->reply = reply;
    gw_request_ref(req);
    kw_status status = gw_aside_run(req->loop, run, done, work);
    if (status == KW_OK)
        return;
    gw_reply_status(req, status, (struct kw_span){.data = NULL});
    work_free(work);
    gw_request_unref(req);
}

/* NULL: answered. With `body` the request's is parsed. */
static struct work *begin(struct gw_request *req, bool body)
{
    struct gw_fault fault;
    struct work *work = calloc(1, sizeof *work);
    if (!work) {
        gw_reply_nomem(req);
        return NULL;
    }
    work->req = req;
    if (body)
        work->body = gw_json_parse(kw_buf_span(&req->body), &fault);
    if (!body || work->body)
        return work;
    work_free(work);
    gw_reply_fault(req, &fault);
    return NULL;
}

static void refuse(struct work *work, const struct gw_fault *fault)
{
    gw_reply_fault(work->req, fault);
    work_free(work);
}

/* --- download --- */

/* The key is the certificate's; `n`, where it is there, must be the same. */
static bool key_agrees(const json_t *jwk, X509 *cert, struct gw_arena *arena,
                       struct gw_fault *fault)
{
    struct kw_span n;
    BIGNUM *ours = NULL, *theirs = NULL;
    if (!gw_json_bytes(jwk, "n", 2048, arena, &n, fault))
        return false;
    if (!n.data)
        return true;
    EVP_PKEY *key = X509_get0_pubkey(cert);
    bool same = key && EVP_PKEY_get_bn_param(key, "n", &ours) == 1 &&
                (theirs = BN_bin2bn(n.data, (int)n.len, NULL)) && BN_cmp(ours, theirs) == 0;
    BN_free(ours);
    BN_free(theirs);
    return same || gw_fault_bad(fault, "A certificate's 'n' is not that of its 'x5c'.");
}

static X509 *read_cert(const json_t *jwk, struct gw_arena *arena, struct gw_fault *fault)
{
    const json_t *text = json_array_get(json_object_get(jwk, "x5c"), 0);
    size_t len = json_string_length(text), der_len = 0;
    uint8_t *der =
        len > 0 && len <= CERT_MAX / 3 * 4 ? gw_arena_alloc(arena, gw_b64_decoded_room(len)) : NULL;
    const uint8_t *at = der;
    X509 *cert = NULL;
    if (der && gw_b64_decode(der, &der_len, json_string_value(text), len))
        cert = d2i_X509(NULL, &at, (long)der_len);
    ERR_clear_error();
    if (cert && at == der + der_len && key_agrees(jwk, cert, arena, fault))
        return cert;
    if (!cert || at != der + der_len)
        gw_fault_bad(fault, "Each of 'certificates' must be a JWK whose 'x5c' is one certificate.");
    X509_free(cert);
    return NULL;
}

static bool read_download(struct work *work, struct gw_fault *fault)
{
    json_t *list, *jwk;
    size_t i;
    int64_t required = 0;
    bool present = false;
    if (!gw_json_array(work->body, "certificates", &list, fault) ||
        !gw_json_int(work->body, "required", 0, 1000, &required, &present, fault))
        return false;
    if (!list || !present)
        return gw_fault_bad(fault, "Property '%s' is missing.", list ? "required" : "certificates");
    if (json_array_size(list) > GW_DOMAIN_CERTS_MAX)
        return gw_fault_bad(fault, "Property 'certificates' has %zu entries; allowed: %d to %d.",
                            json_array_size(list), GW_DOMAIN_CERTS_MIN, GW_DOMAIN_CERTS_MAX);
    work->required = (unsigned)required;
    json_array_foreach(list, i, jwk)
    {
        work->certs[i] = read_cert(jwk, work->req->arena, fault);
        if (!work->certs[i])
            return false;
        work->count = i + 1;
    }
    return true;
}

static void run_download(void *ctx)
{
    struct work *work = ctx;
    gw_recovery_download(work->app, work->certs, work->count, work->required, &work->answer);
}

void gw_domain_download(struct gw_request *req)
{
    struct gw_fault fault;
    struct work *work = begin(req, true);
    if (!work)
        return;
    if (read_download(work, &fault))
        start(work, run_download, reply_download);
    else
        refuse(work, &fault);
}

void gw_domain_download_pending(struct gw_request *req)
{
    write_status(req, 200, false);
}

/* --- upload --- */

static void run_transfer_key(void *ctx)
{
    struct work *work = ctx;
    gw_recovery_transfer_key(work->app, &work->answer);
}

void gw_domain_transfer_key(struct gw_request *req)
{
    struct work *work = begin(req, false);
    if (work)
        start(work, run_transfer_key, reply_transfer_key);
}

static void run_upload(void *ctx)
{
    struct work *work = ctx;
    gw_recovery_upload(work->app, (const char *)work->blob.data, work->blob.len, &work->answer);
}

void gw_domain_upload(struct gw_request *req)
{
    struct gw_fault fault;
    struct work *work = begin(req, true);
    if (!work)
        return;
    bool ok = gw_json_string(work->body, "value", GW_DOMAIN_FILE_MAX, &work->blob, &fault);
    if (ok && !work->blob.data)
        ok = gw_fault_bad(&fault, "Property 'value' is missing.");
    if (ok)
        start(work, run_upload, reply_upload);
    else
        refuse(work, &fault);
}

void gw_domain_upload_pending(struct gw_request *req)
{
    write_status(req, 200, true);
}
