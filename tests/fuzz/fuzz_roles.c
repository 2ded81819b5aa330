/* What says who may do what: filters and scopes of requests, names of data actions, and role
 * definitions as they are stored. What was read and is written again reads the same. */
#include <jansson.h>
#include <stdlib.h>
#include <strings.h>

#include "gateway/api/roles/filter.h"
#include "gateway/base/arena.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void filters(struct kw_span text)
{
    for (int assignments = 0; assignments < 2; assignments++) {
        struct gw_arena *arena = gw_arena_create();
        struct gw_role_filter filter;
        struct gw_fault fault;
        if (arena == NULL)
            return;
        bool good = gw_role_filter_read(&filter, text, assignments, arena, &fault);
        if (good && (assignments ? filter.has_name || filter.has_type : filter.has_principal))
            abort();
        if (good && filter.has_name && filter.name.len > text.len)
            abort();
        gw_arena_destroy(arena);
    }
}

static void scopes(struct kw_span text)
{
    struct role_scope scope, again;
    char out[ROLE_SCOPE_MAX + 1];
    if (!role_scope_read(&scope, text))
        return;
    role_scope_text(out, scope);
    if (!role_scope_read(&again, kw_span_str(out)) || !role_scope_equal(scope, again) ||
        !role_scope_within((struct role_scope){.level = ROLE_AT_ROOT}, scope))
        abort();
}

static void actions(struct kw_span name)
{
    struct vault_actions set = {{0}};
    bool any = vault_actions_add_named(&set, name);
    unsigned count = 0, last = 0;
    for (unsigned i = 0; i < vault_action_count; i++) {
        if (vault_actions_have(&set, i)) {
            count++;
            last = i;
        }
    }
    if (any != (count > 0))
        abort();
    /* a name without a star names one action, by all of its letters */
    bool star = name.len > 0 && memchr(name.data, '*', name.len) != NULL;
    const char *found = vault_action_name(last);
    if (any && !star &&
        (count != 1 || strlen(found) != name.len ||
         strncasecmp(found, (const char *)name.data, name.len) != 0))
        abort();
}

static void definitions(struct kw_span text)
{
    static const uint8_t id[GW_GUID_LEN] = {1};
    struct vault_role *role = NULL, *again = NULL;
    struct vault_assignment *assignment = NULL;
    json_t *doc = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (doc == NULL)
        return;
    if (vault_assignment_read(&assignment, id, doc) == KW_OK)
        vault_assignment_free(assignment);
    if (vault_role_make(&role, id, doc) == KW_OK) {
        /* what clients are shown says the same */
        json_t *shown = json_loadb(role->text, role->text_len, 0, NULL);
        json_t *properties = json_object_get(shown, "properties");
        if (properties == NULL || vault_role_make(&again, id, properties) != KW_OK ||
            memcmp(&role->actions, &again->actions, sizeof role->actions) != 0 ||
            role->at_root != again->at_root || strcmp(role->text, again->text) != 0)
            abort();
        json_decref(shown);
        vault_role_free(role);
        vault_role_free(again);
    }
    json_decref(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kw_span input = kw_span_of(data, size);
    filters(input);
    scopes(input);
    actions(input);
    definitions(input);
    return 0;
}
