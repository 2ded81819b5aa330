/* Changes of roles, assignments and settings: checked, stored, published, answered; one at a time.
 */

#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/vault/certificates/doc.h"
#include "gateway/vault/roles/internal.h"
#include "gateway/vault/vault.h"

enum change_what { PUT_ROLE, DELETE_ROLE, ASSIGN, UNASSIGN, SET };

struct change {
    struct roles_turn turn;
    struct vault_roles *roles;
    enum change_what what;
    struct vault_role *role;             /* PUT_ROLE */
    struct vault_assignment *assignment; /* ASSIGN */
    uint8_t id[GW_GUID_LEN];
    char scope[ROLE_SCOPE_MAX + 1]; /* UNASSIGN */
    bool value;                     /* SET */
    vault_roles_change_fn *done;
    void *ctx;
};

static void end(struct change *change, kw_status status, enum vault_roles_why why,
                struct kw_span text)
{
    struct vault_roles *roles = change->roles;
    change->done(change->ctx, status, why, text);
    vault_role_free(change->role);
    vault_assignment_free(change->assignment);
    free(change);
    roles_leave(roles);
}

static void refuse(struct change *change, kw_status status, enum vault_roles_why why)
{
    end(change, status, why, (struct kw_span){0});
}

/* --- may it be? --- */

static enum vault_roles_why check_role(const struct change *change, const struct roles_model *model)
{
    const struct vault_role *old = roles_model_role(model, change->id);
    if (old && old->builtin)
        return VAULT_ROLES_WHY_BUILTIN;
    if (change->what == DELETE_ROLE)
        return !old                                      ? VAULT_ROLES_WHY_NO_ROLE
               : roles_model_assigned(model, change->id) ? VAULT_ROLES_WHY_ASSIGNED
                                                         : VAULT_ROLES_WHY_STATUS;
    if (roles_model_role_named(model, change->role->name, change->id))
        return VAULT_ROLES_WHY_NAME_TAKEN;
    if (!old && roles_model_custom_count(model) >= VAULT_ROLES_CUSTOM_MAX)
        return VAULT_ROLES_WHY_ROLE_LIMIT;
    return VAULT_ROLES_WHY_STATUS;
}

static enum vault_roles_why check_assign(const struct change *change,
                                         const struct roles_model *model)
{
    const struct vault_assignment *a = change->assignment;
    const struct vault_role *role = roles_model_role(model, a->role);
    size_t max = a->scope.level == ROLE_AT_KEY ? VAULT_ROLES_KEY_MAX : VAULT_ROLES_WIDE_MAX;
    if (!role)
        return VAULT_ROLES_WHY_NO_ROLE;
    if (roles_model_assignment(model, a->id))
        return VAULT_ROLES_WHY_ID_TAKEN;
    if (a->scope.level == ROLE_AT_ROOT && !role->at_root)
        return VAULT_ROLES_WHY_NOT_ASSIGNABLE;
    if (roles_model_same(model, a))
        return VAULT_ROLES_WHY_ASSIGNMENT_EXISTS;
    if (roles_model_count_at(model, a->scope) >= max)
        return VAULT_ROLES_WHY_ASSIGNMENT_LIMIT;
    return VAULT_ROLES_WHY_STATUS;
}

static enum vault_roles_why check_unassign(const struct change *change,
                                           const struct roles_model *model)
{
    const struct vault_assignment *a = roles_model_assignment(model, change->id);
    struct role_scope scope;
    bool is = a && role_scope_read(&scope, kw_span_str(change->scope)) &&
              role_scope_within(scope, a->scope);
    return is ? VAULT_ROLES_WHY_STATUS : VAULT_ROLES_WHY_NO_ASSIGNMENT;
}

static enum vault_roles_why check(const struct change *change)
{
    const struct roles_model *model = change->roles->model;
    switch (change->what) {
    case PUT_ROLE:
    case DELETE_ROLE:
        return check_role(change, model);
    case ASSIGN:
        return check_assign(change, model);
    case UNASSIGN:
        return check_unassign(change, model);
    case SET:
        break;
    }
    return VAULT_ROLES_WHY_STATUS;
}

