#pragma once
/* The EC kernels of this folder in the dispatch table. */

#include "crypto/lanes/cpu.h"

/** Puts the eight-lane kernels into the table and their constants into each EC key made from now
 *  on, where the CPU and the chosen path allow. The first call makes the tables of the generators
 *  (some milliseconds). Before threads start. */
void kc_ec_register(const struct kc_cpu *cpu);
