#pragma once
/* A hashed timer wheel: deadlines that are set often and fire seldom cost a list insertion at most.
 * One thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_WHEEL_SLOTS   512
#define GW_WHEEL_TICK_MS 128

/** Embedded in the object that has a deadline. Zero state: not armed. */
struct gw_timer {
    struct gw_timer *next, **link;
    int64_t deadline_ns; /* 0: none */
    uint64_t slot_tick;  /* the tick at which the slot it sits in is visited */
    void (*expired)(struct gw_timer *timer);
};

struct gw_wheel {
    struct gw_timer *slots[GW_WHEEL_SLOTS];
    uint64_t tick; /* the last one that was visited */
    size_t armed;
};

void gw_wheel_init(struct gw_wheel *wheel, int64_t now_ns);
/** Sets, moves or (0) clears the deadline. A later deadline leaves the timer where it is. */
void gw_wheel_set(struct gw_wheel *wheel, struct gw_timer *timer, int64_t deadline_ns);
/** Calls `expired` of every timer whose deadline has passed; it may set timers, its own included.
 */
void gw_wheel_run(struct gw_wheel *wheel, int64_t now_ns);
