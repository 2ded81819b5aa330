/* deploy/reference/openapi.json describes exactly the routes of the table: each row is described,
 * nothing else is, and each description is whole (parameters, bodies, answers, rights). A row that
 * is missing is printed as the line to begin with. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "gateway/api/route.h"

#define PATH_ROOM 160

static const struct {
    enum gw_method method;
    const char *lower;
} methods[] = {{GW_GET, "get"},
               {GW_POST, "post"},
               {GW_PUT, "put"},
               {GW_PATCH, "patch"},
               {GW_DELETE, "delete"}};
#define METHODS (sizeof methods / sizeof methods[0])

static unsigned problems;

static void problem(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void problem(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    problems++;
}

/* Tests run somewhere below the build folder, which is in the tree. */
static json_t *load(void)
{
    char path[128] = "deploy/reference/openapi.json";
    json_error_t error;
    for (unsigned up = 0; up < 8 && access(path, F_OK) != 0; up++) {
        memmove(path + 3, path, strlen(path) + 1);
        memcpy(path, "../", 3);
    }
    json_t *doc = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!doc)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    return doc;
}

static int setup(void **state)
{
    *state = load();
    problems = 0;
    return 0;
}

static int teardown(void **state)
{
    json_decref(*state);
    return 0;
}

/* --- references --- */

static json_t *component(const json_t *doc, const char *ref)
{
    char kind[64], name[128];
    if (sscanf(ref, "#/components/%63[^/]/%127s", kind, name) != 2)
        return NULL;
    return json_object_get(json_object_get(json_object_get(doc, "components"), kind), name);
}

/* What `value` stands for: itself, or the component that it names. */
static const json_t *resolve(const json_t *doc, const json_t *value)
{
    const char *ref = json_string_value(json_object_get(value, "$ref"));
    return ref ? component(doc, ref) : value;
}

static void walk_refs(json_t *doc, json_t *value, json_t *used)
{
    const char *ref = json_string_value(json_object_get(value, "$ref"));
    const char *key;
    json_t *child;
    size_t i;
    if (ref && !component(doc, ref))
        problem("%s: there is no such component", ref);
    else if (ref)
        json_object_set_new(used, ref, json_true());
    json_object_foreach(value, key, child) walk_refs(doc, child, used);
    json_array_foreach(value, i, child) walk_refs(doc, child, used);
}

static void test_references(void **state)
{
    json_t *doc = *state, *used = json_object(), *items, *item;
    const char *kind, *name;
    walk_refs(doc, doc, used);
    json_object_foreach(json_object_get(doc, "components"), kind, items)
    {
        json_object_foreach(items, name, item)
        {
            char ref[256];
            snprintf(ref, sizeof ref, "#/components/%s/%s", kind, name);
            if (strcmp(kind, "securitySchemes") != 0 && !json_object_get(used, ref))
                problem("%s is used by nothing", ref);
        }
    }
    json_decref(used);
    assert_int_equal(problems, 0);
}

/* --- routes and paths --- */

/* A path of the document with its names taken out: "/keys/{name}" is "/keys/{}". */
static void plain(char out[PATH_ROOM], const char *path)
{
    size_t n = 0;
    for (; *path && n < PATH_ROOM - 1; path++) {
        out[n++] = *path;
        if (*path == '{')
            path += strcspn(path, "}") - 1;
    }
    out[n] = '\0';
}

/* The two paths of a pattern with an optional part, or its one. */
static unsigned expand(char out[2][PATH_ROOM], const char *pattern)
{
    const char *optional = strstr(pattern, "/{?}");
    if (!optional) {
        snprintf(out[0], PATH_ROOM, "%s", pattern);
        return 1;
    }
    snprintf(out[0], PATH_ROOM, "%.*s/{}%s", (int)(optional - pattern), pattern, optional + 4);
    snprintf(out[1], PATH_ROOM, "%.*s%s", (int)(optional - pattern), pattern, optional + 4);
    return 2;
}

static json_t *find(const json_t *doc, const char *wanted, const char *method, const char **path)
{
    json_t *item;
    const char *name;
    json_object_foreach(json_object_get(doc, "paths"), name, item)
    {
        char text[PATH_ROOM];
        plain(text, name);
        if (strcmp(text, wanted) == 0 && json_object_get(item, method)) {
            *path = name;
            return json_object_get(item, method);
        }
    }
    return NULL;
}

