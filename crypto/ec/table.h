#pragma once
/* Multiples of public points, so that a signature of a key that is asked about often is verified by
 * additions alone (P-256: 3.6 instead of 13.3 us an operation for eight at once, 10.6 instead of 67
 * for one).
 *
 * The windows are those of crypto/ec/comb.h, six bits wide. Numbers are public, so an entry is read
 * where it lies: one line of the cache, x and y as four words each, below p, Montgomery form.
 *
 * Tables belong to a thread and are kept from batch to batch: nothing is shared and nothing
 * locked. A thread has at most KC_EC_TABLES of them (88 KB each); a key gets one once it was seen
 * KC_EC_TABLE_AFTER times, which is when building has paid for itself, in the place of the one that
 * was not needed longest. */

#include "crypto/ec/ec_key.h"

#if KC_HAVE_EC

#define KC_EC_TABLES        16u
#define KC_EC_TABLE_AFTER   16u
#define KC_EC_TABLE_WINDOW  6u
#define KC_EC_TABLE_WINDOWS (256u / KC_EC_TABLE_WINDOW + 1)
#define KC_EC_TABLE_ENTRIES (1u << (KC_EC_TABLE_WINDOW - 1))
#define KC_EC_TABLE_WORDS   ((size_t)KC_EC_TABLE_WINDOWS * KC_EC_TABLE_ENTRIES * 8)

struct kc_ec_tables;

/** NULL when memory is short. */
struct kc_ec_tables *kc_ec_tables_create(void);
/** `tables` may be NULL; a void pointer for those who keep it without knowing it. */
void kc_ec_tables_destroy(void *tables);

/** Counts the key and returns its table, NULL when it has none (other curves than P-256 never).
 *  Valid until KC_EC_TABLES - 1 other keys have been asked for. The thread that owns `tables`. */
const uint64_t *kc_ec_table_of(struct kc_ec_tables *tables, const struct kc_ec_key *key);

/** The generator's table in the same form; NULL when memory is short. Lives as long as `tables`. */
const uint64_t *kc_ec_table_generator(struct kc_ec_tables *tables, const struct kc_ec_curve *curve);

#define KC_EC_SPLIT_MAX (KC_EC_LANES / 2)

/** r = u1 G + u2 Q for `count` requests (1 to KC_EC_SPLIT_MAX, in the first lanes), each shared out
 *  over as many lanes as there are: one alone takes a third of the time of eight. u1 and u2 as
 *  plain digits below n, u2 not 0. Time depends on data. An exceptional addition leaves Z = 0. */
void kc_ec_table_split(const struct kc_ec_curve *curve, struct kc_ec_point *r, __m512i *u1,
                       __m512i *u2, const uint64_t *generator, const uint64_t *const *tables,
                       unsigned count);

/** r += k Q of each lane, k in [1, n - 1] as plain digits; tables[i] is that of lane i's key. Time
 *  depends on data. An exceptional addition leaves Z = 0. P-256. */
void kc_ec_table_add(const struct kc_ec_curve *curve, struct kc_ec_point *r, const __m512i *k,
                     const uint64_t *const tables[KC_EC_LANES]);

#endif
