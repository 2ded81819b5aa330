/* Small parts of the pool: the retry budget, the op's states, the core's queues. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pool/budget.h"
#include "pool/core/queue.h"
#include "pool/op_state.h"

static void budget_has_a_floor_and_a_share(void **state)
{
    (void)state;
    assert_int_equal(pool_budget_limit(0, 0), 3);
    assert_int_equal(pool_budget_limit(0, 1), 3);
    assert_int_equal(pool_budget_limit(0, 2), 6);
    assert_int_equal(pool_budget_limit(0, 32), 10);
    assert_int_equal(pool_budget_limit(49, 4), 10);
    assert_int_equal(pool_budget_limit(500, 4), 100);
    _Atomic int64_t out = 0;
    for (unsigned i = 0; i < 6; i++) {
        assert_true(pool_budget_take(&out, 0, 2));
    }
    assert_false(pool_budget_take(&out, 0, 2));
    assert_int_equal(out, 6); /* a refusal leaves nothing behind */
    pool_budget_give(&out);
    assert_true(pool_budget_take(&out, 0, 2));
}

static int aborts(uint8_t from, enum pool_op_state to)
{
    pid_t child = fork();
    if (child == 0) {
        struct pool_op op = {.state = from};
        pool_op_set_state(&op, to);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status);
}

static void an_op_is_never_answered_twice(void **state)
{
    (void)state;
    static const uint8_t way[] = {POOL_OP_ACCEPTED, POOL_OP_SERVING, POOL_OP_CHECKING,
                                  POOL_OP_ACCEPTED, POOL_OP_SERVING, POOL_OP_FINISHED,
                                  POOL_OP_IDLE};
    struct pool_op op = {0};
    for (unsigned i = 0; i < sizeof way; i++) {
        pool_op_set_state(&op, (enum pool_op_state)way[i]);
        assert_int_equal(op.state, way[i]);
    }
    assert_true(aborts(POOL_OP_FINISHED, POOL_OP_FINISHED));
    assert_true(aborts(POOL_OP_IDLE, POOL_OP_FINISHED));
    assert_true(aborts(POOL_OP_IDLE, POOL_OP_SERVING));
    assert_true(aborts(POOL_OP_SERVING, POOL_OP_SERVING));
    assert_true(aborts(POOL_OP_SERVING, POOL_OP_IDLE));
    assert_true(aborts(77, POOL_OP_IDLE));
}

static struct pool_op make_op(enum kc_shape shape, int64_t submitted, int64_t deadline)
{
    return (struct pool_op){.shape = shape, .submitted_ns = submitted, .deadline_ns = deadline};
}

static void the_shape_whose_turn_it_is_goes_first(void **state)
{
    (void)state;
    static struct core_queues queues;
    core_queues_init(&queues);
    assert_int_equal(core_queues_next_shape(&queues), KC_SHAPE_COUNT);
    struct pool_op ops[] = {
        make_op(KC_SHAPE_P256_SIGN, 10, 50),
        make_op(KC_SHAPE_RSA2048_PRIVATE, 20, 100),
        make_op(KC_SHAPE_RSA2048_PRIVATE, 30, 30),
    };
    struct pool_op keygen = make_op(KC_SHAPE_COUNT, 1, 90);
    keygen.lane.kind = KW_KIND_GENERATE;
    keygen.generate.kty = KW_KTY_RSA;
    for (unsigned i = 0; i < 3; i++) {
        core_queues_push(&queues, &ops[i]);
    }
    core_queues_push(&queues, &keygen);
    assert_int_equal(queues.total, 4);
    assert_int_equal(queues.earliest_ns, 30);
    assert_int_equal(core_queues_next_shape(&queues), KC_SHAPE_P256_SIGN); /* it came first */
    assert_ptr_equal(core_queues_pop(&queues, KC_SHAPE_P256_SIGN), &ops[0]);
    assert_null(core_queues_pop(&queues, KC_SHAPE_P256_SIGN));
    assert_int_equal(core_queues_next_shape(&queues), KC_SHAPE_RSA2048_PRIVATE);
    assert_ptr_equal(core_queues_pop(&queues, CORE_QUEUE_KEYGEN_SLOW), &keygen);
    assert_null(core_queues_pop(&queues, CORE_QUEUE_KEYGEN_QUICK));
    assert_int_equal(queues.total, 2);
}

/* One client floods the workers with RSA-4096; another sends one cheap signature at a time. */
static void a_flood_leaves_the_workers_to_others(void **state)
{
    (void)state;
    enum { FLOOD = 256, ROUNDS = 20 };
    static struct pool_op flood[FLOOD], other[ROUNDS];
    static struct core_queues queues;
    core_queues_init(&queues);
    for (unsigned i = 0; i < FLOOD; i++) {
        flood[i] = make_op(KC_SHAPE_RSA4096_PRIVATE, i, 1000000);
        flood[i].client = 1;
        core_queues_push(&queues, &flood[i]);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < 8; i++) { /* a worker takes a batch */
            assert_int_equal(core_queues_next_shape(&queues), KC_SHAPE_RSA4096_PRIVATE);
            assert_int_equal(core_queues_pop(&queues, KC_SHAPE_RSA4096_PRIVATE)->client, 1);
        }
        other[round] = make_op(round % 2 ? KC_SHAPE_P256_SIGN : KC_SHAPE_RSA4096_PRIVATE,
                               (int64_t)FLOOD + round, 1000000);
        other[round].client = 2;
        core_queues_push(&queues, &other[round]);
        unsigned shape = core_queues_next_shape(&queues);
        /* the next worker that is free has it, be it of another shape or of the same */
        if (round % 2) {
            assert_int_equal(shape, KC_SHAPE_P256_SIGN);
        }
        unsigned before = 0;
        while (core_queues_pop(&queues, other[round].shape) != &other[round]) {
            before++;
        }
        assert_in_range(before, 0, 8);
    }
}

static void late_ones_leave_and_the_rest_keeps_its_order(void **state)
{
    (void)state;
    enum { N = 50 };
    struct pool_op ops[N];
    struct core_queues queues;
    struct core_list late = {0};
    core_queues_init(&queues);
    for (unsigned i = 0; i < N; i++) {
        ops[i] = make_op(i % 2 ? KC_SHAPE_P256_SIGN : KC_SHAPE_RSA4096_PRIVATE, i,
                         i % 5 == 0 ? 10 : 1000 + i);
        core_queues_push(&queues, &ops[i]);
    }
    core_queues_expire(&queues, 500, &late);
    assert_int_equal(queues.total, 40);
    assert_int_equal(queues.earliest_ns, 1001);
    unsigned n = 0;
    struct pool_op *op;
    while ((op = core_list_pop(&late)) != NULL) {
        assert_int_equal(op->deadline_ns, 10);
        n++;
    }
    assert_int_equal(n, 10);
    int64_t last = -1;
    while ((op = core_queues_pop(&queues, KC_SHAPE_P256_SIGN)) != NULL) {
        assert_true(op->submitted_ns > last);
        last = op->submitted_ns;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budget_has_a_floor_and_a_share),
        cmocka_unit_test(an_op_is_never_answered_twice),
        cmocka_unit_test(the_shape_whose_turn_it_is_goes_first),
        cmocka_unit_test(a_flood_leaves_the_workers_to_others),
        cmocka_unit_test(late_ones_leave_and_the_rest_keeps_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
