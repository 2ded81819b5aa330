#pragma once
/* What operators see: status.json, the state behind /readyz. */

#include <stdbool.h>
#include <stddef.h>

struct gw_app;

/** The whole state as JSON, malloc'd and NUL-terminated; NULL when memory is short. Any thread. */
char *gw_status_json(struct gw_app *app, size_t *len);

/** Can requests be served? The reasons why not, or an empty list, as {"ready":...,"reasons":[...]};
 *  malloc'd; NULL when memory is short. Any thread. */
char *gw_ready_json(struct gw_app *app, bool *ready, size_t *len);
