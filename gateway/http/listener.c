#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/app.h"
#include "gateway/http/conn.h"
#include "gateway/http/http.h"
#include "gateway/http/socket.h"
#include "gateway/http/tls.h"
#include "gateway/obs/log.h"

#define ACCEPT_BURST 64 /* accepts per event; then the connections have their turn */
#define BACKLOG      1024
#define OTHER_FACE_MAX                                                                             \
    64 /* connections of one loop to the admin listener, and to the CLI's socket */
#define CONNECTIONS_MAX 8192
#define MODE_API        0660
#define MODE_CONTROL    0600
#define REST_MS         100 /* pause after accept ran out of file descriptors */

/* One configured listener. */
struct listener {
    struct listener *next;
    enum gw_face face;
    struct gw_address address;
    int fd; /* bound: TCP for the first loop that attaches, Unix for all; -1: given away */
    struct stat made; /* the Unix socket's file */
    bool tls;
    struct gw_tls_files files; /* borrowed from the configuration's copy below */
    char *names[3];
    struct gw_tls_tickets *tickets;
    SSL_CTX *ctx; /* guarded by the set's lock; each connection holds its own reference */
};

/* A listener on one loop. */
struct door {
    struct door *next;
    struct listener *listener;
    struct station *station;
    int fd;
    bool own_fd, open;
    struct event event, rest;
};

/* The set on one loop. */
struct station {
    struct station *next;
    struct gw_listener_set *set;
    struct gw_conn_group group;
    struct gw_limits limits;
    struct door *doors;
    struct gw_drain_hook hook;
    bool draining;
};

struct gw_listener_set {
    struct gw_app *app;
    pthread_mutex_t lock; /* guards every listener's ctx */
    struct listener *listeners, **tail;
    struct station *stations;
};

/* --- accepting --- */

static SSL *new_ssl(struct listener *listener, struct gw_listener_set *set)
{
    pthread_mutex_lock(&set->lock);
    SSL *ssl = SSL_new(listener->ctx);
    pthread_mutex_unlock(&set->lock);
    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}

static unsigned most(const struct station *station, enum gw_face face)
{
    if (face != GW_FACE_API)
        return OTHER_FACE_MAX;
    return station->limits.max_connections;
}

/* Whether the door takes connections now: decided here alone. */
static void door_update(struct door *door)
{
    struct station *station = door->station;
    bool open = !station->draining && !evtimer_pending(&door->rest, NULL) &&
                station->group.counts[door->listener->face] < most(station, door->listener->face);
    if (open == door->open)
        return;
    door->open = open;
    if (open)
        event_add(&door->event, NULL);
    else
        event_del(&door->event);
}

static void on_rest_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    door_update(arg);
}

static void take_connection(struct door *door, int fd, const struct sockaddr_storage *from)
{
    struct listener *listener = door->listener;
    struct gw_peer peer = {.face = listener->face, .tls = listener->tls};
    SSL *ssl = NULL;
    gw_socket_peer(fd, from, &peer);
    if (listener->tls) {
        ssl = new_ssl(listener, door->station->set);
        if (!ssl) {
            close(fd);
            return;
        }
    }
    gw_conn_open(&door->station->group, fd, ssl, &peer, listener->address.unix_socket);
}

static void on_accept(evutil_socket_t listening, short what, void *arg)
{
    struct door *door = arg;
    (void)what;
    for (int i = 0; i < ACCEPT_BURST && door->open; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int fd = accept4(listening, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                const struct timeval rest = {0, REST_MS * 1000};
                gw_log(GW_LOG_WARN, "cannot accept connections", "reason", strerror(errno), NULL);
                event_add(&door->rest, &rest);
                door_update(door);
                return;
            }
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            return;
        }
        take_connection(door, fd, &from);
        door_update(door);
    }
}

static void on_conn_close(struct gw_conn_group *group)
{
    struct station *station = group->owner;
    for (struct door *door = station->doors; door; door = door->next) {
        if (!door->open)
            door_update(door);
    }
}

/* --- drain --- */

static void door_shut(struct door *door)
{
    if (door->fd < 0)
        return;
    event_del(&door->rest);
    door_update(door);
    if (door->own_fd)
        close(door->fd);
    door->fd = -1;
}

static struct station *station_of(struct gw_drain_hook *hook)
{
    return (struct station *)((char *)hook - offsetof(struct station, hook));
}

static void on_drain(struct gw_drain_hook *hook)
{
    struct station *station = station_of(hook);
    station->draining = true;
    for (struct door *door = station->doors; door; door = door->next)
        door_shut(door);
    gw_conn_group_drain(&station->group);
}

static void on_cut(struct gw_drain_hook *hook)
{
    gw_conn_group_cut(&station_of(hook)->group);
}

/* --- attaching to a loop --- */

static void or_default(unsigned *value, unsigned fallback)
{
    if (*value == 0)
        *value = fallback;
}

static void limits_fill(struct gw_limits *limits)
{
    or_default(&limits->max_connections, CONNECTIONS_MAX);
    or_default(&limits->header_timeout_ms, 10000);
    or_default(&limits->body_timeout_ms, 15000);
    or_default(&limits->idle_timeout_ms, 60000);
    or_default(&limits->handshake_timeout_ms, 10000);
}

