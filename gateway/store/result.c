#include <stdlib.h>

#include "gateway/store/engine.h"

struct store_row *store_result_add(struct store_result *result)
{
    /* grown at powers of two: a page has at most a few hundred rows */
    if ((result->row_count & (result->row_count - 1)) == 0) {
        size_t room = result->row_count ? 2 * result->row_count : 1;
        struct store_row *rows = reallocarray(result->rows, room, sizeof *rows);
        if (!rows)
            return NULL;
        result->rows = rows;
    }
    struct store_row *row = &result->rows[result->row_count++];
    memset(row, 0, sizeof *row);
    return row;
}

void store_result_clear(struct store_result *result)
{
    for (size_t i = 0; i < result->row_count; i++)
        free(result->rows[i].record);
    free(result->rows);
    result->rows = NULL;
    result->row_count = 0;
    result->more = false; /* status, conflict and failed stay */
}
