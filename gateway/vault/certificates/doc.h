#pragma once
/* Sealed JSON documents: policies and operations of certificates, issuers, contacts. One for each
 * name, in one version that is replaced in place. */

#include <jansson.h>

#include "gateway/vault/kind.h"

#define VAULT_DOC_VERSION "00000000000000000000000000000000"

/** A document among the kinds of objects, for pages of them. */
struct vault_doc {
    VAULT_OBJECT;
    json_t *json;
};
extern const struct vault_kind vault_pending_kind, vault_issuer_kind;

#define VAULT_DOC_HASH 32 /* SHA-256 of the sealed record, for compare-and-set */

KW_MUST_CHECK kw_status vault_doc_seal(struct vault *vault, const struct store_ref *place,
                                       const json_t *json, uint8_t **out, size_t *out_len);
/** `*out` is a new reference; `hash` may be NULL. */
KW_MUST_CHECK kw_status vault_doc_open(struct vault *vault, enum store_kind kind,
                                       const char *vault_name, const struct store_row *row,
                                       json_t **out, uint8_t hash[VAULT_DOC_HASH]);

/** Bytes as a JSON string (base64url), and back; NULL, or false, on failure. */
json_t *vault_doc_bytes(struct kw_span bytes);
/** `*out` is malloc'd. */
bool vault_doc_take_bytes(const json_t *value, size_t max, uint8_t **out, size_t *len);

/** Makes the new document from the old one (NULL: there is none). KW_OK with `*out` NULL: removes
 *  it. `why`: a sentence beside KW_E_INPUT. May be called again when another change came between.
 */
typedef kw_status vault_doc_change_fn(void *ctx, const json_t *old, json_t **out, const char **why);
/** `json` is the document as it is now, or as it was before it was removed; borrowed. */
typedef void vault_doc_fn(void *ctx, kw_status status, const json_t *json, const char *why);

struct vault_doc_call {
    struct vault *vault;
    struct gw_loop *loop;
    const char *vault_name;
    enum store_kind kind;
    const char *name;
    vault_doc_fn *done;
    void *ctx;
};

void vault_doc_get(const struct vault_doc_call *call);
/** Reads, changes, writes if it is still what was read; otherwise again. `change` works on
 *  `change_ctx`, which stays the caller's until `done`. */
void vault_doc_update(const struct vault_doc_call *call, vault_doc_change_fn *change,
                      void *change_ctx);
