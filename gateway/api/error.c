#include "gateway/api/error.h"

#include <stdarg.h>
#include <stdio.h>

#include "gateway/api/route.h"
#include "gateway/api/site.h"

/* What a status says to a client. The text is whole; NOT_FOUND and CONFLICT name their object. */
static const struct row {
    kw_status status;
    int http;
    const char *code, *inner;
    unsigned retry_after_s;
    const char *message;
} rows[] = {
    {KW_E_INPUT, 400, "BadParameter", NULL, 0,
     "A value of the request has a length or form that the algorithm or key does not take."},
    {KW_E_CRYPTO, 400, "BadParameter", NULL, 0,
     "The value could not be decrypted or unwrapped with this key and algorithm."},
    {KW_E_UNSUPPORTED, 400, "BadParameter", NULL, 0,
     "This algorithm, key type or key size is not offered for this key."},
    {KW_E_FORBIDDEN, 403, "Forbidden", "AccessDenied", 0, "The operation is not allowed."},
    {KW_E_NOT_FOUND, 404, NULL, NULL, 0, NULL},
    {KW_E_CONFLICT, 409, "Conflict", "ObjectIsDeletedButRecoverable", 0, NULL},
    {KW_E_TOO_LARGE, 413, "RequestBodyTooLarge", NULL, 0,
     "The request or one of its values is larger than the service takes."},
    {KW_E_BUSY, 503, "ServiceUnavailable", NULL, 1, "The service is busy. Try again."},
    {KW_E_UNAVAILABLE, 503, "ServiceUnavailable", NULL, 2,
     "No member that can serve this key is available now. Try again."},
    {KW_E_COPIES, 503, "ServiceUnavailable", NULL, 5,
     "A new key must be shown to work on more members than are healthy now (group.min_copies). "
     "Nothing was created. Try again when the members are back; keyward member list shows them."},
    {KW_E_DEADLINE, 503, "ServiceUnavailable", NULL, 1,
     "The operation was not finished in time. Try again."},
    {KW_E_NOMEM, 503, "ServiceUnavailable", NULL, 2, "The service is short of memory. Try again."},
    {KW_E_IO, 503, "ServiceUnavailable", NULL, 5,
     "The key store did not answer. Nothing was changed unless it had been confirmed. Try again."},
    {KW_E_INTEGRITY, 500, "InternalError", NULL, 0,
     "The stored object does not verify under this security domain."},
    {KW_E_INTERNAL, 500, "InternalError", NULL, 0, "The service failed. The log has the details."},
};

static void set_text(struct gw_fault *fault, int http, const char *code, const char *inner,
                     const char *format, va_list args)
{
    fault->http = http;
    fault->code = code;
    fault->inner = inner;
    fault->retry_after_s = 0;
    vsnprintf(fault->message, sizeof fault->message, format, args);
}

bool gw_fault_set(struct gw_fault *fault, int http, const char *code, const char *inner,
                  const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_text(fault, http, code, inner, format, args);
    va_end(args);
    return false;
}

bool gw_fault_bad(struct gw_fault *fault, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_text(fault, 400, "BadParameter", NULL, format, args);
    va_end(args);
    return false;
}

static const struct row *row_of(kw_status status)
{
    size_t count = sizeof rows / sizeof rows[0];
    for (size_t i = 0; i < count; i++) {
        if (rows[i].status == status)
            return &rows[i];
    }
    return &rows[count - 1];
}

/* How the texts speak of an object. */
static const struct noun {
    const char *not_found, *title, *word;
} nouns[] = {
    [STORE_KEY] = {"KeyNotFound", "Key", "key"},
    [STORE_SECRET] = {"SecretNotFound", "Secret", "secret"},
    [STORE_CERTIFICATE] = {"CertificateNotFound", "Certificate", "certificate"},
};

