/* The roles of a vault from the store, and the times when nobody may change them. */

#include <stdlib.h>
#include <strings.h>

#include "gateway/vault/certificates/doc.h"
#include "gateway/vault/roles/internal.h"
#include "gateway/vault/vault.h"

#define SLICE 250

/* Definitions come before the assignments that name them. */
static const enum store_kind kinds[] = {STORE_ROLE, STORE_ROLE_ASSIGNMENT, STORE_SETTING};
#define KINDS (sizeof kinds / sizeof kinds[0])

struct load {
    struct roles_turn turn;
    struct vault_roles *roles;
    struct roles_model *model;
    size_t kind; /* index of the one that is read */
    char after[STORE_NAME_MAX + 1];
    vault_roles_done_fn *done;
    void *ctx;
};

static void end(struct load *load, kw_status status)
{
    struct vault_roles *roles = load->roles;
    struct roles_model *old = roles->model;
    pthread_rwlock_wrlock(&roles->lock);
    roles->model = status == KW_OK ? load->model : NULL;
    pthread_rwlock_unlock(&roles->lock);
    roles_model_destroy(old);
    if (status != KW_OK)
        roles_model_destroy(load->model);
    load->done(load->ctx, status);
    free(load);
    roles_leave(roles);
}

static kw_status take_role(struct load *load, const uint8_t id[GW_GUID_LEN], json_t *doc)
{
    struct vault_role *role = NULL;
    KW_TRY(roles_model_reserve(load->model, (struct role_scope){.level = ROLE_AT_ROOT}));
    KW_TRY(vault_role_make(&role, id, doc));
    roles_model_put_role(load->model, role);
    return KW_OK;
}

static kw_status take_assignment(struct load *load, const uint8_t id[GW_GUID_LEN],
                                 const json_t *doc)
{
    struct vault_assignment *assignment = NULL;
    KW_TRY(vault_assignment_read(&assignment, id, doc));
    kw_status status = roles_model_reserve(load->model, assignment->scope);
    if (status == KW_OK)
        roles_model_put_assignment(load->model, assignment);
    else
        vault_assignment_free(assignment);
    return status;
}

/* Settings of another name are a newer version's. */
static void take_setting(struct load *load, const char *name, const json_t *doc)
{
    const char *value = json_string_value(json_object_get(doc, "value"));
    if (strcasecmp(name, VAULT_SETTING_ARM) == 0)
        roles_model_set(load->model, value && strcmp(value, "true") == 0);
}

static kw_status take_row(struct load *load, const struct store_row *row)
{
    struct vault_roles *roles = load->roles;
    uint8_t id[GW_GUID_LEN];
    json_t *doc = NULL;
    kw_status status = vault_doc_open(roles->vault, row->kind, row->vault, row, &doc, NULL);
    if (status == KW_OK && row->kind == STORE_SETTING)
        take_setting(load, row->name, doc);
    else if (status == KW_OK && !gw_guid_read(id, kw_span_str(row->name)))
        status = KW_E_INTEGRITY;
    else if (status == KW_OK && row->kind == STORE_ROLE)
        status = take_role(load, id, doc);
    else if (status == KW_OK)
        status = take_assignment(load, id, doc);
    json_decref(doc);
    return status;
}

static void read_slice(struct load *load);

static void on_slice(void *ctx, struct store_result *result)
{
    struct load *load = ctx;
    kw_status status = result->status;
    for (size_t i = 0; status == KW_OK && i < result->row_count; i++)
        status = take_row(load, &result->rows[i]);
    if (status != KW_OK) {
        end(load, status);
        return;
    }
    if (result->more && result->row_count > 0) {
        memcpy(load->after, result->rows[result->row_count - 1].name, sizeof load->after);
    } else {
        load->kind++;
        load->after[0] = '\0';
    }
    if (load->kind < KINDS)
        read_slice(load);
    else
        end(load, KW_OK);
}

static void read_slice(struct load *load)
{
    struct vault_roles *roles = load->roles;
    store_list(roles->vault->store, load->turn.loop, roles->name, kinds[load->kind], false,
               load->after[0] ? load->after : NULL, SLICE, on_slice, load);
}

static struct load *make(struct vault_roles *roles, struct gw_loop *loop, vault_roles_done_fn *done,
                         void *ctx)
{
    struct load *load = calloc(1, sizeof *load);
    if (!load)
        return NULL;
    load->turn.loop = loop;
    load->roles = roles;
    load->done = done;
    load->ctx = ctx;
    return load;
}

static void begin(struct load *load)
{
    load->model = roles_model_create();
    if (load->model)
        read_slice(load);
    else
        end(load, KW_E_NOMEM);
}

void roles_read(struct vault_roles *roles, struct gw_loop *loop, vault_roles_done_fn *done,
                void *ctx)
{
    struct load *load = make(roles, loop, done, ctx);
    if (load) {
        begin(load);
        return;
    }
    pthread_rwlock_wrlock(&roles->lock);
    roles_model_destroy(roles->model);
    roles->model = NULL;
    pthread_rwlock_unlock(&roles->lock);
    done(ctx, KW_E_NOMEM);
    roles_leave(roles);
}

/* Somebody else may have read them while it waited. */
static void load_turn(struct roles_turn *turn)
{
    struct load *load = (struct load *)turn;
    struct vault_roles *roles = load->roles;
    if (!roles->model) {
        begin(load);
        return;
    }
    load->done(load->ctx, KW_OK);
    free(load);
    roles_leave(roles);
}

void vault_roles_load(struct vault_roles *roles, struct gw_loop *loop, vault_roles_done_fn *done,
                      void *ctx)
{
    pthread_rwlock_rdlock(&roles->lock);
    bool loaded = roles->model != NULL;
    pthread_rwlock_unlock(&roles->lock);
    struct load *load = loaded ? NULL : make(roles, loop, done, ctx);
    if (!load) {
        done(ctx, loaded ? KW_OK : KW_E_NOMEM);
        return;
    }
    load->turn.run = load_turn;
    roles_enter(roles, &load->turn);
}

static void on_prompted(void *ctx, kw_status status)
{
    struct vault_roles *roles = ctx;
    (void)status;
    atomic_store(&roles->prompted, false);
}

void vault_roles_prompt(struct vault_roles *roles, struct gw_loop *loop)
{
    if (!atomic_exchange(&roles->prompted, true))
        vault_roles_load(roles, loop, on_prompted, roles);
}

/* --- keeping changes out --- */

static void hold_turn(struct roles_turn *turn)
{
    struct load *hold = (struct load *)turn;
    hold->done(hold->ctx, KW_OK);
    free(hold);
}

void vault_roles_hold(struct vault_roles *roles, struct gw_loop *loop, vault_roles_done_fn *done,
                      void *ctx)
{
    struct load *hold = make(roles, loop, done, ctx);
    if (!hold) {
        done(ctx, KW_E_NOMEM);
        return;
    }
    hold->turn.run = hold_turn;
    roles_enter(roles, &hold->turn);
}

void vault_roles_release(struct vault_roles *roles, struct gw_loop *loop, vault_roles_done_fn *done,
                         void *ctx)
{
    roles_read(roles, loop, done, ctx);
}
