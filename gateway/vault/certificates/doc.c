#include "gateway/vault/certificates/doc.h"

#include <openssl/sha.h>
#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/api/json/base64url.h"
#include "gateway/vault/seal.h"
#include "gateway/vault/vault.h"

#define DOC_MAX   262144
#define TRIES_MAX 16

kw_status vault_doc_seal(struct vault *vault, const struct store_ref *place, const json_t *json,
                         uint8_t **out, size_t *out_len)
{
    char *text = json_dumps(json, JSON_COMPACT);
    if (!text)
        return KW_E_NOMEM;
    size_t len = strlen(text);
    kw_status status =
        len <= DOC_MAX ? vault_seal_at(vault->domain, place, kw_span_of(text, len), out, out_len)
                       : KW_E_TOO_LARGE;
    kw_wipe(text, len);
    free(text);
    return status;
}

kw_status vault_doc_open(struct vault *vault, enum store_kind kind, const char *vault_name,
                         const struct store_row *row, json_t **out, uint8_t hash[VAULT_DOC_HASH])
{
    struct kw_buf plain;
    KW_TRY(vault_unseal(vault->domain, kind, vault_name, row, &plain));
    *out = json_loadb((const char *)plain.data, plain.len, JSON_REJECT_DUPLICATES, NULL);
    vault_plain_free(&plain);
    if (hash)
        SHA256(row->record, row->record_len, hash);
    return json_is_object(*out) ? KW_OK : KW_E_INTEGRITY;
}

json_t *vault_doc_bytes(struct kw_span bytes)
{
    char *text = malloc(gw_b64_encoded_len(bytes.len) + 1);
    if (!text)
        return NULL;
    size_t len = gw_b64_encode(text, bytes.data, bytes.len);
    json_t *value = json_stringn(text, len);
    free(text);
    return value;
}

bool vault_doc_take_bytes(const json_t *value, size_t max, uint8_t **out, size_t *len)
{
    size_t text_len = json_string_length(value);
    uint8_t *bytes = json_is_string(value) ? malloc(gw_b64_decoded_room(text_len)) : NULL;
    if (!bytes)
        return false;
    if (!gw_b64_decode(bytes, len, json_string_value(value), text_len) || *len > max) {
        free(bytes);
        return false;
    }
    *out = bytes;
    return true;
}

/* --- as objects of pages --- */

static kw_status open_row(const struct vault_kind *kind, struct vault *vault,
                          const char *vault_name, const struct store_row *row,
                          struct vault_object **out)
{
    struct vault_doc *doc =
        (struct vault_doc *)vault_object_new(kind, vault_name, row->name, row->version);
    if (!doc)
        return KW_E_NOMEM;
    kw_status status = vault_doc_open(vault, kind->store, vault_name, row, &doc->json, NULL);
    if (status != KW_OK) {
        vault_object_unref(&doc->object);
        return status;
    }
    doc->deleted_at = row->deleted_at;
    doc->purge_at = row->purge_at;
    *out = &doc->object;
    return KW_OK;
}

static kw_status open_pending(struct vault *vault, const char *vault_name,
                              const struct store_row *row, bool usable, struct vault_object **out)
{
    (void)usable;
    return open_row(&vault_pending_kind, vault, vault_name, row, out);
}

static kw_status open_issuer(struct vault *vault, const char *vault_name,
                             const struct store_row *row, bool usable, struct vault_object **out)
{
    (void)usable;
    return open_row(&vault_issuer_kind, vault, vault_name, row, out);
}

static void clear(struct vault_object *object)
{
    json_decref(((struct vault_doc *)object)->json);
}

typedef void page_fn(void *ctx, kw_status status, struct vault_object *const *objects, size_t count,
                     bool more);

static void answer_page(vault_any_fn *done, void *ctx, kw_status status,
                        struct vault_object *const *objects, size_t count, bool more)
{
    ((page_fn *)done)(ctx, status, objects, count, more);
}

const struct vault_kind vault_pending_kind = {.store = STORE_PENDING,
                                              .size = sizeof(struct vault_doc),
                                              .open = open_pending,
                                              .clear = clear,
                                              .answer_page = answer_page};
