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

/* Token objects: private key 900 with id "a", two of id "b", secret key 903 with id "a". */
static const struct {
    CK_OBJECT_HANDLE handle;
    CK_OBJECT_CLASS class;
    CK_KEY_TYPE type;
    char id;
} on_token[] = {{900, CKO_PRIVATE_KEY, CKK_EC, 'a'},
                {901, CKO_PRIVATE_KEY, CKK_EC, 'b'},
                {902, CKO_PRIVATE_KEY, CKK_EC, 'b'},
                {903, CKO_SECRET_KEY, CKK_AES, 'a'},
                {904, CKO_PRIVATE_KEY, CKK_RSA, 'b'}};
#define ON_TOKEN (sizeof on_token / sizeof *on_token)

static CK_ATTRIBUTE searched[3];
static CK_OBJECT_CLASS searched_class;
static size_t search_at;
static unsigned searches, renumbered;
static bool logged_out;

static CK_RV fake_find_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR wanted, CK_ULONG count)
{
    (void)session;
    memset(searched, 0, sizeof searched);
    memcpy(searched, wanted, count * sizeof *wanted);
    memcpy(&searched_class, wanted[0].pValue, sizeof searched_class);
    search_at = 0;
    searches++;
    return CKR_OK;
}

static CK_RV fake_find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR out, CK_ULONG max,
                       CK_ULONG_PTR count)
{
    (void)session;
    *count = 0;
    for (; search_at < ON_TOKEN && *count < max && !logged_out; search_at++) {
        bool by_id = searched[2].type == CKA_ID;
        if (on_token[search_at].class == searched_class &&
            (!by_id || *(const char *)searched[2].pValue == on_token[search_at].id)) {
            out[(*count)++] = on_token[search_at].handle + renumbered;
        }
    }
    return CKR_OK;
}

static CK_RV fake_find_final(CK_SESSION_HANDLE session)
{
    (void)session;
    return CKR_OK;
}

static CK_RV fake_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                             CK_ATTRIBUTE_PTR parts, CK_ULONG count)
{
    (void)session;
    size_t at = object - 900 - renumbered;
    assert_true(at < ON_TOKEN && count == 2);
    *(char *)parts[0].pValue = on_token[at].id;
    parts[0].ulValueLen = 1;
    memcpy(parts[1].pValue, &on_token[at].type, sizeof on_token[at].type);
    return CKR_OK;
}

static CK_RV fake_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO_PTR info)
{
    (void)session;
    info->state = logged_out ? CKS_RW_PUBLIC_SESSION : CKS_RW_USER_FUNCTIONS;
    return CKR_OK;
}

static CK_RV fake_open(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                       CK_SESSION_HANDLE_PTR session)
{
    (void)slot, (void)flags, (void)application, (void)notify;
    *session = 77;
    return CKR_OK;
}

static int setup(void **state)
{
    (void)state;
    list.C_UnwrapKey = fake_unwrap;
    list.C_DestroyObject = fake_destroy;
    list.C_FindObjectsInit = fake_find_init;
    list.C_FindObjects = fake_find;
    list.C_FindObjectsFinal = fake_find_final;
    list.C_GetAttributeValue = fake_attributes;
    list.C_GetSessionInfo = fake_session_info;
    list.C_OpenSession = fake_open;
    searches = renumbered = 0;
    logged_out = false;
    host = (struct pool_host){.p11 = &list};
    pthread_mutex_init(&host.objects, NULL);
    pthread_mutex_init(&host.finding, NULL);
    host.keys = pool_host_keys_create(LIMIT);
    loaded = loads = 0;
    return host.keys == NULL;
}

