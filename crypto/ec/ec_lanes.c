#include "crypto/ec/ec_lanes.h"

#include "crypto/ec/sign.h"
#include "crypto/ec/table.h"
#include "crypto/ec/verify.h"
#include "crypto/keys/key_internal.h"
#include "crypto/lanes/dispatch.h"
#include "crypto/lanes/scratch.h"

#if KC_HAVE_EC

#define CURVES 3

/* Fewer operations than this are faster one by one (OpenSSL has assembly for P-256 alone). */
static const unsigned break_even_sign[CURVES] = {2, 1, 1};
static const unsigned break_even_verify[CURVES] = {2, 1, 2};

/* --- what a key carries --- */

static kw_status key_build(void **out, const struct kc_key *key)
{
    *out = NULL;
    if (key->pub.kty != KW_KTY_EC)
        return KW_OK;
    const struct kc_ec_curve *curve = kc_ec_curve_get(key->pub.curve);
    if (!curve)
        return KW_OK;
    struct kc_ec_key *prepared = kw_secret_alloc(sizeof *prepared);
    if (!prepared)
        return KW_E_NOMEM;
    kc_ec_key_init(prepared, curve, key->pub.x, key->pub.y, key->has_private ? key->ec_d : NULL);
    *out = prepared;
    return KW_OK;
}

static const struct kc_key_extension extension = {key_build, kw_secret_free};

/* NULL for a key that was made before the kernels were registered. */
static const struct kc_ec_key *key_of(const struct kc_lane_op *op)
{
    return op->key->slots[KC_KEY_SLOT_EC].prepared;
}

/* --- signing --- */

static void sign_some(struct kc_lane_op *const *ops, unsigned count, struct kc_scratch *scratch)
{
    const struct kc_ec_curve *curve = key_of(ops[0])->curve;
    struct kc_ec_sign_lane lanes[KC_EC_LANES] = {0};
    unsigned good = 0;
    for (unsigned i = 0; i < count; i++)
        lanes[i] = (struct kc_ec_sign_lane){.key = key_of(ops[i]),
                                            .digest = ops[i]->in.data,
                                            .len = ops[i]->in.len,
                                            .out = ops[i]->out.data};
    kw_status status = kc_ec_sign_x8(curve, lanes, count, scratch->kernel, &good);
    for (unsigned i = 0; i < count; i++) {
        ops[i]->status = status;
        ops[i]->out.len = status == KW_OK ? 2 * (size_t)curve->bytes : 0;
        if (status == KW_OK && !(good >> i & 1)) {
            kc_alarm_raise();
            kc_openssl_ecdsa(&ops[i], 1, scratch);
        }
    }
}

/* --- verifying --- */

/* Operations of one curve whose keys all have tables, or all have none. */
struct bunch {
    struct kc_lane_op *ops[KC_EC_LANES];
    const uint64_t *tables[KC_EC_LANES];
    unsigned count;
};

static void verify_some(struct bunch *bunch, struct kc_scratch *scratch)
{
    struct kc_lane_op *const *ops = bunch->ops;
    const unsigned count = bunch->count;
    const uint64_t *generator = NULL;
    if (bunch->tables[0] && count <= KC_EC_SPLIT_MAX)
        generator = kc_ec_table_generator(scratch->kept, key_of(ops[0])->curve);
    const struct kc_ec_curve *curve = key_of(ops[0])->curve;
    struct kc_ec_verify_lane lanes[KC_EC_LANES] = {0};
    unsigned undecided = 0;
    for (unsigned i = 0; i < count; i++)
        lanes[i] = (struct kc_ec_verify_lane){.key = key_of(ops[i]),
                                              .digest = ops[i]->in.data,
                                              .len = ops[i]->in.len,
                                              .sig = ops[i]->sig.data,
                                              .table = bunch->tables[i],
                                              .generator = generator};
    unsigned valid = kc_ec_verify_x8(curve, lanes, count, scratch->kernel, &undecided);
    for (unsigned i = 0; i < count; i++) {
        ops[i]->status = KW_OK;
        ops[i]->valid = valid >> i & 1;
        if (undecided >> i & 1)
            kc_openssl_ecdsa(&ops[i], 1, scratch);
    }
    bunch->count = 0;
}

