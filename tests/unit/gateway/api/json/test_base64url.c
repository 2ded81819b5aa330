#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/api/json/base64url.h"

/* RFC 4648 section 10, without padding */
static const struct {
    const char *bytes, *text;
} vectors[] = {{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
               {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};

static bool decodes(const char *text, uint8_t *out, size_t *len)
{
    return gw_b64_decode(out, len, text, strlen(text));
}

static void rfc_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char text[16];
        uint8_t bytes[16];
        size_t n = strlen(vectors[i].bytes), len;
        assert_int_equal(gw_b64_encode(text, (const uint8_t *)vectors[i].bytes, n),
                         strlen(vectors[i].text));
        assert_int_equal(gw_b64_encoded_len(n), strlen(vectors[i].text));
        assert_memory_equal(text, vectors[i].text, strlen(vectors[i].text));
        assert_true(decodes(vectors[i].text, bytes, &len));
        assert_int_equal(len, n);
        assert_memory_equal(bytes, vectors[i].bytes, n);
    }
}

static void every_length_and_byte(void **state)
{
    (void)state;
    uint8_t data[300] = {0}, back[303];
    char text[404];
    for (size_t len = 0; len <= sizeof data; len++) {
        for (size_t i = 0; i < len; i++)
            data[i] = (uint8_t)(i * 7 + len);
        size_t n = gw_b64_encode(text, data, len), out;
        assert_int_equal(n, gw_b64_encoded_len(len));
        assert_true(gw_b64_decoded_room(n) >= len);
        assert_true(gw_b64_decode(back, &out, text, n));
        assert_int_equal(out, len);
        assert_memory_equal(back, data, len);
    }
}

static void both_alphabets_and_padding(void **state)
{
    (void)state;
    uint8_t a[8], b[8];
    size_t n, m;
    assert_true(decodes("--__", a, &n));
    assert_true(decodes("++//", b, &m));
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    assert_true(decodes("Zg==", a, &n));
    assert_int_equal(n, 1);
    assert_true(decodes("Zm8=", a, &n));
    assert_int_equal(n, 2);
}

static void refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"Z",     "Zm9vY",  "Zg=",   "Zm8==",    "=",
                                        "==",    "====",   "Zm9v=", "Zm9v====", "Z===",
                                        "Zm 9v", "Zm9v\n", "Zm9%",  "Zm9.",     "Z\xc3\xa9v",
                                        "Zh",    "Zm9",    "Zh==",  "Zm9=",     "Zg==Zg=="};
    uint8_t out[32];
    size_t len;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (decodes(wrong[i], out, &len))
            fail_msg("\"%s\" was taken", wrong[i]);
    }
}

/* Exactly 66 characters are taken at each place of a group of four. */
static void alphabet_is_exact(void **state)
{
    (void)state;
    for (int place = 0; place < 4; place++) {
        int taken = 0;
        for (int c = 0; c < 256; c++) {
            char text[4] = {'A', 'A', 'A', 'A'};
            uint8_t out[6];
            size_t len;
            text[place] = (char)c;
            /* '=' at the end is padding */
            taken += gw_b64_decode(out, &len, text, 4) && c != '=';
        }
        assert_int_equal(taken, 66);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_vectors),
        cmocka_unit_test(every_length_and_byte),
        cmocka_unit_test(both_alphabets_and_padding),
        cmocka_unit_test(refused),
        cmocka_unit_test(alphabet_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
