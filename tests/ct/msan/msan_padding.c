/* Decoding of RSA plaintexts and of PKCS#7: the whole block is secret, right or wrong. */
#include <string.h>

#include "crypto/padding/padding.h"
#include "crypto/padding/pkcs7.h"
#include "tests/ct/msan/taint.h"

#define K 256

static uint8_t em[K], out[K];

enum fault { NONE, FIRST_BYTE, SECOND_BYTE, LABEL, NO_ONE, SHORT_FILL, FAULTS };

/* Decodes em as a secret; the length, or -1. */
static int oaep(void)
{
    size_t len, good;
    ct_secret(em, K);
    kw_status status = kc_oaep_decode(out, &len, &good, em, K, KW_HASH_SHA256, EVP_MD_CTX_new());
    ct_expect(status == KW_OK);
    ct_expect_secret(&len, sizeof(len));
    ct_expect_secret(&good, sizeof(good));
    ct_expect_secret(out, K);
    ct_public(&len, sizeof(len));
    ct_public(&good, sizeof(good));
    ct_public(out, K);
    ct_public(em, K);
    return good ? (int)len : -1;
}

static void oaep_encoded(size_t plain_len, const uint8_t *plain)
{
    ct_expect(kc_oaep_encode(em, K, KW_HASH_SHA256, kw_span_of(plain, plain_len),
                             EVP_MD_CTX_new()) == KW_OK);
    ct_public(em, K);
}

static void oaep_every_way(void)
{
    uint8_t plain[K - 66];
    memset(plain, 0x5a, sizeof(plain));
    for (size_t len = 0; len <= sizeof(plain); len += 19) {
        oaep_encoded(len, plain);
        ct_expect(oaep() == (int)len && memcmp(out, plain, len) == 0);
        for (size_t at = 0; at < K; at += 15) {
            oaep_encoded(len, plain);
            em[at] ^= 0x10; /* first byte, seed or data block */
            ct_expect(oaep() == -1);
        }
    }
}

static int v15(void)
{
    size_t len;
    ct_secret(em, K);
    size_t good = kc_pkcs1_encrypt_decode(out, &len, em, K);
    ct_expect_secret(&len, sizeof(len));
    ct_expect_secret(&good, sizeof(good));
    ct_public(&len, sizeof(len));
    ct_public(&good, sizeof(good));
    ct_public(out, K);
    ct_public(em, K);
    return good ? (int)len : -1;
}

static void v15_every_way(void)
{
    uint8_t plain[K - 11];
    memset(plain, 0xa5, sizeof(plain));
    for (size_t len = 0; len <= sizeof(plain); len += 7) {
        for (enum fault fault = NONE; fault < FAULTS; fault++) {
            ct_expect(kc_pkcs1_encrypt_encode(em, K, kw_span_of(plain, len)) == KW_OK);
            ct_public(em, K);
            if (fault == FIRST_BYTE) {
                em[0] = 1;
            } else if (fault == SECOND_BYTE) {
                em[1] = 1;
            } else if (fault == LABEL) {
                em[2] = 0; /* fill ends at once */
            } else if (fault == NO_ONE) {
                memset(em + 2, 7, K - 2); /* no zero anywhere */
            } else if (fault == SHORT_FILL) {
                em[9] = 0; /* seven bytes of fill */
            }
            int got = v15();
            ct_expect(fault == NONE ? got == (int)len && memcmp(out, plain, len) == 0 : got == -1);
        }
    }
}

static void pkcs7_every_way(void)
{
    uint8_t block[KW_AES_BLOCK_LEN];
    for (unsigned last = 0; last < 256; last++) {
        for (unsigned dirty = 0; dirty < 2; dirty++) {
            size_t pad;
            memset(block, (int)last, sizeof(block));
            if (dirty) {
                block[KW_AES_BLOCK_LEN - 2] ^= 1;
            }
            bool want = last >= 1 && last <= 16 && (!dirty || last == 1);
            ct_secret(block, sizeof(block));
            bool good = kc_pkcs7_check(block, &pad);
            ct_expect_secret(&good, sizeof(good));
            ct_public(&good, sizeof(good));
            ct_public(block, sizeof(block));
            ct_expect(good == want);
        }
    }
}

int main(void)
{
    oaep_every_way();
    v15_every_way();
    pkcs7_every_way();
    puts("padding: no secret reached a branch or an address");
    return 0;
}
