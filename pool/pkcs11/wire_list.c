/* What is on a token, and what a host has loaded: the records of a LIST. */
#include "pool/pkcs11/wire_io.h"

enum {
    LISTED_KNOWN = 1,
    LISTED_SECRET = 2,
    LISTED_ASKS_PIN = 4,
    LISTED_EXTRACTABLE = 8,
    LISTED_TWICE = 16,
    LISTED_LONG_ID = 32,
    LISTED_FLAGS = 64
};

kw_status pool_wire_put_list(struct kw_buf *out, const struct pool_wire_list *msg)
{
    struct writer w = begin(out, POOL_WIRE_LIST);
    put_int(&w, msg->sequence, 4);
    put_int(&w, msg->tokens, 1);
    return finish(&w);
}

kw_status pool_wire_get_list(struct kw_span body, struct pool_wire_list *msg)
{
    struct reader r = open_body(body, POOL_WIRE_LIST);
    msg->sequence = (uint32_t)get_int(&r, 4);
    msg->tokens = get_enum(&r, 1, 2) == 1;
    return closed(&r);
}

kw_status pool_wire_put_listed(struct kw_buf *out, const struct pool_wire_listed *msg)
{
    const struct pool_found_key *key = &msg->key;
    unsigned flags = (key->known ? LISTED_KNOWN : 0u) | (key->secret ? LISTED_SECRET : 0u) |
                     (key->asks_pin ? LISTED_ASKS_PIN : 0u) |
                     (key->extractable ? LISTED_EXTRACTABLE : 0u) |
                     (key->twice ? LISTED_TWICE : 0u) | (key->long_id ? LISTED_LONG_ID : 0u);
    struct writer w = begin(out, POOL_WIRE_LISTED);
    put_int(&w, msg->sequence, 4);
    put_int(&w, flags, 1);
    put_int(&w, key->source, 1);
    put_int(&w, key->type, 8);
    put_int(&w, key->ops, 2);
    put_public(&w, &key->pub);
    put_span(&w, kw_span_of(key->id, key->id_len), sizeof(key->id));
    put_span(&w, kw_span_str(key->label), POOL_LABEL_MAX);
    put_span(&w, kw_span_of(key->check, key->check_len), sizeof(key->check));
    return finish(&w);
}

kw_status pool_wire_get_listed(struct kw_span body, struct pool_wire_listed *msg)
{
    struct reader r = open_body(body, POOL_WIRE_LISTED);
    struct pool_found_key *key = &msg->key;
    memset(msg, 0, sizeof(*msg));
    msg->sequence = (uint32_t)get_int(&r, 4);
    unsigned flags = get_enum(&r, 1, LISTED_FLAGS);
    key->known = (flags & LISTED_KNOWN) != 0;
    key->secret = (flags & LISTED_SECRET) != 0;
    key->asks_pin = (flags & LISTED_ASKS_PIN) != 0;
    key->extractable = (flags & LISTED_EXTRACTABLE) != 0;
    key->twice = (flags & LISTED_TWICE) != 0;
    key->long_id = (flags & LISTED_LONG_ID) != 0;
    key->source = (enum pool_found_source)get_enum(&r, 1, POOL_FOUND_CERTIFICATE + 1);
    key->type = get_int(&r, 8);
    key->ops = (uint16_t)get_enum(&r, 2, 1u << KW_KIND_GENERATE);
    get_public(&r, &key->pub);
    key->id_len = get_number(&r, key->id, sizeof(key->id));
    get_text(&r, key->label, sizeof(key->label));
    key->check_len = get_number(&r, key->check, sizeof(key->check));
    return closed(&r);
}

kw_status pool_wire_put_loaded(struct kw_buf *out, const struct pool_wire_loaded *msg)
{
    struct writer w = begin(out, POOL_WIRE_LOADED);
    put_int(&w, msg->sequence, 4);
    put_span(&w, msg->ids, POOL_WIRE_FORGET_MAX * KW_KEY_ID_LEN);
    return finish(&w);
}

kw_status pool_wire_get_loaded(struct kw_span body, struct pool_wire_loaded *msg)
{
    struct reader r = open_body(body, POOL_WIRE_LOADED);
    msg->sequence = (uint32_t)get_int(&r, 4);
    msg->ids = get_span(&r, POOL_WIRE_FORGET_MAX * KW_KEY_ID_LEN);
    if (msg->ids.len % KW_KEY_ID_LEN != 0) {
        r.bad = true;
    }
    return closed(&r);
}

kw_status pool_wire_put_listed_all(struct kw_buf *out, const struct pool_wire_listed_all *msg)
{
    struct writer w = begin(out, POOL_WIRE_LISTED_ALL);
    put_int(&w, msg->sequence, 4);
    put_int(&w, msg->ckr, 8);
    put_int(&w, msg->cut, 1);
    return finish(&w);
}

kw_status pool_wire_get_listed_all(struct kw_span body, struct pool_wire_listed_all *msg)
{
    struct reader r = open_body(body, POOL_WIRE_LISTED_ALL);
    msg->sequence = (uint32_t)get_int(&r, 4);
    msg->ckr = get_int(&r, 8);
    msg->cut = get_enum(&r, 1, 2) == 1;
    return closed(&r);
}
