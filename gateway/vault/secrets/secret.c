#include "gateway/vault/secrets/secret.h"

#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/vault/vault.h"

static struct vault_secret *of(struct vault_object *object)
{
    return (struct vault_secret *)object;
}

/* --- the value --- */

#define PLACE_LEN (7 + STORE_VERSION_LEN)

/** A value is bound to its version, whose id is drawn at random and is never used again; the record
 *  around it binds it to vault and name. */
static struct kw_span place_of(uint8_t place[PLACE_LEN], const struct vault_secret *secret)
{
    memcpy(place, "value\0\0", 7);
    memcpy(place + 7, secret->version, STORE_VERSION_LEN);
    return kw_span_of(place, PLACE_LEN);
}

static kw_status seal_value(const struct kc_domain *domain, struct vault_secret *secret,
                            struct kw_span value)
{
    uint8_t place[PLACE_LEN];
    size_t room = value.len + KC_SEAL_OVERHEAD;
    struct kw_buf blob = {.data = malloc(room), .cap = room};
    if (!blob.data)
        return KW_E_NOMEM;
    secret->blob = blob.data;
    KW_TRY(kc_seal(domain, place_of(place, secret), value, &blob));
    secret->blob_len = blob.len;
    return KW_OK;
}

kw_status vault_secret_value(struct vault *vault, const struct vault_secret *secret,
                             struct kw_buf *out)
{
    uint8_t place[PLACE_LEN];
    return kc_open(vault->domain, place_of(place, secret),
                   kw_span_of(secret->blob, secret->blob_len), out);
}

kw_status vault_secret_permits_get(const struct vault_secret *secret, int64_t wall_s,
                                   const char **why)
{
    const struct vault_attributes *a = &secret->attributes;
    *why = NULL;
    if (!a->enabled)
        *why = "SecretDisabled";
    else if (a->nbf != 0 && wall_s < a->nbf - VAULT_CLOCK_LEEWAY_S)
        *why = "SecretNotYetValid";
    return *why ? KW_E_FORBIDDEN : KW_OK;
}

/* --- the object --- */

static kw_status set_content_type(struct vault_secret *secret, struct kw_span text)
{
    char *copy = NULL;
    if (text.len > VAULT_CONTENT_TYPE_MAX)
        return KW_E_INPUT;
    if (text.len > 0) {
        copy = malloc(text.len + 1);
        if (!copy)
            return KW_E_NOMEM;
        memcpy(copy, text.data, text.len);
        copy[text.len] = '\0';
    }
    free(secret->content_type);
    secret->content_type = copy;
    secret->content_type_len = text.len;
    return KW_OK;
}

static kw_status new_version(char out[STORE_VERSION_LEN + 1])
{
    uint8_t id[KW_KEY_ID_LEN];
    KW_TRY(kw_random(id, sizeof id));
    vault_version_text(out, id);
    return KW_OK;
}

static kw_status fill(struct vault_secret *secret, const struct kc_domain *domain,
                      const struct vault_secret_request *req)
{
    struct vault_attributes *a = &secret->attributes;
    secret->managed = req->managed;
    if (req->previous && strlen(req->previous) == STORE_VERSION_LEN)
        memcpy(secret->previous, req->previous, sizeof secret->previous);
    *a = req->attributes;
    a->exportable = false;
    if (a->created == 0)
        a->created = kw_wall_s();
    if (a->updated == 0)
        a->updated = a->created;
    KW_TRY(set_content_type(secret, req->content_type));
    KW_TRY(vault_object_set_tags(&secret->object, req->tags, req->tag_count));
    return seal_value(domain, secret, req->value);
}

kw_status vault_secret_make(struct vault_secret **out, const struct kc_domain *domain,
                            const struct vault_secret_request *req)
{
    char version[STORE_VERSION_LEN + 1];
    if (req->value.len > VAULT_SECRET_MAX)
        return KW_E_INPUT;
    if (!req->version)
        KW_TRY(new_version(version));
    else if (strlen(req->version) == STORE_VERSION_LEN)
        memcpy(version, req->version, sizeof version);
    else
        return KW_E_INPUT;
    struct vault_secret *secret =
        of(vault_object_new(&vault_secret_kind, req->vault, req->name, version));
    if (!secret)
        return KW_E_NOMEM;
    kw_status status = fill(secret, domain, req);
    if (status != KW_OK) {
        vault_object_unref(&secret->object);
        return status;
    }
    *out = secret;
    return KW_OK;
}

