#include "gateway/api/json/read.h"

#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#include "crypto/base/secret.h"
#include "gateway/api/json/base64url.h"

static void wiping_free(void *data)
{
    if (data)
        kw_wipe(data, malloc_usable_size(data));
    free(data);
}

static void use_wiping_free(void)
{
    json_set_alloc_funcs(malloc, wiping_free);
}

void gw_json_wipes(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, use_wiping_free);
}

/* jansson recurses; what nests deeper than any request of the API is refused before it. */
static bool too_deep(struct kw_span body)
{
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < body.len; i++) {
        uint8_t c = body.data[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > GW_JSON_DEPTH)
                return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

static void syntax_fault(struct gw_fault *fault, const json_error_t *error)
{
    /* jansson's own text may quote the body, which may hold a secret: only the place is told */
    if (json_error_code(error) == json_error_duplicate_key)
        gw_fault_bad(fault, "The request body has a member twice (line %d, column %d).",
                     error->line, error->column);
    else if (json_error_code(error) == json_error_invalid_utf8)
        gw_fault_bad(fault, "The request body is not valid UTF-8 (line %d, column %d).",
                     error->line, error->column);
    else
        gw_fault_bad(fault, "The request body is not valid JSON (line %d, column %d).", error->line,
                     error->column);
}

json_t *gw_json_parse(struct kw_span body, struct gw_fault *fault)
{
    gw_json_wipes();
    if (body.len == 0) {
        gw_fault_bad(fault, "The request body is empty; a JSON object is expected.");
        return NULL;
    }
    if (too_deep(body)) {
        gw_fault_bad(fault, "The request body nests deeper than %d levels.", GW_JSON_DEPTH);
        return NULL;
    }
    json_error_t error;
    json_t *root = json_loadb((const char *)body.data, body.len,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!root) {
        if (json_error_code(&error) == json_error_out_of_memory)
            gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
        else
            syntax_fault(fault, &error);
        return NULL;
    }
    if (!json_is_object(root)) {
        json_decref(root);
        gw_fault_bad(fault, "The request body must be a JSON object.");
        return NULL;
    }
    return root;
}

static const json_t *member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

bool gw_json_string(const json_t *object, const char *name, size_t max, struct kw_span *out,
                    struct gw_fault *fault)
{
    *out = (struct kw_span){0};
    const json_t *value = member(object, name);
    if (!value)
        return true;
    if (!json_is_string(value))
        return gw_fault_bad(fault, "Property '%s' must be a string.", name);
    *out = kw_span_of(json_string_value(value), json_string_length(value));
    if (out->len > max)
        return gw_fault_bad(fault, "Property '%s' is longer than %zu bytes.", name, max);
    return true;
}

bool gw_json_int(const json_t *object, const char *name, int64_t min, int64_t max, int64_t *out,
                 bool *present, struct gw_fault *fault)
{
    const json_t *value = member(object, name);
    *present = value != NULL;
    if (!value)
        return true;
    if (!json_is_integer(value))
        return gw_fault_bad(fault, "Property '%s' must be an integer.", name);
    *out = json_integer_value(value);
    if (*out < min || *out > max)
        return gw_fault_bad(fault, "Property '%s' must be from %" PRId64 " to %" PRId64 ".", name,
                            min, max);
    return true;
}

bool gw_json_bool(const json_t *object, const char *name, bool *out, bool *present,
                  struct gw_fault *fault)
{
    const json_t *value = member(object, name);
    *present = value != NULL;
    if (!value)
        return true;
    if (!json_is_boolean(value))
        return gw_fault_bad(fault, "Property '%s' must be true or false.", name);
    *out = json_is_true(value);
    return true;
}

bool gw_json_object(const json_t *object, const char *name, json_t **out, struct gw_fault *fault)
{
    *out = (json_t *)member(object, name);
    if (*out && !json_is_object(*out))
        return gw_fault_bad(fault, "Property '%s' must be an object.", name);
    return true;
}

bool gw_json_array(const json_t *object, const char *name, json_t **out, struct gw_fault *fault)
{
    *out = (json_t *)member(object, name);
    if (*out && !json_is_array(*out))
        return gw_fault_bad(fault, "Property '%s' must be an array.", name);
    return true;
}

bool gw_json_bytes(const json_t *object, const char *name, size_t max, struct gw_arena *arena,
                   struct kw_span *out, struct gw_fault *fault)
{
    struct kw_span text;
    *out = (struct kw_span){0};
    if (!gw_json_string(object, name, SIZE_MAX, &text, fault))
        return false;
    if (!text.data)
        return true;
    uint8_t *bytes = gw_arena_alloc(arena, gw_b64_decoded_room(text.len));
    size_t len = 0;
    if (!bytes)
        return gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
    if (!gw_b64_decode(bytes, &len, (const char *)text.data, text.len))
        return gw_fault_bad(fault, "Property '%s' is not valid base64url.", name);
    if (len > max)
        return gw_fault_bad(fault, "Property '%s' is longer than %zu bytes.", name, max);
    *out = kw_span_of(bytes, len);
    return true;
}
