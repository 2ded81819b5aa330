#pragma once
/* PUT /keys/{name} with `key_hsm`: a key that was wrapped elsewhere under a key exchange key of
 * this vault, so that only the vault ever sees it. `key_hsm` is the base64url of a .byok file: JSON
 * with header.kid   the key exchange key: RSA-HSM, key_ops ["import"] alone header.alg   "dir"
 * header.enc  "CKM_RSA_AES_KEY_WRAP" ciphertext   base64url: RSA-OAEP (SHA-1, MGF1-SHA-1) of an AES
 * key, then the target, PKCS#8 or the bytes of an oct key, wrapped under it (RFC 5649): PKCS#11
 * v2.40 section 2.1.21
 */

#include <jansson.h>

#include "gateway/http/request.h"

/** Goes on with an import whose `key` has `key_hsm`; answers. `root` and `jwk` are borrowed. */
void gw_keys_import_wrapped(struct gw_request *req, const json_t *root, const json_t *jwk);
