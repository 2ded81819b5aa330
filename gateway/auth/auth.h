#pragma once
/* Who is asking, and may they. Identity: today static bearer tokens and, on a Unix socket, the
 * peer's uid; JWT and mTLS are added as further sources beside them (files of gateway/auth), roles
 * in auth/access.c. Nothing else in the gateway decides either question. */

#include "gateway/http/request.h"

enum gw_identity_source { GW_IDENTITY_TOKEN, GW_IDENTITY_PEER };

struct gw_identity {
    enum gw_identity_source source;
    char subject[64]; /* token's id or "uid:1000"; for the audit line */
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

/* tokens file, for `keyward token create|revoke|list` */
KW_MUST_CHECK kw_status gw_tokens_create(const char *file, const char *id, char *token_out,
                                         size_t token_len, char *error, size_t error_len);
KW_MUST_CHECK kw_status gw_tokens_revoke(const char *file, const char *id, char *error,
                                         size_t error_len);
KW_MUST_CHECK kw_status gw_tokens_list(const char *file,
                                       void (*row)(void *ctx, const char *id, int64_t created),
                                       void *ctx, char *error, size_t error_len);
