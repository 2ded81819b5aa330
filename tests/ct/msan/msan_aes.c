/* Key wrap, GCM and CBC with secret keys and secret plaintexts; key expansion of a secret key. */
#include <string.h>

#include "crypto/aes/cbc.h"
#include "crypto/aes/gcm.h"
#include "crypto/aes/kw.h"
#include "crypto/padding/pkcs7.h"
#include "tests/ct/msan/taint.h"

#define MESSAGES 11
#define ROOM     1200

static struct kc_aes_schedule keys[MESSAGES];
static struct kc_aes_more more[MESSAGES];
static uint8_t plain[MESSAGES][ROOM], cipher[MESSAGES][ROOM], back[MESSAGES][ROOM];
static const uint8_t iv[16] = {9, 8, 7, 6, 5, 4, 3, 2, 1};

/* Expansion itself under taint; all but the number of rounds stays secret. */
static void make_keys(void)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        uint8_t k[32];
        memset(k, (int)(3 * i + 1), sizeof(k));
        ct_secret(k, sizeof(k));
        kc_aes_schedule_init(&keys[i], &more[i], k, 16 + 8 * (i % 3));
        ct_expect_secret(keys[i].enc, sizeof(keys[i].enc));
        ct_expect_secret(more[i].dec[0], sizeof(more[i].dec[0]));
        ct_expect_secret(more[i].powers, sizeof(more[i].powers));
    }
}

static void fill(size_t len)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        ct_public(plain[i], ROOM);
        for (size_t j = 0; j < len; j++) {
            plain[i][j] = (uint8_t)(i + j * 7);
        }
        ct_secret(plain[i], len);
    }
}

static void expect_back(unsigned i, size_t len)
{
    ct_public(back[i], ROOM);
    ct_public(plain[i], ROOM);
    ct_expect(memcmp(back[i], plain[i], len) == 0);
}

static struct kc_kw_scratch kw_scratch;

static void wrap_and_back(int padded, size_t len)
{
    struct kc_kw_message m[MESSAGES];
    struct kc_kw_turn order[MESSAGES];
    fill(len);
    for (unsigned i = 0; i < MESSAGES; i++) {
        m[i] =
            (struct kc_kw_message){.key = &keys[i], .in = plain[i], .len = len, .out = cipher[i]};
    }
    kc_kw_run(m, MESSAGES, padded, 0, order, &kw_scratch);
    for (unsigned i = 0; i < MESSAGES; i++) {
        ct_expect_secret(cipher[i], m[i].out_len);
        ct_public(cipher[i], ROOM); /* it leaves */
        if (i % 2) {
            cipher[i][m[i].out_len - 1] ^= 1;
        }
        m[i].in = cipher[i];
        m[i].len = m[i].out_len;
        m[i].out = back[i];
    }
    kc_kw_run(m, MESSAGES, padded, 1, order, &kw_scratch);
    for (unsigned i = 0; i < MESSAGES; i++) {
        ct_expect_secret(&m[i].ok, sizeof(m[i].ok));
        ct_public(&m[i].ok, sizeof(m[i].ok)); /* the verdict is the answer */
        ct_public(&m[i].out_len, sizeof(m[i].out_len));
        ct_expect(m[i].ok == !(i % 2) && m[i].out_len == (i % 2 ? 0 : len));
        if (m[i].ok) {
            expect_back(i, len);
        }
    }
}

static void gcm_and_back(size_t len, size_t aad_len)
{
    struct kc_gcm_message m[MESSAGES];
    fill(len);
    for (unsigned i = 0; i < MESSAGES; i++) {
        m[i] = (struct kc_gcm_message){.key = &keys[i],
                                       .iv = iv,
                                       .aad = iv,
                                       .aad_len = aad_len,
                                       .in = plain[i],
                                       .len = len,
                                       .out = cipher[i]};
    }
    kc_gcm_run(m, MESSAGES, 0);
    for (unsigned i = 0; i < MESSAGES; i++) {
        ct_expect_secret(m[i].tag, sizeof(m[i].tag));
        ct_public(m[i].tag, sizeof(m[i].tag));
        ct_public(cipher[i], ROOM);
        if (i % 2) {
            m[i].tag[i] ^= 1;
        }
        m[i].in = cipher[i];
        m[i].out = back[i];
    }
    kc_gcm_run(m, MESSAGES, 1);
    for (unsigned i = 0; i < MESSAGES; i++) {
        ct_expect(m[i].ok == !(i % 2));
        if (m[i].ok) {
            expect_back(i, len);
        }
    }
}

static void cbc_and_back(size_t len)
{
    static struct kc_cbc_scratch scratch;
    struct kc_cbc_message m[MESSAGES];
    fill(len);
    for (unsigned i = 0; i < MESSAGES; i++) {
        m[i] = (struct kc_cbc_message){
            .key = &keys[i], .iv = iv, .in = plain[i], .len = len, .out = cipher[i]};
    }
    kc_cbc_encrypt(m, MESSAGES, &scratch);
    for (unsigned i = 0; i < MESSAGES; i++) {
        ct_expect_secret(cipher[i], len);
        ct_public(cipher[i], ROOM);
        m[i].in = cipher[i];
        m[i].out = back[i];
    }
    kc_cbc_decrypt(m, MESSAGES);
    for (unsigned i = 0; i < MESSAGES; i++) {
        size_t pad;
        bool good = kc_pkcs7_check(back[i] + len - 16, &pad);
        ct_expect_secret(&good, sizeof(good));
        expect_back(i, len);
    }
}

int main(void)
{
    ct_need_avx512();
    make_keys();
    for (size_t len = 16; len <= 176; len += 32) {
        wrap_and_back(0, len);
    }
    for (size_t len = 1; len <= 40; len += 3) {
        wrap_and_back(1, len);
    }
    static const size_t lens[] = {1, 16, 47, 48, 49, 64, 200, 512, 513, 1100};
    for (unsigned i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        gcm_and_back(lens[i], i % 3 * 7);
    }
    for (size_t len = 16; len <= 1040; len += 128) {
        cbc_and_back(len);
    }
    puts("aes: no secret reached a branch or an address");
    return 0;
}
