/* The VAES kernels against OpenSSL: random mixes of keys, key sizes, lengths and lane fill, both
 * ways round, with messages changed on the way. KEYWARD_ROUNDS sets how many batches (default 400).
 */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/aes/cbc.h"
#include "crypto/aes/gcm.h"
#include "crypto/aes/kw.h"

#define KEYS 24
#define MOST 40
#define ROOM 2816

static struct kc_aes_schedule schedules[KEYS];
static struct kc_aes_more more[KEYS];
static uint8_t keys[KEYS][32];
static size_t key_lens[KEYS];
static uint8_t in[MOST][ROOM], out[MOST][ROOM], back[MOST][ROOM], aad[MOST][320], ivs[MOST][16];
static unsigned rounds = 400;
static uint32_t state = 12345;

/* Repeatable: a failure can be run again. */
static uint32_t rnd(uint32_t below)
{
    state = state * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)(state >> 4) * below) >> 28);
}

static void fill(uint8_t *to, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)rnd(256);
}

static EVP_CIPHER *cipher(size_t key_len, const char *mode)
{
    char name[32];
    snprintf(name, sizeof name, "AES-%zu-%s", key_len * 8, mode);
    EVP_CIPHER *found = EVP_CIPHER_fetch(NULL, name, NULL);
    assert_non_null(found);
    return found;
}

/* OpenSSL's answer for one message; the tag too when there is room for one. */
static size_t reference(const char *mode, unsigned key, const uint8_t *iv, struct kc_gcm_message *m,
                        uint8_t *result, uint8_t *tag)
{
    EVP_CIPHER *c = cipher(key_lens[key], mode);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0, last = 0;
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    assert_int_equal(1, EVP_EncryptInit_ex2(ctx, c, keys[key], iv, NULL));
    EVP_CIPHER_CTX_set_padding(ctx, 0);
    if (m->aad_len > 0)
        assert_int_equal(1, EVP_EncryptUpdate(ctx, NULL, &len, m->aad, (int)m->aad_len));
    len = 0;
    if (m->len > 0)
        assert_int_equal(1, EVP_EncryptUpdate(ctx, result, &len, m->in, (int)m->len));
    if (tag) {
        assert_int_equal(1, EVP_EncryptFinal_ex(ctx, result + len, &last));
        assert_int_equal(1, EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag));
    }
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(c);
    return (size_t)len;
}

static void wraps(int padded)
{
    static struct kc_kw_scratch scratch;
    struct kc_kw_message m[MOST], u[MOST];
    struct kc_kw_turn order[MOST];
    for (unsigned round = 0; round < rounds; round++) {
        unsigned n = 1 + rnd(MOST), key[MOST];
        for (unsigned i = 0; i < n; i++) {
            key[i] = rnd(KEYS);
            size_t len = padded ? 1 + rnd(rnd(4) ? 40 : 2500) : 16 + 8 * rnd(rnd(4) ? 4 : 300);
            fill(in[i], len);
            m[i] = (struct kc_kw_message){
                .key = &schedules[key[i]], .in = in[i], .len = len, .out = out[i]};
        }
        kc_kw_run(m, n, padded, 0, order, &scratch);
        uint32_t changed[MOST];
        for (unsigned i = 0; i < n; i++) {
            static uint8_t expected[ROOM];
            struct kc_gcm_message plain = {.in = in[i], .len = m[i].len};
            size_t len =
                reference(padded ? "WRAP-PAD" : "WRAP", key[i], NULL, &plain, expected, NULL);
            assert_int_equal(len, m[i].out_len);
            assert_memory_equal(expected, out[i], len);
            changed[i] = rnd(4) == 0;
            if (changed[i])
                out[i][rnd((uint32_t)len)] ^= (uint8_t)(1 << rnd(8));
            u[i] = (struct kc_kw_message){
                .key = &schedules[key[i]], .in = out[i], .len = len, .out = back[i]};
        }
        kc_kw_run(u, n, padded, 1, order, &scratch);
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(!changed[i], u[i].ok);
            assert_int_equal(changed[i] ? 0 : m[i].len, u[i].out_len);
            assert_memory_equal(in[i], back[i], u[i].out_len);
        }
    }
}

static void kw_is_rfc3394(void **test)
{
    (void)test;
    wraps(0);
}

static void kwp_is_rfc5649(void **test)
{
    (void)test;
    wraps(1);
}

/* Every fault of the padded form by its own: the fixed half, the length, each padding byte. */
static void kwp_refuses_each_fault(void **test)
{
    (void)test;
    static struct kc_kw_scratch scratch;
    struct kc_kw_turn order[1];
    for (size_t len = 1; len <= 24; len++) {
        size_t padded = (len + 7) / 8 * 8;
        for (size_t at = 0; at < 8 + padded; at++) {
            if (at >= 8 && at < 8 + len)
                continue; /* key bytes: any value is right */
            /* the message of RFC 5649 built by hand, one byte changed, wrapped by raw AES */
            uint8_t plain[40] = {0xa6, 0x59, 0x59, 0xa6, 0, 0, 0, (uint8_t)len};
            memset(plain + 8, 0x5a, len);
            plain[at] ^= at == 7 ? 0x40 : 1;
            if (at == 7)
                plain[7] = (uint8_t)(padded + 1); /* one more than there is */
            static uint8_t wrapped[48];
            struct kc_gcm_message m = {.in = plain + 8, .len = padded};
            if (padded == 8) {
                m.in = plain;
                m.len = 16;
                reference("ECB", 2, NULL, &m, wrapped, NULL);
            } else {
                EVP_CIPHER *c = cipher(key_lens[2], "WRAP");
                EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
                int out_len = 0;
                EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
                assert_int_equal(1, EVP_EncryptInit_ex2(ctx, c, keys[2], plain, NULL));
                assert_int_equal(1, EVP_EncryptUpdate(ctx, wrapped, &out_len, m.in, (int)m.len));
                EVP_CIPHER_CTX_free(ctx);
                EVP_CIPHER_free(c);
            }
            struct kc_kw_message u = {
                .key = &schedules[2], .in = wrapped, .len = padded + 8, .out = back[0]};
            kc_kw_run(&u, 1, 1, 1, order, &scratch);
            assert_int_equal(0, u.ok);
            assert_int_equal(0, u.out_len);
            for (size_t i = 0; i < padded; i++)
                assert_int_equal(0, back[0][i]);
        }
    }
}

