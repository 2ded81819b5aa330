#pragma once
/* Secrets as objects with versions. A value is sealed by itself, inside the sealed record: lists,
 * changes and the cache carry it closed, and only a GET of its version opens it, into memory that
 * is wiped behind the answer. */

#include "crypto/domain/domain.h"
#include "gateway/vault/kind.h"

/** Longest value, in bytes of UTF-8. */
#define VAULT_SECRET_MAX 25600
/** Longest content type, in characters and in bytes of UTF-8. */
#define VAULT_CONTENT_TYPE_CHARS 255
#define VAULT_CONTENT_TYPE_MAX   (4 * VAULT_CONTENT_TYPE_CHARS)

struct vault_secret {
    VAULT_OBJECT;
    bool managed;                         /* belongs to the certificate of its name and version */
    char previous[STORE_VERSION_LEN + 1]; /* of that certificate, before this one; "": none */
    char *content_type;                   /* NULL: none */
    size_t content_type_len;
    uint8_t *blob; /* the sealed value */
    size_t blob_len;
};

extern const struct vault_kind vault_secret_kind;

/** What a new version holds; borrowed for the call. */
struct vault_secret_request {
    const char *vault, *name;
    const char *version; /* NULL: a new one; else 32 hex digits (that of the certificate) */
    struct kw_span value, content_type;
    bool managed;
    const char *previous;               /* the certificate's version before this one; NULL: none */
    struct vault_attributes attributes; /* created and updated become now when they are 0 */
    const struct vault_tag *tags;
    size_t tag_count;
};

struct vault_secret_change {
    struct vault_change common;
    bool has_content_type;
    struct kw_span content_type;
};

/** As vault_key_fn: `secret` is borrowed, NULL unless KW_OK, and NULL after a purge. */
typedef void vault_secret_fn(void *ctx, kw_status status, struct vault_secret *secret);
/** As vault_page_fn. */
typedef void vault_secret_page_fn(void *ctx, kw_status status, struct vault_secret *const *secrets,
                                  size_t count, bool more);

/** A new object with one reference, not stored anywhere: for vault_secret_set, and for a change
 * that stores it together with others. KW_E_INPUT for a value, content type, name or tag that is
 * too long. */
KW_MUST_CHECK kw_status vault_secret_make(struct vault_secret **out, const struct kc_domain *domain,
                                          const struct vault_secret_request *req);

/** Opens the value into `out`, of which `cap` must be at least vault_secret_room. The caller wipes
 *  it. KW_E_INTEGRITY. */
KW_MUST_CHECK kw_status vault_secret_value(struct vault *vault, const struct vault_secret *secret,
                                           struct kw_buf *out);
static inline size_t vault_secret_room(const struct vault_secret *secret)
{
    return secret->blob_len > KC_SEAL_OVERHEAD ? secret->blob_len - KC_SEAL_OVERHEAD : 0;
}

/** May its value be read now? KW_OK, or KW_E_FORBIDDEN with the rule in `why` ("SecretDisabled",
 *  "SecretNotYetValid"; static). `exp` does not bind: the real service goes on giving out what has
 *  expired. Any thread. */
KW_MUST_CHECK kw_status vault_secret_permits_get(const struct vault_secret *secret, int64_t wall_s,
                                                 const char **why);

/** The sealed record of a secret, and back; see record.h of keys. */
KW_MUST_CHECK kw_status vault_secret_record_seal(const struct kc_domain *domain,
                                                 const struct vault_secret *secret, uint8_t **out,
                                                 size_t *out_len);
KW_MUST_CHECK kw_status vault_secret_record_open(const struct kc_domain *domain,
                                                 const char *vault_name,
                                                 const struct store_row *row,
                                                 struct vault_secret **out);

/* The calls, each as its like in keys.h. */

/** Stores a new version. KW_E_CONFLICT for a deleted name. */
void vault_secret_set(struct vault *vault, struct gw_loop *loop,
                      const struct vault_secret_request *req, vault_secret_fn *done, void *ctx);
void vault_secret_get(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                      struct kw_span name, struct kw_span version, vault_secret_fn *done,
                      void *ctx);
void vault_secret_update(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                         struct kw_span name, struct kw_span version,
                         const struct vault_secret_change *change, vault_secret_fn *done,
                         void *ctx);
void vault_secret_delete(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                         struct kw_span name, unsigned retention_days, vault_secret_fn *done,
                         void *ctx);
void vault_secret_get_deleted(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                              struct kw_span name, vault_secret_fn *done, void *ctx);
void vault_secret_recover(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                          struct kw_span name, vault_secret_fn *done, void *ctx);
void vault_secret_purge(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                        struct kw_span name, vault_secret_fn *done, void *ctx);
void vault_secret_list(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                       bool deleted, const char *after, unsigned limit, vault_secret_page_fn *done,
                       void *ctx);
void vault_secret_versions(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                           struct kw_span name, const char *after, unsigned limit,
                           vault_secret_page_fn *done, void *ctx);