static const char *method_text(enum gw_method method)
{
    for (size_t i = 0; i < METHODS; i++)
        if (methods[i].method == method)
            return methods[i].lower;
    return "?";
}

static void missing(const struct gw_route *route, const char *path)
{
    const char *method = method_text(route->method);
    problem("deploy/reference/openapi.json lacks: under \"%s\" (with names in the braces)\n"
            "    \"%s\": {\"operationId\": \"%s\", \"summary\": \"...\", \"tags\": [\"...\"], "
            "\"x-action\": \"%s\", \"parameters\": "
            "[{\"$ref\": \"#/components/parameters/api-version\"}, {\"$ref\": "
            "\"#/components/parameters/name\"}], \"requestBody\": {\"$ref\": "
            "\"#/components/requestBodies/...\"}, \"responses\": {\"200\": {\"$ref\": "
            "\"#/components/responses/...\"}, \"default\": {\"$ref\": "
            "\"#/components/responses/Error\"}}}",
            path, method, route->label, route->action ? route->action : "");
}

/* --- one operation --- */

static bool has_schema(const json_t *doc, const json_t *with_content)
{
    const char *type;
    json_t *media, *content = json_object_get(with_content, "content");
    json_object_foreach(content, type, media)
    {
        const json_t *schema = resolve(doc, json_object_get(media, "schema"));
        if (!json_is_object(schema) || json_object_size(schema) == 0)
            return false;
    }
    return json_object_size(content) > 0;
}

static bool has_parameter(const json_t *doc, const json_t *operation, const char *name,
                          const char *in)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(operation, "parameters"), i, item)
    {
        const json_t *parameter = resolve(doc, item);
        const char *its = json_string_value(json_object_get(parameter, "name"));
        const char *place = json_string_value(json_object_get(parameter, "in"));
        if (its && place && strcmp(its, name) == 0 && strcmp(place, in) == 0)
            return json_is_true(json_object_get(parameter, "required")) &&
                   json_is_object(json_object_get(parameter, "schema"));
    }
    return false;
}

static void check_parameters(const json_t *doc, const json_t *operation,
                             const struct gw_route *route, const char *path)
{
    const char *method = method_text(route->method);
    for (const char *at = strchr(path, '{'); at; at = strchr(at + 1, '{')) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 1, "}"), at + 1);
        if (!has_parameter(doc, operation, name, "path"))
            problem("%s %s: the parameter {%s} is not described", method, path, name);
    }
    bool wants = route->face == GW_FACE_API && !route->no_version;
    if (has_parameter(doc, operation, "api-version", "query") != wants)
        problem("%s %s: api-version is asked for %s", method, path, wants ? "here" : "elsewhere");
}

static void check_responses(const json_t *doc, const json_t *operation, const char *method,
                            const char *path)
{
    unsigned good = 0;
    const char *code;
    json_t *item;
    json_object_foreach(json_object_get(operation, "responses"), code, item)
    {
        const json_t *response = resolve(doc, item);
        if (!json_is_string(json_object_get(response, "description")))
            problem("%s %s: the answer %s has no description", method, path, code);
        if (strcmp(code, "204") != 0 && !has_schema(doc, response))
            problem("%s %s: the answer %s has no schema", method, path, code);
        good += code[0] == '2';
    }
    if (good == 0)
        problem("%s %s: no answer of success is described", method, path);
}

static void check_operation(const json_t *doc, const json_t *operation,
                            const struct gw_route *route, const char *path)
{
    const char *method = method_text(route->method);
    const char *action = json_string_value(json_object_get(operation, "x-action"));
    const json_t *body = resolve(doc, json_object_get(operation, "requestBody"));
    const json_t *security = json_object_get(operation, "security");
    check_parameters(doc, operation, route, path);
    check_responses(doc, operation, method, path);
    if (!json_is_string(json_object_get(operation, "summary")) ||
        json_array_size(json_object_get(operation, "tags")) != 1)
        problem("%s %s: summary or tag is missing", method, path);
    if (strcmp(action ? action : "", route->action ? route->action : "") != 0)
        problem("%s %s: x-action is \"%s\", the route's is \"%s\"", method, path,
                action ? action : "", route->action ? route->action : "");
    if ((route->method == GW_PUT || route->method == GW_PATCH) && !body)
        problem("%s %s: the body is not described", method, path);
    if (body && !has_schema(doc, body))
        problem("%s %s: the body has no schema", method, path);
    if ((json_is_array(security) && json_array_size(security) == 0) != route->open)
        problem("%s %s: \"security\": [] stands where no identity is asked for", method, path);
}

