#pragma once
/* What keys, secrets and certificates have in common: a name, versions, attributes, tags, a
 * deletion. What differs between them is a struct vault_kind; reads, pages, changes, states and the
 * cache are written once, over struct vault_object. */

#include <stdatomic.h>

#include "gateway/store/store.h"

#define VAULT_MAX_TAGS 15

/** Longest tag name or value in bytes (256 characters of UTF-8). */
#define VAULT_TAG_TEXT_MAX 1024

/** Attributes that a caller can set, and those the service keeps. Times are wall seconds, 0: unset.
 */
struct vault_attributes {
    bool enabled;
    int64_t nbf, exp, created, updated;
    bool exportable;
};

struct vault_tag {
    const char *name, *value;
};

/** Which members of an update are present, as every kind has them. */
struct vault_change {
    bool has_enabled, has_nbf, has_exp, has_tags;
    bool enabled;
    int64_t nbf, exp;
    const struct vault_tag *tags;
    size_t tag_count;
};

struct vault_kind;

#define VAULT_OBJECT_MEMBERS                                                                       \
    const struct vault_kind *kind;                                                                 \
    atomic_uint refs;                                                                              \
    char vault[STORE_VAULT_MAX + 1];                                                               \
    char name[STORE_NAME_MAX + 1];                                                                 \
    char version[STORE_VERSION_LEN + 1];                                                           \
    struct vault_attributes attributes;                                                            \
    struct vault_tag *tags; /* one block with its strings */                                       \
    size_t tag_count;                                                                              \
    int64_t deleted_at, purge_at /* of the whole object; 0: live */

/** One version of one object. Immutable once published; counted, shared between loops. A change
 *  makes a new one and publishes it in the cache before it is answered. */
struct vault_object {
    VAULT_OBJECT_MEMBERS;
};

/** First member of every kind's own structure: its members by their names, and as one. */
#define VAULT_OBJECT                                                                               \
    union {                                                                                        \
        struct vault_object object;                                                                \
        struct {                                                                                   \
            VAULT_OBJECT_MEMBERS;                                                                  \
        };                                                                                         \
    }

struct vault;

/** A callback of any kind's own type, called through its kind alone. */
typedef void vault_any_fn(void);

struct vault_kind {
    enum store_kind store;
    size_t size; /* of its structure */
    /** Opens a row; `usable`: with everything that working with it needs (lists do without). */
    kw_status (*open)(struct vault *vault, const char *vault_name, const struct store_row *row,
                      bool usable, struct vault_object **out);
    /** The sealed record of a usable object; `*out` is malloc'd. */
    kw_status (*seal)(struct vault *vault, const struct vault_object *object, uint8_t **out,
                      size_t *out_len);
    /** Frees what the kind adds to the object. */
    void (*clear)(struct vault_object *object);
    void (*answer)(vault_any_fn *done, void *ctx, kw_status status, struct vault_object *object);
    void (*answer_page)(vault_any_fn *done, void *ctx, kw_status status,
                        struct vault_object *const *objects, size_t count, bool more);
};

/** One with a single reference and nothing but its names; NULL when memory is short or a name does
 *  not fit. */
struct vault_object *vault_object_new(const struct vault_kind *kind, const char *vault,
                                      const char *name, const char *version);
struct vault_object *vault_object_ref(struct vault_object *object);
/** NULL is allowed. */
void vault_object_unref(struct vault_object *object);

/** Puts copies of the tags in the place of those it has. KW_E_INPUT when there are too many. */
KW_MUST_CHECK kw_status vault_object_set_tags(struct vault_object *object,
                                              const struct vault_tag *tags, size_t count);

/** Applies what every kind has; `updated` becomes now. */
KW_MUST_CHECK kw_status vault_object_apply(struct vault_object *object,
                                           const struct vault_change *change);
