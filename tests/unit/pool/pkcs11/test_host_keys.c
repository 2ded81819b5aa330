/* The keys that a host keeps loaded, over a token that only counts: never more than the limit when
 * idle, the least recently used goes first, a key in use stays, a forgotten one is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "pool/pkcs11/host.h"

#define LIMIT 4u

static struct pool_host host;
static CK_FUNCTION_LIST list;
static unsigned loaded, loads;

static CK_RV fake_unwrap(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                         CK_OBJECT_HANDLE key, CK_BYTE_PTR wrapped, CK_ULONG wrapped_len,
                         CK_ATTRIBUTE_PTR attributes, CK_ULONG count, CK_OBJECT_HANDLE_PTR out)
{
    (void)session, (void)mechanism, (void)key, (void)wrapped, (void)wrapped_len;
    (void)attributes, (void)count;
    loaded++;
    *out = 100 + loads++;
    return CKR_OK;
}

static CK_RV fake_destroy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    (void)session, (void)object;
    assert_true(loaded > 0);
    loaded--;
    return CKR_OK;
}

static int setup(void **state)
{
    (void)state;
    list.C_UnwrapKey = fake_unwrap;
    list.C_DestroyObject = fake_destroy;
    host = (struct pool_host){.p11 = &list};
    pthread_mutex_init(&host.objects, NULL);
    host.keys = pool_host_keys_create(LIMIT);
    loaded = loads = 0;
    return host.keys == NULL;
}

static int teardown(void **state)
{
    (void)state;
    pool_host_keys_destroy(host.keys);
    pthread_mutex_destroy(&host.objects);
    return 0;
}

static struct pool_wire_request request(unsigned number, bool with_blob)
{
    static uint8_t blob[KC_BLOB_HEADER + 24];
    struct pool_wire_request req = {.kind = KW_KIND_SIGN, .kty = KW_KTY_EC};
    snprintf((char *)req.key_id, sizeof req.key_id, "key %u", number);
    blob[0] = 1;
    blob[1] = KC_BLOB_MEMBER_KWP;
    blob[2] = KW_KTY_EC;
    if (with_blob) {
        req.blob = kw_span_of(blob, sizeof blob);
    }
    return req;
}

static struct pool_host_key *take(unsigned number)
{
    struct pool_wire_request req = request(number, true);
    bool bad_blob;
    CK_OBJECT_HANDLE handle;
    struct pool_host_key *key = pool_host_key_get(&host, &req, &bad_blob);
    assert_non_null(key);
    assert_int_equal(pool_host_key_handle(&host, key, false, &handle), CKR_OK);
    return key;
}

static void use(unsigned number)
{
    pool_host_key_put(&host, take(number));
}

static bool holds(unsigned number)
{
    struct pool_wire_request req = request(number, false);
    bool bad_blob;
    struct pool_host_key *key = pool_host_key_get(&host, &req, &bad_blob);
    if (key != NULL) {
        pool_host_key_put(&host, key);
    }
    return key != NULL;
}

static void never_more_than_the_limit(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        use(i);
        assert_in_range(loaded, 1, LIMIT);
    }
    assert_int_equal(loads, 50);
    assert_int_equal(loaded, LIMIT);
}

static void the_least_recently_used_goes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LIMIT; i++) {
        use(i);
    }
    use(0);
    use(9);
    assert_true(holds(0));
    assert_false(holds(1));
    assert_true(holds(9));
}

static void a_key_in_use_stays(void **state)
{
    (void)state;
    struct pool_host_key *held = take(0);
    for (unsigned i = 1; i < 20; i++) {
        use(i);
    }
    assert_true(holds(0));
    pool_host_key_put(&host, held);
    assert_in_range(loaded, 1, LIMIT);
}

static void forget(unsigned number)
{
    struct pool_wire_request req = request(number, false);
    pool_host_keys_forget(&host, kw_span_of(req.key_id, sizeof req.key_id));
}

static void a_forgotten_key_is_gone(void **state)
{
    (void)state;
    use(0);
    use(1);
    forget(0);
    forget(7); /* never loaded */
    assert_false(holds(0));
    assert_true(holds(1));
    assert_int_equal(loaded, 1);
    use(0); /* with its blob it may come again */
    assert_int_equal(loads, 3);
    assert_int_equal(loaded, 2);
}

static void one_in_use_goes_with_its_last_use(void **state)
{
    (void)state;
    struct pool_host_key *first = take(0), *second = take(0);
    assert_ptr_equal(first, second);
    forget(0);
    assert_false(holds(0));
    assert_int_equal(loaded, 1);
    use(0); /* another life, beside the one that ends */
    assert_int_equal(loaded, 2);
    pool_host_key_put(&host, first);
    assert_int_equal(loaded, 2);
    pool_host_key_put(&host, second);
    assert_int_equal(loaded, 1);
    assert_true(holds(0));
}

static void all_can_be_forgotten(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LIMIT; i++) {
        use(i);
    }
    struct pool_host_key *held = take(3);
    pool_host_keys_forget(&host, kw_span_of(NULL, 0));
    assert_int_equal(loaded, 1);
    pool_host_key_put(&host, held);
    assert_int_equal(loaded, 0);
    for (unsigned i = 0; i < LIMIT; i++) {
        assert_false(holds(i));
    }
    use(2);
    assert_int_equal(loaded, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(never_more_than_the_limit),
        TEST(the_least_recently_used_goes),
        TEST(a_key_in_use_stays),
        TEST(a_forgotten_key_is_gone),
        TEST(one_in_use_goes_with_its_last_use),
        TEST(all_can_be_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
