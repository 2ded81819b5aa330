/* Static bearer tokens. The first request of a connection hashes the token and compares it with all
 * of the set; later ones compare it with the one that was accepted. Every comparison takes the same
 * time for any content. */

#include <stdlib.h>
#include <strings.h>

#include "crypto/base/secret.h"
#include "gateway/auth/auth_internal.h"

#define TOKEN_MAX 16384

/* What a connection remembers: peer->token_cache. */
struct accepted {
    uint64_t generation;
    struct gw_identity identity;
    size_t len;
    uint8_t token[];
};

static void accepted_free(void *data)
{
    struct accepted *accepted = data;
    if (!accepted)
        return;
    kw_wipe(accepted->token, accepted->len);
    free(accepted);
}

/* The token of "Bearer TOKEN" (RFC 6750 section 2.1), or false. */
static bool bearer_token(struct kw_span header, struct kw_span *out)
{
    static const char scheme[] = "bearer ";
    size_t len = sizeof scheme - 1;
    if (header.len <= len || strncasecmp((const char *)header.data, scheme, len) != 0)
        return false;
    while (len < header.len && header.data[len] == ' ')
        len++;
    *out = kw_span_of(header.data + len, header.len - len);
    while (out->len > 0 && out->data[out->len - 1] == ' ')
        out->len--;
    return out->len > 0 && out->len <= TOKEN_MAX;
}

/* All entries are compared, whichever matches. */
static const struct gw_token *find(const struct gw_token_set *set,
                                   const uint8_t hash[GW_TOKEN_HASH])
{
    const struct gw_token *found = NULL;
    for (size_t i = 0; i < set->count; i++) {
        if (kw_ct_equal(set->tokens[i].hash, hash, GW_TOKEN_HASH))
            found = &set->tokens[i];
    }
    return found;
}

static void remember(struct gw_peer *peer, uint64_t generation, struct kw_span token,
                     const struct gw_identity *identity)
{
    struct accepted *accepted = malloc(sizeof *accepted + token.len);
    if (peer->token_cache && peer->token_cache_free)
        peer->token_cache_free(peer->token_cache);
    peer->token_cache = NULL;
    if (!accepted)
        return;
    accepted->generation = generation;
    accepted->identity = *identity;
    accepted->len = token.len;
    memcpy(accepted->token, token.data, token.len);
    peer->token_cache = accepted;
    peer->token_cache_free = accepted_free;
}

static bool remembered(const struct gw_peer *peer, uint64_t generation, struct kw_span token,
                       struct gw_identity *out)
{
    const struct accepted *accepted = peer->token_cache;
    if (!accepted || accepted->generation != generation || accepted->len != token.len ||
        !kw_ct_equal(accepted->token, token.data, token.len))
        return false;
    *out = accepted->identity;
    return true;
}

static bool look_up(struct gw_auth *auth, struct kw_span token, uint64_t *generation,
                    struct gw_identity *out)
{
    uint8_t hash[GW_TOKEN_HASH];
    if (gw_token_hash(token, hash) != KW_OK)
        return false;
    pthread_rwlock_rdlock(&auth->lock);
    const struct gw_token *in_file = find(&auth->from_file, hash);
    const struct gw_token *in_memory = find(&auth->in_memory, hash);
    const struct gw_token *token_found = in_file ? in_file : in_memory;
    if (token_found) {
        out->source = GW_IDENTITY_TOKEN;
        out->full = token_found->full;
        memcpy(out->principal, token_found->principal, sizeof out->principal);
        memcpy(out->subject, token_found->id, sizeof token_found->id);
    }
    *generation = atomic_load(&auth->generation);
    pthread_rwlock_unlock(&auth->lock);
    return token_found != NULL;
}

enum gw_auth_verdict gw_auth_bearer(struct gw_auth *auth, struct gw_request *req,
                                    struct gw_identity *out)
{
    struct kw_span token;
    if (req->authorization.len == 0)
        return GW_AUTH_NOT_MINE;
    if (!bearer_token(req->authorization, &token))
        return GW_AUTH_REFUSED;
    uint64_t generation = atomic_load(&auth->generation);
    if (remembered(req->peer, generation, token, out))
        return GW_AUTH_ACCEPTED;
    if (!look_up(auth, token, &generation, out))
        return GW_AUTH_REFUSED;
    remember(req->peer, generation, token, out);
    return GW_AUTH_ACCEPTED;
}
