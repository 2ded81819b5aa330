/* What operators are told of the scheduled backups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/backup/runs.h"

static void test_a_text_of_others_hides_nothing(void **state)
{
    struct gw_backup_runs *runs = gw_backup_runs_create(NULL);
    (void)state;
    assert_non_null(runs);
    gw_backup_runs_failed(runs, "default", "the storage answered 400 \xfc to PUT of a name, c\xc3",
                          60);
    json_t *list = gw_backup_runs_json(runs);
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "error")),
                        "the storage answered 400 ? to PUT of a name, c?");
    json_decref(list);
    gw_backup_runs_destroy(runs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_text_of_others_hides_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
