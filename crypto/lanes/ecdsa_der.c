#include "crypto/lanes/ecdsa_der.h"

/* INTEGER of an unsigned big-endian number; returns the bytes written. */
static size_t put_integer(uint8_t *to, const uint8_t *from, size_t len)
{
    while (len > 1 && *from == 0) {
        from++;
        len--;
    }
    size_t sign = from[0] >> 7;
    to[0] = 0x02;
    to[1] = (uint8_t)(len + sign);
    to[2] = 0;
    memcpy(to + 2 + sign, from, len);
    return 2 + sign + len;
}

size_t kc_ecdsa_to_der(uint8_t *der, struct kw_span sig)
{
    uint8_t body[KC_ECDSA_DER_MAX];
    size_t half = sig.len / 2;
    size_t len = put_integer(body, sig.data, half);
    len += put_integer(body + len, sig.data + half, half);
    size_t at = 0;
    der[at++] = 0x30;
    if (len > 127) {
        der[at++] = 0x81;
    }
    der[at++] = (uint8_t)len;
    memcpy(der + at, body, len);
    return at + len;
}

/* Takes one INTEGER off the front of `in` into `width` bytes. */
static bool take_integer(uint8_t *to, size_t width, struct kw_span *in)
{
    if (in->len < 3 || in->data[0] != 0x02 || in->data[1] > in->len - 2 || in->data[1] == 0) {
        return false;
    }
    size_t len = in->data[1];
    const uint8_t *from = in->data + 2;
    in->data += 2 + len;
    in->len -= 2 + len;
    if (from[0] == 0 && len > 1) {
        from++;
        len--;
    }
    if (len > width) {
        return false;
    }
    memset(to, 0, width - len);
    memcpy(to + width - len, from, len);
    return true;
}

kw_status kc_ecdsa_from_der(uint8_t *sig, size_t width, struct kw_span der)
{
    if (der.len < 2 || der.data[0] != 0x30) {
        return KW_E_INTERNAL;
    }
    size_t head = der.data[1] == 0x81 ? 3 : 2;
    if (der.len < head || der.data[head - 1] != der.len - head) {
        return KW_E_INTERNAL;
    }
    struct kw_span rest = kw_span_of(der.data + head, der.len - head);
    if (!take_integer(sig, width, &rest) || !take_integer(sig + width, width, &rest) ||
        rest.len != 0) {
        return KW_E_INTERNAL;
    }
    return KW_OK;
}
