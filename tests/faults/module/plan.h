#pragma once
/* The plan of faults: which call of which function does what instead of, or beside, its work.
 *
 * KEYWARD_FAULTS names a folder. A module loaded as FOLDER/NAME.so reads FOLDER/NAME.plan, again
 * whenever that file is replaced, and keeps FOLDER/NAME.state, which all processes that load it
 * share and which the test reads. One name is one member, so every member has its own faults.
 *
 * A plan has one line per rule or setting; '#' begins a comment.
 *
 *   module=PATH      the real module                        lock_after=N   PIN tries before LOCKED
 *   renumber=N       added to every slot number             removed=1      the token is out
 *
 *   C_Sign slot=4 nth=3 rv=0x30
 *     which calls    nth=N, from=N, every=N, probability=P, mechanism=0x1 (of the operation under
 *                    way), times=N (at most N in all processes together)
 *     what happens   rv=CODE, delay=MS, hang=1, crash=segv|abort|exit|kill,
 *                    answer=flip|zero|truncate|lengthen|random|stale|other_key,
 *                    lose=sessions|workers|keys|objects; none of them: the call is counted
 *     after=1        the real call is made first: its work is done, its answer is lost
 *
 * `slot` numbers the rule's counter in the state file; the test gives each rule a fresh one. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <p11-kit/pkcs11.h>

#define FAULT_SLOTS 4096u

/** The state file as it lies in memory; the test reads it at these offsets. */
struct fault_state {
    _Atomic uint32_t pin_failures; /* in a row, as a token counts them */
    _Atomic uint32_t logins, refused, initializes;
    _Atomic uint32_t spare[4];
    _Atomic uint32_t fired[FAULT_SLOTS];
};

enum fault_crash { CRASH_NONE, CRASH_SEGV, CRASH_ABORT, CRASH_EXIT, CRASH_KILL };
enum fault_answer {
    ANSWER_RIGHT,
    ANSWER_FLIP,
    ANSWER_ZERO,
    ANSWER_TRUNCATE,
    ANSWER_LENGTHEN,
    ANSWER_RANDOM,
    ANSWER_STALE, /* an earlier answer of this process */
    ANSWER_OTHER_KEY
};
enum fault_lose { LOSE_NONE, LOSE_SESSIONS, LOSE_WORKERS, LOSE_KEYS, LOSE_OBJECTS };

struct fault_rule {
    char function[32]; /* or "*" */
    unsigned slot, nth, from, every, times;
    unsigned seen; /* calls of this process that the rule looked at */
    bool any_mechanism;
    CK_MECHANISM_TYPE mechanism;
    double probability;
    bool has_rv, after, hang;
    CK_RV rv;
    unsigned delay_ms;
    enum fault_crash crash;
    enum fault_answer answer;
    enum fault_lose lose;
};

/** What one call has to do. */
struct fault {
    bool has_rv, after, hang;
    CK_RV rv;
    unsigned delay_ms;
    enum fault_crash crash;
    enum fault_answer answer;
    enum fault_lose lose;
};

struct fault_settings {
    char module[1024];
    unsigned lock_after, renumber;
    bool removed;
};

/** Looks the call up in the plan as it is now; all rules that match add up. Any thread. */
void fault_look_up(const char *function, CK_MECHANISM_TYPE mechanism, struct fault *out);
void fault_settings_now(struct fault_settings *out);
struct fault_state *fault_state(void);
/** A number that is not the same in two processes or calls. */
uint64_t fault_random(void);
