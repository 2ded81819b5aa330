#include "gateway/vault/archive/archive.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "crypto/base/secret.h"
#include "gateway/vault/archive/format.h"
#include "gateway/vault/bytes.h"

#define MAGIC      "KWAR"
#define FORMAT     1
#define LABEL      "keyward archive v1"
#define MANIFEST   0 /* its type */
#define ENTRY_HEAD 5
#define FRAME      4
#define LAST       0x80000000u
#define PLAIN_MAX  (ARCHIVE_CHUNK + ENTRY_HEAD + ARCHIVE_ENTRY_MAX)

#define MANIFEST_LEN (8 * ARCHIVE_TYPES + 8 + 32)

/* What both directions go by. */
struct stream {
    const struct kc_domain *domain;
    uint8_t header[ARCHIVE_HEADER];
    uint64_t chunk; /* its number */
    EVP_MD_CTX *digest;
    struct archive_head head;
    struct archive_manifest manifest; /* of what has passed */
    struct kw_buf plain, sealed;
};

struct aad {
    uint8_t bytes[sizeof LABEL + ARCHIVE_HEADER + 8 + 1];
};

static struct kw_span aad_of(struct aad *aad, const struct stream *s, bool last)
{
    struct kw_buf buf = {.data = aad->bytes, .cap = sizeof aad->bytes};
    vault_put_span(&buf, kw_span_of(LABEL, sizeof LABEL));
    vault_put_span(&buf, kw_span_of(s->header, sizeof s->header));
    vault_put_be(&buf, s->chunk, 8);
    vault_put_be(&buf, last, 1);
    return kw_buf_span(&buf);
}

static void wipe(struct kw_buf *buf)
{
    if (buf->data)
        kw_wipe(buf->data, buf->cap);
    free(buf->data);
    *buf = (struct kw_buf){0};
}

static void stream_clear(struct stream *s)
{
    EVP_MD_CTX_free(s->digest);
    wipe(&s->plain);
    free(s->sealed.data);
}

/* Not realloc: it could leave a copy of a secret behind. What is there is not kept. */
static kw_status make_room(struct kw_buf *buf, size_t room)
{
    if (buf->cap < room) {
        wipe(buf);
        buf->data = malloc(room);
        if (!buf->data)
            return KW_E_NOMEM;
        buf->cap = room;
    }
    buf->len = 0;
    return KW_OK;
}

static kw_status digest_start(struct stream *s)
{
    s->digest = EVP_MD_CTX_new();
    return s->digest && EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL) == 1 ? KW_OK : KW_E_NOMEM;
}

static kw_status digest_add(struct stream *s, const void *data, size_t len)
{
    return EVP_DigestUpdate(s->digest, data, len) == 1 ? KW_OK : KW_E_INTERNAL;
}

/* --- writing --- */

struct archive_writer {
    struct stream s;
    archive_take_fn *take;
    void *ctx;
};

static kw_status emit(struct archive_writer *w, const void *data, size_t len)
{
    KW_TRY(digest_add(&w->s, data, len));
    return w->take(w->ctx, kw_span_of(data, len));
}

static void make_header(struct stream *s)
{
    struct kw_buf buf = {.data = s->header, .cap = sizeof s->header};
    vault_put_span(&buf, kw_span_of(MAGIC, 4));
    vault_put_be(&buf, FORMAT, 1);
    vault_put_be(&buf, s->head.what, 1);
    vault_put_be(&buf, 0, 2);
    vault_put_span(&buf, kw_span_of(s->head.check, sizeof s->head.check));
    vault_put_span(&buf, kw_span_of(s->head.id, sizeof s->head.id));
    vault_put_be(&buf, (uint64_t)s->head.created, 8);
}

static kw_status begin(struct archive_writer *w, const struct kc_domain *domain,
                       enum archive_what what, int64_t created)
{
    struct stream *s = &w->s;
    s->domain = domain;
    s->head = (struct archive_head){.what = what, .created = created};
    KW_TRY(kw_random(s->head.id, sizeof s->head.id));
    backup_check_bytes(domain, s->head.check);
    make_header(s);
    KW_TRY(digest_start(s));
    KW_TRY(make_room(&s->plain, PLAIN_MAX));
    return emit(w, s->header, sizeof s->header);
}

kw_status archive_writer_create(struct archive_writer **out, const struct kc_domain *domain,
                                enum archive_what what, int64_t created, archive_take_fn *take,
                                void *ctx)
{
    struct archive_writer *w = calloc(1, sizeof *w);
    if (!w)
        return KW_E_NOMEM;
    w->take = take;
    w->ctx = ctx;
    kw_status status = begin(w, domain, what, created);
    if (status != KW_OK) {
        archive_writer_destroy(w);
        return status;
    }
    *out = w;
    return KW_OK;
}

