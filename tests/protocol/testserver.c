/* The real protocol side (gateway/net, gateway/http) under handlers made for its tests: what a
 * route does is simple, and how many requests reached one is counted. Runs until SIGTERM; SIGHUP
 * loads the certificates again. Prints "ready PORT ADMINPORT" once it serves. */

#include <event2/event_struct.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "gateway/app.h"
#include "gateway/http/http.h"
#include "gateway/obs/log.h"

static _Atomic unsigned long begun, run_count, connections;

/* --- what the rest of the gateway would bring --- */

struct pool_port {
    int fd;
};

kw_status pool_port_create(struct pool_port **out, struct pool *pool)
{
    (void)pool;
    *out = calloc(1, sizeof **out);
    if (!*out)
        return KW_E_NOMEM;
    (*out)->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return KW_OK;
}

void pool_port_destroy(struct pool_port *port)
{
    close(port->fd);
    free(port);
}

int pool_port_fd(const struct pool_port *port)
{
    return port->fd;
}

void pool_port_run(struct pool_port *port)
{
    (void)port;
}

void gw_metrics_connection(struct gw_metrics *metrics, unsigned loop, int change)
{
    (void)metrics;
    (void)loop;
    atomic_fetch_add(&connections, (unsigned long)change);
}

void gw_log(enum gw_log_level level, const char *message, ...)
{
    fprintf(stderr, "log %d %s\n", level, message);
}

/* --- replies --- */

static void answer(struct gw_request *req, int status, const char *type, void *body, size_t len,
                   void (*release)(void *))
{
    if (req->replied) {
        if (release)
            release(body);
        return;
    }
    req->replied = true;
    req->reply.status = status;
    req->reply.content_type = type;
    req->reply.body = body;
    req->reply.body_len = len;
    req->reply.body_free = release;
    req->reply.headers[req->reply.header_count++] =
        (struct gw_header){"x-ms-request-id", "00000000-0000-0000-0000-000000000000"};
    req->transport->send(req);
}

static void answer_text(struct gw_request *req, int status, const char *text)
{
    answer(req, status, "text/plain", gw_arena_strndup(req->arena, text, strlen(text)),
           strlen(text), NULL);
}

/* --- routes --- */

enum route { R_HEALTH, R_ECHO, R_INFO, R_SLOW, R_STREAM, R_BIG, R_REFUSE, R_COUNT, R_NONE };

struct slow {
    struct slow *next, **link; /* those that wait; a drain that is cut leaves some */
    struct event timer;
    struct gw_request *req;
};

struct stream {
    struct event timer;
    struct gw_request *req;
    size_t bytes, since;
    unsigned sum, pauses;
    bool paused;
};

static bool path_is(const struct gw_request *req, const char *path)
{
    size_t len = strlen(path);
    return req->target.len >= len && memcmp(req->target.data, path, len) == 0 &&
           (req->target.len == len || req->target.data[len] == '?');
}

static enum route route_of(const struct gw_request *req)
{
    static const char *const paths[] = {"/health", "/echo", "/info",   "/slow",
                                        "/stream", "/big",  "/refuse", "/count"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (path_is(req, paths[i]))
            return (enum route)i;
    }
    return R_NONE;
}

static long number(const struct gw_request *req, long fallback)
{
    const uint8_t *at = memchr(req->target.data, '=', req->target.len);
    return at ? strtol((const char *)at + 1, NULL, 10) : fallback;
}

static void on_unpause(evutil_socket_t fd, short what, void *arg)
{
    struct stream *stream = arg;
    (void)fd;
    (void)what;
    stream->paused = false;
    stream->req->transport->pause_body(stream->req, false);
    gw_loop_unhold(stream->req->loop);
    gw_request_unref(stream->req);
}

enum gw_begin gw_request_begin(struct gw_request *req)
{
    atomic_fetch_add(&begun, 1);
    enum route route = route_of(req);
    req->route_data = NULL;
    if (route == R_REFUSE) {
        answer_text(req, 401, "no");
        return GW_BEGIN_REPLIED;
    }
    if (route == R_NONE) {
        answer_text(req, 404, "nothing here");
        return GW_BEGIN_REPLIED;
    }
    if (route != R_STREAM)
        return GW_BEGIN_BUFFER;
    struct stream *stream = gw_arena_alloc(req->arena, sizeof *stream);
    stream->req = req;
    evtimer_assign(&stream->timer, gw_loop_base(req->loop), on_unpause, stream);
    req->route_data = stream;
    return GW_BEGIN_STREAM;
}

