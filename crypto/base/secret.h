#pragma once
/* Memory for secrets: locked where the limit allows, out of core dumps, wiped before it is freed.
 */

#include "crypto/base/span.h"
#include "crypto/base/status.h"

/** Allocates `len` zeroed bytes for a secret, 64-byte aligned. NULL when memory is short. Any
 * thread. */
void *kw_secret_alloc(size_t len);

/** Wipes and frees what kw_secret_alloc gave. NULL is allowed. Any thread. */
void kw_secret_free(void *secret);

/** Blocks that are allocated now, for leak checks in tests. Any thread. */
size_t kw_secret_in_use(void);

/** Wipes `len` bytes; the compiler does not remove it. */
void kw_wipe(void *data, size_t len);

/** 1 when both buffers of `len` bytes are equal, in time that depends on `len` alone. */
int kw_ct_equal(const void *a, const void *b, size_t len);

/** Fills `len` bytes from the process's DRBG. KW_E_INTERNAL when it fails. Any thread. */
KW_MUST_CHECK kw_status kw_random(void *out, size_t len);

/** Owned secret bytes: `data` from kw_secret_alloc. Zero state is empty and safe to free. */
struct kw_secret {
    uint8_t *data;
    size_t len;
};

/** Copies `from` into a new secret. On failure `out` is empty. */
KW_MUST_CHECK kw_status kw_secret_copy(struct kw_secret *out, struct kw_span from);

/** Wipes, frees and empties. */
void kw_secret_clear(struct kw_secret *secret);
