#include "gateway/store/worker.h"

#include <stdio.h>

kw_status store_open_sqlite(struct store **out, const char *dir, char *error, size_t error_len)
{
    struct store_engine *engine = NULL;
    KW_TRY(store_sqlite_open(&engine, dir, error, error_len));
    kw_status status = store_create(out, engine, gw_loop_post);
    if (status != KW_OK)
        snprintf(error, error_len, "cannot start the store's threads");
    return status;
}
