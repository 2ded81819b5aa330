#include "crypto/wrap/keywrap.h"

#include "crypto/base/secret.h"
#include "crypto/keys/ossl.h"
#include "crypto/padding/ct.h"

#define SEMI 8 /* a semiblock of RFC 3394: 64 bits */

static const uint8_t kw_iv[SEMI] = {0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6};
static const uint8_t kwp_iv[4] = {0xa6, 0x59, 0x59, 0xa6};

static void xor_counter(uint8_t a[SEMI], uint64_t t)
{
    for (int i = SEMI - 1; i >= 0; i--, t >>= 8) {
        a[i] ^= (uint8_t)t;
    }
}

/* W (SP 800-38F section 6.1): out = A || R[1..n], in place. */
static int wrap_rounds(uint8_t *out, size_t n, EVP_CIPHER_CTX *ecb)
{
    uint8_t block[2 * SEMI];
    int ok = 1;
    memcpy(block, out, SEMI);
    uint64_t t = 1;
    for (int j = 0; j < 6; j++) {
        for (size_t i = 1; i <= n; i++, t++) {
            memcpy(block + SEMI, out + i * SEMI, SEMI);
            ok &= EVP_Cipher(ecb, block, block, sizeof(block)) == (int)sizeof(block);
            xor_counter(block, t);
            memcpy(out + i * SEMI, block + SEMI, SEMI);
        }
    }
    memcpy(out, block, SEMI);
    kw_wipe(block, sizeof(block));
    return ok;
}

/* W^-1: a = A, r = R[1..n] of `in`. */
static int unwrap_rounds(uint8_t a[SEMI], uint8_t *r, struct kw_span in, EVP_CIPHER_CTX *ecb)
{
    size_t n = in.len / SEMI - 1;
    uint8_t block[2 * SEMI];
    int ok = 1;
    memcpy(block, in.data, SEMI);
    memcpy(r, in.data + SEMI, n * SEMI);
    uint64_t t = 6 * (uint64_t)n;
    for (int j = 0; j < 6; j++) {
        for (size_t i = n; i-- > 0; t--) {
            xor_counter(block, t);
            memcpy(block + SEMI, r + i * SEMI, SEMI);
            ok &= EVP_Cipher(ecb, block, block, sizeof(block)) == (int)sizeof(block);
            memcpy(r + i * SEMI, block + SEMI, SEMI);
        }
    }
    memcpy(a, block, SEMI);
    kw_wipe(block, sizeof(block));
    return ok;
}

kw_status kc_kw_wrap(uint8_t *out, EVP_CIPHER_CTX *ecb, struct kw_span in)
{
    if (in.len < 2 * SEMI || in.len % SEMI != 0) {
        return KW_E_INPUT;
    }
    memcpy(out, kw_iv, SEMI);
    memcpy(out + SEMI, in.data, in.len);
    if (!wrap_rounds(out, in.len / SEMI, ecb)) {
        kw_wipe(out, in.len + SEMI);
        return KW_E_INTERNAL;
    }
    return KW_OK;
}

kw_status kc_kw_unwrap(uint8_t *out, EVP_CIPHER_CTX *ecb, struct kw_span in)
{
    if (in.len < 3 * SEMI || in.len % SEMI != 0) {
        return KW_E_INPUT;
    }
    uint8_t a[SEMI];
    kw_status status = KW_OK;
    if (!unwrap_rounds(a, out, in, ecb)) {
        status = KW_E_INTERNAL;
    } else if (!kw_ct_equal(a, kw_iv, SEMI)) {
        status = KW_E_CRYPTO;
    }
    if (status != KW_OK) {
        kw_wipe(out, in.len - SEMI);
    }
    kw_wipe(a, sizeof(a));
    return status;
}

kw_status kc_kwp_wrap(uint8_t *out, size_t *out_len, EVP_CIPHER_CTX *ecb, struct kw_span in)
{
    if (in.len == 0 || in.len > UINT32_MAX) {
        return KW_E_INPUT;
    }
    size_t n = (in.len + SEMI - 1) / SEMI;
    memcpy(out, kwp_iv, sizeof(kwp_iv));
    for (int i = 0; i < 4; i++) {
        out[4 + i] = (uint8_t)(in.len >> (24 - 8 * i));
    }
    memcpy(out + SEMI, in.data, in.len);
    memset(out + SEMI + in.len, 0, n * SEMI - in.len);
    int ok = n == 1 ? EVP_Cipher(ecb, out, out, 2 * SEMI) == 2 * SEMI : wrap_rounds(out, n, ecb);
    if (!ok) {
        kw_wipe(out, (n + 1) * SEMI);
        return KW_E_INTERNAL;
    }
    *out_len = (n + 1) * SEMI;
    return KW_OK;
}

/* RFC 5649 section 3: the constant, the length in its window, zeros behind it. All ones when right.
 */
static size_t kwp_good(size_t *len, const uint8_t a[SEMI], const uint8_t *r, size_t room)
{
    size_t differ = 0, claimed = 0;
    for (int i = 0; i < 4; i++) {
        differ |= (size_t)(a[i] ^ kwp_iv[i]);
        claimed = claimed << 8 | a[4 + i];
    }
    size_t good = ct_is_zero(differ);
    good &= ~ct_lt(room, claimed) & ct_lt(room - SEMI, claimed);
    size_t tail = 0;
    for (size_t i = room - SEMI; i < room; i++) {
        tail |= ~ct_lt(i, claimed) & r[i];
    }
    good &= ct_is_zero(tail);
    *len = good & claimed;
    return good;
}

kw_status kc_kwp_unwrap(uint8_t *out, size_t *out_len, EVP_CIPHER_CTX *ecb, struct kw_span in)
{
    if (in.len < 2 * SEMI || in.len % SEMI != 0) {
        return KW_E_INPUT;
    }
    size_t room = in.len - SEMI;
    uint8_t a[SEMI], block[2 * SEMI];
    int ok;
    if (room == SEMI) {
        ok = EVP_Cipher(ecb, block, in.data, sizeof(block)) == (int)sizeof(block);
        memcpy(a, block, SEMI);
        memcpy(out, block + SEMI, SEMI);
        kw_wipe(block, sizeof(block));
    } else {
        ok = unwrap_rounds(a, out, in, ecb);
    }
    size_t len = 0;
    size_t good = kwp_good(&len, a, out, room);
    kw_wipe(a, sizeof(a));
    if (!ok || !good) {
        kw_wipe(out, room);
        *out_len = 0;
        return ok ? KW_E_CRYPTO : KW_E_INTERNAL;
    }
    *out_len = len;
    return KW_OK;
}

EVP_CIPHER_CTX *kc_kw_context(struct kw_span key, int encrypt)
{
    const struct kc_ossl *ossl = kc_ossl();
    if (!ossl || (key.len != 16 && key.len != 24 && key.len != 32)) {
        return NULL;
    }
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const EVP_CIPHER *cipher = ossl->ecb[kc_ossl_aes((unsigned)key.len * 8)];
    if (ctx && (EVP_CipherInit_ex2(ctx, cipher, key.data, NULL, encrypt, NULL) != 1 ||
                EVP_CIPHER_CTX_set_padding(ctx, 0) != 1)) {
        EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}
