/* Resident keys over scripted members: whether they hold the same key, what a member that lacks one
 * or has another is asked then, and what an inventory says of members that have none. */

#include "pool/key.h"
#include "tests/unit/pool/fake_group.h"

static struct kc_key *ec_key, *ec_other, *rsa_key, *rsa_other, *oct_key, *oct_other;
static unsigned done, lacking;

static int group_setup(void **state)
{
    (void)state;
    return !group_make(&fake_type) ||
           kc_key_generate(&ec_key, KW_KTY_EC, 0, KW_CURVE_P256, 0) != KW_OK ||
           kc_key_generate(&ec_other, KW_KTY_EC, 0, KW_CURVE_P256, 0) != KW_OK ||
           kc_key_generate(&rsa_key, KW_KTY_RSA, 2048, KW_CURVE_NONE, 65537) != KW_OK ||
           kc_key_generate(&rsa_other, KW_KTY_RSA, 2048, KW_CURVE_NONE, 65537) != KW_OK ||
           kc_key_generate(&oct_key, KW_KTY_OCT, 256, KW_CURVE_NONE, 0) != KW_OK ||
           kc_key_generate(&oct_other, KW_KTY_OCT, 256, KW_CURVE_NONE, 0) != KW_OK;
}

static int group_teardown(void **state)
{
    (void)state;
    struct kc_key *keys[] = {ec_key, ec_other, rsa_key, rsa_other, oct_key, oct_other};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        kc_key_unref(keys[i]);
    }
    group_free();
    return 0;
}

static void on_event(void *ctx, const struct pool_event *event)
{
    (void)ctx;
    lacking += event->type == POOL_EVENT_KEY_LACKING;
}

static void start(unsigned count)
{
    lacking = 0;
    group_reset((struct pool_config){.workers = 1,
                                     .hard_deadline_ns = KW_MS(300),
                                     .observer = {.event = on_event}},
                1);
    group_start(count);
    for (unsigned i = 0; i < count; i++) {
        pool_member_read_anew(&pool->members[i]);
    }
}

static struct pool_key *make_key(const struct kc_key *key, const struct kc_key *stranger)
{
    static const uint8_t id[] = {0xca, 0xfe};
    struct pool_key *made;
    struct pool_key_desc desc = {.hsm = true,
                                 .id = {7},
                                 .pub = *kc_key_public(key),
                                 .resident = kw_span_of(id, sizeof id),
                                 .name = "k"};
    assert_int_equal(pool_key_create(&made, pool, &desc), KW_OK);
    for (unsigned i = 0; i < FAKE_MAX; i++) {
        fakes[i].key = key;
        fakes[i].stranger = stranger;
    }
    return made;
}

static void on_done(struct pool_agreement *agreement)
{
    (void)agreement;
    done++;
}

#define OPS(a, b) (uint16_t)(1u << (a) | 1u << (b))

static struct pool_agreement *agree(struct pool_key *key, uint64_t among, uint16_t ops)
{
    static struct pool_agreement agreement;
    agreement =
        (struct pool_agreement){.key = key, .members = among, .ops = ops, .on_done = on_done};
    done = 0;
    pool_agree(port, &agreement);
    int64_t limit = kw_now_ns() + KW_S(20);
    while (done == 0) {
        pool_port_run(port);
        assert_true(kw_now_ns() < limit);
    }
    assert_int_equal(done, 1);
    return &agreement;
}

static void all_agree(struct kc_key *key, struct kc_key *other, uint16_t ops)
{
    struct pool_key *made = make_key(key, other);
    struct pool_agreement *result = agree(made, 7, ops);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(result->results[i], POOL_AGREE_SAME);
        assert_true(atomic_load(&fakes[i].attempts) > 0);
    }
    pool_key_unref(made);
}

static void members_with_the_same_key_agree(void **state)
{
    (void)state;
    start(3);
    all_agree(ec_key, ec_other, OPS(KW_KIND_SIGN, KW_KIND_VERIFY));
    all_agree(rsa_key, rsa_other, OPS(KW_KIND_SIGN, KW_KIND_DECRYPT));
    all_agree(rsa_key, rsa_other, OPS(KW_KIND_DECRYPT, KW_KIND_DECRYPT));
    all_agree(oct_key, oct_other, OPS(KW_KIND_ENCRYPT, KW_KIND_DECRYPT));
    all_agree(oct_key, oct_other, OPS(KW_KIND_DECRYPT, KW_KIND_DECRYPT));
    all_agree(oct_key, oct_other, OPS(KW_KIND_ENCRYPT, KW_KIND_ENCRYPT));
}