void gw_request_body(struct gw_request *req, struct kw_span piece)
{
    struct stream *stream = req->route_data;
    const struct timeval rest = {0, 5000};
    for (size_t i = 0; i < piece.len; i++)
        stream->sum = stream->sum * 31 + piece.data[i];
    stream->bytes += piece.len;
    stream->since += piece.len;
    if (stream->since < 65536 || stream->paused)
        return;
    stream->since = 0;
    stream->pauses++;
    stream->paused = true;
    gw_request_ref(req);
    gw_loop_hold(req->loop);
    event_add(&stream->timer, &rest);
    req->transport->pause_body(req, true);
}

static pthread_mutex_t slow_lock = PTHREAD_MUTEX_INITIALIZER;
static struct slow *slow_list;

static void slow_add(struct slow *slow)
{
    pthread_mutex_lock(&slow_lock);
    slow->next = slow_list;
    slow->link = &slow_list;
    if (slow->next)
        slow->next->link = &slow->next;
    slow_list = slow;
    pthread_mutex_unlock(&slow_lock);
}

static void slow_remove(struct slow *slow)
{
    pthread_mutex_lock(&slow_lock);
    *slow->link = slow->next;
    if (slow->next)
        slow->next->link = slow->link;
    pthread_mutex_unlock(&slow_lock);
}

static void on_slow(evutil_socket_t fd, short what, void *arg)
{
    struct slow *slow = arg;
    struct gw_request *req = slow->req;
    (void)fd;
    (void)what;
    slow_remove(slow);
    answer_text(req, 200, "late");
    gw_loop_unhold(req->loop);
    gw_request_unref(req);
}

static void run_slow(struct gw_request *req)
{
    long ms = number(req, 100);
    const struct timeval wait = {ms / 1000, (ms % 1000) * 1000};
    struct slow *slow = gw_arena_alloc(req->arena, sizeof *slow);
    slow->req = req;
    slow_add(slow);
    gw_request_ref(req);
    gw_loop_hold(req->loop); /* as the pool does: what is in flight ends before the loop does */
    evtimer_assign(&slow->timer, gw_loop_base(req->loop), on_slow, slow);
    event_add(&slow->timer, &wait);
}

static void run_info(struct gw_request *req)
{
    char *text = gw_arena_printf(
        req->arena,
        "{\"method\":%d,\"target\":\"%.*s\",\"authority\":\"%.*s\",\"authorization\":%zu,"
        "\"body\":%zu,\"http2\":%d,\"tls\":%d,\"face\":%d,\"local\":%d,\"uid\":%u}",
        req->method, (int)req->target.len, (const char *)req->target.data, (int)req->authority.len,
        (const char *)req->authority.data, req->authorization.len, req->body.len, req->http2,
        req->peer->tls, req->peer->face, req->peer->local, req->peer->uid);
    answer(req, 200, "application/json", text, strlen(text), NULL);
}

static void run_big(struct gw_request *req)
{
    size_t len = (size_t)number(req, 1 << 20);
    char *body = malloc(len + 1);
    memset(body, 'x', len);
    answer(req, 200, "application/octet-stream", body, len, free);
}

static void run_stream(struct gw_request *req)
{
    const struct stream *stream = req->route_data;
    char *text = gw_arena_printf(req->arena, "{\"bytes\":%zu,\"sum\":%u,\"pauses\":%u}",
                                 stream->bytes, stream->sum, stream->pauses);
    answer(req, 200, "application/json", text, strlen(text), NULL);
}

void gw_request_run(struct gw_request *req)
{
    atomic_fetch_add(&run_count, 1);
    char text[128];
    switch (route_of(req)) {
    case R_ECHO:
        answer(req, 200, "application/octet-stream", req->body.data, req->body.len, NULL);
        break;
    case R_INFO:
        run_info(req);
        break;
    case R_SLOW:
        run_slow(req);
        break;
    case R_BIG:
        run_big(req);
        break;
    case R_STREAM:
        run_stream(req);
        break;
    case R_COUNT:
        snprintf(text, sizeof text, "{\"begun\":%lu,\"run\":%lu,\"connections\":%lu}",
                 atomic_load(&begun), atomic_load(&run_count), atomic_load(&connections));
        answer_text(req, 200, text);
        break;
    default:
        answer_text(req, 200, "ok");
        break;
    }
}