bool gw_fault_status_of(struct gw_fault *fault, enum store_kind kind, kw_status status,
                        struct kw_span subject)
{
    const struct row *row = row_of(status);
    const struct noun *noun = &nouns[kind];
    int len = subject.len > 200 ? 200 : (int)subject.len;
    const char *name = subject.len > 0 ? (const char *)subject.data : "";
    if (status == KW_E_NOT_FOUND)
        gw_fault_set(fault, row->http, noun->not_found, NULL,
                     "A %s with (name/id) %.*s was not found in this key vault.", noun->word, len,
                     name);
    else if (status == KW_E_CONFLICT)
        gw_fault_set(fault, row->http, row->code, row->inner,
                     "%s %.*s is currently in a deleted but recoverable state, and its name "
                     "cannot be reused; in this state, the %s can only be recovered or purged.",
                     noun->title, len > 80 ? 80 : len, name, noun->word);
    else
        gw_fault_set(fault, row->http, row->code, row->inner, "%s", row->message);
    fault->retry_after_s = row->retry_after_s;
    return false;
}

bool gw_fault_status(struct gw_fault *fault, kw_status status, struct kw_span subject)
{
    return gw_fault_status_of(fault, STORE_KEY, status, subject);
}

const char *gw_kind_title(enum store_kind kind)
{
    return nouns[kind].title;
}

bool gw_fault_conflict(struct gw_fault *fault, enum store_kind kind, enum store_conflict conflict,
                       struct kw_span name)
{
    const struct noun *noun = &nouns[kind];
    int len = name.len > 80 ? 80 : (int)name.len;
    const char *text = name.len > 0 ? (const char *)name.data : "";
    if (conflict == STORE_CONFLICT_EXISTS)
        return gw_fault_set(fault, 409, "Conflict", NULL,
                            "%s %.*s exists already in this key vault; the name has to be free.",
                            noun->title, len, text);
    if (conflict == STORE_CONFLICT_CHANGED)
        return gw_fault_set(fault, 409, "Conflict", NULL,
                            "%s %.*s was changed by another request at the same time. Try again.",
                            noun->title, len, text);
    return gw_fault_status_of(fault, kind, KW_E_CONFLICT, name);
}

bool gw_fault_not_deleted(struct gw_fault *fault, enum store_kind kind, struct kw_span name)
{
    const struct noun *noun = &nouns[kind];
    return gw_fault_set(fault, 404, noun->not_found, NULL, "Deleted %s not found: %.*s",
                        noun->title, (int)name.len, (const char *)name.data);
}

void gw_fault_write(struct gw_out *out, const struct gw_fault *fault)
{
    gw_out_text(out, "{\"code\":");
    gw_out_string(out, fault->code, strlen(fault->code));
    gw_out_text(out, ",\"message\":");
    gw_out_string(out, fault->message, strlen(fault->message));
    if (fault->inner) {
        gw_out_text(out, ",\"innererror\":{\"code\":");
        gw_out_string(out, fault->inner, strlen(fault->inner));
        gw_out_text(out, "}");
    }
    gw_out_text(out, "}");
}

void gw_reply_nomem(struct gw_request *req)
{
    static const char text[] =
        "{\"error\":{\"code\":\"ServiceUnavailable\",\"message\":\"The service "
        "is short of memory. Try again.\"}}";
    gw_reply_header(req, "retry-after", "2");
    gw_reply(req, 503, "application/json; charset=utf-8", text, sizeof text - 1);
}

void gw_reply_fault(struct gw_request *req, const struct gw_fault *fault)
{
    struct gw_out out;
    gw_out_init(&out, req->arena, 512, 8192);
    struct gw_fault named;
    if (req->site && req->site->managed_hsm) {
        /* a Managed HSM says in the text which request it was */
        named = *fault;
        size_t len = strlen(named.message);
        snprintf(named.message + len, sizeof named.message - len, " (Activity ID: %s)", req->id);
        fault = &named;
    }
    gw_out_text(&out, "{\"error\":");
    gw_fault_write(&out, fault);
    gw_out_text(&out, "}");
    if (out.failed) {
        gw_reply_nomem(req);
        return;
    }
    if (fault->retry_after_s > 0) {
        const char *text = gw_arena_printf(req->arena, "%u", fault->retry_after_s);
        if (text)
            gw_reply_header(req, "retry-after", text);
    }
    gw_reply(req, fault->http, "application/json; charset=utf-8", out.data, out.len);
}

void gw_reply_status(struct gw_request *req, kw_status status, struct kw_span subject)
{
    struct gw_fault fault;
    enum store_kind kind = req->route ? req->route->kind : 0;
    gw_fault_status_of(&fault, kind ? kind : STORE_KEY, status, subject);
    gw_reply_fault(req, &fault);
}