static void one_differs(struct kc_key *key, struct kc_key *other, uint16_t ops)
{
    struct pool_key *made = make_key(key, other);
    atomic_store(&fakes[1].script, FAKE_STRANGER);
    struct pool_agreement *result = agree(made, 7, ops);
    atomic_store(&fakes[1].script, FAKE_ANSWER);
    assert_int_equal(result->results[0], POOL_AGREE_SAME);
    assert_int_equal(result->results[1], POOL_AGREE_DIFFERS);
    assert_int_equal(result->results[2], POOL_AGREE_SAME);
    assert_true(pool_member_accepts(&pool->members[1])); /* a trial costs a member nothing */
    pool_key_unref(made);
}

static void another_key_is_found(void **state)
{
    (void)state;
    start(3);
    one_differs(ec_key, ec_other, OPS(KW_KIND_SIGN, KW_KIND_VERIFY));
    one_differs(rsa_key, rsa_other, OPS(KW_KIND_SIGN, KW_KIND_DECRYPT));
    one_differs(rsa_key, rsa_other, OPS(KW_KIND_DECRYPT, KW_KIND_DECRYPT));
    one_differs(oct_key, oct_other, OPS(KW_KIND_ENCRYPT, KW_KIND_DECRYPT));
    one_differs(oct_key, oct_other, OPS(KW_KIND_DECRYPT, KW_KIND_DECRYPT));
    struct pool_stats *stats = calloc(1, sizeof *stats);
    assert_non_null(stats);
    pool_stats_read(pool, stats);
    assert_int_equal(stats->wrong_answers, 0);
    free(stats);
}

static void those_that_cannot_say_so(void **state)
{
    (void)state;
    start(3);
    struct pool_key *key = make_key(ec_key, ec_other);
    atomic_store(&fakes[0].script, FAKE_UNSUPPORTED);
    assert_int_equal(pool_member_command(pool, "m2", POOL_CMD_DRAIN), KW_OK);
    struct pool_agreement *result = agree(key, 7, OPS(KW_KIND_SIGN, KW_KIND_VERIFY));
    assert_int_equal(result->results[0], POOL_AGREE_CANNOT);
    assert_int_equal(result->why[0], KW_E_UNSUPPORTED);
    assert_int_equal(result->results[1], POOL_AGREE_SAME);
    assert_int_equal(result->results[2], POOL_AGREE_CANNOT);
    assert_int_equal(result->why[2], KW_E_UNAVAILABLE);
    pool_key_unref(key);
}

static void check_values_tell_keys_apart(void **state)
{
    (void)state;
    start(1);
    struct pool_key *key = make_key(oct_key, oct_other);
    uint8_t first[POOL_RESIDENT_CHECK_LEN];
    struct pool_agreement *result = agree(key, 1, OPS(KW_KIND_ENCRYPT, KW_KIND_DECRYPT));
    assert_int_equal(result->check_len, POOL_RESIDENT_CHECK_LEN);
    assert_int_equal(result->check[0], POOL_CHECK_BY_ENCRYPT);
    memcpy(first, result->check, sizeof first);
    result = agree(key, 1, OPS(KW_KIND_ENCRYPT, KW_KIND_ENCRYPT));
    assert_memory_equal(first, result->check, sizeof first);
    result = agree(key, 1, OPS(KW_KIND_DECRYPT, KW_KIND_DECRYPT));
    assert_int_equal(result->check[0], POOL_CHECK_BY_DECRYPT);
    assert_memory_not_equal(first + 1, result->check + 1, sizeof first - 1);
    atomic_store(&fakes[0].script, FAKE_STRANGER);
    result = agree(key, 1, OPS(KW_KIND_ENCRYPT, KW_KIND_DECRYPT));
    assert_memory_not_equal(first, result->check, sizeof first);
    pool_key_unref(key);
    key = make_key(ec_key, ec_other);
    result = agree(key, 1, OPS(KW_KIND_SIGN, KW_KIND_VERIFY));
    assert_int_equal(result->check_len, 0); /* its public half is check enough */
    pool_key_unref(key);
}

static kw_status sign(struct pool_key *key)
{
    static struct call call;
    prepare(&call, key, KW_KIND_SIGN, KW_ALG_ES256);
    return run_one(&call);
}