void gw_request_too_large(struct gw_request *req)
{
    answer_text(req, 413, "too large");
}

/* --- the program --- */

static struct gw_config config;
static struct gw_listener_config listeners[2];

static void read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"cert", 1, NULL, 'c'},   {"key", 1, NULL, 'k'},       {"client-ca", 1, NULL, 'a'},
        {"unix", 1, NULL, 'u'},   {"control", 1, NULL, 't'},   {"bind", 1, NULL, 'b'},
        {"header", 1, NULL, 'H'}, {"body", 1, NULL, 'B'},      {"idle", 1, NULL, 'I'},
        {"shake", 1, NULL, 'S'},  {"max-body", 1, NULL, 'M'},  {"loops", 1, NULL, 'l'},
        {"drain", 1, NULL, 'D'},  {"max-conns", 1, NULL, 'C'}, {NULL, 0, NULL, 0}};
    listeners[0].bind = (char *)(uintptr_t) "127.0.0.1:0";
    config.admin_bind = (char *)(uintptr_t) "127.0.0.1:0";
    config.listeners = listeners;
    config.listener_count = 1;
    config.loops = 1;
    config.limits = (struct gw_limits){.max_body = 262144, .max_streams = 128, .drain_ms = 5000};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        unsigned value = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        switch (c) {
        case 'c':
            listeners[0].certificate = optarg;
            break;
        case 'k':
            listeners[0].private_key = optarg;
            break;
        case 'a':
            listeners[0].client_ca = optarg;
            break;
        case 'b':
            listeners[0].bind = optarg;
            break;
        case 'u':
            listeners[1].bind = optarg;
            config.listener_count = 2;
            break;
        case 't':
            config.control_path = optarg;
            break;
        case 'H':
            config.limits.header_timeout_ms = value;
            break;
        case 'B':
            config.limits.body_timeout_ms = value;
            break;
        case 'I':
            config.limits.idle_timeout_ms = value;
            break;
        case 'S':
            config.limits.handshake_timeout_ms = value;
            break;
        case 'M':
            config.limits.max_body = value;
            break;
        case 'l':
            config.loops = value;
            break;
        case 'D':
            config.limits.drain_ms = value;
            break;
        case 'C':
            config.limits.max_connections = value;
            break;
        default:
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    static struct gw_app app;
    char error[512];
    sigset_t signals;
    read_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    app.config = &config;
    app.loop_count = config.loops;
    if (gw_listeners_create(&app.listeners, &app, error, sizeof error) != KW_OK) {
        fprintf(stderr, "error: %s\n", error);
        return 1;
    }
    for (unsigned i = 0; i < app.loop_count; i++) {
        app.loops[i] = gw_loop_create(&app, i);
        if (!app.loops[i] || gw_listeners_attach(app.listeners, app.loops[i]) != KW_OK)
            return 1;
    }
    for (unsigned i = 0; i < app.loop_count; i++) {
        if (gw_loop_start(app.loops[i]) != KW_OK)
            return 1;
    }
    printf("ready %d %d\n", gw_listeners_port(app.listeners),
           gw_listeners_port_of(app.listeners, GW_FACE_ADMIN));
    fflush(stdout);
    for (int number_of; sigwait(&signals, &number_of) == 0 && number_of == SIGHUP;) {
        kw_status status = gw_listeners_reload(app.listeners, error, sizeof error);
        printf("reload %s\n", status == KW_OK ? "ok" : error);
        fflush(stdout);
    }
    for (unsigned i = 0; i < app.loop_count; i++)
        gw_loop_drain(app.loops[i], config.limits.drain_ms);
    for (unsigned i = 0; i < app.loop_count; i++)
        gw_loop_join(app.loops[i]);
    while (slow_list) {
        struct slow *slow = slow_list;
        slow_remove(slow);
        event_del(&slow->timer);
        gw_request_unref(slow->req);
    }
    for (unsigned i = 0; i < app.loop_count; i++)
        gw_loop_destroy(app.loops[i]);
    gw_listeners_destroy(app.listeners);
    return 0;
}
