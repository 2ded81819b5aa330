/* Copies of a new key, over scripted members: how many are asked, who, and what disagrees. */

#include "pool/prove.h"
#include "tests/unit/pool/fake_group.h"

static struct kc_key *ec_key, *ec_other, *oct_key, *oct_other;
static unsigned done;

static int group_setup(void **state)
{
    (void)state;
    return !group_make(&fake_type) ||
           kc_key_generate(&ec_key, KW_KTY_EC, 0, KW_CURVE_P384, 0) != KW_OK ||
           kc_key_generate(&ec_other, KW_KTY_EC, 0, KW_CURVE_P384, 0) != KW_OK ||
           kc_key_generate(&oct_key, KW_KTY_OCT, 192, KW_CURVE_NONE, 0) != KW_OK ||
           kc_key_generate(&oct_other, KW_KTY_OCT, 192, KW_CURVE_NONE, 0) != KW_OK;
}

static int group_teardown(void **state)
{
    (void)state;
    kc_key_unref(ec_key);
    kc_key_unref(ec_other);
    kc_key_unref(oct_key);
    kc_key_unref(oct_other);
    group_free();
    return 0;
}

static void start(unsigned count, unsigned min_copies)
{
    group_reset((struct pool_config){.workers = 1,
                                     .min_copies = min_copies,
                                     .hard_deadline_ns = KW_MS(300)},
                1);
    group_start(count);
}

static void on_done(struct pool_proof *proof)
{
    (void)proof;
    done++;
}

static kw_status prove(struct pool_key *key, uint64_t shown_on)
{
    static struct pool_proof proof;
    proof = (struct pool_proof){
        .key = key, .shown_on = shown_on, .deadline_ns = kw_now_ns() + KW_S(5), .on_done = on_done};
    done = 0;
    pool_prove(port, &proof);
    int64_t limit = kw_now_ns() + KW_S(10);
    while (done == 0) {
        pool_port_run(port);
        assert_true(kw_now_ns() < limit);
    }
    assert_int_equal(done, 1);
    return proof.status;
}

static unsigned attempts(unsigned member)
{
    return atomic_load(&fakes[member].attempts);
}

static void a_second_member_is_asked_and_not_the_first(void **state)
{
    (void)state;
    start(3, 0);
    struct pool_key *key = group_key(ec_key, ec_other, true);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(prove(key, 1u << 1), KW_OK);
    }
    assert_int_equal(attempts(1), 0);
    assert_int_equal(attempts(0) + attempts(2), 20);
    pool_key_unref(key);
}

static void an_import_is_shown_on_two(void **state)
{
    (void)state;
    start(2, 0);
    struct pool_key *key = group_key(ec_key, ec_other, true);
    assert_int_equal(prove(key, 0), KW_OK);
    assert_int_equal(attempts(0), 1);
    assert_int_equal(attempts(1), 1);
    pool_key_unref(key);
}

static void secret_keys_must_agree(void **state)
{
    (void)state;
    start(2, 0);
    struct pool_key *key = group_key(oct_key, oct_other, true);
    assert_int_equal(prove(key, 1), KW_OK);
    assert_int_equal(attempts(0), 1); /* compared, so the first is asked as well */
    assert_int_equal(attempts(1), 1);
    atomic_store(&fakes[1].script, FAKE_STRANGER);
    assert_int_equal(prove(key, 1), KW_E_INTEGRITY);
    pool_key_unref(key);
}

static void a_wrong_signature_shows_nothing(void **state)
{
    (void)state;
    start(2, 0);
    struct pool_key *key = group_key(ec_key, ec_other, true);
    atomic_store(&fakes[1].script, FAKE_STRANGER);
    atomic_store(&fakes[1].alive, false);
    assert_int_equal(prove(key, 1), KW_E_COPIES);
    pool_key_unref(key);
}

static void too_few_members_are_told_before_and_after(void **state)
{
    (void)state;
    start(2, 0);
    struct pool_key *key = group_key(ec_key, ec_other, true);
    assert_int_equal(pool_copies_possible(pool, 0), KW_OK);
    assert_int_equal(pool_member_command(pool, "m1", POOL_CMD_DRAIN), KW_OK);
    assert_int_equal(pool_copies_possible(pool, 0), KW_E_COPIES);
    assert_int_equal(prove(key, 1), KW_E_COPIES);
    assert_int_equal(pool_member_command(pool, "m1", POOL_CMD_ACTIVATE), KW_OK);
    assert_int_equal(pool_copies_possible(pool, 0), KW_OK);
    assert_int_equal(prove(key, 1), KW_OK);
    pool_key_unref(key);
}

static void a_member_that_cannot_is_no_copy(void **state)
{
    (void)state;
    start(2, 0);
    struct pool_key *key = group_key(ec_key, ec_other, true);
    atomic_store(&fakes[1].script, FAKE_UNSUPPORTED);
    assert_int_equal(prove(key, 1), KW_E_COPIES);
    pool_key_unref(key);
}

static void one_copy_is_enough_where_said_or_where_one_is_all(void **state)
{
    (void)state;
    start(2, 1);
    struct pool_key *key = group_key(ec_key, ec_other, true);
    assert_int_equal(prove(key, 1), KW_OK);
    assert_int_equal(attempts(0) + attempts(1), 0);
    assert_int_equal(prove(key, 0), KW_OK);
    assert_int_equal(attempts(0) + attempts(1), 1);
    pool_key_unref(key);
    group_stop(NULL);
    start(1, 0);
    key = group_key(ec_key, ec_other, true);
    assert_int_equal(pool_copies_possible(pool, 0), KW_OK);
    assert_int_equal(prove(key, 1), KW_OK);
    pool_key_unref(key);
}

static void software_keys_need_none(void **state)
{
    (void)state;
    start(2, 0);
    struct pool_key *key = group_key(ec_key, ec_other, false);
    assert_int_equal(prove(key, 0), KW_OK);
    assert_int_equal(attempts(0) + attempts(1), 0);
    pool_key_unref(key);
}

static void three_copies(void **state)
{
    (void)state;
    start(4, 3);
    struct pool_key *key = group_key(oct_key, oct_other, true);
    assert_int_equal(prove(key, 0), KW_OK);
    assert_int_equal(attempts(0) + attempts(1) + attempts(2) + attempts(3), 3);
    for (unsigned i = 0; i < 4; i++) {
        assert_in_range(attempts(i), 0, 1);
    }
    pool_key_unref(key);
}

#define TEST(name) cmocka_unit_test_teardown(name, group_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_member_is_asked_and_not_the_first),
        TEST(an_import_is_shown_on_two),
        TEST(secret_keys_must_agree),
        TEST(a_wrong_signature_shows_nothing),
        TEST(too_few_members_are_told_before_and_after),
        TEST(a_member_that_cannot_is_no_copy),
        TEST(one_copy_is_enough_where_said_or_where_one_is_all),
        TEST(software_keys_need_none),
        TEST(three_copies),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
