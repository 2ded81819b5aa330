/* The front side's counters: sums over loops, histogram shape, label escaping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/base/clock.h"
#include "gateway/api/route.h"
#include "gateway/obs/metrics.h"

static char *render(struct gw_metrics *metrics)
{
    size_t len = 0;
    char *text = gw_metrics_render(metrics, NULL, &len);
    assert_non_null(text);
    assert_int_equal(strlen(text), len);
    return text;
}

static void has_line(const char *text, const char *line)
{
    char wanted[256];
    snprintf(wanted, sizeof wanted, "\n%s\n", line);
    if (!strstr(text, wanted))
        fail_msg("no line \"%s\" in:\n%s", line, text);
}

static unsigned route_with(const char *label)
{
    for (size_t i = 0; i < gw_route_count; i++) {
        if (strcmp(gw_routes[i].label, label) == 0)
            return (unsigned)i;
    }
    fail_msg("no route %s", label);
    return 0;
}

static void test_requests(void **state)
{
    (void)state;
    struct gw_metrics *metrics = gw_metrics_create(2);
    unsigned sign = route_with("keys_sign");
    gw_metrics_request(metrics, 0, sign, 200, 40000);
    gw_metrics_request(metrics, 1, sign, 200, 50000);
    gw_metrics_request(metrics, 1, sign, 503, 50001);
    gw_metrics_request(metrics, 1, sign, 299, KW_S(11));
    gw_metrics_request(metrics, 0, (unsigned)gw_route_count, 404, 1);
    gw_metrics_request(metrics, 0, (unsigned)gw_route_count, 401, 1);
    gw_metrics_request(metrics, 7, sign, 200, 1); /* a loop that is not there counts nothing */
    char *text = render(metrics);
    has_line(text, "keyward_requests_total{route=\"keys_sign\",status=\"200\"} 2");
    has_line(text, "keyward_requests_total{route=\"keys_sign\",status=\"503\"} 1");
    has_line(text, "keyward_requests_total{route=\"keys_sign\",status=\"other\"} 1");
    has_line(text, "keyward_requests_total{route=\"none\",status=\"404\"} 1");
    has_line(text, "keyward_requests_total{route=\"none\",status=\"401\"} 1");
    has_line(text, "keyward_request_seconds_bucket{le=\"5e-05\"} 4");
    has_line(text, "keyward_request_seconds_bucket{le=\"0.0001\"} 5");
    has_line(text, "keyward_request_seconds_bucket{le=\"10\"} 5");
    has_line(text, "keyward_request_seconds_bucket{le=\"+Inf\"} 6");
    has_line(text, "keyward_request_seconds_count 6");
    assert_int_equal(gw_metrics_requests(metrics), 6);
    free(text);
    gw_metrics_destroy(metrics);
}

/* Rows that share a label (the three member commands) are one series: a name twice in a scrape is
 * refused by Prometheus. */
static void test_shared_label(void **state)
{
    (void)state;
    struct gw_metrics *metrics = gw_metrics_create(1);
    unsigned first = route_with("control_member");
    assert_string_equal(gw_routes[first + 1].label, "control_member");
    gw_metrics_request(metrics, 0, first, 202, 1);
    gw_metrics_request(metrics, 0, first + 1, 202, 1);
    char *text = render(metrics);
    has_line(text, "keyward_requests_total{route=\"control_member\",status=\"202\"} 2");
    free(text);
    gw_metrics_destroy(metrics);
}

static void test_connections_and_certificates(void **state)
{
    (void)state;
    struct gw_metrics *metrics = gw_metrics_create(2);
    gw_metrics_connection(metrics, 0, 1);
    gw_metrics_connection(metrics, 1, 1);
    gw_metrics_connection(metrics, 1, -1);
    gw_metrics_certificate(metrics, "a\"b\\c\nd", kw_wall_s() + 100000);
    gw_metrics_certificate(metrics, "old", kw_wall_s() + 5);
    gw_metrics_certificate(metrics, "old", kw_wall_s() - 100000);
    char *text = render(metrics);
    has_line(text, "keyward_connections 1");
    assert_non_null(
        strstr(text, "keyward_certificate_expiry_seconds{subject=\"a\\\"b\\\\c\\nd\"} "));
    assert_non_null(strstr(text, "{subject=\"old\"} -"));
    assert_null(strstr(text, "{subject=\"old\"} 5"));
    free(text);
    gw_metrics_destroy(metrics);
}

/* Every sample belongs to a family that was announced before it, once. */
static void test_form(void **state)
{
    (void)state;
    struct gw_metrics *metrics = gw_metrics_create(1);
    gw_metrics_request(metrics, 0, 0, 200, 1);
    char *text = render(metrics), *save = NULL;
    char family[128] = "";
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            snprintf(family, sizeof family, "%.*s", (int)strcspn(line + 7, " "), line + 7);
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_int_equal(strncmp(line + 7, family, strlen(family)), 0);
        } else {
            assert_int_equal(strncmp(line, family, strlen(family)), 0);
            assert_non_null(strrchr(line, ' '));
        }
    }
    free(text);
    gw_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests), cmocka_unit_test(test_shared_label),
        cmocka_unit_test(test_connections_and_certificates), cmocka_unit_test(test_form)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
