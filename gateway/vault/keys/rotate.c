/* Rotation policies asked for and changed, and keys rotated on request. */

#include <openssl/sha.h>
#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/vault/keys/rotation.h"
#include "gateway/vault/vault.h"

#define TRIES_MAX 8

struct call {
    struct vault *vault;
    struct gw_loop *loop;
    vault_rotation_fn *done;
    void *ctx;
    bool sets;
    unsigned tries;
    struct vault_rotation_change change;
    struct vault_rotation_policy policy; /* as it is, then as it will be */
    char vault_name[STORE_VAULT_MAX + 1];
    char name[STORE_NAME_MAX + 1];
};

static void call_end(struct call *call, kw_status status, const char *why)
{
    call->done(call->ctx, status, status == KW_OK ? &call->policy : NULL, why);
    free(call);
}

static struct store_ref ref_of(const struct call *call, enum store_kind kind)
{
    return (struct store_ref){.vault = call->vault_name, .kind = kind, .name = call->name};
}

static void read_key(struct call *call);

static void on_set(void *ctx, struct store_result *result)
{
    struct call *call = ctx;
    bool again = result->status == KW_E_CONFLICT || result->status == KW_E_NOT_FOUND;
    if (again && ++call->tries < TRIES_MAX)
        read_key(call);
    else
        call_end(call, result->status == KW_E_CONFLICT ? KW_E_BUSY : result->status, NULL);
}

static void merge(struct call *call)
{
    const struct vault_rotation_change *change = &call->change;
    struct vault_rotation_policy *p = &call->policy;
    if (change->has_expiry)
        p->expiry = change->values.expiry;
    if (change->has_actions) {
        p->rotate_after_create = change->values.rotate_after_create;
        p->rotate_before_expiry = change->values.rotate_before_expiry;
        p->notify_before_expiry = change->values.notify_before_expiry;
        p->notified[0] = '\0';
    }
    p->updated = kw_wall_s();
    if (p->created == 0)
        p->created = p->updated;
}

/** `row` is the policy as it was read; NULL: the key has none. */
static kw_status store_policy(struct call *call, const struct store_row *row)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    uint8_t *record = NULL;
    size_t record_len = 0;
    KW_TRY(vault_rotation_seal(call->vault->domain, call->vault_name, call->name, &call->policy,
                               &record, &record_len));
    struct store_change changes[] = {
        {.op = STORE_CHANGE_NEED, .ref = ref_of(call, STORE_KEY)},
        {.op = row ? STORE_CHANGE_UPDATE : STORE_CHANGE_ADD,
         .ref = ref_of(call, STORE_KEY_POLICY),
         .created = call->policy.created,
         .record = kw_span_of(record, record_len),
         .sets_wake = true, /* the scheduler finds out when it is due */
         .wake_at = call->policy.updated},
    };
    changes[1].ref.version = VAULT_ROTATION_VERSION;
    if (row) {
        SHA256(row->record, row->record_len, hash);
        changes[1].expected = kw_span_of(hash, sizeof hash);
    }
    store_apply(call->vault->store, call->loop, changes, 2, on_set, call);
    free(record);
    return KW_OK;
}

static void on_policy(void *ctx, struct store_result *result)
{
    struct call *call = ctx;
    const char *why = NULL;
    const struct store_row *row = result->status == KW_OK ? &result->rows[0] : NULL;
    kw_status status = result->status == KW_E_NOT_FOUND ? KW_OK : result->status;
    call->policy = (struct vault_rotation_policy){0};
    if (row)
        status = vault_rotation_open(call->vault->domain, row, &call->policy);
    if (status == KW_OK && call->sets) {
        merge(call);
        status = vault_rotation_check(&call->policy, &why);
        if (status == KW_OK)
            status = store_policy(call, row);
        if (status == KW_OK)
            return;
    }
    call_end(call, status, why);
}

static void on_key(void *ctx, struct store_result *result)
{
    struct call *call = ctx;
    if (result->status != KW_OK) {
        call_end(call, result->status, NULL);
        return;
    }
    struct store_ref ref = ref_of(call, STORE_KEY_POLICY);
    store_get(call->vault->store, call->loop, &ref, on_policy, call);
}

static void read_key(struct call *call)
{
    struct store_ref ref = ref_of(call, STORE_KEY);
    store_get(call->vault->store, call->loop, &ref, on_key, call);
}

