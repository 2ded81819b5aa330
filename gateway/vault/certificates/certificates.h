#pragma once
/* Certificates as objects with versions. A certificate is three objects of one name and version:
 * itself, its key and its secret, made, changed and moved in one transaction. Beside them stand,
 * one for each name, the policy and the operation that makes the next version; both are sealed JSON
 * documents (doc.h).
 *
 * The key of an open operation is kept in the operation: keys and secrets show it only once the
 * certificate is there, and a cancelled operation leaves nothing behind. */

#include <jansson.h>

#include "gateway/vault/keys/keys.h"
#include "gateway/x509/x509.h"

struct vault_cert {
    VAULT_OBJECT;
    struct gw_x509_bytes certs[GW_X509_CHAIN_MAX]; /* DER, the leaf first */
    size_t count;
    bool pem; /* its secret is PEM, else PKCS#12 */
    bool keep_order;
    uint8_t thumbprint[GW_X509_THUMBPRINT];
};

extern const struct vault_kind vault_cert_kind;

/** The sealed record of a certificate, and back; see record.h of keys. */
KW_MUST_CHECK kw_status vault_cert_record_seal(const struct kc_domain *domain,
                                               const struct vault_cert *cert, uint8_t **out,
                                               size_t *out_len);
KW_MUST_CHECK kw_status vault_cert_record_open(const struct kc_domain *domain,
                                               const char *vault_name, const struct store_row *row,
                                               struct vault_cert **out);

/** What came of a call. Everything is borrowed for the time of the callback. */
struct vault_cert_answer {
    kw_status status;
    /* KW_E_CONFLICT: why; `conflict_kind` is the kind of object that met it */
    enum store_conflict conflict;
    enum store_kind conflict_kind;
    bool in_progress;        /* KW_E_CONFLICT: an operation is under way */
    const char *why;         /* a sentence beside KW_E_INPUT and KW_E_UNSUPPORTED, or NULL */
    struct vault_cert *cert; /* NULL: none (yet) */
    const json_t *policy;    /* NULL: none */
    const json_t *pending;   /* NULL: none */
};

/** Once, on the loop that asked, also when the client is gone; may run before the call returns. */
typedef void vault_cert_fn(void *ctx, const struct vault_cert_answer *answer);

/** As vault_page_fn. */
typedef void vault_cert_page_fn(void *ctx, kw_status status, struct vault_object *const *objects,
                                size_t count, bool more);

/** Where: borrowed for the call. */
struct vault_cert_call {
    struct vault *vault;
    struct gw_loop *loop;
    const char *vault_name;
    struct kw_span name, version; /* empty version: the newest */
    vault_cert_fn *done;
    void *ctx;
};

/* --- reading --- */

/** The certificate, its policy and its operation, each where it is there. KW_E_NOT_FOUND: without a
 *  version, when there is neither certificate nor operation; with one, when no certificate has it.
 */
void vault_cert_get(const struct vault_cert_call *call);
/** The same of a deleted certificate. */
void vault_cert_get_deleted(const struct vault_cert_call *call);

/** Pages. `pending`: also names that have an operation under way and no certificate yet; their
 *  objects are operations (kind->store tells). */
void vault_cert_list(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                     bool deleted, bool pending, const char *after, unsigned limit,
                     vault_cert_page_fn *done, void *ctx);
void vault_cert_versions(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                         struct kw_span name, const char *after, unsigned limit,
                         vault_cert_page_fn *done, void *ctx);

void vault_issuer_list(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                       const char *after, unsigned limit, vault_cert_page_fn *done, void *ctx);

/* --- making --- */

/** Begins a version: makes the key and the request, stores the operation, answers; with the issuer
 *  "Self" the certificate follows without another call. `policy` is the body's; what it does not
 *  say has its default. KW_E_CONFLICT: deleted, or (`in_progress`) another one is under way. */
void vault_cert_create(const struct vault_cert_call *call, const json_t *policy,
                       const struct vault_change *change, bool keep_order);

/** A certificate with its key, read from a file. `bundle` is taken over and cleared. `policy` may
 * be NULL; it is completed by what the certificate says. */
void vault_cert_import(const struct vault_cert_call *call, struct gw_x509_bundle *bundle,
                       const json_t *policy, const struct vault_change *change, bool pem,
                       bool keep_order);

/** Ends an open operation with certificates from elsewhere (DER, any order). They must belong to
 * the operation's key. `certs` are copied. */
void vault_cert_merge(const struct vault_cert_call *call, const struct gw_x509_bytes *certs,
                      size_t count, const struct vault_change *change);

/** Marks an open operation cancelled. KW_E_NOT_FOUND without one. */
void vault_cert_cancel(const struct vault_cert_call *call, bool cancel);
/** Forgets the operation, whatever its state, and its key with it. */
void vault_cert_forget(const struct vault_cert_call *call);

/** Goes on with a self-signed operation: called after its creation and, for those that a crash
 * left, by the sweep. `done` may be NULL. */
void vault_cert_finish(const struct vault_cert_call *call);

/** `renewed`: operations that were begun. */
typedef void vault_cert_due_fn(void *ctx, kw_status status, unsigned renewed);

/** Finishes what a crash left, begins the renewals that are due at `now` (wall seconds), in all
 *  vaults. Many gateways of a fleet may do it at the same time: the version a renewal starts from
 *  decides which one counts. */
void vault_cert_due(struct vault *vault, struct gw_loop *loop, int64_t now, vault_cert_due_fn *done,
                    void *ctx);

/* --- changing --- */

/** Changes attributes and tags of a version, of its key and its secret alike, and the policy.
 *  `policy` NULL: stays. A name that has only an operation can change its policy. */
void vault_cert_update(const struct vault_cert_call *call, const struct vault_change *change,
                       const json_t *policy);

/** Soft delete, recover, purge: with key, secret, policy and operation. `retention_days` of a
 *  delete. */
void vault_cert_delete(const struct vault_cert_call *call, unsigned retention_days);
void vault_cert_recover(const struct vault_cert_call *call);
void vault_cert_purge(const struct vault_cert_call *call);