static void a_wrong_answer_costs_the_key_and_not_the_member(void **state)
{
    (void)state;
    start(2);
    struct pool_key *key = make_key(ec_key, ec_other);
    atomic_store(&fakes[0].script, FAKE_STRANGER);
    for (unsigned i = 0; i < 5000 && atomic_load(&fakes[0].attempts) == 0; i++) {
        assert_int_equal(sign(key), KW_OK);
    }
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(sign(key), KW_OK);
    }
    assert_int_equal(atomic_load(&fakes[0].attempts), 1);
    assert_true(pool_key_lacks(key, &pool->members[0]));
    assert_false(pool_key_lacks(key, &pool->members[1]));
    assert_true(pool_member_accepts(&pool->members[0]));
    assert_int_equal(lacking, 1);
    /* with three of them it is the member's own fault */
    struct pool_key *more[] = {make_key(ec_key, ec_other), make_key(ec_key, ec_other)};
    atomic_store(&fakes[0].alive, false);
    for (unsigned i = 0; i < 10000 && atomic_load(&fakes[0].attempts) < 3; i++) {
        assert_int_equal(sign(more[i % 2]), KW_OK);
    }
    assert_false(pool_member_accepts(&pool->members[0]));
    for (unsigned i = 0; i < 2; i++) {
        pool_key_unref(more[i]);
    }
    pool_key_unref(key);
}

static void a_member_is_asked_again_when_its_keys_were_read_anew(void **state)
{
    (void)state;
    start(1);
    struct pool_key *key = make_key(ec_key, ec_other);
    pool_key_lacked(key, &pool->members[0], "a test");
    pool_key_lacked(key, &pool->members[0], "a test"); /* is told once */
    assert_int_equal(lacking, 1);
    assert_true(pool_key_lacks(key, &pool->members[0]));
    pool_member_read_anew(&pool->members[0]);
    assert_false(pool_key_lacks(key, &pool->members[0]));
    assert_int_equal(sign(key), KW_OK);
    pool_key_unref(key);
}

static void only_tokens_serve_them(void **state)
{
    (void)state;
    start(0);
    struct pool_key *key = make_key(ec_key, ec_other), *secret = make_key(oct_key, oct_other);
    assert_int_equal(sign(key), KW_E_UNAVAILABLE);
    static struct call call;
    prepare(&call, secret, KW_KIND_WRAP, KW_ALG_A256KW);
    assert_int_equal(pool_submit(port, &call.op), KW_E_UNAVAILABLE);
    pool_key_unref(key);
    pool_key_unref(secret);
}

static void what_is_no_resident_key_is_refused(void **state)
{
    (void)state;
    start(1);
    uint8_t id[POOL_RESIDENT_ID_MAX + 1] = {1}, check[POOL_RESIDENT_CHECK_LEN] = {1};
    struct pool_key *key = NULL;
    struct pool_key_desc good = {.hsm = true,
                                 .pub = *kc_key_public(oct_key),
                                 .resident = kw_span_of(id, POOL_RESIDENT_ID_MAX),
                                 .check = kw_span_of(check, sizeof check)};
    assert_int_equal(pool_key_create(&key, pool, &good), KW_OK);
    pool_key_unref(key);
    struct pool_key_desc bad = good;
    bad.resident.len++;
    assert_int_equal(pool_key_create(&key, pool, &bad), KW_E_INPUT);
    bad = good;
    bad.hsm = false;
    assert_int_equal(pool_key_create(&key, pool, &bad), KW_E_INPUT);
    bad = good;
    bad.blob = kw_span_str("a blob besides");
    assert_int_equal(pool_key_create(&key, pool, &bad), KW_E_INPUT);
    bad = good;
    bad.check.len--;
    assert_int_equal(pool_key_create(&key, pool, &bad), KW_E_INPUT);
}

static void on_inventory(void *ctx, struct pool_inventory *inventory)
{
    *(struct pool_inventory **)ctx = inventory;
}

static void an_inventory_names_every_member(void **state)
{
    (void)state;
    start(2);
    struct pool_inventory *inventory = NULL, *second = NULL;
    assert_int_equal(pool_inventory(port, true, on_inventory, &inventory), KW_OK);
    assert_int_equal(pool_inventory(port, true, on_inventory, &second), KW_E_BUSY);
    while (inventory == NULL) {
        pool_port_run(port);
    }
    assert_int_equal(inventory->member_count, 2);
    assert_string_equal(inventory->members[1].name, "m1");
    assert_false(inventory->members[1].hsm);
    assert_int_equal(inventory->key_count, 0);
    pool_inventory_free(inventory);
    assert_int_equal(pool_inventory(port, false, on_inventory, &second), KW_OK);
    while (second == NULL) {
        pool_port_run(port);
    }
    pool_inventory_free(second);
}

#define TEST(name) cmocka_unit_test_teardown(name, group_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(members_with_the_same_key_agree),
        TEST(another_key_is_found),
        TEST(those_that_cannot_say_so),
        TEST(check_values_tell_keys_apart),
        TEST(a_wrong_answer_costs_the_key_and_not_the_member),
        TEST(a_member_is_asked_again_when_its_keys_were_read_anew),
        TEST(only_tokens_serve_them),
        TEST(what_is_no_resident_key_is_refused),
        TEST(an_inventory_names_every_member),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
