#pragma once
/* JOSE and key-vault spellings of the vocabulary in crypto/base/alg.h. */

#include "crypto/base/alg.h"
#include "crypto/base/span.h"

/** KW_ALG_NONE for a name that is not offered. Names compare exactly. */
enum kw_alg gw_alg_parse(struct kw_span name);
const char *gw_alg_name(enum kw_alg alg);

/** "RSA", "EC-HSM", ...: false for another word. */
bool gw_kty_parse(struct kw_span name, enum kw_kty *kty, bool *hsm);
const char *gw_kty_name(enum kw_kty kty, bool hsm);

/** "P-256", ... and the old alias "SECP256K1"; KW_CURVE_NONE for another word. */
enum kw_curve gw_curve_parse(struct kw_span name);
const char *gw_curve_name(enum kw_curve curve);

/** The word of key_ops for a kind ("wrapKey"), NULL for kinds that are no key operation. */
const char *gw_key_op_name(enum kw_kind kind);
/** False for a word that is no operation of a kind ("import" and "export" are not). */
bool gw_key_op_parse(struct kw_span name, enum kw_kind *kind);