static int teardown(void **state)
{
    (void)state;
    pool_host_objects_forget(&host);
    pool_host_keys_destroy(host.keys);
    pthread_mutex_destroy(&host.finding);
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

static CK_OBJECT_HANDLE handle_of(struct pool_host_key *key, CK_RV wanted)
{
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    assert_int_equal(pool_host_key_handle(&host, key, false, &handle), wanted);
    return handle;
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

/* A key that was made here for a request that another member then answered: the id is the same, the
 * material is not. */
static void another_blob_under_an_id_is_another_key(void **state)
{
    (void)state;
    struct pool_wire_request made_here = request(0, true), stored = request(0, true);
    uint8_t other[KC_BLOB_HEADER + 24];
    bool bad_blob;
    memcpy(other, stored.blob.data, sizeof other);
    other[sizeof other - 1] ^= 1;
    stored.blob = kw_span_of(other, sizeof other);
    struct pool_host_key *first = pool_host_key_get(&host, &made_here, &bad_blob);
    CK_OBJECT_HANDLE handle = handle_of(first, CKR_OK);
    struct pool_host_key *second = pool_host_key_get(&host, &stored, &bad_blob);
    assert_ptr_not_equal(first, second);
    assert_int_not_equal(handle, handle_of(second, CKR_OK));
    pool_host_key_put(&host, first); /* it was in use: gone with its last use */
    assert_int_equal(loaded, 1);
    pool_host_key_put(&host, second);
    struct pool_wire_request bare = request(0, false);
    struct pool_host_key *again = pool_host_key_get(&host, &bare, &bad_blob);
    assert_ptr_equal(again, second);
    pool_host_key_put(&host, again);
    struct pool_host_key *back = pool_host_key_get(&host, &made_here, &bad_blob);
    assert_int_equal(loaded, 0); /* the idle one went at once */
    pool_host_key_put(&host, back);
}

/* What is no blob drives nothing out. */
static void a_damaged_blob_leaves_the_key(void **state)
{
    (void)state;
    static const uint8_t damaged[KC_BLOB_HEADER + 24] = {9};
    struct pool_wire_request req = request(0, false);
    bool bad_blob;
    use(0);
    req.blob = kw_span_of(damaged, sizeof damaged);
    assert_null(pool_host_key_get(&host, &req, &bad_blob));
    assert_true(bad_blob);
    assert_true(holds(0));
}

static struct pool_host_key *resident(unsigned number, enum kw_kty kty, char id)
{
    static uint8_t reference[2] = {POOL_REFERENCE};
    struct pool_wire_request req = request(number, false);
    bool bad_blob;
    reference[1] = (uint8_t)id;
    req.kty = kty;
    req.blob = kw_span_of(reference, sizeof reference);
    struct pool_host_key *key = pool_host_key_get(&host, &req, &bad_blob);
    assert_non_null(key);
    return key;
}

static void resident_keys_are_found_and_never_destroyed(void **state)
{
    (void)state;
    struct pool_host_key *private = resident(0, KW_KTY_EC, 'a');
    struct pool_host_key *secret = resident(1, KW_KTY_OCT, 'a');
    assert_int_equal(handle_of(private, CKR_OK), 900);
    assert_int_equal(handle_of(secret, CKR_OK), 903);
    assert_int_equal(searches, 2); /* the token's keys were read once: two classes */
    pool_host_key_put(&host, private);
    pool_host_key_put(&host, secret);
    for (unsigned i = 2; i < 20; i++) { /* driven out; fake_destroy fails on an object too many */
        use(i);
    }
    assert_false(holds(0));
    pool_host_key_put(&host, resident(0, KW_KTY_EC, 'a'));
    pool_host_keys_forget(&host, kw_span_of(NULL, 0));
    assert_int_equal(loaded, 0);
    assert_int_equal(searches, 2);
}

static void a_resident_key_that_is_not_one_is_lacking(void **state)
{
    (void)state;
    struct pool_host_key *none = resident(0, KW_KTY_EC, 'z'), *two = resident(1, KW_KTY_EC, 'b');
    struct pool_host_key *one = resident(2, KW_KTY_RSA, 'b');
    handle_of(none, POOL_HOST_LACKS);
    handle_of(two, POOL_HOST_LACKS);
    assert_int_equal(handle_of(one, CKR_OK), 904); /* the type tells it from the others */
    CK_OBJECT_HANDLE unused;
    assert_int_equal(pool_host_key_handle(&host, one, true, &unused), CKR_KEY_TYPE_INCONSISTENT);
    pool_host_key_put(&host, none);
    pool_host_key_put(&host, two);
    pool_host_key_put(&host, one);
}

static void a_stale_handle_is_searched_for_alone(void **state)
{
    (void)state;
    struct pool_host_key *key = resident(0, KW_KTY_EC, 'a');
    assert_int_equal(handle_of(key, CKR_OK), 900);
    renumbered = 50; /* the token was taken out and put in again */
    pool_host_key_stale(&host, key, 900);
    assert_int_equal(handle_of(key, CKR_OK), 950);
    assert_int_equal(searches, 3);
    pool_host_key_put(&host, key);
}

static void logged_out_is_not_lacking(void **state)
{
    (void)state;
    logged_out = true;
    struct pool_host_key *key = resident(0, KW_KTY_EC, 'a');
    handle_of(key, CKR_USER_NOT_LOGGED_IN);
    logged_out = false;
    assert_int_equal(handle_of(key, CKR_OK), 900);
    pool_host_key_put(&host, key);
}

static void damaged_references_are_no_keys(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {POOL_REFERENCE, POOL_CHECK_BY_ENCRYPT, 0x83};
    for (size_t i = 0; i < sizeof bytes; i++) {
        struct pool_wire_request req = request(0, false);
        bool bad_blob;
        req.blob = kw_span_of(&bytes[i], 1);
        assert_null(pool_host_key_get(&host, &req, &bad_blob));
        assert_true(bad_blob);
    }
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
        TEST(another_blob_under_an_id_is_another_key),
        TEST(a_damaged_blob_leaves_the_key),
        TEST(resident_keys_are_found_and_never_destroyed),
        TEST(a_resident_key_that_is_not_one_is_lacking),
        TEST(a_stale_handle_is_searched_for_alone),
        TEST(logged_out_is_not_lacking),
        TEST(damaged_references_are_no_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
