#include "gateway/auth/auth_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/auth/principal.h"
#include "gateway/auth/rate.h"

/* Asked in this order; the first that knows what the request carries decides. */
static gw_auth_source *const sources[] = {gw_auth_bearer, gw_auth_peer};

kw_status gw_auth_create(struct gw_auth **out, const char *tokens_file, char *error,
                         size_t error_len)
{
    struct gw_auth *auth = calloc(1, sizeof *auth);
    kw_status status = auth ? KW_OK : KW_E_NOMEM;
    snprintf(error, error_len, "out of memory");
    if (status != KW_OK)
        return status;
    pthread_rwlock_init(&auth->lock, NULL);
    atomic_init(&auth->generation, 1);
    if (tokens_file) {
        auth->tokens_file = strdup(tokens_file);
        status = auth->tokens_file ? gw_tokens_load(&auth->from_file, tokens_file, error, error_len)
                                   : KW_E_NOMEM;
    }
    if (status != KW_OK) {
        gw_auth_destroy(auth);
        return status;
    }
    *out = auth;
    return KW_OK;
}

void gw_auth_destroy(struct gw_auth *auth)
{
    if (!auth)
        return;
    gw_token_set_free(&auth->from_file);
    gw_token_set_free(&auth->in_memory);
    pthread_rwlock_destroy(&auth->lock);
    free(auth->tokens_file);
    free(auth);
}

kw_status gw_auth_reload(struct gw_auth *auth, char *error, size_t error_len)
{
    struct gw_token_set fresh, old;
    if (!auth->tokens_file)
        return KW_OK;
    KW_TRY(gw_tokens_load(&fresh, auth->tokens_file, error, error_len));
    pthread_rwlock_wrlock(&auth->lock);
    old = auth->from_file;
    auth->from_file = fresh;
    atomic_fetch_add(&auth->generation, 1);
    pthread_rwlock_unlock(&auth->lock);
    gw_token_set_free(&old);
    return KW_OK;
}

kw_status gw_auth_reload_from(struct gw_auth *auth, const char *tokens_file, char *error,
                              size_t error_len)
{
    struct gw_token_set fresh = {0}, old;
    char *name = tokens_file ? strdup(tokens_file) : NULL;
    if (tokens_file && !name) {
        snprintf(error, error_len, "out of memory");
        return KW_E_NOMEM;
    }
    kw_status status = tokens_file ? gw_tokens_load(&fresh, tokens_file, error, error_len) : KW_OK;
    if (status != KW_OK) {
        free(name);
        return status;
    }
    pthread_rwlock_wrlock(&auth->lock);
    old = auth->from_file;
    auth->from_file = fresh;
    free(auth->tokens_file);
    auth->tokens_file = name;
    atomic_fetch_add(&auth->generation, 1);
    pthread_rwlock_unlock(&auth->lock);
    gw_token_set_free(&old);
    return KW_OK;
}

kw_status gw_auth_add(struct gw_auth *auth, const char *id, struct kw_span token)
{
    struct gw_token made = {.full = true};
    if (token.len < 16 || strlen(id) > GW_TOKEN_ID_MAX)
        return KW_E_INPUT;
    memcpy(made.id, id, strlen(id) + 1);
    KW_TRY(gw_token_hash(token, made.hash));
    KW_TRY(gw_principal_of_token(made.principal, id));
    pthread_rwlock_wrlock(&auth->lock);
    kw_status status = gw_token_set_add(&auth->in_memory, &made);
    atomic_fetch_add(&auth->generation, 1);
    pthread_rwlock_unlock(&auth->lock);
    return status;
}

kw_status gw_auth_identify(struct gw_auth *auth, struct gw_request *req)
{
    struct gw_identity *identity = gw_arena_alloc(req->arena, sizeof *identity);
    if (!identity)
        return KW_E_NOMEM;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        switch (sources[i](auth, req, identity)) {
        case GW_AUTH_ACCEPTED:
            req->identity = identity;
            return KW_OK;
        case GW_AUTH_REFUSED:
            return KW_E_FORBIDDEN;
        case GW_AUTH_NOT_MINE:
            break;
        }
    }
    return KW_E_FORBIDDEN;
}

uint64_t gw_auth_client(const struct gw_request *req)
{
    if (req->identity)
        return gw_rate_hash(req->identity->subject);
    return req->detached ? 0 : (uint64_t)(uintptr_t)req->peer;
}
