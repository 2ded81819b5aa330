#include "tests/faults/module/answers.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OLD_MAX 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t old[OLD_MAX];
static size_t old_len;

static bool stale(uint8_t *out, CK_ULONG *out_len)
{
    uint8_t kept[OLD_MAX];
    if (*out_len > OLD_MAX) {
        return false;
    }
    pthread_mutex_lock(&lock);
    bool same_size = old_len == *out_len;
    if (same_size) {
        memcpy(kept, old, old_len);
    }
    memcpy(old, out, *out_len);
    old_len = *out_len;
    pthread_mutex_unlock(&lock);
    if (!same_size || memcmp(kept, out, *out_len) == 0) {
        return false;
    }
    memcpy(out, kept, *out_len);
    return true;
}

/** A key pair that has nothing to do with anybody's; the answer's length tells the size. */
static CK_OBJECT_HANDLE make_key(CK_FUNCTION_LIST *real, CK_SESSION_HANDLE session, bool rsa,
                                 CK_ULONG bits)
{
    static uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_MECHANISM make = {rsa ? CKM_RSA_PKCS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    uint8_t exponent[] = {1, 0, 1};
    CK_OBJECT_HANDLE public, private;
    CK_ATTRIBUTE rsa_part[] = {{CKA_TOKEN, &no, 1},
                               {CKA_MODULUS_BITS, &bits, sizeof(bits)},
                               {CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent)}};
    CK_ATTRIBUTE ec_part[] = {{CKA_TOKEN, &no, 1}, {CKA_EC_PARAMS, p256, sizeof(p256)}};
    CK_ATTRIBUTE private_part[] = {
        {CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SIGN, &yes, 1}};
    CK_RV rv = real->C_GenerateKeyPair(session, &make, rsa ? rsa_part : ec_part, rsa ? 3 : 2,
                                       private_part, 3, &public, &private);
    return rv == CKR_OK ? private : CK_INVALID_HANDLE;
}

static bool sign_with_other(CK_FUNCTION_LIST *real, CK_SLOT_ID slot, CK_MECHANISM *mechanism,
                            const uint8_t *in, size_t in_len, uint8_t *out, CK_ULONG *out_len)
{
    static CK_SESSION_HANDLE session;
    static CK_OBJECT_HANDLE rsa_key, ec_key;
    bool rsa = mechanism->mechanism != CKM_ECDSA;
    CK_OBJECT_HANDLE *key = rsa ? &rsa_key : &ec_key;
    uint8_t other[OLD_MAX];
    CK_ULONG len = sizeof(other);
    pthread_mutex_lock(&lock);
    bool done = (session != 0 || real->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION,
                                                     NULL, NULL, &session) == CKR_OK) &&
                (*key != CK_INVALID_HANDLE ||
                 (*key = make_key(real, session, rsa, *out_len * 8)) != CK_INVALID_HANDLE) &&
                real->C_SignInit(session, mechanism, *key) == CKR_OK &&
                real->C_Sign(session, (uint8_t *)in, in_len, other, &len) == CKR_OK &&
                len == *out_len;
    pthread_mutex_unlock(&lock);
    if (done) {
        memcpy(out, other, len);
    }
    return done;
}

bool fault_spoil(CK_FUNCTION_LIST *real, CK_SLOT_ID slot, enum fault_answer how,
                 CK_MECHANISM *mechanism, const uint8_t *in, size_t in_len, uint8_t *out,
                 CK_ULONG *out_len, size_t cap)
{
    uint64_t dice = fault_random();
    if (*out_len == 0) {
        return false;
    }
    switch (how) {
    case ANSWER_FLIP:
        out[dice % *out_len] ^= (uint8_t)(1u << (dice >> 32) % 8);
        return true;
    case ANSWER_ZERO:
        memset(out, 0, *out_len);
        return true;
    case ANSWER_TRUNCATE:
        *out_len -= 1 + dice % *out_len;
        return true;
    case ANSWER_LENGTHEN:
        if (*out_len + 1 > cap) {
            return false;
        }
        out[*out_len] = (uint8_t)dice;
        *out_len += 1;
        return true;
    case ANSWER_RANDOM:
        for (CK_ULONG i = 0; i < *out_len; i++) {
            out[i] = (uint8_t)fault_random();
        }
        return true;
    case ANSWER_STALE:
        return stale(out, out_len);
    case ANSWER_OTHER_KEY:
        return sign_with_other(real, slot, mechanism, in, in_len, out, out_len);
    case ANSWER_RIGHT:
        break;
    }
    return false;
}
