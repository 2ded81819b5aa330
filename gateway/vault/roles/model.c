#include "gateway/vault/roles/model.h"

#include <stdlib.h>
#include <strings.h>

#define FIRST_BUCKETS 16 /* a power of two */

/** What one assignment gives, where a check finds it. */
struct grant {
    uint8_t principal[GW_GUID_LEN];
    struct vault_actions actions;
    const struct vault_assignment *assignment;
};

/** The assignments at one scope. */
struct place {
    struct place *chain; /* of the bucket; those of keys alone */
    uint64_t hash;
    struct grant *grants;
    size_t count, room;
    size_t key_len;
    char key[STORE_NAME_MAX + 1]; /* in lower case */
};

struct roles_model {
    struct vault_role **roles; /* by id */
    size_t role_count, role_room;
    struct vault_assignment **assignments; /* by id */
    size_t count, room;
    struct place root, keys;
    struct place **buckets;
    size_t bucket_count, place_count;
    bool setting;
};

/* --- places --- */

static uint8_t fold(uint8_t c)
{
    return (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* FNV-1a: only those who may assign roles choose what comes in. */
static uint64_t hash_of(struct kw_span key)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ fold(key.data[i])) * 0x100000001b3u;
    return h ^ h >> 32;
}

static bool is_key(const struct place *place, uint64_t hash, struct kw_span key)
{
    if (place->hash != hash || place->key_len != key.len)
        return false;
    for (size_t i = 0; i < key.len; i++) {
        if ((uint8_t)place->key[i] != fold(key.data[i]))
            return false;
    }
    return true;
}

static const struct place *find(const struct roles_model *model, struct role_scope scope)
{
    if (scope.level == ROLE_AT_ROOT)
        return &model->root;
    if (scope.level == ROLE_AT_KEYS)
        return &model->keys;
    uint64_t hash = hash_of(scope.key);
    const struct place *place = model->buckets[hash & (model->bucket_count - 1)];
    while (place && !is_key(place, hash, scope.key))
        place = place->chain;
    return place;
}

static struct place *find_mutable(struct roles_model *model, struct role_scope scope)
{
    return (struct place *)(uintptr_t)find(model, scope);
}

/* A table that cannot grow still works, with longer chains. */
static void grow_buckets(struct roles_model *model)
{
    size_t count = model->bucket_count * 2;
    struct place **buckets = calloc(count, sizeof *buckets);
    if (!buckets)
        return;
    for (size_t i = 0; i < model->bucket_count; i++) {
        for (struct place *place = model->buckets[i], *next; place; place = next) {
            next = place->chain;
            place->chain = buckets[place->hash & (count - 1)];
            buckets[place->hash & (count - 1)] = place;
        }
    }
    free(model->buckets);
    model->buckets = buckets;
    model->bucket_count = count;
}

static struct place *add_place(struct roles_model *model, struct kw_span key)
{
    struct place *place = calloc(1, sizeof *place);
    if (!place)
        return NULL;
    if (model->place_count >= model->bucket_count)
        grow_buckets(model);
    place->hash = hash_of(key);
    place->key_len = key.len;
    for (size_t i = 0; i < key.len; i++)
        place->key[i] = (char)fold(key.data[i]);
    struct place **bucket = &model->buckets[place->hash & (model->bucket_count - 1)];
    place->chain = *bucket;
    *bucket = place;
    model->place_count++;
    return place;
}

/* An empty one of a key is dropped: keys come and go. */
static void drop_empty(struct roles_model *model, struct place *place)
{
    if (place->count > 0 || place == &model->root || place == &model->keys)
        return;
    struct place **at = &model->buckets[place->hash & (model->bucket_count - 1)];
    while (*at != place)
        at = &(*at)->chain;
    *at = place->chain;
    model->place_count--;
    free(place->grants);
    free(place);
}

/* --- life --- */

static kw_status add_builtins(struct roles_model *model)
{
    for (unsigned i = 0; i < VAULT_BUILTINS; i++) {
        struct vault_role *role = NULL;
        KW_TRY(roles_model_reserve(model, (struct role_scope){.level = ROLE_AT_ROOT}));
        KW_TRY(vault_role_make_builtin(&role, i));
        roles_model_put_role(model, role);
    }
    return KW_OK;
}

struct roles_model *roles_model_create(void)
{
    struct roles_model *model = calloc(1, sizeof *model);
    if (!model)
        return NULL;
    model->bucket_count = FIRST_BUCKETS;
    model->buckets = calloc(FIRST_BUCKETS, sizeof *model->buckets);
    if (!model->buckets || add_builtins(model) != KW_OK) {
        roles_model_destroy(model);
        return NULL;
    }
    return model;
}

