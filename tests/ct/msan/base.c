/* What the kernels call of crypto/base, instrumented: the product's own go to the C library and to
 * OpenSSL's assembly, which the sanitizer does not follow. */
#include "crypto/base/secret.h"

#include "tests/ct/msan/taint.h"

void kw_wipe(void *data, size_t len)
{
    memset(data, 0, len);
    __asm__ volatile("" : : "r"(data) : "memory");
}

/* As CRYPTO_memcmp; the verdict is public: every caller answers it. */
int kw_ct_equal(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a, *y = b;
    uint8_t differ = 0;
    for (size_t i = 0; i < len; i++) {
        differ |= x[i] ^ y[i];
    }
    ct_public(&differ, sizeof(differ));
    return differ == 0;
}

/* For encoders alone, which the tests use to make inputs. */
kw_status kw_random(void *out, size_t len)
{
    static uint64_t state = 1;
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        bytes[i] = (uint8_t)(state >> 56);
    }
    return KW_OK;
}