/* What the control socket shares with another listener is described once, as it is there. */
static bool elsewhere(const struct gw_route *route)
{
    for (size_t i = 0; i < gw_route_count; i++)
        if (gw_routes[i].face != GW_FACE_CONTROL && gw_routes[i].method == route->method &&
            strcmp(gw_routes[i].pattern, route->pattern) == 0)
            return true;
    return false;
}

static void test_every_route_is_described(void **state)
{
    const json_t *doc = *state;
    for (size_t i = 0; i < gw_route_count; i++) {
        const struct gw_route *route = &gw_routes[i];
        char paths[2][PATH_ROOM];
        unsigned count = expand(paths, route->pattern);
        for (unsigned j = 0; j < count; j++) {
            const char *path = NULL;
            const json_t *operation = find(doc, paths[j], method_text(route->method), &path);
            if (!operation)
                missing(route, paths[j]);
            else if (route->face != GW_FACE_CONTROL || !elsewhere(route))
                check_operation(doc, operation, route, path);
        }
    }
    assert_int_equal(problems, 0);
}

static bool served(const char *wanted, const char *method)
{
    for (size_t i = 0; i < gw_route_count; i++) {
        char paths[2][PATH_ROOM];
        unsigned count = expand(paths, gw_routes[i].pattern);
        for (unsigned j = 0; j < count; j++)
            if (strcmp(paths[j], wanted) == 0 &&
                strcmp(method_text(gw_routes[i].method), method) == 0)
                return true;
    }
    return false;
}

static void test_nothing_else_is_described(void **state)
{
    const json_t *doc = *state;
    json_t *ids = json_object(), *item, *operation;
    const char *path, *method;
    json_object_foreach(json_object_get(doc, "paths"), path, item)
    {
        json_object_foreach(item, method, operation)
        {
            char text[PATH_ROOM];
            const char *id = json_string_value(json_object_get(operation, "operationId"));
            plain(text, path);
            if (!served(text, method))
                problem("%s %s is described, and no route has it", method, path);
            if (!id || json_object_get(ids, id))
                problem("%s %s: operationId is missing, or stands twice", method, path);
            else
                json_object_set_new(ids, id, json_true());
        }
    }
    json_decref(ids);
    assert_string_equal(json_string_value(json_object_get(doc, "openapi")), "3.0.3");
    assert_int_equal(problems, 0);
}

/* The check can say no. */
static void test_faults_are_found(void **state)
{
    json_t *doc = *state;
    const char *path = NULL;
    const struct gw_route *get = NULL;
    for (size_t i = 0; i < gw_route_count; i++)
        if (strcmp(gw_routes[i].label, "keys_get") == 0)
            get = &gw_routes[i];
    assert_non_null(get);
    json_t *operation = find(doc, "/keys/{}/{}", "get", &path);
    assert_non_null(operation);
    json_array_remove(json_object_get(operation, "parameters"), 0);
    json_object_set_new(operation, "x-action", json_string("keys/other"));
    json_object_set_new(json_object_get(operation, "responses"), "200", json_object());
    check_operation(doc, operation, get, path);
    assert_int_equal(problems, 4); /* version, action, description, schema */
    json_object_set_new(operation, "security", json_pack("[{s:s}]", "$ref", "#/components/x/y"));
    json_t *used = json_object();
    walk_refs(doc, doc, used);
    json_decref(used);
    assert_int_equal(problems, 5);
    assert_null(find(doc, "/keys/{}/nothing", "get", &path));
    assert_false(served("/keys/{}/{}/nothing", "get"));
    problems = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_references, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_route_is_described, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_else_is_described, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faults_are_found, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
