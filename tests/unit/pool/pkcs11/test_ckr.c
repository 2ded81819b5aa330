#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "pool/pkcs11/ckr.h"

/* written out, so that the table is held against the standard's numbers */
#define CKR_OK                           0ul
#define CKR_HOST_MEMORY                  2ul
#define CKR_SLOT_ID_INVALID              3ul
#define CKR_GENERAL_ERROR                5ul
#define CKR_FUNCTION_FAILED              6ul
#define CKR_ARGUMENTS_BAD                7ul
#define CKR_DATA_INVALID                 0x20ul
#define CKR_DEVICE_ERROR                 0x30ul
#define CKR_DEVICE_MEMORY                0x31ul
#define CKR_DEVICE_REMOVED               0x32ul
#define CKR_ENCRYPTED_DATA_INVALID       0x40ul
#define CKR_ENCRYPTED_DATA_LEN_RANGE     0x41ul
#define CKR_FUNCTION_CANCELED            0x50ul
#define CKR_FUNCTION_NOT_SUPPORTED       0x54ul
#define CKR_KEY_HANDLE_INVALID           0x60ul
#define CKR_KEY_FUNCTION_NOT_PERMITTED   0x68ul
#define CKR_MECHANISM_INVALID            0x70ul
#define CKR_MECHANISM_PARAM_INVALID      0x71ul
#define CKR_OBJECT_HANDLE_INVALID        0x82ul
#define CKR_OPERATION_ACTIVE             0x90ul
#define CKR_OPERATION_NOT_INITIALIZED    0x91ul
#define CKR_PIN_INCORRECT                0xa0ul
#define CKR_PIN_EXPIRED                  0xa3ul
#define CKR_PIN_LOCKED                   0xa4ul
#define CKR_SESSION_CLOSED               0xb0ul
#define CKR_SESSION_COUNT                0xb1ul
#define CKR_SESSION_HANDLE_INVALID       0xb3ul
#define CKR_TOKEN_NOT_PRESENT            0xe0ul
#define CKR_TOKEN_NOT_RECOGNIZED         0xe1ul
#define CKR_TOKEN_WRITE_PROTECTED        0xe2ul
#define CKR_USER_ALREADY_LOGGED_IN       0x100ul
#define CKR_USER_NOT_LOGGED_IN           0x101ul
#define CKR_USER_PIN_NOT_INITIALIZED     0x102ul
#define CKR_WRAPPED_KEY_INVALID          0x110ul
#define CKR_WRAPPED_KEY_LEN_RANGE        0x112ul
#define CKR_BUFFER_TOO_SMALL             0x150ul
#define CKR_CRYPTOKI_NOT_INITIALIZED     0x190ul
#define CKR_CRYPTOKI_ALREADY_INITIALIZED 0x191ul

/* every code of PKCS#11 v2.40, section 11.1 and pkcs11t.h */
static const unsigned long standard[] = {
    0x0,   0x1,   0x2,   0x3,   0x5,   0x6,   0x7,   0x8,   0x9,   0xa,   0x10,  0x11,
    0x12,  0x13,  0x1b,  0x20,  0x21,  0x30,  0x31,  0x32,  0x40,  0x41,  0x50,  0x51,
    0x54,  0x60,  0x62,  0x63,  0x64,  0x65,  0x66,  0x67,  0x68,  0x69,  0x6a,  0x70,
    0x71,  0x82,  0x90,  0x91,  0xa0,  0xa1,  0xa2,  0xa3,  0xa4,  0xb0,  0xb1,  0xb3,
    0xb4,  0xb5,  0xb6,  0xb7,  0xb8,  0xc0,  0xc1,  0xd0,  0xd1,  0xe0,  0xe1,  0xe2,
    0xf0,  0xf1,  0xf2,  0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 0x110, 0x112, 0x113,
    0x114, 0x115, 0x120, 0x121, 0x130, 0x140, 0x150, 0x160, 0x170, 0x180, 0x190, 0x191,
    0x1a0, 0x1a1, 0x1b0, 0x1b1, 0x1b5, 0x1b6, 0x1b7, 0x1b8, 0x1b9, 0x200,
};

static void every_code_has_its_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(standard) / sizeof(standard[0]); i++) {
        const struct pool_ckr_row *row = pool_ckr(standard[i]);
        assert_int_equal(row->code, standard[i]);
        assert_string_not_equal(row->name, "unknown");
    }
}

static void rows_are_sorted_and_single(void **state)
{
    (void)state;
    size_t count;
    const struct pool_ckr_row *rows = pool_ckr_rows(&count);
    assert_true(count >= sizeof(standard) / sizeof(standard[0]));
    for (size_t i = 1; i < count; i++) {
        assert_true(rows[i - 1].code < rows[i].code);
        assert_string_not_equal(rows[i - 1].name, rows[i].name);
    }
}

static void unknown_and_vendor_codes_fail_over(void **state)
{
    (void)state;
    assert_int_equal(pool_ckr(0x7ffffffful)->action, POOL_CKR_OTHER);
    assert_int_equal(pool_ckr(0x80000000ul)->action, POOL_CKR_OTHER);
    assert_int_equal(pool_ckr(0x80001234ul)->action, POOL_CKR_OTHER);
    assert_int_equal(pool_ckr(~0ul)->action, POOL_CKR_OTHER);
    assert_string_equal(pool_ckr(0x80001234ul)->name, "VENDOR_DEFINED");
}