/* --- the way into the store --- */

/** What is there already, in these very words: a request that came twice. */
static const struct vault_assignment *repeated(const struct change *change)
{
    const struct vault_assignment *a = change->assignment;
    const struct vault_assignment *old =
        change->what == ASSIGN ? roles_model_assignment(change->roles->model, a->id) : NULL;
    bool same = old && memcmp(old->principal, a->principal, GW_GUID_LEN) == 0 &&
                memcmp(old->role, a->role, GW_GUID_LEN) == 0 &&
                role_scope_equal(old->scope, a->scope);
    return same ? old : NULL;
}

static void publish(struct change *change)
{
    struct roles_model *model = change->roles->model;
    struct kw_span text = {0};
    pthread_rwlock_wrlock(&change->roles->lock);
    if (change->what == PUT_ROLE) {
        text = kw_span_of(change->role->text, change->role->text_len);
        roles_model_put_role(model, change->role);
    } else if (change->what == ASSIGN) {
        text = kw_span_of(change->assignment->text, change->assignment->text_len);
        roles_model_put_assignment(model, change->assignment);
    } else if (change->what == SET) {
        roles_model_set(model, change->value);
    }
    change->role = NULL;
    change->assignment = NULL;
    if (change->what == DELETE_ROLE) {
        change->role = roles_model_take_role(model, change->id);
        text = kw_span_of(change->role->text, change->role->text_len);
    } else if (change->what == UNASSIGN) {
        change->assignment = roles_model_take_assignment(model, change->id);
        text = kw_span_of(change->assignment->text, change->assignment->text_len);
    }
    pthread_rwlock_unlock(&change->roles->lock);
    /* with the turn still taken nobody removes what the text belongs to */
    end(change, KW_OK, VAULT_ROLES_WHY_STATUS, text);
}

static void on_stored(void *ctx, struct store_result *result)
{
    struct change *change = ctx;
    if (result->status == KW_OK)
        publish(change);
    else
        refuse(change, result->status, VAULT_ROLES_WHY_STATUS);
}

static json_t *doc_of(const struct change *change)
{
    switch (change->what) {
    case PUT_ROLE:
        return json_incref(change->role->doc);
    case ASSIGN:
        return vault_assignment_doc(change->assignment);
    case SET:
        return json_pack("{s:s}", "value", change->value ? "true" : "false");
    default:
        return NULL;
    }
}

/** What was there goes and what is new comes, in one transaction: right also when memory and store
 *  differ after a write of which it is not known what came of it. */
static kw_status store(struct change *change)
{
    static const enum store_kind kinds[] = {[PUT_ROLE] = STORE_ROLE,
                                            [DELETE_ROLE] = STORE_ROLE,
                                            [ASSIGN] = STORE_ROLE_ASSIGNMENT,
                                            [UNASSIGN] = STORE_ROLE_ASSIGNMENT,
                                            [SET] = STORE_SETTING};
    struct vault *vault = change->roles->vault;
    char guid[GW_GUID_TEXT + 1];
    uint8_t *record = NULL;
    size_t len = 0, count = 1;
    gw_guid_write(guid, change->id);
    const struct store_ref ref = {.vault = change->roles->name,
                                  .kind = kinds[change->what],
                                  .name = change->what == SET ? VAULT_SETTING_ARM : guid,
                                  .version = VAULT_DOC_VERSION};
    struct store_change changes[2] = {{.op = STORE_CHANGE_REMOVE, .ref = ref, .optional = true}};
    if (change->what != DELETE_ROLE && change->what != UNASSIGN) {
        json_t *doc = doc_of(change);
        kw_status status = doc ? vault_doc_seal(vault, &ref, doc, &record, &len) : KW_E_NOMEM;
        json_decref(doc);
        KW_TRY(status);
        changes[count++] = (struct store_change){.op = STORE_CHANGE_ADD,
                                                 .ref = ref,
                                                 .created = kw_wall_s(),
                                                 .record = kw_span_of(record, len)};
    }
    store_apply(vault->store, change->turn.loop, changes, count, on_stored, change);
    free(record);
    return KW_OK;
}

