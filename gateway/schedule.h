#pragma once
/* What the gateway does by itself, on the first loop: deleted objects whose retention has ended are
 * purged, keys are rotated and certificates renewed as their policies say. When what is due is in
 * the store, so a restart forgets nothing; that it is done once, also by many gateways, is the
 * business of each. */

#include <stdatomic.h>
#include <stdint.h>

struct gw_app;

/** In struct gw_app; zeroed at the start. */
struct gw_schedule {
    int64_t next_ns;    /* main thread */
    atomic_bool posted; /* a run is asked for or under way */
    struct gw_app *app; /* below: the first loop's thread */
    unsigned parts;     /* that are not back yet */
};

/** Asks for a run when one is due: soon after the start, then twice a minute. Main thread, at least
 *  once a second. */
void gw_schedule_tick(struct gw_app *app);