/* The table of an operation's key, when it is asked about often enough to have one. */
static const uint64_t *table_of(struct kc_scratch *scratch, const struct kc_ec_key *key)
{
    if (key->curve->bits != 256)
        return NULL;
    if (!scratch->kept) {
        scratch->kept = kc_ec_tables_create();
        scratch->free_kept = kc_ec_tables_destroy;
    }
    return scratch->kept ? kc_ec_table_of(scratch->kept, key) : NULL;
}

/* --- batches of any length --- */

/* `op` can go into a lane: the key is prepared and a signature to verify has its one length. */
static bool fits_lane(const struct kc_lane_op *op)
{
    return key_of(op) &&
           (op->kind == KW_KIND_SIGN || op->sig.len == 2 * (size_t)key_of(op)->curve->bytes);
}

static void run_sign(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    struct kc_lane_op *ready[KC_EC_LANES];
    unsigned count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!fits_lane(ops[i])) {
            kc_openssl_ecdsa(&ops[i], 1, scratch);
            continue;
        }
        ready[count++] = ops[i];
        if (count == KC_EC_LANES) {
            sign_some(ready, count, scratch);
            count = 0;
        }
    }
    if (count > 0 && count < break_even_sign[ready[0]->key->pub.curve - KW_CURVE_P256])
        kc_openssl_ecdsa(ready, count, scratch);
    else if (count > 0)
        sign_some(ready, count, scratch);
}

/* Fewer than a table's life: what waits for company still has its own (crypto/ec/table.h). */
_Static_assert(KC_EC_LANES <= KC_EC_TABLES, "a table may go while it is waited with");

static void run_verify(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch)
{
    struct bunch bunches[2] = {0}; /* without tables, with them */
    for (size_t i = 0; i < n; i++) {
        if (!fits_lane(ops[i])) {
            kc_openssl_ecdsa(&ops[i], 1, scratch);
            continue;
        }
        const uint64_t *table = table_of(scratch, key_of(ops[i]));
        struct bunch *bunch = &bunches[table != NULL];
        bunch->ops[bunch->count] = ops[i];
        bunch->tables[bunch->count++] = table;
        if (bunch->count == KC_EC_LANES)
            verify_some(bunch, scratch);
    }
    struct bunch *plain = &bunches[0];
    if (plain->count > 0 &&
        plain->count < break_even_verify[plain->ops[0]->key->pub.curve - KW_CURVE_P256])
        kc_openssl_ecdsa(plain->ops, plain->count, scratch);
    else if (plain->count > 0)
        verify_some(plain, scratch);
    if (bunches[1].count > 0)
        verify_some(&bunches[1], scratch);
}

/* --- registration --- */

/* Nanoseconds of one operation with full lanes, Zen 4 at 3.5 GHz, checks included. */
#define SIGN(ns)                                                                                   \
    {                                                                                              \
        "ifma x8", KC_EC_LANES, (ns), false, run_sign, NULL, sizeof(struct kc_ec_sign_work)        \
    }
#define VERIFY(ns, cheap)                                                                          \
    {                                                                                              \
        "ifma x8", KC_EC_LANES, (ns), (cheap), run_verify, NULL, sizeof(struct kc_ec_verify_work)  \
    }
static const struct kc_kernel sign_kernels[CURVES] = {SIGN(2800), SIGN(6700), SIGN(11700)};
/* P-256: by a table 3.6, and 10.6 for one alone; a thread that has to be woken costs more. */
static const struct kc_kernel verify_kernels[CURVES] = {VERIFY(6000, true), VERIFY(41500, false),
                                                        VERIFY(64000, false)};

void kc_ec_register(const struct kc_cpu *cpu)
{
    bool use = cpu->path >= KC_CPU_AVX512 && cpu->avx512_ifma && cpu->bmi2;
    kc_key_extend(KC_KEY_SLOT_EC, use ? &extension : NULL);
    for (int i = 0; use && i < CURVES; i++)
        if (kc_ec_curve_get((enum kw_curve)(KW_CURVE_P256 + i))) {
            kc_dispatch_set((enum kc_shape)(KC_SHAPE_P256_SIGN + i), &sign_kernels[i]);
            kc_dispatch_set((enum kc_shape)(KC_SHAPE_P256_VERIFY + i), &verify_kernels[i]);
        }
}

#else

void kc_ec_register(const struct kc_cpu *cpu)
{
    (void)cpu;
}

#endif