static struct call *call_new(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                             struct kw_span name, vault_rotation_fn *done, void *ctx)
{
    size_t vault_len = strlen(vault_name);
    bool fits = vault_len <= STORE_VAULT_MAX && name.len > 0 && name.len <= STORE_NAME_MAX;
    struct call *call = fits ? calloc(1, sizeof *call) : NULL;
    if (!call) {
        done(ctx, fits ? KW_E_NOMEM : KW_E_INPUT, NULL, NULL);
        return NULL;
    }
    call->vault = vault;
    call->loop = loop;
    call->done = done;
    call->ctx = ctx;
    memcpy(call->vault_name, vault_name, vault_len);
    memcpy(call->name, name.data, name.len);
    return call;
}

void vault_rotation_get(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                        struct kw_span name, vault_rotation_fn *done, void *ctx)
{
    struct call *call = call_new(vault, loop, vault_name, name, done, ctx);
    if (call)
        read_key(call);
}

void vault_rotation_set(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                        struct kw_span name, const struct vault_rotation_change *change,
                        vault_rotation_fn *done, void *ctx)
{
    struct call *call = call_new(vault, loop, vault_name, name, done, ctx);
    if (!call)
        return;
    call->sets = true;
    call->change = *change;
    read_key(call);
}

/* --- a rotation on request --- */

void vault_rotation_request(struct vault_key_request *out, const struct vault_key *newest,
                            const struct vault_rotation_policy *policy, int64_t now)
{
    const struct kc_public *pub = pool_key_public(newest->key);
    *out = (struct vault_key_request){
        .vault = newest->vault,
        .name = newest->name,
        .kty = pub->kty,
        .curve = pub->curve,
        .bits = pub->bits,
        .hsm = newest->hsm,
        .ops = newest->ops,
        .op_import = newest->op_import,
        .op_export = newest->op_export,
        .attributes = {.enabled = true, .exportable = newest->attributes.exportable},
        .tags = newest->tags,
        .tag_count = newest->tag_count,
    };
    for (size_t i = 0; i < pub->e_len && i < sizeof out->exponent; i++)
        out->exponent = out->exponent << 8 | pub->e[i];
    if (policy->expiry.text[0])
        out->attributes.exp = vault_duration_add(now, &policy->expiry, 1);
}

struct rotation {
    struct vault *vault;
    struct gw_loop *loop;
    vault_key_fn *done;
    void *ctx;
    struct vault_rotation_policy policy;
    char vault_name[STORE_VAULT_MAX + 1];
    char name[STORE_NAME_MAX + 1];
};

static void rotation_end(struct rotation *r, kw_status status)
{
    r->done(r->ctx, status, NULL);
    free(r);
}

static void on_newest(void *ctx, kw_status status, struct vault_key *key)
{
    struct rotation *r = ctx;
    struct vault_key_request request;
    if (status != KW_OK) {
        rotation_end(r, status);
        return;
    }
    vault_rotation_request(&request, key, &r->policy, kw_wall_s());
    vault_key_create(r->vault, r->loop, &request, r->done, r->ctx);
    free(r);
}

static void on_rotation_policy(void *ctx, kw_status status,
                               const struct vault_rotation_policy *policy, const char *why)
{
    struct rotation *r = ctx;
    (void)why;
    if (status != KW_OK) {
        rotation_end(r, status);
        return;
    }
    r->policy = *policy;
    vault_key_get(r->vault, r->loop, r->vault_name, kw_span_str(r->name), (struct kw_span){0},
                  on_newest, r);
}

void vault_key_rotate(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                      struct kw_span name, vault_key_fn *done, void *ctx)
{
    size_t vault_len = strlen(vault_name);
    bool fits = vault_len <= STORE_VAULT_MAX && name.len > 0 && name.len <= STORE_NAME_MAX;
    struct rotation *r = fits ? calloc(1, sizeof *r) : NULL;
    if (!r) {
        done(ctx, fits ? KW_E_NOMEM : KW_E_INPUT, NULL);
        return;
    }
    *r = (struct rotation){.vault = vault, .loop = loop, .done = done, .ctx = ctx};
    memcpy(r->vault_name, vault_name, vault_len);
    memcpy(r->name, name.data, name.len);
    vault_rotation_get(vault, loop, vault_name, name, on_rotation_policy, r);
}
