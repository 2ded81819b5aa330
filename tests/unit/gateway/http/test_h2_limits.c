#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "crypto/base/clock.h"
#include "gateway/http/h2_limits.h"

#define START KW_S(1000)

static void bucket_empties_and_refills(void **state)
{
    (void)state;
    struct gw_bucket bucket;
    gw_bucket_init(&bucket, 100, 600, START);
    for (int i = 0; i < 100; i++)
        assert_true(gw_bucket_take(&bucket, 1, START));
    assert_false(gw_bucket_take(&bucket, 1, START));
    assert_false(gw_bucket_take(&bucket, 1, START + KW_MS(90)));
    assert_true(gw_bucket_take(&bucket, 1, START + KW_MS(101)));
    assert_false(gw_bucket_take(&bucket, 1, START + KW_MS(101)));
    /* many small steps give as much as one large one */
    int taken = 0;
    for (int ms = 102; ms <= 1101; ms++)
        taken += gw_bucket_take(&bucket, 1, START + KW_MS(ms));
    assert_in_range(taken, 9, 11);
    /* a long rest fills it, and no further; no overflow */
    int64_t late = START + KW_S(400LL * 86400);
    assert_true(gw_bucket_take(&bucket, 100, late));
    assert_false(gw_bucket_take(&bucket, 1, late));
    /* time that goes back gives nothing and breaks nothing */
    assert_false(gw_bucket_take(&bucket, 1, START));
}

static int allowed(struct gw_h2_limits *limits, uint8_t type, uint8_t flags, size_t payload)
{
    int count = 0;
    while (count < 100000 && gw_h2_limits_frame(limits, type, flags, payload, START))
        count++;
    return count;
}

static void frames_are_bounded(void **state)
{
    (void)state;
    struct gw_h2_limits limits;
    gw_h2_limits_init(&limits, START);
    assert_int_equal(allowed(&limits, NGHTTP2_SETTINGS, 0, 6), 10);
    assert_int_equal(allowed(&limits, NGHTTP2_PING, 0, 8), 200);
    assert_int_equal(allowed(&limits, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 8), 100);
    assert_int_equal(allowed(&limits, NGHTTP2_DATA, 0, 0), 10);
    assert_int_equal(allowed(&limits, NGHTTP2_PRIORITY, 0, 5), 100);
    assert_int_equal(allowed(&limits, NGHTTP2_WINDOW_UPDATE, 0, 4), 105);
    /* the usual traffic is not */
    assert_int_equal(allowed(&limits, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 0), 100000);
    assert_int_equal(allowed(&limits, NGHTTP2_DATA, 0, 1), 100000);
    assert_int_equal(allowed(&limits, NGHTTP2_HEADERS, 0, 100), 100000);
    assert_int_equal(allowed(&limits, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0), 100000);
}

static void bounds_grow_with_use(void **state)
{
    (void)state;
    struct gw_h2_limits limits;
    gw_h2_limits_init(&limits, START);
    for (int i = 0; i < 5; i++)
        assert_int_equal(gw_h2_limits_headers(&limits, 2 * i + 1), GW_H2_ID_NEW);
    limits.data_sent = 7;
    assert_int_equal(allowed(&limits, NGHTTP2_PRIORITY, 0, 5), 600);
    assert_int_equal(allowed(&limits, NGHTTP2_WINDOW_UPDATE, 0, 4), 105 + 2 * (5 + 70));
}

static void skipped_ids_are_told_from_used_ones(void **state)
{
    (void)state;
    struct gw_h2_limits limits;
    gw_h2_limits_init(&limits, START);
    assert_int_equal(gw_h2_limits_headers(&limits, 5), GW_H2_ID_NEW);
    assert_int_equal(gw_h2_limits_headers(&limits, 3), GW_H2_ID_SKIPPED);
    assert_int_equal(gw_h2_limits_headers(&limits, 5), GW_H2_ID_KNOWN);
    for (int32_t id = 7; id < 7 + 2 * 1000; id += 2)
        assert_int_equal(gw_h2_limits_headers(&limits, id), GW_H2_ID_NEW);
    /* older than what is remembered: given the benefit of the doubt */
    assert_int_equal(gw_h2_limits_headers(&limits, 5), GW_H2_ID_KNOWN);
    assert_int_equal(gw_h2_limits_headers(&limits, 2005), GW_H2_ID_KNOWN);
    assert_int_equal(gw_h2_limits_headers(&limits, 3001), GW_H2_ID_NEW);
    assert_int_equal(gw_h2_limits_headers(&limits, 2999), GW_H2_ID_SKIPPED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bucket_empties_and_refills),
        cmocka_unit_test(frames_are_bounded),
        cmocka_unit_test(bounds_grow_with_use),
        cmocka_unit_test(skipped_ids_are_told_from_used_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