static kw_status reserve(struct change *change)
{
    struct role_scope scope = {.level = ROLE_AT_ROOT};
    if (change->what == ASSIGN)
        scope = change->assignment->scope;
    pthread_rwlock_wrlock(&change->roles->lock);
    kw_status status = roles_model_reserve(change->roles->model, scope);
    pthread_rwlock_unlock(&change->roles->lock);
    return status;
}

static void run(struct roles_turn *turn)
{
    struct change *change = (struct change *)turn;
    if (!change->roles->model) {
        refuse(change, KW_E_UNAVAILABLE, VAULT_ROLES_WHY_STATUS);
        return;
    }
    const struct vault_assignment *same = repeated(change);
    if (same) {
        end(change, KW_OK, VAULT_ROLES_WHY_STATUS, kw_span_of(same->text, same->text_len));
        return;
    }
    enum vault_roles_why why = check(change);
    if (why != VAULT_ROLES_WHY_STATUS) {
        refuse(change, KW_E_CONFLICT, why);
        return;
    }
    kw_status status = reserve(change);
    if (status == KW_OK)
        status = store(change);
    if (status != KW_OK)
        refuse(change, status, VAULT_ROLES_WHY_STATUS);
}

/* --- the calls --- */

static struct change *make(struct vault_roles *roles, struct gw_loop *loop, enum change_what what,
                           const uint8_t *id, vault_roles_change_fn *done, void *ctx)
{
    struct change *change = calloc(1, sizeof *change);
    if (!change) {
        done(ctx, KW_E_NOMEM, VAULT_ROLES_WHY_STATUS, (struct kw_span){0});
        return NULL;
    }
    change->turn.loop = loop;
    change->turn.run = run;
    change->roles = roles;
    change->what = what;
    if (id)
        memcpy(change->id, id, GW_GUID_LEN);
    change->done = done;
    change->ctx = ctx;
    return change;
}

void vault_roles_put(struct vault_roles *roles, struct gw_loop *loop, struct vault_role *role,
                     vault_roles_change_fn *done, void *ctx)
{
    struct change *change = make(roles, loop, PUT_ROLE, role->id, done, ctx);
    if (!change) {
        vault_role_free(role);
        return;
    }
    change->role = role;
    roles_enter(roles, &change->turn);
}

void vault_roles_delete(struct vault_roles *roles, struct gw_loop *loop,
                        const uint8_t id[GW_GUID_LEN], vault_roles_change_fn *done, void *ctx)
{
    struct change *change = make(roles, loop, DELETE_ROLE, id, done, ctx);
    if (change)
        roles_enter(roles, &change->turn);
}

void vault_roles_assign(struct vault_roles *roles, struct gw_loop *loop,
                        struct vault_assignment *assignment, vault_roles_change_fn *done, void *ctx)
{
    struct change *change = make(roles, loop, ASSIGN, assignment->id, done, ctx);
    if (!change) {
        vault_assignment_free(assignment);
        return;
    }
    change->assignment = assignment;
    roles_enter(roles, &change->turn);
}

void vault_roles_unassign(struct vault_roles *roles, struct gw_loop *loop,
                          const uint8_t id[GW_GUID_LEN], struct role_scope scope,
                          vault_roles_change_fn *done, void *ctx)
{
    struct change *change = make(roles, loop, UNASSIGN, id, done, ctx);
    if (!change)
        return;
    role_scope_text(change->scope, scope);
    roles_enter(roles, &change->turn);
}

void vault_roles_set(struct vault_roles *roles, struct gw_loop *loop, bool value,
                     vault_roles_change_fn *done, void *ctx)
{
    struct change *change = make(roles, loop, SET, NULL, done, ctx);
    if (!change)
        return;
    change->value = value;
    roles_enter(roles, &change->turn);
}
