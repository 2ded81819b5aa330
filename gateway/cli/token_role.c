#include "gateway/cli/token_role.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "gateway/auth/principal.h"
#include "gateway/cli/control.h"
#include "gateway/cli/options.h"

#define PROVIDER "providers/Microsoft.Authorization/"

/** The answer's JSON when its status is 2xx, else a sentence and NULL. */
static json_t *ask(const struct cli_role *role, const char *method, const char *path,
                   const char *body)
{
    char host[STORE_VAULT_MAX + 16], error[1024];
    snprintf(host, sizeof host, "%s%slocalhost", role->vault ? role->vault : "",
             role->vault ? "." : "");
    struct cli_exchange x = {.method = method,
                             .path = path,
                             .host = host,
                             .json = body != NULL,
                             .body = body,
                             .body_len = body ? strlen(body) : 0};
    if (cli_exchange(role->control, &x, error, sizeof error) != KW_OK) {
        cli_fail("%s", error);
        return NULL;
    }
    json_t *answer = json_loadb(x.answer, x.answer_len, 0, NULL);
    free(x.answer);
    if (answer && x.status / 100 == 2)
        return answer;
    const char *why =
        json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
    cli_fail("the gateway answered %d: %s", x.status, why ? why : "no reason given");
    json_decref(answer);
    return NULL;
}

int cli_role_find(struct cli_role *role, const char *name)
{
    json_t *list = ask(role, "GET", "/" PROVIDER "roleDefinitions", NULL);
    const json_t *all = json_object_get(list, "value");
    bool found = false;
    for (size_t i = 0; !found && i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        const char *id = json_string_value(json_object_get(one, "name"));
        const char *title =
            json_string_value(json_object_get(json_object_get(one, "properties"), "roleName"));
        found = id && title && (strcasecmp(id, name) == 0 || strcasecmp(title, name) == 0);
        if (found)
            snprintf(role->id, sizeof role->id, "%s", id);
    }
    json_decref(list);
    if (!list)
        return 1;
    return found ? CLI_GO_ON : cli_fail("--role: the vault has no role \"%s\"", name);
}

int cli_role_give(const struct cli_role *role, const uint8_t principal[GW_GUID_LEN])
{
    char scope[ROLE_SCOPE_MAX + 1], who[GW_GUID_TEXT + 1], id[GW_GUID_TEXT + 1];
    char path[ROLE_SCOPE_MAX + 128];
    uint8_t name[GW_GUID_LEN];
    if (gw_principal_new(name) != KW_OK)
        return cli_fail("no random bytes for the name of the role assignment");
    gw_guid_write(id, name);
    gw_guid_write(who, principal);
    role_scope_text(scope, role->scope);
    snprintf(path, sizeof path, "%s/" PROVIDER "roleAssignments/%s",
             role->scope.level == ROLE_AT_ROOT ? "" : scope, id);
    json_t *body =
        json_pack("{s:{s:s,s:s}}", "properties", "principalId", who, "roleDefinitionId", role->id);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    json_t *answer = text ? ask(role, "PUT", path, text) : NULL;
    free(text);
    if (!answer)
        return 1;
    json_decref(answer);
    return CLI_GO_ON;
}
