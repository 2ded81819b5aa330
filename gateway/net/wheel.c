#include "gateway/net/wheel.h"

#include <string.h>

#define TICK_NS ((int64_t)GW_WHEEL_TICK_MS * 1000000)

/* The tick at whose visit the deadline has passed: rounded up. */
static uint64_t tick_of(int64_t deadline_ns)
{
    return (uint64_t)((deadline_ns + TICK_NS - 1) / TICK_NS);
}

static void unlink_timer(struct gw_wheel *wheel, struct gw_timer *timer)
{
    if (!timer->link)
        return;
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    timer->next = NULL;
    timer->link = NULL;
    wheel->armed--;
}

static void link_timer(struct gw_wheel *wheel, struct gw_timer *timer)
{
    uint64_t tick = tick_of(timer->deadline_ns);
    if (tick <= wheel->tick)
        tick = wheel->tick + 1;
    /* farther than one round: looked at again when the round is over */
    if (tick - wheel->tick >= GW_WHEEL_SLOTS)
        tick = wheel->tick + GW_WHEEL_SLOTS - 1;
    struct gw_timer **head = &wheel->slots[tick % GW_WHEEL_SLOTS];
    timer->slot_tick = tick;
    timer->next = *head;
    timer->link = head;
    if (timer->next)
        timer->next->link = &timer->next;
    *head = timer;
    wheel->armed++;
}

void gw_wheel_init(struct gw_wheel *wheel, int64_t now_ns)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->tick = (uint64_t)(now_ns / TICK_NS);
}

void gw_wheel_set(struct gw_wheel *wheel, struct gw_timer *timer, int64_t deadline_ns)
{
    timer->deadline_ns = deadline_ns;
    if (deadline_ns == 0) {
        unlink_timer(wheel, timer);
        return;
    }
    if (timer->link && tick_of(deadline_ns) >= timer->slot_tick)
        return;
    unlink_timer(wheel, timer);
    link_timer(wheel, timer);
}

static void visit(struct gw_wheel *wheel, int64_t now_ns)
{
    /* The slot is taken off first: whatever a callback arms goes to a later tick. */
    struct gw_timer *list = wheel->slots[wheel->tick % GW_WHEEL_SLOTS];
    wheel->slots[wheel->tick % GW_WHEEL_SLOTS] = NULL;
    if (list)
        list->link = &list;
    while (list) {
        struct gw_timer *timer = list;
        unlink_timer(wheel, timer);
        if (timer->deadline_ns > now_ns) {
            link_timer(wheel, timer);
        } else {
            timer->deadline_ns = 0;
            timer->expired(timer);
        }
    }
}

void gw_wheel_run(struct gw_wheel *wheel, int64_t now_ns)
{
    uint64_t now_tick = (uint64_t)(now_ns / TICK_NS);
    if (wheel->armed == 0) {
        wheel->tick = now_tick > wheel->tick ? now_tick : wheel->tick;
        return;
    }
    /* after a long sleep one full round sees every timer */
    if (now_tick > wheel->tick + GW_WHEEL_SLOTS)
        wheel->tick = now_tick - GW_WHEEL_SLOTS;
    while (wheel->tick < now_tick) {
        wheel->tick++;
        visit(wheel, now_ns);
    }
}
