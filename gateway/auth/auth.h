#pragma once
/* Who is asking, and may they. Identity: today static bearer tokens and, on a Unix socket, the
 * peer's uid; JWT and mTLS are added as further sources beside them (files of gateway/auth). What
 * an identity may do is decided in auth/access.c. Nothing else in the gateway decides either. */

#include "gateway/base/guid.h"
#include "gateway/http/request.h"

enum gw_identity_source { GW_IDENTITY_TOKEN, GW_IDENTITY_PEER };

struct gw_identity {
    enum gw_identity_source source;
    bool full;                      /* may do everything; else what is assigned to the principal */
    uint8_t principal[GW_GUID_LEN]; /* of a token */
    char subject[64];               /* token's id or "uid:1000"; for the audit line */
};

struct gw_auth;

/** `tokens_file` may be NULL. `error` gets a sentence with file and line on failure. */
KW_MUST_CHECK kw_status gw_auth_create(struct gw_auth **out, const char *tokens_file, char *error,
                                       size_t error_len);
void gw_auth_destroy(struct gw_auth *auth);
/** Reads the file again and swaps; on any error the old set stays. Any thread. */
KW_MUST_CHECK kw_status gw_auth_reload(struct gw_auth *auth, char *error, size_t error_len);
/** The same from another file from now on; NULL: no tokens of a file any more. */
KW_MUST_CHECK kw_status gw_auth_reload_from(struct gw_auth *auth, const char *tokens_file,
                                            char *error, size_t error_len);
/** Adds a token in memory only (the dev token). */
KW_MUST_CHECK kw_status gw_auth_add(struct gw_auth *auth, const char *id, struct kw_span token);

/** Finds the identity of a request: KW_OK and req->identity, or KW_E_FORBIDDEN (no or wrong token:
 *  answered with the 401 challenge). Loop thread. */
KW_MUST_CHECK kw_status gw_auth_identify(struct gw_auth *auth, struct gw_request *req);

/** The client of a request as a number, for pool_op.client: by the identity's subject, over all of
 * its connections; by the connection where there is no identity. */
uint64_t gw_auth_client(const struct gw_request *req);

struct gw_token;

/** What a new token may do, and as whom. */
struct gw_token_terms {
    bool assigned;      /* role assignments alone say what it may do */
    bool has_principal; /* `principal` is given, for a token in the place of another; else it is
                           made */
    uint8_t principal[GW_GUID_LEN];
};

/* tokens file, for `keyward token create|revoke|list`. `terms` gets the principal; NULL: a token
 * that may do everything, with a principal of its own. */
KW_MUST_CHECK kw_status gw_tokens_create(const char *file, const char *id,
                                         struct gw_token_terms *terms, char *token_out,
                                         size_t token_len, char *error, size_t error_len);
KW_MUST_CHECK kw_status gw_tokens_revoke(const char *file, const char *id, char *error,
                                         size_t error_len);
KW_MUST_CHECK kw_status gw_tokens_list(const char *file,
                                       void (*row)(void *ctx, const struct gw_token *token),
                                       void *ctx, char *error, size_t error_len);
