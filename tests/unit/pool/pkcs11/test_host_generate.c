/* A key that is made on a token whose answers are not what they should be: it is not answered for,
 * and nothing of it stays loaded under its id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/base/secret.h"
#include "pool/pkcs11/host.h"

static struct pool_host host;
static CK_FUNCTION_LIST list;
static size_t signature_len;
static unsigned objects;

/* The base point of P-256 (SP 800-186): a public key as good as any, whose private half is 1. */
static const uint8_t point[] = {0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc,
                                0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d,
                                0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
                                0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb,
                                0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31,
                                0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5};

static CK_RV fake_pair(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                       CK_ATTRIBUTE_PTR public_part, CK_ULONG public_count,
                       CK_ATTRIBUTE_PTR private_part, CK_ULONG private_count,
                       CK_OBJECT_HANDLE_PTR public, CK_OBJECT_HANDLE_PTR private)
{
    (void)session, (void)mechanism, (void)public_part, (void)public_count;
    (void)private_part, (void)private_count;
    objects += 2;
    *public = 11;
    *private = 12;
    return CKR_OK;
}

static CK_RV fake_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                             CK_ATTRIBUTE_PTR parts, CK_ULONG count)
{
    (void)session;
    assert_int_equal(object, 11);
    assert_int_equal(count, 1);
    assert_true(parts[0].ulValueLen >= sizeof point);
    memcpy(parts[0].pValue, point, sizeof point);
    parts[0].ulValueLen = sizeof point;
    return CKR_OK;
}

static CK_RV fake_wrap(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                       CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE key, CK_BYTE_PTR out,
                       CK_ULONG_PTR len)
{
    (void)session, (void)mechanism, (void)wrapping, (void)key;
    memset(out, 7, 40);
    *len = 40;
    return CKR_OK;
}

static CK_RV fake_unwrap(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                         CK_OBJECT_HANDLE key, CK_BYTE_PTR wrapped, CK_ULONG wrapped_len,
                         CK_ATTRIBUTE_PTR attributes, CK_ULONG count, CK_OBJECT_HANDLE_PTR out)
{
    (void)session, (void)mechanism, (void)key, (void)wrapped, (void)wrapped_len;
    (void)attributes, (void)count;
    objects++;
    *out = 13;
    return CKR_OK;
}

static CK_RV fake_destroy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    (void)session, (void)object;
    assert_true(objects > 0);
    objects--;
    return CKR_OK;
}

static CK_RV fake_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                            CK_OBJECT_HANDLE key)
{
    (void)session, (void)mechanism;
    assert_int_equal(key, 13);
    return CKR_OK;
}

static CK_RV fake_sign(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out,
                       CK_ULONG_PTR len)
{
    (void)session, (void)in, (void)in_len;
    assert_true(*len >= signature_len);
    memset(out, 0xff, signature_len);
    *len = signature_len;
    return CKR_OK;
}

static int setup(void **state)
{
    (void)state;
    list.C_GenerateKeyPair = fake_pair;
    list.C_GetAttributeValue = fake_attributes;
    list.C_WrapKey = fake_wrap;
    list.C_UnwrapKey = fake_unwrap;
    list.C_DestroyObject = fake_destroy;
    list.C_SignInit = fake_sign_init;
    list.C_Sign = fake_sign;
    host = (struct pool_host){.p11 = &list};
    pthread_mutex_init(&host.objects, NULL);
    pthread_mutex_init(&host.generating, NULL);
    host.keys = pool_host_keys_create(4);
    objects = 0;
    return host.keys == NULL;
}

static int teardown(void **state)
{
    (void)state;
    pool_host_keys_destroy(host.keys);
    pthread_mutex_destroy(&host.generating);
    pthread_mutex_destroy(&host.objects);
    return 0;
}

static void is_refused(size_t len)
{
    struct pool_wire_request req = {
        .kind = KW_KIND_GENERATE, .kty = KW_KTY_EC, .curve = KW_CURVE_P256, .key_id = "made here"};
    struct pool_host_call call = {.host = &host, .req = &req};
    bool bad_blob;
    signature_len = len;
    call.out = kw_secret_alloc(POOL_HOST_ROOM);
    assert_non_null(call.out);
    assert_int_equal(pool_host_generate(&call), CKR_DEVICE_ERROR);
    kw_secret_free(call.out);
    assert_int_equal(objects, 0);
    assert_null(pool_host_key_get(&host, &req, &bad_blob));
}

static void a_wrong_signature_is_no_proof(void **state)
{
    (void)state;
    is_refused(64);
    is_refused(0);
    is_refused(63);
}

/* As long as the room that the token is offered, which is that of an RSA signature. */
static void a_signature_of_any_length_is_survived(void **state)
{
    (void)state;
    for (size_t len = 65; len <= KW_RSA_MAX_BYTES; len++) {
        is_refused(len);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_wrong_signature_is_no_proof),
        TEST(a_signature_of_any_length_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
