#pragma once
/* How many calls are inside the library at a time.
 *
 * A library that talks to a device waits in a call: as many calls as there are sessions keep the
 * device busy. One that computes by itself (a token in software) gains nothing from more calls than
 * there are processors for it: they wait for its locks and push each other out of the caches. Which
 * of both it is shows in the processor time of a call beside the time that it took. */

#include <stdbool.h>
#include <stdint.h>

struct pool_host_turns {
    unsigned limit; /* calls at a time, now */
    unsigned sessions, processors;
    unsigned calls, samples; /* since the last sample; in this window */
    int64_t least_ns;        /* the quickest call of the window, and its processor time */
    int64_t least_cpu_ns;
    bool decided, computes;
};

/** Begins with a call for each session. `processors`: those that this host may fill, at least 1. */
void pool_host_turns_init(struct pool_host_turns *turns, unsigned sessions, unsigned processors);

/** Is the call that begins now to be measured? */
bool pool_host_turns_samples(struct pool_host_turns *turns);

/** A measured call succeeded. True: the limit has become another. */
bool pool_host_turns_learn(struct pool_host_turns *turns, int64_t took_ns, int64_t cpu_ns);