const struct archive_head *archive_writer_head(const struct archive_writer *w)
{
    return &w->s.head;
}

static kw_status close_chunk(struct archive_writer *w, bool last)
{
    struct stream *s = &w->s;
    struct aad aad;
    uint8_t frame[FRAME];
    struct kw_buf buf = {.data = frame, .cap = sizeof frame};
    KW_TRY(make_room(&s->sealed, s->plain.len + KC_SEAL_OVERHEAD));
    KW_TRY(kc_seal(s->domain, aad_of(&aad, s, last), kw_buf_span(&s->plain), &s->sealed));
    vault_put_be(&buf, (uint32_t)s->sealed.len | (last ? LAST : 0), FRAME);
    kw_wipe(s->plain.data, s->plain.len);
    s->plain.len = 0;
    s->chunk++;
    KW_TRY(emit(w, frame, sizeof frame));
    return emit(w, s->sealed.data, s->sealed.len);
}

static void put_entry(struct kw_buf *out, unsigned type, struct kw_span first,
                      struct kw_span second)
{
    vault_put_be(out, type, 1);
    vault_put_be(out, first.len + second.len, 4);
    vault_put_span(out, first);
    vault_put_span(out, second);
}

kw_status archive_put(struct archive_writer *w, enum archive_entry type, struct kw_span first,
                      struct kw_span second)
{
    struct stream *s = &w->s;
    if ((unsigned)type == MANIFEST || type >= ARCHIVE_TYPES)
        return KW_E_INPUT;
    if (first.len > ARCHIVE_ENTRY_MAX || second.len > ARCHIVE_ENTRY_MAX - first.len)
        return KW_E_TOO_LARGE;
    put_entry(&s->plain, type, first, second);
    s->manifest.entries[type]++;
    s->manifest.bytes += first.len + second.len;
    return s->plain.len >= ARCHIVE_CHUNK ? close_chunk(w, false) : KW_OK;
}

static void put_manifest(struct kw_buf *out, const struct archive_manifest *manifest)
{
    for (size_t i = 0; i < ARCHIVE_TYPES; i++)
        vault_put_be(out, manifest->entries[i], 8);
    vault_put_be(out, manifest->bytes, 8);
    vault_put_span(out, kw_span_of(manifest->digest, sizeof manifest->digest));
}

kw_status archive_finish(struct archive_writer *w, struct archive_manifest *manifest)
{
    struct stream *s = &w->s;
    uint8_t text[MANIFEST_LEN];
    struct kw_buf buf = {.data = text, .cap = sizeof text};
    if (s->plain.len > 0)
        KW_TRY(close_chunk(w, false));
    if (EVP_DigestFinal_ex(s->digest, s->manifest.digest, NULL) != 1)
        return KW_E_INTERNAL;
    if (EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL) != 1)
        return KW_E_INTERNAL;
    put_manifest(&buf, &s->manifest);
    put_entry(&s->plain, MANIFEST, kw_buf_span(&buf), (struct kw_span){0});
    KW_TRY(close_chunk(w, true));
    *manifest = s->manifest;
    return KW_OK;
}

void archive_writer_destroy(struct archive_writer *w)
{
    if (!w)
        return;
    stream_clear(&w->s);
    free(w);
}

/* --- reading --- */

struct archive_reader {
    struct stream s;
    archive_give_fn *give;
    void *ctx;
    size_t at; /* in plain */
    bool last, ended;
};

/** Exactly `len` bytes; KW_E_INTEGRITY when the file ends before. */
static kw_status get(struct archive_reader *r, uint8_t *out, size_t len)
{
    for (size_t got = 0; len > 0; out += got, len -= got) {
        got = 0;
        KW_TRY(r->give(r->ctx, out, len, &got));
        if (got == 0 || got > len)
            return KW_E_INTEGRITY;
    }
    return KW_OK;
}

static kw_status read_header(struct archive_reader *r, struct archive_head *head)
{
    struct stream *s = &r->s;
    uint8_t check[KC_DOMAIN_CHECK_LEN];
    struct kw_span rest = kw_span_of(s->header, sizeof s->header), part;
    uint64_t value = 0;
    kw_status status = get(r, s->header, sizeof s->header);
    if (status != KW_OK)
        return status == KW_E_INTEGRITY ? KW_E_INPUT : status;
    if (memcmp(s->header, MAGIC, 4) != 0)
        return KW_E_INPUT;
    if (s->header[4] != FORMAT)
        return KW_E_UNSUPPORTED;
    head->what = (enum archive_what)s->header[5];
    vault_get_span(&rest, &part, 8);
    vault_get_span(&rest, &part, sizeof head->check);
    memcpy(head->check, part.data, part.len);
    vault_get_span(&rest, &part, sizeof head->id);
    memcpy(head->id, part.data, part.len);
    vault_get_be(&rest, &value, 8);
    head->created = (int64_t)value;
    backup_check_bytes(s->domain, check);
    return memcmp(check, head->check, sizeof check) == 0 ? KW_OK : KW_E_FORBIDDEN;
}

