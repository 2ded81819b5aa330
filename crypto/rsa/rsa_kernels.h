#pragma once
/* The eight-lane RSA as rows of the dispatch table. */

#include "crypto/lanes/cpu.h"

/** Replaces the six RSA rows when `cpu` runs the kernels, and has every key made from now on carry
 *  its constants. Before threads start; called by kc_dispatch_fill. */
void kc_rsa_x8_register(const struct kc_cpu *cpu);
