#pragma once
/* Rotation policies of keys: what they say, when they are due, how they are kept. A policy is an
 * object of the store beside its key (STORE_KEY_POLICY) with one version; its wake_at says when the
 * scheduler has to look at it. */

#include "crypto/domain/domain.h"
#include "gateway/vault/keys/keys.h"

#define VAULT_DURATION_TEXT 24

/** An ISO 8601 duration ("P90D", "P2Y", "PT48H"); `text` is empty when there is none. */
struct vault_duration {
    char text[VAULT_DURATION_TEXT];
    unsigned years, months, days;
    int64_t seconds;
};

/** False for anything that is no duration, is zero, or is longer than 100 years. */
bool vault_duration_parse(struct vault_duration *out, struct kw_span text);
/** `from` (wall seconds, UTC) plus (`sign` 1) or minus (-1) the duration: years and months by the
 *  calendar, a day that its month does not have becomes its last. */
int64_t vault_duration_add(int64_t from, const struct vault_duration *duration, int sign);

struct vault_rotation_policy {
    struct vault_duration expiry; /* of every version that a rotation makes */
    /* at most one of these two */
    struct vault_duration rotate_after_create, rotate_before_expiry;
    struct vault_duration notify_before_expiry;
    int64_t created, updated;             /* 0: the key has no policy */
    char notified[STORE_VERSION_LEN + 1]; /* the version whose expiry was announced */
};

/** Does it make sense as a whole? KW_OK, or KW_E_INPUT with the rule in `why` (static). */
KW_MUST_CHECK kw_status vault_rotation_check(const struct vault_rotation_policy *policy,
                                             const char **why);

/** When a version is to be rotated, and when its expiry is to be announced; 0: never. */
int64_t vault_rotation_rotate_at(const struct vault_rotation_policy *policy,
                                 const struct vault_attributes *newest);
int64_t vault_rotation_notify_at(const struct vault_rotation_policy *policy,
                                 const struct vault_attributes *newest, const char *version);
/** When the scheduler has to look at it next; 0: never. */
int64_t vault_rotation_wake_at(const struct vault_rotation_policy *policy,
                               const struct vault_attributes *newest, const char *version);

/** The one version of a policy in the store. */
#define VAULT_ROTATION_VERSION "00000000000000000000000000000000"

/** The sealed record, for the place of the key `name`; `*out` is malloc'd. */
KW_MUST_CHECK kw_status vault_rotation_seal(const struct kc_domain *domain, const char *vault,
                                            const char *name,
                                            const struct vault_rotation_policy *policy,
                                            uint8_t **out, size_t *out_len);
/** KW_E_INTEGRITY; KW_E_UNSUPPORTED when a newer program wrote it. */
KW_MUST_CHECK kw_status vault_rotation_open(const struct kc_domain *domain,
                                            const struct store_row *row,
                                            struct vault_rotation_policy *out);

/* --- calls --- */

/** `policy` is borrowed, NULL unless `status` is KW_OK; `created` is 0 when the key has none. `why`
 *  says which rule a change broke (KW_E_INPUT), else NULL. */
typedef void vault_rotation_fn(void *ctx, kw_status status,
                               const struct vault_rotation_policy *policy, const char *why);

/** KW_E_NOT_FOUND when there is no such live key. */
void vault_rotation_get(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                        struct kw_span name, vault_rotation_fn *done, void *ctx);

/** What a change brings; what it does not have stays as it is. */
struct vault_rotation_change {
    bool has_actions, has_expiry;
    struct vault_rotation_policy values;
};

void vault_rotation_set(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                        struct kw_span name, const struct vault_rotation_change *change,
                        vault_rotation_fn *done, void *ctx);

/** What a rotation of `newest`, a usable key, asks for; borrows from it. */
void vault_rotation_request(struct vault_key_request *out, const struct vault_key *newest,
                            const struct vault_rotation_policy *policy, int64_t now);

/** A new version like the newest, made now; it expires when the policy says so. */
void vault_key_rotate(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                      struct kw_span name, vault_key_fn *done, void *ctx);

/** Called once. `rotated` keys have a new version; a status that is not KW_OK ended it early. */
typedef void vault_rotation_run_fn(void *ctx, kw_status status, unsigned rotated);

/** Does what policies say is due at `now` (wall seconds), in all vaults. Gateways that share a
 * store may all do it: a version is claimed before it is rotated, and a rotation is stored only
 * while the version it was made from is still the newest, so that each is rotated once. */
void vault_rotation_run(struct vault *vault, struct gw_loop *loop, int64_t now,
                        vault_rotation_run_fn *done, void *ctx);
