#pragma once
/* Answers that are wrong in one particular way. */

#include "tests/faults/module/plan.h"

/** Spoils an answer that the real module gave into a buffer of `cap` bytes. `mechanism` is the one
 *  of the operation; `in` is what was asked, for ANSWER_OTHER_KEY, which signs it with a key of the
 *  module's own on a session of `slot`. False: this kind of wrong answer is not to be had now, and
 *  the right one stays. */
bool fault_spoil(CK_FUNCTION_LIST *real, CK_SLOT_ID slot, enum fault_answer how,
                 CK_MECHANISM *mechanism, const uint8_t *in, size_t in_len, uint8_t *out,
                 CK_ULONG *out_len, size_t cap);