static void gcm_is_sp800_38d(void **test)
{
    (void)test;
    struct kc_gcm_message m[MOST], u[MOST];
    for (unsigned round = 0; round < rounds; round++) {
        unsigned n = 1 + rnd(MOST), key[MOST];
        int whole = rnd(4) == 0; /* all of whole groups: no message of eight has a tail */
        for (unsigned i = 0; i < n; i++) {
            key[i] = rnd(KEYS);
            size_t len = whole ? 512 * (size_t)(1 + rnd(5)) : rnd(rnd(3) ? 80 : 2600);
            size_t aad_len = rnd(2) ? 0 : rnd(rnd(3) ? 40 : 300);
            fill(in[i], len);
            fill(aad[i], aad_len);
            fill(ivs[i], 12);
            m[i] = (struct kc_gcm_message){.key = &schedules[key[i]],
                                           .iv = ivs[i],
                                           .aad = aad[i],
                                           .aad_len = aad_len,
                                           .in = in[i],
                                           .len = len,
                                           .out = out[i]};
        }
        kc_gcm_run(m, n, 0);
        for (unsigned i = 0; i < n; i++) {
            static uint8_t expected[ROOM];
            uint8_t tag[16];
            reference("GCM", key[i], ivs[i], &m[i], expected, tag);
            assert_memory_equal(expected, out[i], m[i].len);
            assert_memory_equal(tag, m[i].tag, 16);
            u[i] = m[i];
            u[i].in = out[i];
            u[i].out = rnd(2) ? out[i] : back[i]; /* in place too */
            if (rnd(4) == 0)
                u[i].tag[rnd(16)] ^= (uint8_t)(1 << rnd(8));
        }
        kc_gcm_run(u, n, 1);
        for (unsigned i = 0; i < n; i++) {
            int changed = memcmp(u[i].tag, m[i].tag, 16) != 0;
            assert_int_equal(!changed, u[i].ok);
            for (size_t at = 0; changed && at < u[i].len; at++)
                assert_int_equal(0, u[i].out[at]);
            if (!changed)
                assert_memory_equal(in[i], u[i].out, m[i].len);
        }
    }
}

static void cbc_is_sp800_38a(void **test)
{
    (void)test;
    static struct kc_cbc_scratch scratch;
    struct kc_cbc_message m[MOST];
    for (unsigned round = 0; round < rounds; round++) {
        unsigned n = 1 + rnd(MOST), key[MOST];
        static uint8_t last[MOST][16];
        for (unsigned i = 0; i < n; i++) {
            key[i] = rnd(KEYS);
            size_t len = 16 * (size_t)(1 + rnd(rnd(3) ? 20 : 160));
            fill(in[i], len);
            fill(ivs[i], 16);
            memcpy(last[i], in[i] + len - 16, 16);
            m[i] = (struct kc_cbc_message){.key = &schedules[key[i]],
                                           .iv = ivs[i],
                                           .in = in[i],
                                           .len = len,
                                           .last_block = rnd(2) ? last[i] : NULL,
                                           .out = out[i]};
        }
        kc_cbc_encrypt(m, n, &scratch);
        for (unsigned i = 0; i < n; i++) {
            static uint8_t expected[ROOM];
            struct kc_gcm_message plain = {.in = in[i], .len = m[i].len};
            reference("CBC", key[i], ivs[i], &plain, expected, NULL);
            assert_memory_equal(expected, out[i], m[i].len);
            m[i].in = out[i];
            m[i].out = back[i];
        }
        kc_cbc_decrypt(m, n);
        for (unsigned i = 0; i < n; i++)
            assert_memory_equal(in[i], back[i], m[i].len);
    }
}

int main(void)
{
    if (!kc_aes_vaes_capable()) {
        puts("skipped: this processor has no VAES");
        return 77;
    }
    if (getenv("KEYWARD_ROUNDS"))
        rounds = (unsigned)atoi(getenv("KEYWARD_ROUNDS"));
    for (unsigned i = 0; i < KEYS; i++) {
        key_lens[i] = 16 + 8 * (i % 3);
        fill(keys[i], sizeof keys[i]);
        kc_aes_schedule_init(&schedules[i], &more[i], keys[i], key_lens[i]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kw_is_rfc3394),          cmocka_unit_test(kwp_is_rfc5649),
        cmocka_unit_test(kwp_refuses_each_fault), cmocka_unit_test(gcm_is_sp800_38d),
        cmocka_unit_test(cbc_is_sp800_38a),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
