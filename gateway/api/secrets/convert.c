#include "gateway/api/secrets/convert.h"

#include <openssl/evp.h>

#include "gateway/api/aside.h"
#include "gateway/api/reply.h"
#include "gateway/api/secrets/secret_json.h"
#include "gateway/vault/vault.h"
#include "gateway/x509/x509.h"

struct conversion {
    struct gw_request *req;
    struct vault *vault;
    struct vault_secret *secret; /* one reference */
    struct kw_secret pem;
    kw_status status;
};

/* The text of base64 becomes its bytes, in its place. */
static kw_status from_base64(struct kw_buf *value)
{
    size_t padding = 0;
    if (value->len == 0 || value->len % 4 != 0)
        return KW_E_INTEGRITY;
    while (padding < 2 && value->data[value->len - 1 - padding] == '=')
        padding++;
    int len = EVP_DecodeBlock(value->data, value->data, (int)value->len);
    if (len < (int)padding)
        return KW_E_INTEGRITY;
    value->len = (size_t)len - padding;
    return KW_OK;
}

/* Beside the loops: two key derivations, and the parsing of a private key. */
static void on_thread(void *ctx)
{
    struct conversion *c = ctx;
    struct kw_secret text = {.data = kw_secret_alloc(vault_secret_room(c->secret) + 1)};
    struct kw_buf value = {.data = text.data, .cap = vault_secret_room(c->secret)};
    c->status = KW_E_NOMEM;
    if (!text.data)
        return;
    text.len = value.cap;
    c->status = vault_secret_value(c->vault, c->secret, &value);
    if (c->status == KW_OK)
        c->status = from_base64(&value);
    if (c->status == KW_OK)
        c->status = gw_x509_pkcs12_to_pem(&c->pem, kw_buf_span(&value));
    if (c->status == KW_E_INPUT || c->status == KW_E_UNSUPPORTED)
        c->status = KW_E_INTEGRITY; /* it was made here */
    kw_secret_clear(&text);
}

static void on_done(void *ctx)
{
    struct conversion *c = ctx;
    struct gw_request *req = c->req;
    if (c->status == KW_OK)
        gw_secret_reply_as(req, c->secret, kw_span_of(c->pem.data, c->pem.len),
                           kw_span_str(GW_TYPE_PEM));
    else
        gw_reply_status(req, c->status, gw_object_subject(req));
    kw_secret_clear(&c->pem);
    vault_object_unref(&c->secret->object);
    gw_request_unref(req);
}

void gw_secret_convert(struct gw_request *req, struct vault_secret *secret)
{
    struct conversion *c = gw_arena_alloc(req->arena, sizeof *c);
    kw_status status = KW_E_NOMEM;
    if (c) {
        *c = (struct conversion){.req = req, .vault = gw_site_of(req)->vault, .secret = secret};
        vault_object_ref(&secret->object);
        status = gw_aside_run(req->loop, on_thread, on_done, c);
        if (status != KW_OK)
            vault_object_unref(&secret->object);
    }
    if (status != KW_OK) {
        gw_reply_status(req, status, gw_object_subject(req));
        gw_request_unref(req);
    }
}
