#pragma once
/* The product's exponentiation compiled a second time, with a place where the test may strike. */

#include "crypto/rsa/rsa_work.h"

/** kc_rsa_private_half of crypto/rsa/rsa_exp.c. */
void ft_private_half(struct kc_rsa_private_work *w, struct kc_rsa_half_work *half, unsigned blocks);

/** Flips one bit of the table in a lane before squaring number `when` of the next exponentiation
 *  that scans it. One strike a lane; when < 0: none. */
void ft_strike_table(int when, unsigned lane, unsigned entry, unsigned digit, unsigned bit);