void roles_model_destroy(struct roles_model *model)
{
    if (!model)
        return;
    for (size_t i = 0; i < model->role_count; i++)
        vault_role_free(model->roles[i]);
    for (size_t i = 0; i < model->count; i++)
        vault_assignment_free(model->assignments[i]);
    for (size_t i = 0; model->buckets && i < model->bucket_count; i++) {
        for (struct place *place = model->buckets[i], *next; place; place = next) {
            next = place->chain;
            free(place->grants);
            free(place);
        }
    }
    free(model->root.grants);
    free(model->keys.grants);
    free(model->buckets);
    free(model->roles);
    free(model->assignments);
    free(model);
}

/* --- reading --- */

/** Index of the first whose id is not below `id`; `is`: that one has it. */
static size_t role_index(const struct roles_model *model, const uint8_t id[GW_GUID_LEN], bool *is)
{
    size_t at = 0;
    while (at < model->role_count && memcmp(model->roles[at]->id, id, GW_GUID_LEN) < 0)
        at++;
    *is = at < model->role_count && memcmp(model->roles[at]->id, id, GW_GUID_LEN) == 0;
    return at;
}

/** The same; there are more of these. */
static size_t index_of(const struct roles_model *model, const uint8_t id[GW_GUID_LEN], bool *is)
{
    size_t at = 0, count = model->count;
    while (count > 0) {
        size_t half = count / 2;
        if (memcmp(model->assignments[at + half]->id, id, GW_GUID_LEN) < 0) {
            at += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    *is = at < model->count && memcmp(model->assignments[at]->id, id, GW_GUID_LEN) == 0;
    return at;
}

const struct vault_role *roles_model_role(const struct roles_model *model,
                                          const uint8_t id[GW_GUID_LEN])
{
    bool is = false;
    size_t at = role_index(model, id, &is);
    return is ? model->roles[at] : NULL;
}

const struct vault_role *roles_model_role_at(const struct roles_model *model, size_t index)
{
    return index < model->role_count ? model->roles[index] : NULL;
}

const struct vault_role *roles_model_role_named(const struct roles_model *model, const char *name,
                                                const uint8_t id[GW_GUID_LEN])
{
    for (size_t i = 0; i < model->role_count; i++) {
        const struct vault_role *role = model->roles[i];
        if (strcasecmp(role->name, name) == 0 && memcmp(role->id, id, GW_GUID_LEN) != 0)
            return role;
    }
    return NULL;
}

size_t roles_model_custom_count(const struct roles_model *model)
{
    return model->role_count - VAULT_BUILTINS;
}

bool roles_model_assigned(const struct roles_model *model, const uint8_t role[GW_GUID_LEN])
{
    for (size_t i = 0; i < model->count; i++) {
        if (memcmp(model->assignments[i]->role, role, GW_GUID_LEN) == 0)
            return true;
    }
    return false;
}

const struct vault_assignment *roles_model_assignment(const struct roles_model *model,
                                                      const uint8_t id[GW_GUID_LEN])
{
    bool is = false;
    size_t at = index_of(model, id, &is);
    return is ? model->assignments[at] : NULL;
}

const struct vault_assignment *roles_model_assignment_at(const struct roles_model *model,
                                                         size_t index)
{
    return index < model->count ? model->assignments[index] : NULL;
}

size_t roles_model_after(const struct roles_model *model, const uint8_t id[GW_GUID_LEN])
{
    bool is = false;
    size_t at = index_of(model, id, &is);
    return at + is;
}

const struct vault_assignment *roles_model_same(const struct roles_model *model,
                                                const struct vault_assignment *like)
{
    const struct place *place = find(model, like->scope);
    for (size_t i = 0; place && i < place->count; i++) {
        const struct vault_assignment *a = place->grants[i].assignment;
        if (memcmp(a->principal, like->principal, GW_GUID_LEN) == 0 &&
            memcmp(a->role, like->role, GW_GUID_LEN) == 0)
            return a;
    }
    return NULL;
}

size_t roles_model_count_at(const struct roles_model *model, struct role_scope scope)
{
    const struct place *place = find(model, scope);
    return place ? place->count : 0;
}

bool roles_model_setting(const struct roles_model *model)
{
    return model->setting;
}

/* Two words each, without a call: a check goes over up to fifty of them. */
static bool same_id(const uint8_t *a, const uint8_t *b)
{
    uint64_t x[2], y[2];
    memcpy(x, a, sizeof x);
    memcpy(y, b, sizeof y);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

static bool gives(const struct place *place, const uint8_t principal[GW_GUID_LEN], unsigned action)
{
    for (size_t i = 0; i < place->count; i++) {
        const struct grant *grant = &place->grants[i];
        if (same_id(grant->principal, principal) && vault_actions_have(&grant->actions, action))
            return true;
    }
    return false;
}

bool roles_model_allows(const struct roles_model *model, const uint8_t principal[GW_GUID_LEN],
                        unsigned action, struct role_scope resource)
{
    if (gives(&model->root, principal, action))
        return true;
    if (resource.level == ROLE_AT_ROOT)
        return false;
    if (gives(&model->keys, principal, action))
        return true;
    if (resource.level == ROLE_AT_KEYS)
        return false;
    const struct place *place = find(model, resource);
    return place && gives(place, principal, action);
}

/* --- changing --- */

/** The list with room for one element more; NULL without memory, and the list is as it was. */
static void *with_room(void *list, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return list;
    size_t more = *room ? *room * 2 : 8;
    void *larger = realloc(list, more * size);
    if (larger)
        *room = more;
    return larger;
}

kw_status roles_model_reserve(struct roles_model *model, struct role_scope scope)
{
    void *list =
        with_room(model->roles, model->role_count, &model->role_room, sizeof *model->roles);
    if (!list)
        return KW_E_NOMEM;
    model->roles = list;
    list = with_room(model->assignments, model->count, &model->room, sizeof *model->assignments);
    if (!list)
        return KW_E_NOMEM;
    model->assignments = list;
    struct place *place = find_mutable(model, scope);
    if (!place)
        place = add_place(model, scope.key);
    if (!place)
        return KW_E_NOMEM;
    list = with_room(place->grants, place->count, &place->room, sizeof *place->grants);
    if (list)
        place->grants = list;
    else
        drop_empty(model, place);
    return list ? KW_OK : KW_E_NOMEM;
}

/** A role that is not there (any more) gives nothing. */
static struct vault_actions actions_of(const struct roles_model *model,
                                       const uint8_t role[GW_GUID_LEN])
{
    const struct vault_role *found = roles_model_role(model, role);
    return found ? found->actions : (struct vault_actions){{0}};
}

static void refresh_place(const struct roles_model *model, struct place *place,
                          const uint8_t role[GW_GUID_LEN])
{
    for (size_t i = 0; i < place->count; i++) {
        struct grant *grant = &place->grants[i];
        if (memcmp(grant->assignment->role, role, GW_GUID_LEN) == 0)
            grant->actions = actions_of(model, role);
    }
}

static void refresh(struct roles_model *model, const uint8_t role[GW_GUID_LEN])
{
    refresh_place(model, &model->root, role);
    refresh_place(model, &model->keys, role);
    for (size_t i = 0; i < model->bucket_count; i++) {
        for (struct place *place = model->buckets[i]; place; place = place->chain)
            refresh_place(model, place, role);
    }
}

void roles_model_put_role(struct roles_model *model, struct vault_role *role)
{
    bool is = false;
    size_t at = role_index(model, role->id, &is);
    if (is) {
        vault_role_free(model->roles[at]);
    } else {
        memmove(&model->roles[at + 1], &model->roles[at],
                (model->role_count - at) * sizeof *model->roles);
        model->role_count++;
    }
    model->roles[at] = role;
    refresh(model, role->id);
}

struct vault_role *roles_model_take_role(struct roles_model *model, const uint8_t id[GW_GUID_LEN])
{
    bool is = false;
    size_t at = role_index(model, id, &is);
    if (!is)
        return NULL;
    struct vault_role *role = model->roles[at];
    model->role_count--;
    memmove(&model->roles[at], &model->roles[at + 1],
            (model->role_count - at) * sizeof *model->roles);
    refresh(model, id);
    return role;
}

void roles_model_put_assignment(struct roles_model *model, struct vault_assignment *assignment)
{
    bool is = false;
    size_t at = index_of(model, assignment->id, &is);
    memmove(&model->assignments[at + 1], &model->assignments[at],
            (model->count - at) * sizeof *model->assignments);
    model->count++;
    model->assignments[at] = assignment;
    struct place *place = find_mutable(model, assignment->scope);
    struct grant *grant = &place->grants[place->count++];
    memcpy(grant->principal, assignment->principal, GW_GUID_LEN);
    grant->actions = actions_of(model, assignment->role);
    grant->assignment = assignment;
}

struct vault_assignment *roles_model_take_assignment(struct roles_model *model,
                                                     const uint8_t id[GW_GUID_LEN])
{
    bool is = false;
    size_t at = index_of(model, id, &is);
    if (!is)
        return NULL;
    struct vault_assignment *assignment = model->assignments[at];
    model->count--;
    memmove(&model->assignments[at], &model->assignments[at + 1],
            (model->count - at) * sizeof *model->assignments);
    struct place *place = find_mutable(model, assignment->scope);
    for (size_t i = 0; i < place->count; i++) {
        if (place->grants[i].assignment == assignment) {
            place->grants[i] = place->grants[--place->count];
            break;
        }
    }
    drop_empty(model, place);
    return assignment;
}

void roles_model_set(struct roles_model *model, bool value)
{
    model->setting = value;
}
