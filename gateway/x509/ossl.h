#pragma once
/* What the files of this folder share of OpenSSL's types. */

#include <openssl/x509v3.h>

#include "gateway/x509/x509.h"

/** The public key as OpenSSL's; NULL when memory is short or it is no RSA or EC key. */
EVP_PKEY *gw_ossl_public(const struct kc_public *pub);
/** And back. KW_E_UNSUPPORTED for what is not offered (type, size, curve, explicit parameters). */
KW_MUST_CHECK kw_status gw_ossl_public_of(struct kc_public *out, const EVP_PKEY *pkey);
/** A private key from elsewhere, its parts checked to belong together. */
KW_MUST_CHECK kw_status gw_ossl_import(struct kc_key **out, const EVP_PKEY *pkey);
/** The private half as OpenSSL's; NULL on failure. */
EVP_PKEY *gw_ossl_private(const struct kc_key *key);

/** An object identifier from its dotted form; NULL for anything else. */
ASN1_OBJECT *gw_oid_parse(const char *text);

/** Text as RFC 4514 writes it into a new name. NULL with a sentence in `why`. */
X509_NAME *gw_name_parse(const char *text, const char **why);
/** The text of a name in a new arena string; NULL when memory is short. */
char *gw_name_text(struct gw_arena *arena, const X509_NAME *name);

/** The extensions of a profile, freed by the caller with sk_X509_EXTENSION_pop_free. NULL with a
 *  sentence in `why`. */
STACK_OF(X509_EXTENSION) *
    gw_extensions_make(const struct gw_x509_profile *profile, const char **why);

/** One certificate, all bytes of it; NULL otherwise. */
X509 *gw_cert_parse(struct kw_span der);

/** Puts the certificate of `key` first and the others behind it, into `bundle`, which gets a
 *  reference to the key. */
KW_MUST_CHECK kw_status gw_bundle_make(struct gw_x509_bundle *out, struct kc_key *key,
                                       STACK_OF(X509) * certs, bool keep_order, const char **why);

/** Certificates without a key, in their order. */
KW_MUST_CHECK kw_status gw_bundle_certs(struct gw_x509_bundle *out, STACK_OF(X509) * certs,
                                        const char **why);

/** Rounds of a password-based encryption's key derivation, added to `*rounds`. KW_E_UNSUPPORTED:
 *  another derivation than PBKDF2 and that of PKCS#12, or more than are done here in all. */
KW_MUST_CHECK kw_status gw_pbe_count(const X509_ALGOR *alg, int64_t *rounds);
KW_MUST_CHECK kw_status gw_pbe_add(int64_t *rounds, int64_t more);

/** Where the old algorithms of PKCS#12 files are known too (RC2), as far as the system has them.
 *  NULL when OpenSSL cannot make it. */
OSSL_LIB_CTX *gw_pbe_context(void);