static kw_status door_open(struct station *station, struct listener *listener, struct gw_loop *loop)
{
    char error[256];
    struct door *door = calloc(1, sizeof *door);
    if (!door)
        return KW_E_NOMEM;
    door->listener = listener;
    door->station = station;
    door->fd = -1;
    door->next = station->doors;
    station->doors = door;
    door->own_fd = !listener->address.unix_socket;
    if (!door->own_fd) {
        door->fd = listener->fd;
    } else if (listener->fd >= 0) {
        door->fd = listener->fd;
        listener->fd = -1;
    } else {
        struct gw_address address = listener->address;
        kw_status status = gw_socket_tcp(&door->fd, &address, false, error, sizeof error);
        if (status != KW_OK) {
            gw_log(GW_LOG_ERROR, "cannot listen", "reason", error, NULL);
            return status;
        }
    }
    event_assign(&door->event, gw_loop_base(loop), door->fd, EV_READ | EV_PERSIST, on_accept, door);
    evtimer_assign(&door->rest, gw_loop_base(loop), on_rest_over, door);
    if (door->own_fd && listen(door->fd, BACKLOG) < 0) {
        gw_log(GW_LOG_ERROR, "cannot listen", "reason", strerror(errno), NULL);
        return KW_E_IO;
    }
    door_update(door);
    return KW_OK;
}

kw_status gw_listeners_attach(struct gw_listener_set *set, struct gw_loop *loop)
{
    struct station *station = calloc(1, sizeof *station);
    if (!station)
        return KW_E_NOMEM;
    station->set = set;
    station->limits = set->app->config->limits;
    limits_fill(&station->limits);
    station->group.loop = loop;
    station->group.limits = &station->limits;
    station->group.metrics = set->app->metrics;
    station->group.on_close = on_conn_close;
    station->group.owner = station;
    station->hook.drain = on_drain;
    station->hook.cut = on_cut;
    station->next = set->stations;
    set->stations = station;
    gw_loop_add_drain_hook(loop, &station->hook);
    for (struct listener *listener = set->listeners; listener; listener = listener->next)
        KW_TRY(door_open(station, listener, loop));
    return KW_OK;
}

/* --- the set --- */

static void listener_free(struct listener *listener)
{
    struct stat now;
    if (listener->fd >= 0)
        close(listener->fd);
    /* the socket's file goes only when it is still ours */
    const char *path = ((struct sockaddr_un *)&listener->address.storage)->sun_path;
    if (listener->address.unix_socket && listener->made.st_ino && lstat(path, &now) == 0 &&
        now.st_ino == listener->made.st_ino && now.st_dev == listener->made.st_dev)
        unlink(path);
    SSL_CTX_free(listener->ctx);
    gw_tls_tickets_destroy(listener->tickets);
    for (int i = 0; i < 3; i++)
        free(listener->names[i]);
    free(listener);
}

static kw_status tls_prepare(struct listener *listener, const struct gw_listener_config *config,
                             char *error, size_t error_len)
{
    const char *from[3] = {config->certificate, config->private_key, config->client_ca};
    for (int i = 0; i < 3; i++) {
        listener->names[i] = from[i] ? strdup(from[i]) : NULL;
        if (from[i] && !listener->names[i])
            return KW_E_NOMEM;
    }
    listener->files =
        (struct gw_tls_files){listener->names[0], listener->names[1], listener->names[2]};
    listener->tls = true;
    listener->tickets = gw_tls_tickets_create();
    if (!listener->tickets)
        return KW_E_NOMEM;
    return gw_tls_context(&listener->ctx, &listener->files, listener->tickets, error, error_len);
}

static kw_status listener_bind(struct listener *listener, char *error, size_t error_len)
{
    if (!listener->address.unix_socket)
        return gw_socket_tcp(&listener->fd, &listener->address, true, error, error_len);
    mode_t mode = listener->face == GW_FACE_CONTROL ? MODE_CONTROL : MODE_API;
    return gw_socket_unix(&listener->fd, &listener->address, mode, &listener->made, error,
                          error_len);
}

static kw_status add(struct gw_listener_set *set, enum gw_face face,
                     const struct gw_listener_config *config, char *error, size_t error_len)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return KW_E_NOMEM;
    listener->face = face;
    listener->fd = -1;
    *set->tail = listener;
    set->tail = &listener->next;
    KW_TRY(gw_address_parse(&listener->address, config->bind, error, error_len));
    if (face == GW_FACE_CONTROL && !listener->address.unix_socket) {
        snprintf(error, error_len, "%s: the control socket must be a Unix socket", config->bind);
        return KW_E_INPUT;
    }
    if ((config->certificate == NULL) != (config->private_key == NULL)) {
        snprintf(error, error_len, "%s: certificate and private_key go together", config->bind);
        return KW_E_INPUT;
    }
    if (face == GW_FACE_API && !config->certificate && !listener->address.unix_socket) {
        snprintf(error, error_len,
                 "%s: the API is not served over TCP without TLS: give tls.certificate and "
                 "tls.private_key, or bind a Unix socket",
                 config->bind);
        return KW_E_INPUT;
    }
    if (config->certificate)
        KW_TRY(tls_prepare(listener, config, error, error_len));
    return listener_bind(listener, error, error_len);
}

