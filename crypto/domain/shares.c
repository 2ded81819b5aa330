#include "crypto/domain/shares.h"

#include <stdbool.h>

#define PRIME 257u

static uint32_t times(uint32_t a, uint32_t b)
{
    return a * b % PRIME;
}

/* Fermat: a^(p-2). */
static uint32_t inverse(uint32_t a)
{
    uint32_t out = 1;
    for (unsigned i = 0; i < 255; i++)
        out = times(out, a);
    return out;
}

/* Uniform in 0..256: nine random bits, drawn again when they are too large. */
static kw_status draw(uint16_t *out)
{
    uint8_t bytes[2];
    do {
        KW_TRY(kw_random(bytes, sizeof bytes));
        *out = (uint16_t)((bytes[0] | bytes[1] << 8) & 511);
    } while (*out >= PRIME);
    kw_wipe(bytes, sizeof bytes);
    return KW_OK;
}

kw_status kc_shares_make(uint8_t *out, struct kw_span secret, unsigned count, unsigned required)
{
    if (required < 2 || required > count || required > KC_SHARES_QUORUM || count > KC_SHARES_MAX ||
        secret.len == 0 || secret.len > KC_SHARES_SECRET)
        return KW_E_INPUT;
    uint16_t term[KC_SHARES_QUORUM];
    kw_status status = KW_OK;
    for (size_t i = 0; status == KW_OK && i < secret.len; i++) {
        term[0] = secret.data[i];
        for (unsigned k = 1; status == KW_OK && k < required; k++)
            status = draw(&term[k]);
        for (unsigned x = 1; status == KW_OK && x <= count; x++) {
            uint32_t y = 0;
            for (unsigned k = required; k-- > 0;)
                y = (times(y, x) + term[k]) % PRIME;
            uint8_t *word = out + (x - 1) * KC_SHARE_LEN(secret.len) + 2 * i;
            word[0] = (uint8_t)y;
            word[1] = (uint8_t)(x << 1 | y >> 8);
        }
    }
    kw_wipe(term, sizeof term);
    if (status != KW_OK)
        kw_wipe(out, count * KC_SHARE_LEN(secret.len));
    return status;
}

static bool number_ok(struct kw_span share, const uint32_t *before, unsigned index)
{
    uint32_t x = share.data[1] >> 1;
    bool ok = x != 0 && x <= KC_SHARES_MAX;
    for (size_t i = 0; i < share.len; i += 2)
        ok &= share.data[i + 1] >> 1 == x;
    for (unsigned i = 0; i < index; i++)
        ok &= before[i] != x;
    return ok;
}

/* The value at 0 of the i-th basis polynomial of Lagrange. */
static uint32_t basis(const uint32_t *x, unsigned count, unsigned i)
{
    uint32_t top = 1, bottom = 1;
    for (unsigned j = 0; j < count; j++) {
        if (j == i)
            continue;
        top = times(top, x[j]);
        bottom = times(bottom, (x[j] + PRIME - x[i]) % PRIME);
    }
    return times(top, inverse(bottom));
}

kw_status kc_shares_join(uint8_t *out, const struct kw_span *shares, unsigned count)
{
    uint32_t x[KC_SHARES_QUORUM], factor[KC_SHARES_QUORUM];
    size_t len = count > 0 ? shares[0].len : 0;
    if (count < 2 || count > KC_SHARES_QUORUM || len == 0 || len % 2 != 0 ||
        len > KC_SHARE_LEN(KC_SHARES_SECRET))
        return KW_E_INPUT;
    for (unsigned i = 0; i < count; i++) {
        if (shares[i].len != len || !number_ok(shares[i], x, i))
            return KW_E_INPUT;
        x[i] = shares[i].data[1] >> 1;
    }
    for (unsigned i = 0; i < count; i++)
        factor[i] = basis(x, count, i);
    uint32_t high = 0; /* whether any value is more than its range: looked at once, at the end */
    for (size_t at = 0; at < len; at += 2) {
        uint32_t sum = 0;
        for (unsigned i = 0; i < count; i++) {
            uint32_t y = shares[i].data[at] | (shares[i].data[at + 1] & 1u) << 8;
            high |= y / PRIME;
            sum += times(factor[i], y);
        }
        sum %= PRIME;
        high |= sum >> 8;
        out[at / 2] = (uint8_t)sum;
    }
    if (high != 0) {
        kw_wipe(out, len / 2);
        return KW_E_INPUT;
    }
    return KW_OK;
}
