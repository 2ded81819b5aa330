#include "gateway/config/compare.h"

#include <stdio.h>
#include <string.h>

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_listeners(const struct gw_config *a, const struct gw_config *b)
{
    if (a->listener_count != b->listener_count)
        return false;
    for (size_t i = 0; i < a->listener_count; i++) {
        const struct gw_listener_config *x = &a->listeners[i], *y = &b->listeners[i];
        if (!same(x->bind, y->bind) || !same(x->certificate, y->certificate) ||
            !same(x->private_key, y->private_key) || !same(x->client_ca, y->client_ca))
            return false;
    }
    return true;
}

bool gw_limits_equal(const struct gw_limits *a, const struct gw_limits *b)
{
    return a->rate == b->rate && a->max_body == b->max_body &&
           a->max_batch_body == b->max_batch_body && a->max_connections == b->max_connections &&
           a->max_streams == b->max_streams && a->header_timeout_ms == b->header_timeout_ms &&
           a->body_timeout_ms == b->body_timeout_ms && a->idle_timeout_ms == b->idle_timeout_ms &&
           a->handshake_timeout_ms == b->handshake_timeout_ms && a->drain_ms == b->drain_ms;
}

bool gw_config_changed(const struct gw_config *running, const struct gw_config *fresh,
                       char *sections, size_t len)
{
    const struct {
        const char *name;
        bool same;
    } parts[] = {
        {"data", same(running->data, fresh->data)},
        {"control", same(running->control_path, fresh->control_path)},
        {"loops", running->loops == fresh->loops},
        {"workers", running->workers == fresh->workers},
        {"listeners", same_listeners(running, fresh)},
        {"admin", same(running->admin_bind, fresh->admin_bind)},
    };
    size_t used = 0;
    sections[0] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof *parts && used < len; i++) {
        if (!parts[i].same)
            used += (size_t)snprintf(sections + used, len - used, "%s%s", used ? ", " : "",
                                     parts[i].name);
    }
    return used > 0;
}
