#pragma once
/* Inside the codecs of the host protocol (wire.c, wire_list.c): writer and reader of one record. A
 * bad step makes the whole record bad, checked once at the end. */

#include "crypto/base/text.h"
#include "pool/pkcs11/wire.h"

#define LENGTH_BYTES 4

struct writer {
    struct kw_buf *out;
    size_t start;
    bool bad;
};

static inline void put_bytes(struct writer *w, const void *data, size_t len)
{
    if (w->bad || w->out->cap - w->out->len < len) {
        w->bad = true;
        return;
    }
    if (len > 0) {
        memcpy(w->out->data + w->out->len, data, len);
        w->out->len += len;
    }
}

static inline void put_int(struct writer *w, uint64_t value, size_t bytes)
{
    uint8_t le[8];
    for (size_t i = 0; i < bytes; i++) {
        le[i] = (uint8_t)(value >> (8 * i));
    }
    put_bytes(w, le, bytes);
}

static inline void put_span(struct writer *w, struct kw_span span, size_t max)
{
    if (span.len > max) {
        w->bad = true;
        return;
    }
    put_int(w, span.len, 4);
    put_bytes(w, span.data, span.len);
}

static inline struct writer begin(struct kw_buf *out, enum pool_wire_type type)
{
    struct writer w = {out, out->len, false};
    put_int(&w, 0, LENGTH_BYTES);
    put_int(&w, type, 1);
    return w;
}

static inline kw_status finish(struct writer *w)
{
    size_t total = w->out->len - w->start;
    if (w->bad || total > POOL_WIRE_RECORD_MAX) {
        w->out->len = w->start;
        return KW_E_TOO_LARGE;
    }
    uint8_t *length = w->out->data + w->start;
    for (size_t i = 0; i < LENGTH_BYTES; i++) {
        length[i] = (uint8_t)((total - LENGTH_BYTES) >> (8 * i));
    }
    return KW_OK;
}

struct reader {
    struct kw_span rest;
    bool bad;
};

static inline const uint8_t *get_bytes(struct reader *r, size_t len)
{
    if (r->bad || r->rest.len < len) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *at = r->rest.data;
    r->rest = kw_span_of(at + len, r->rest.len - len);
    return at;
}

static inline uint64_t get_int(struct reader *r, size_t bytes)
{
    const uint8_t *le = get_bytes(r, bytes);
    uint64_t value = 0;
    for (size_t i = 0; le != NULL && i < bytes; i++) {
        value |= (uint64_t)le[i] << (8 * i);
    }
    return value;
}

/** An integer that must be below `bound`. */
static inline uint32_t get_enum(struct reader *r, size_t bytes, uint64_t bound)
{
    uint64_t value = get_int(r, bytes);
    if (value >= bound) {
        r->bad = true;
        return 0;
    }
    return (uint32_t)value;
}

static inline struct kw_span get_span(struct reader *r, size_t max)
{
    uint64_t len = get_int(r, 4);
    if (len > max) {
        r->bad = true;
    }
    const uint8_t *at = get_bytes(r, r->bad ? 0 : (size_t)len);
    return r->bad ? kw_span_of(NULL, 0) : kw_span_of(len == 0 ? NULL : at, (size_t)len);
}

static inline void get_copy(struct reader *r, void *out, size_t len)
{
    const uint8_t *at = get_bytes(r, len);
    if (at != NULL) {
        memcpy(out, at, len);
    }
}

static inline struct reader open_body(struct kw_span body, enum pool_wire_type type)
{
    struct reader r = {body, false};
    if (get_int(&r, 1) != (uint64_t)type) {
        r.bad = true;
    }
    return r;
}

static inline kw_status closed(const struct reader *r)
{
    return r->bad || r->rest.len != 0 ? KW_E_INPUT : KW_OK;
}

static inline void put_public(struct writer *w, const struct kc_public *pub)
{
    put_int(w, pub->kty, 1);
    put_int(w, pub->curve, 1);
    put_int(w, pub->bits, 4);
    put_span(w, kw_span_of(pub->n, pub->n_len), sizeof(pub->n));
    put_span(w, kw_span_of(pub->e, pub->e_len), sizeof(pub->e));
    put_span(w, kw_span_of(pub->x, pub->coord_len), sizeof(pub->x));
    put_span(w, kw_span_of(pub->y, pub->coord_len), sizeof(pub->y));
}

static inline size_t get_number(struct reader *r, uint8_t *out, size_t cap)
{
    struct kw_span number = get_span(r, cap);
    if (number.len > 0) {
        memcpy(out, number.data, number.len);
    }
    return number.len;
}

static inline void get_public(struct reader *r, struct kc_public *pub)
{
    pub->kty = (enum kw_kty)get_enum(r, 1, KW_KTY_OCT + 1);
    pub->curve = (enum kw_curve)get_enum(r, 1, KW_CURVE_P256K + 1);
    pub->bits = get_enum(r, 4, 8 * KW_RSA_MAX_BYTES + 1);
    pub->n_len = get_number(r, pub->n, sizeof(pub->n));
    pub->e_len = get_number(r, pub->e, sizeof(pub->e));
    pub->coord_len = get_number(r, pub->x, sizeof(pub->x));
    if (get_number(r, pub->y, sizeof(pub->y)) != pub->coord_len) {
        r->bad = true;
    }
}

static inline void get_text(struct reader *r, char *out, size_t cap)
{
    struct kw_span text = get_span(r, cap - 1);
    if (text.len > 0) {
        memcpy(out, text.data, text.len);
    }
    out[text.len] = '\0';
    for (size_t i = 0; i < text.len; i++) {
        out[i] = out[i] == '\0' ? '?' : out[i];
    }
    kw_text_clean(out); /* shown in status pages and logs */
}