kw_status archive_reader_create(struct archive_reader **out, struct archive_head *head,
                                const struct kc_domain *domain, archive_give_fn *give, void *ctx)
{
    struct archive_reader *r = calloc(1, sizeof *r);
    *head = (struct archive_head){0};
    if (!r)
        return KW_E_NOMEM;
    r->s.domain = domain;
    r->give = give;
    r->ctx = ctx;
    kw_status status = digest_start(&r->s);
    if (status == KW_OK)
        status = read_header(r, head);
    if (status == KW_OK)
        status = digest_add(&r->s, r->s.header, sizeof r->s.header);
    if (status != KW_OK) {
        archive_reader_destroy(r);
        return status;
    }
    r->s.head = *head;
    *out = r;
    return KW_OK;
}

static kw_status open_chunk(struct archive_reader *r)
{
    struct stream *s = &r->s;
    struct aad aad;
    uint8_t frame[FRAME];
    KW_TRY(get(r, frame, sizeof frame));
    struct kw_span text = kw_span_of(frame, sizeof frame);
    uint64_t value = 0;
    vault_get_be(&text, &value, FRAME);
    size_t len = value & ~(uint64_t)LAST;
    r->last = (value & LAST) != 0;
    if (len < KC_SEAL_OVERHEAD || len > PLAIN_MAX + KC_SEAL_OVERHEAD)
        return KW_E_INTEGRITY;
    KW_TRY(make_room(&s->sealed, len));
    KW_TRY(make_room(&s->plain, len));
    KW_TRY(get(r, s->sealed.data, len));
    s->sealed.len = len;
    KW_TRY(kc_open(s->domain, aad_of(&aad, s, r->last), kw_buf_span(&s->sealed), &s->plain));
    s->chunk++;
    r->at = 0;
    if (r->last)
        return KW_OK;
    KW_TRY(digest_add(s, frame, sizeof frame));
    return digest_add(s, s->sealed.data, len);
}

static kw_status check_manifest(struct archive_reader *r, struct kw_span text)
{
    struct stream *s = &r->s;
    uint8_t expected[MANIFEST_LEN], more;
    struct kw_buf buf = {.data = expected, .cap = sizeof expected};
    size_t got = 0;
    if (EVP_DigestFinal_ex(s->digest, s->manifest.digest, NULL) != 1)
        return KW_E_INTERNAL;
    put_manifest(&buf, &s->manifest);
    if (!kw_span_equal(kw_buf_span(&buf), text) || r->at != s->plain.len)
        return KW_E_INTEGRITY;
    KW_TRY(r->give(r->ctx, &more, 1, &got));
    r->ended = got == 0;
    return r->ended ? KW_E_NOT_FOUND : KW_E_INTEGRITY;
}

kw_status archive_next(struct archive_reader *r, enum archive_entry *type, struct kw_span *entry)
{
    struct stream *s = &r->s;
    uint64_t which = 0, len = 0;
    if (r->ended)
        return KW_E_NOT_FOUND;
    if (r->at == s->plain.len)
        KW_TRY(open_chunk(r));
    struct kw_span rest = kw_span_of(s->plain.data + r->at, s->plain.len - r->at);
    size_t before = rest.len;
    if (!vault_get_be(&rest, &which, 1) || !vault_get_be(&rest, &len, 4) ||
        !vault_get_span(&rest, entry, len))
        return KW_E_INTEGRITY;
    r->at += before - rest.len;
    if ((which == MANIFEST) != r->last || which >= ARCHIVE_TYPES)
        return KW_E_INTEGRITY;
    if (which == MANIFEST)
        return check_manifest(r, *entry);
    s->manifest.entries[which]++;
    s->manifest.bytes += len;
    *type = (enum archive_entry)which;
    return KW_OK;
}

const struct archive_manifest *archive_reader_manifest(const struct archive_reader *r)
{
    return &r->s.manifest;
}

void archive_reader_destroy(struct archive_reader *r)
{
    if (!r)
        return;
    stream_clear(&r->s);
    free(r);
}