static kw_status add_all(struct gw_listener_set *set, char *error, size_t error_len)
{
    const struct gw_config *config = set->app->config;
    for (size_t i = 0; i < config->listener_count; i++)
        KW_TRY(add(set, GW_FACE_API, &config->listeners[i], error, error_len));
    if (config->admin_bind) {
        const struct gw_listener_config admin = {.bind = config->admin_bind};
        KW_TRY(add(set, GW_FACE_ADMIN, &admin, error, error_len));
    }
    if (config->control_path) {
        const struct gw_listener_config control = {.bind = config->control_path};
        KW_TRY(add(set, GW_FACE_CONTROL, &control, error, error_len));
    }
    return KW_OK;
}

kw_status gw_listeners_create(struct gw_listener_set **out, struct gw_app *app, char *error,
                              size_t error_len)
{
    struct gw_listener_set *set = calloc(1, sizeof *set);
    *out = NULL;
    snprintf(error, error_len, "out of memory");
    if (!set)
        return KW_E_NOMEM;
    set->app = app;
    set->tail = &set->listeners;
    pthread_mutex_init(&set->lock, NULL);
    kw_status status = add_all(set, error, error_len);
    if (status != KW_OK) {
        gw_listeners_destroy(set);
        return status;
    }
    error[0] = '\0';
    *out = set;
    return KW_OK;
}

/* All new contexts first: one bad file changes nothing anywhere. */
kw_status gw_listeners_reload(struct gw_listener_set *set, char *error, size_t error_len)
{
    size_t count = 0, i = 0;
    for (struct listener *listener = set->listeners; listener; listener = listener->next)
        count++;
    SSL_CTX **made = calloc(count + 1, sizeof *made);
    if (!made) {
        snprintf(error, error_len, "out of memory");
        return KW_E_NOMEM;
    }
    kw_status status = KW_OK;
    for (struct listener *listener = set->listeners; listener && status == KW_OK;
         listener = listener->next, i++) {
        if (listener->tls)
            status =
                gw_tls_context(&made[i], &listener->files, listener->tickets, error, error_len);
    }
    i = 0;
    for (struct listener *listener = set->listeners; listener; listener = listener->next, i++) {
        if (status == KW_OK && made[i]) {
            pthread_mutex_lock(&set->lock);
            SSL_CTX *old = listener->ctx;
            listener->ctx = made[i];
            pthread_mutex_unlock(&set->lock);
            made[i] = old;
        }
        SSL_CTX_free(made[i]);
    }
    free(made);
    return status;
}

struct new_limits {
    struct station *station;
    struct gw_limits limits;
};

static void take_limits(void *arg)
{
    struct new_limits *fresh = arg;
    struct station *station = fresh->station;
    station->limits = fresh->limits;
    limits_fill(&station->limits);
    for (struct door *door = station->doors; door; door = door->next)
        door_update(door); /* more connections, or fewer */
    free(fresh);
}

kw_status gw_listeners_limits(struct gw_listener_set *set, const struct gw_limits *limits)
{
    for (struct station *station = set->stations; station; station = station->next) {
        struct new_limits *fresh = malloc(sizeof *fresh);
        if (!fresh)
            return KW_E_NOMEM;
        *fresh = (struct new_limits){station, *limits};
        kw_status status = gw_loop_post(station->group.loop, take_limits, fresh);
        if (status != KW_OK) {
            free(fresh);
            return status;
        }
    }
    return KW_OK;
}

int gw_listeners_port(const struct gw_listener_set *set)
{
    return gw_listeners_port_of(set, GW_FACE_API);
}

int gw_listeners_port_of(const struct gw_listener_set *set, enum gw_face face)
{
    for (const struct listener *listener = set->listeners; listener; listener = listener->next) {
        const struct sockaddr_storage *at = &listener->address.storage;
        if (listener->face != face || listener->address.unix_socket)
            continue;
        return ntohs(at->ss_family == AF_INET ? ((const struct sockaddr_in *)at)->sin_port
                                              : ((const struct sockaddr_in6 *)at)->sin6_port);
    }
    return -1;
}

void gw_listeners_destroy(struct gw_listener_set *set)
{
    if (!set)
        return;
    while (set->stations) {
        struct station *station = set->stations;
        set->stations = station->next;
        if (station->hook.loop) {
            on_drain(&station->hook);
            on_cut(&station->hook);
            gw_loop_remove_drain_hook(&station->hook);
        }
        while (station->doors) {
            struct door *door = station->doors;
            station->doors = door->next;
            free(door);
        }
        free(station);
    }
    while (set->listeners) {
        struct listener *listener = set->listeners;
        set->listeners = listener->next;
        listener_free(listener);
    }
    pthread_mutex_destroy(&set->lock);
    free(set);
}