static void actions_are_those_of_the_rules(void **state)
{
    (void)state;
    static const struct {
        unsigned long code;
        enum pool_ckr_action action;
    } expected[] = {
        {CKR_OK, POOL_CKR_OK},
        {CKR_USER_ALREADY_LOGGED_IN, POOL_CKR_OK},
        {CKR_CRYPTOKI_ALREADY_INITIALIZED, POOL_CKR_OK},
        {CKR_DEVICE_ERROR, POOL_CKR_RESTART},
        {CKR_DEVICE_REMOVED, POOL_CKR_RESTART},
        {CKR_TOKEN_NOT_PRESENT, POOL_CKR_RESTART},
        {CKR_TOKEN_NOT_RECOGNIZED, POOL_CKR_RESTART},
        {CKR_SLOT_ID_INVALID, POOL_CKR_RESTART},
        {CKR_CRYPTOKI_NOT_INITIALIZED, POOL_CKR_RESTART},
        {CKR_DEVICE_MEMORY, POOL_CKR_BUSY},
        {CKR_HOST_MEMORY, POOL_CKR_BUSY},
        {CKR_SESSION_COUNT, POOL_CKR_BUSY},
        {CKR_GENERAL_ERROR, POOL_CKR_AMBIGUOUS},
        {CKR_FUNCTION_FAILED, POOL_CKR_AMBIGUOUS},
        {CKR_SESSION_HANDLE_INVALID, POOL_CKR_SESSION},
        {CKR_SESSION_CLOSED, POOL_CKR_SESSION},
        {CKR_OPERATION_ACTIVE, POOL_CKR_SESSION},
        {CKR_OPERATION_NOT_INITIALIZED, POOL_CKR_SESSION},
        {CKR_KEY_HANDLE_INVALID, POOL_CKR_KEY},
        {CKR_OBJECT_HANDLE_INVALID, POOL_CKR_KEY},
        {CKR_USER_NOT_LOGGED_IN, POOL_CKR_LOGIN},
        {CKR_BUFFER_TOO_SMALL, POOL_CKR_SIZE},
        {CKR_MECHANISM_INVALID, POOL_CKR_UNSUPPORTED},
        {CKR_MECHANISM_PARAM_INVALID, POOL_CKR_UNSUPPORTED},
        {CKR_ARGUMENTS_BAD, POOL_CKR_UNSUPPORTED},
        {CKR_FUNCTION_NOT_SUPPORTED, POOL_CKR_UNSUPPORTED},
        {CKR_PIN_INCORRECT, POOL_CKR_NEVER},
        {CKR_PIN_LOCKED, POOL_CKR_NEVER},
        {CKR_PIN_EXPIRED, POOL_CKR_NEVER},
        {CKR_DATA_INVALID, POOL_CKR_CALLER},
        {CKR_ENCRYPTED_DATA_INVALID, POOL_CKR_CALLER},
        {CKR_WRAPPED_KEY_INVALID, POOL_CKR_CALLER},
        {CKR_KEY_FUNCTION_NOT_PERMITTED, POOL_CKR_CALLER},
        {CKR_FUNCTION_CANCELED, POOL_CKR_OTHER},
        {CKR_TOKEN_WRITE_PROTECTED, POOL_CKR_OTHER},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_equal(pool_ckr(expected[i].code)->action, expected[i].action);
    }
}

/* all faults of damaged ciphertext look the same */
static void decryption_faults_share_one_status(void **state)
{
    (void)state;
    static const unsigned long codes[] = {CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE,
                                          CKR_WRAPPED_KEY_INVALID, CKR_WRAPPED_KEY_LEN_RANGE};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_int_equal(pool_ckr(codes[i])->status, KW_E_CRYPTO);
    }
}

static void only_words_about_the_pin_refuse_it(void **state)
{
    (void)state;
    size_t count, refusing = 0;
    const struct pool_ckr_row *rows = pool_ckr_rows(&count);
    for (size_t i = 0; i < count; i++) {
        bool pin = strncmp(rows[i].name, "PIN_", 4) == 0 && rows[i].code < 0x100;
        assert_int_equal(pool_ckr_refuses_pin(rows[i].code) != 0, pin);
        refusing += pin;
    }
    assert_int_equal(refusing, 5);
    assert_false(pool_ckr_refuses_pin(CKR_GENERAL_ERROR));
    assert_false(pool_ckr_refuses_pin(CKR_USER_PIN_NOT_INITIALIZED));
    assert_true(pool_ckr_is_known(CKR_OK));
    assert_true(pool_ckr_is_known(CKR_PIN_INCORRECT));
    assert_false(pool_ckr_is_known(0x7fff));
    assert_false(pool_ckr_is_known(0x8000006ful));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_row),
        cmocka_unit_test(rows_are_sorted_and_single),
        cmocka_unit_test(unknown_and_vendor_codes_fail_over),
        cmocka_unit_test(actions_are_those_of_the_rules),
        cmocka_unit_test(decryption_faults_share_one_status),
        cmocka_unit_test(only_words_about_the_pin_refuse_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
