#pragma once
/* The AES kernels of this folder in the dispatch table. */

#include "crypto/lanes/cpu.h"

/** Puts the VAES kernels into the table and the schedule into each AES key made from now on, where
 *  the CPU and the chosen path allow. Before threads start. */
void kc_aes_register(const struct kc_cpu *cpu);
