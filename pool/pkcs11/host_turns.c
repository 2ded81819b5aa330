#include "pool/pkcs11/host_turns.h"

#define WINDOW 16u /* samples */
#define EVERY  16u /* calls are sampled once the first window is over */

void pool_host_turns_init(struct pool_host_turns *turns, unsigned sessions, unsigned processors)
{
    *turns = (struct pool_host_turns){
        .limit = sessions,
        .sessions = sessions,
        .processors = processors == 0 ? 1 : processors,
    };
}

bool pool_host_turns_samples(struct pool_host_turns *turns)
{
    turns->calls++;
    if (turns->decided && turns->calls < EVERY) {
        return false;
    }
    turns->calls = 0;
    return true;
}

bool pool_host_turns_learn(struct pool_host_turns *turns, int64_t took_ns, int64_t cpu_ns)
{
    /* The quickest call decides: it is the one that waited least for a processor or for a lock of
     * the library, which look like waiting for a device. */
    if (turns->samples == 0 || took_ns < turns->least_ns) {
        turns->least_ns = took_ns;
        turns->least_cpu_ns = cpu_ns;
    }
    if (++turns->samples < WINDOW) {
        return false;
    }
    turns->samples = 0;
    turns->decided = true;
    turns->computes = turns->least_cpu_ns >= turns->least_ns - turns->least_ns / 4;
    unsigned was = turns->limit;
    turns->limit = turns->computes && turns->processors < turns->sessions ? turns->processors
                                                                          : turns->sessions;
    return turns->limit != was;
}
