#include "pool/pkcs11/ckr.h"
#include "pool/pkcs11/host.h"

CK_RV pool_host_sign(struct pool_host_call *call, CK_MECHANISM *mechanism, struct kw_span in,
                     uint8_t *out, size_t cap, size_t *out_len)
{
    CK_FUNCTION_LIST *p11 = call->host->p11;
    CK_ULONG len = cap;
    CK_RV rv = p11->C_SignInit(call->session, mechanism, call->handle);
    if (rv == CKR_OK) {
        rv = p11->C_Sign(call->session, (CK_BYTE_PTR)in.data, in.len, out, &len);
    }
    *out_len = rv == CKR_OK ? len : 0;
    return rv;
}

CK_RV pool_host_encrypt(struct pool_host_call *call, CK_MECHANISM *mechanism, struct kw_span in,
                        uint8_t *out, size_t cap, size_t *out_len)
{
    CK_FUNCTION_LIST *p11 = call->host->p11;
    CK_ULONG len = cap;
    CK_RV rv = p11->C_EncryptInit(call->session, mechanism, call->handle);
    if (rv == CKR_OK) {
        rv = p11->C_Encrypt(call->session, (CK_BYTE_PTR)in.data, in.len, out, &len);
    }
    *out_len = rv == CKR_OK ? len : 0;
    return rv;
}

CK_RV pool_host_decrypt(struct pool_host_call *call, CK_MECHANISM *mechanism, struct kw_span in,
                        uint8_t *out, size_t cap, size_t *out_len)
{
    CK_FUNCTION_LIST *p11 = call->host->p11;
    CK_ULONG len = cap;
    CK_RV rv = p11->C_DecryptInit(call->session, mechanism, call->handle);
    if (rv == CKR_OK) {
        rv = p11->C_Decrypt(call->session, (CK_BYTE_PTR)in.data, in.len, out, &len);
    }
    *out_len = rv == CKR_OK ? len : 0;
    return rv;
}

CK_RV pool_host_random(struct pool_host_call *call)
{
    size_t len = call->req->out_cap;
    if (len == 0 || len > KW_RNG_MAX) {
        call->status = KW_E_INPUT;
        return CKR_OK;
    }
    call->out_len = len;
    return call->host->p11->C_GenerateRandom(call->session, call->out, len);
}

static CK_RV dispatch(struct pool_host_call *call)
{
    const struct pool_wire_request *req = call->req;
    if (req->kind == KW_KIND_RANDOM) {
        return pool_host_random(call);
    }
    if (req->kind == KW_KIND_GENERATE) {
        return pool_host_generate(call);
    }
    switch (kw_alg_info(req->alg)->family) {
    case KW_FAMILY_RSA_PKCS1:
    case KW_FAMILY_RSA_PSS:
    case KW_FAMILY_RSA_V15:
    case KW_FAMILY_RSA_OAEP:
        return pool_host_rsa(call);
    case KW_FAMILY_ECDSA:
        return pool_host_ecdsa(call);
    case KW_FAMILY_HMAC:
        return pool_host_hmac(call);
    case KW_FAMILY_AES_GCM:
    case KW_FAMILY_AES_CBC:
    case KW_FAMILY_AES_CBCPAD:
        return pool_host_aes(call);
    case KW_FAMILY_AES_KW:
    case KW_FAMILY_AES_KWP:
        return pool_host_wrap(call);
    case KW_FAMILY_NONE:
        break;
    }
    return CKR_MECHANISM_INVALID;
}

/** Replaces a session that is lost or stuck in the middle of an operation. */
static CK_RV renew(struct pool_host *host, CK_SESSION_HANDLE *session)
{
    if (!pool_host_anchored(host)) {
        return CKR_USER_NOT_LOGGED_IN; /* with the anchor every key object went */
    }
    host->p11->C_CloseSession(*session);
    return pool_host_open_session(host, session);
}

/** Does the token still compute? A failed call may have left its operation active, or cost the
 *  session: then a new session is asked. */
static bool is_alive(struct pool_host *host, CK_SESSION_HANDLE *session)
{
    CK_RV rv = pool_host_canary(host, *session);
    if (pool_ckr(rv)->action == POOL_CKR_SESSION && renew(host, session) == CKR_OK) {
        rv = pool_host_canary(host, *session);
    }
    return rv == CKR_OK;
}

/** One try; `loading` tells whether the code came from loading the key. */
static CK_RV attempt(struct pool_host_call *call, bool *loading)
{
    const struct pool_wire_request *req = call->req;
    call->status = KW_OK;
    call->out_len = 0;
    call->wrong = false;
    *loading = false;
    if (call->key != NULL) {
        bool hmac = kw_alg_info(req->alg)->family == KW_FAMILY_HMAC;
        *loading = true;
        CK_RV rv = pool_host_key_handle(call->host, call->key, hmac, &call->handle);
        if (rv != CKR_OK) {
            return rv;
        }
        *loading = false;
    }
    return dispatch(call);
}