/* --- the kind --- */

static kw_status open_row(struct vault *vault, const char *vault_name, const struct store_row *row,
                          bool usable, struct vault_object **out)
{
    struct vault_secret *secret = NULL;
    (void)usable;
    KW_TRY(vault_secret_record_open(vault->domain, vault_name, row, &secret));
    *out = &secret->object;
    return KW_OK;
}

static kw_status seal(struct vault *vault, const struct vault_object *object, uint8_t **out,
                      size_t *out_len)
{
    return vault_secret_record_seal(vault->domain, (const struct vault_secret *)object, out,
                                    out_len);
}

static void clear(struct vault_object *object)
{
    struct vault_secret *secret = of(object);
    free(secret->content_type);
    free(secret->blob);
}

static void answer(vault_any_fn *done, void *ctx, kw_status status, struct vault_object *object)
{
    ((vault_secret_fn *)done)(ctx, status, of(object));
}

static void answer_page(vault_any_fn *done, void *ctx, kw_status status,
                        struct vault_object *const *objects, size_t count, bool more)
{
    ((vault_secret_page_fn *)done)(ctx, status, (struct vault_secret *const *)objects, count, more);
}

const struct vault_kind vault_secret_kind = {
    .store = STORE_SECRET,
    .size = sizeof(struct vault_secret),
    .open = open_row,
    .seal = seal,
    .clear = clear,
    .answer = answer,
    .answer_page = answer_page,
};

/* --- the calls --- */

#define CALL(...) VAULT_CALL(&vault_secret_kind, __VA_ARGS__)
#define PAGE(...) VAULT_PAGE_CALL(&vault_secret_kind, __VA_ARGS__)

void vault_secret_set(struct vault *vault, struct gw_loop *loop,
                      const struct vault_secret_request *req, vault_secret_fn *done, void *ctx)
{
    const char *vault_name = req->vault;
    struct kw_span name = kw_span_str(req->name);
    struct vault_secret *secret = NULL;
    struct vault_job *job = vault_job_create(sizeof *job, &CALL());
    if (!job)
        return;
    kw_status status = vault_secret_make(&secret, vault->domain, req);
    if (status == KW_OK)
        vault_job_put(job, &secret->object);
    else
        vault_job_end(job, status, NULL);
}

void vault_secret_get(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                      struct kw_span name, struct kw_span version, vault_secret_fn *done, void *ctx)
{
    vault_object_get(&CALL(.version = version));
}

struct more {
    bool has_content_type;
    size_t len;
    uint8_t content_type[VAULT_CONTENT_TYPE_MAX];
};

static kw_status apply(struct vault_object *object, const void *ctx)
{
    const struct more *more = ctx;
    if (!more->has_content_type)
        return KW_OK;
    return set_content_type(of(object), kw_span_of(more->content_type, more->len));
}

void vault_secret_update(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                         struct kw_span name, struct kw_span version,
                         const struct vault_secret_change *change, vault_secret_fn *done, void *ctx)
{
    struct more more = {.has_content_type = change->has_content_type};
    struct kw_span text = change->content_type;
    if (text.len > sizeof more.content_type) {
        done(ctx, KW_E_INPUT, NULL);
        return;
    }
    if (text.len > 0)
        memcpy(more.content_type, text.data, text.len);
    more.len = text.len;
    vault_object_update(&CALL(.version = version), &change->common, apply, &more, sizeof more);
}

void vault_secret_delete(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                         struct kw_span name, unsigned retention_days, vault_secret_fn *done,
                         void *ctx)
{
    vault_object_delete(&CALL(.retention_days = retention_days));
}

void vault_secret_get_deleted(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                              struct kw_span name, vault_secret_fn *done, void *ctx)
{
    vault_object_get_deleted(&CALL());
}

void vault_secret_recover(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                          struct kw_span name, vault_secret_fn *done, void *ctx)
{
    vault_object_recover(&CALL());
}

void vault_secret_purge(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                        struct kw_span name, vault_secret_fn *done, void *ctx)
{
    vault_object_purge(&CALL());
}

void vault_secret_list(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                       bool deleted, const char *after, unsigned limit, vault_secret_page_fn *done,
                       void *ctx)
{
    vault_object_list(&PAGE(.deleted = deleted));
}

void vault_secret_versions(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                           struct kw_span name, const char *after, unsigned limit,
                           vault_secret_page_fn *done, void *ctx)
{
    vault_object_versions(&PAGE(), name);
}
