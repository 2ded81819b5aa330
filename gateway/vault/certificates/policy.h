#pragma once
/* The policy of a certificate: JSON as the API writes it, and what it means. */

#include <jansson.h>

#include "gateway/x509/x509.h"

#define VAULT_POLICY_WHY 200

/** `base` (a whole policy, or NULL for the defaults) changed by the members that `change` has,
 *  member by member; lists are taken as wholes, unknown members are left out. NULL with a sentence
 *  in `why` when something has not its type or range, or when memory is short. */
json_t *vault_policy_merge(const json_t *base, const json_t *change, char why[VAULT_POLICY_WHY]);

/** The policy of a certificate that came from elsewhere, changed by `change` (may be NULL). Key and
 *  names are what the certificate says, whatever `change` wants. */
json_t *vault_policy_of_cert(struct kw_span der, const struct kc_public *pub, bool pem,
                             const json_t *change, char why[VAULT_POLICY_WHY]);

enum vault_issuer { VAULT_ISSUER_SELF, VAULT_ISSUER_UNKNOWN, VAULT_ISSUER_NAMED };

/** What a policy means; strings are borrowed from the JSON it was read from. */
struct vault_policy {
    enum kw_kty kty;
    enum kw_curve curve;
    unsigned bits;
    bool hsm, exportable, reuse_key, pem;
    enum vault_issuer issuer;
    const char *issuer_name;
    unsigned months;
    unsigned renew_days, renew_percent; /* AutoRenew: one of them, or none */
    uint16_t ops;                       /* of the key: bit (1 << enum kw_kind) */
    struct gw_x509_profile profile;
    struct gw_x509_san sans[GW_X509_SANS_MAX];
    const char *ekus[GW_X509_EKUS_MAX];
};

/** Reads a policy that vault_policy_merge made. NULL with a sentence in `why`; freed with free().
 */
struct vault_policy *vault_policy_read(const json_t *policy, char why[VAULT_POLICY_WHY]);

/** When a certificate is to be renewed, in wall seconds; 0: never. */
int64_t vault_policy_renew_at(const struct vault_policy *policy, int64_t not_before,
                              int64_t not_after);