static CK_RV with_repair(struct pool_host_call *call, CK_SESSION_HANDLE *session, bool *loading)
{
    CK_RV rv = attempt(call, loading);
    for (int repairs = 0; repairs < 2; repairs++) {
        enum pool_ckr_action action = pool_ckr(rv)->action;
        if (action == POOL_CKR_SESSION) {
            CK_RV renewed = renew(call->host, session);
            if (renewed != CKR_OK) {
                return renewed;
            }
            call->session = *session;
        } else if (action == POOL_CKR_KEY && call->key != NULL && !*loading) {
            if (!pool_host_anchored(call->host)) {
                return CKR_USER_NOT_LOGGED_IN;
            }
            pool_host_key_stale(call->host, call->key, call->handle);
        } else {
            return rv;
        }
        rv = attempt(call, loading);
    }
    return rv;
}

static bool undoes(enum kw_kind kind)
{
    return kind == KW_KIND_DECRYPT || kind == KW_KIND_UNWRAP;
}

/** What a failed call means for the caller and for the member. */
static void judge(struct pool_host_call *call, CK_SESSION_HANDLE *session, CK_RV rv, bool loading,
                  struct pool_wire_answer *answer)
{
    const struct pool_ckr_row *row = pool_ckr(rv);
    /* what the key may be used for says nothing of the data; everything else must */
    bool hide = undoes(call->req->kind) && row->status != KW_E_FORBIDDEN;
    kw_status fault = hide ? KW_E_CRYPTO : row->status;
    answer->ckr = rv;
    answer->status = KW_E_UNAVAILABLE;
    answer->verdict = POOL_WIRE_OTHER;
    if (rv == POOL_HOST_LACKS) {
        answer->verdict = POOL_WIRE_LACKS;
        return;
    }
    switch (row->action) {
    case POOL_CKR_CALLER:
        answer->verdict = loading ? POOL_WIRE_OTHER_FREE : POOL_WIRE_DONE;
        answer->status = fault;
        if (call->req->kind == KW_KIND_GENERATE) {
            /* there is no caller's data in it: the token damaged its own */
            answer->verdict = POOL_WIRE_OTHER;
            answer->status = KW_E_UNAVAILABLE;
        }
        break;
    case POOL_CKR_UNSUPPORTED:
        answer->verdict = POOL_WIRE_UNSUPPORTED;
        break;
    case POOL_CKR_AMBIGUOUS:
        /* Some modules say this for damaged ciphertext. Only a canary that fails too makes it the
         * member's fault; lengths were checked before, so a signature that fails with a healthy
         * canary is nobody's proven fault: another member may do it. */
        if (!is_alive(call->host, session)) {
            answer->verdict = POOL_WIRE_FATAL;
        } else if (undoes(call->req->kind) && !loading) {
            answer->verdict = POOL_WIRE_DONE;
            answer->status = KW_E_CRYPTO;
        } else {
            answer->verdict = POOL_WIRE_OTHER_FREE;
        }
        break;
    case POOL_CKR_RESTART:
    case POOL_CKR_SESSION:
    case POOL_CKR_KEY:
        answer->verdict = is_alive(call->host, session) ? POOL_WIRE_OTHER : POOL_WIRE_FATAL;
        break;
    case POOL_CKR_LOGIN:
    case POOL_CKR_NEVER:
        answer->verdict = POOL_WIRE_FATAL;
        break;
    case POOL_CKR_BUSY:
        answer->verdict = POOL_WIRE_OTHER_FREE;
        break;
    case POOL_CKR_SIZE:
        (void)renew(call->host, session); /* the operation is still active on the old one */
        answer->verdict = POOL_WIRE_OTHER_FREE;
        break;
    case POOL_CKR_OK:
    case POOL_CKR_OTHER:
        break;
    }
}

static bool needs_key(enum kw_kind kind)
{
    return kind != KW_KIND_GENERATE && kind != KW_KIND_RANDOM;
}

static void conclude(struct pool_host_call *call, struct pool_host_result *result)
{
    struct pool_wire_answer *answer = &result->answer;
    answer->verdict = POOL_WIRE_DONE;
    answer->status = call->status;
    if (call->wrong) {
        answer->verdict = POOL_WIRE_WRONG;
        answer->status = KW_E_UNAVAILABLE;
        return;
    }
    if (call->status != KW_OK) {
        return;
    }
    if (call->out_len > call->req->out_cap && call->req->kind != KW_KIND_GENERATE) {
        answer->status = KW_E_INTERNAL;
        return;
    }
    answer->valid = call->valid;
    answer->out = kw_span_of(call->out, call->out_len);
    memcpy(answer->tag, call->tag, sizeof(answer->tag));
    result->generated = call->req->kind == KW_KIND_GENERATE;
    result->pub = call->pub;
}

void pool_host_run(struct pool_host *host, CK_SESSION_HANDLE *session, uint8_t *out,
                   const struct pool_wire_request *req, struct pool_host_result *result)
{
    struct pool_host_call call = {.host = host, .session = *session, .req = req, .out = out};
    memset(result, 0, sizeof(*result));
    result->answer.id = req->id;
    if (needs_key(req->kind)) {
        bool bad_blob;
        call.key = pool_host_key_get(host, req, &bad_blob);
        if (call.key == NULL) {
            result->need_key = !bad_blob;
            result->answer.verdict = POOL_WIRE_DONE;
            result->answer.status = KW_E_INTEGRITY;
            return;
        }
    }
    bool loading = false;
    CK_RV rv = with_repair(&call, session, &loading);
    if (rv == CKR_OK) {
        conclude(&call, result);
    } else {
        judge(&call, session, rv, loading, &result->answer);
    }
    if (call.key != NULL) {
        pool_host_key_put(host, call.key);
    }
}