const struct vault_kind vault_issuer_kind = {.store = STORE_ISSUER,
                                             .size = sizeof(struct vault_doc),
                                             .open = open_issuer,
                                             .clear = clear,
                                             .answer_page = answer_page};

/* --- one document --- */

struct work {
    struct vault_doc_call call; /* its strings are the copies below */
    char vault_name[STORE_VAULT_MAX + 1];
    char name[STORE_NAME_MAX + 1];
    vault_doc_change_fn *change; /* NULL: only read */
    void *change_ctx;
    unsigned tries;
    json_t *old, *new;
    uint8_t hash[VAULT_DOC_HASH];
};

static void end(struct work *work, kw_status status, const char *why)
{
    const json_t *json = work->new ? work->new : work->old;
    work->call.done(work->call.ctx, status, status == KW_OK ? json : NULL, why);
    json_decref(work->old);
    json_decref(work->new);
    free(work);
}

static struct store_ref ref_of(const struct work *work)
{
    return (struct store_ref){.vault = work->vault_name,
                              .kind = work->call.kind,
                              .name = work->name,
                              .version = VAULT_DOC_VERSION};
}

static void read_it(struct work *work);

static void on_written(void *ctx, struct store_result *result)
{
    struct work *work = ctx;
    bool other = result->status == KW_E_CONFLICT || result->status == KW_E_NOT_FOUND;
    bool deleted = result->conflict == STORE_CONFLICT_DELETED;
    if (!other || deleted || ++work->tries == TRIES_MAX) {
        end(work, other && !deleted ? KW_E_BUSY : result->status, NULL);
        return;
    }
    json_decref(work->old);
    json_decref(work->new);
    work->old = work->new = NULL;
    read_it(work);
}

static kw_status write_it(struct work *work)
{
    struct vault *vault = work->call.vault;
    struct store_change change = {.ref = ref_of(work), .created = kw_wall_s()};
    uint8_t *record = NULL;
    size_t len = 0;
    if (work->new) {
        KW_TRY(vault_doc_seal(vault, &change.ref, work->new, &record, &len));
        change.op = work->old ? STORE_CHANGE_UPDATE : STORE_CHANGE_ADD;
        change.record = kw_span_of(record, len);
        if (work->old)
            change.expected = kw_span_of(work->hash, sizeof work->hash);
    } else {
        change.op = STORE_CHANGE_REMOVE;
    }
    store_apply(vault->store, work->call.loop, &change, 1, on_written, work);
    free(record);
    return KW_OK;
}

static void on_read(void *ctx, struct store_result *result)
{
    struct work *work = ctx;
    const char *why = NULL;
    kw_status status = result->status;
    if (status == KW_OK)
        status = vault_doc_open(work->call.vault, work->call.kind, work->vault_name,
                                &result->rows[0], &work->old, work->hash);
    else if (status == KW_E_NOT_FOUND && work->change)
        status = KW_OK;
    if (status == KW_OK && work->change) {
        status = work->change(work->change_ctx, work->old, &work->new, &why);
        if (status == KW_OK) {
            status = write_it(work);
            if (status == KW_OK)
                return;
        }
    }
    end(work, status, why);
}

static void read_it(struct work *work)
{
    struct store_ref ref = ref_of(work);
    store_get(work->call.vault->store, work->call.loop, &ref, on_read, work);
}

static void start(const struct vault_doc_call *call, vault_doc_change_fn *change, void *change_ctx)
{
    bool fits = strlen(call->vault_name) <= STORE_VAULT_MAX && strlen(call->name) <= STORE_NAME_MAX;
    struct work *work = fits ? calloc(1, sizeof *work) : NULL;
    if (!work) {
        call->done(call->ctx, fits ? KW_E_NOMEM : KW_E_INPUT, NULL, NULL);
        return;
    }
    work->call = *call;
    memcpy(work->vault_name, call->vault_name, strlen(call->vault_name) + 1);
    memcpy(work->name, call->name, strlen(call->name) + 1);
    work->change = change;
    work->change_ctx = change_ctx;
    read_it(work);
}

void vault_doc_get(const struct vault_doc_call *call)
{
    start(call, NULL, NULL);
}

void vault_doc_update(const struct vault_doc_call *call, vault_doc_change_fn *change,
                      void *change_ctx)
{
    start(call, change, change_ctx);
}
