#include "pool/remote/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/remote/via.h"

#define POLL_NS    KW_MS(20) /* while a name is being resolved */
#define OPENING_NS KW_S(10)  /* an attempt that nobody answered for */
#define LOOK_NS    KW_S(1)   /* between looks at the token file after a refusal */
#define DAY_S      86400

/* --- life --- */

static void destroy(struct pool_member *member)
{
    struct pool_remote *remote = member->impl;
    if (remote == NULL) {
        return;
    }
    pool_remote_resolve_drop(remote->resolve);
    SSL_CTX_free(remote->tls);
    kw_secret_clear(&remote->token);
    pthread_mutex_destroy(&remote->lock);
    free(remote);
    member->impl = NULL;
}

/* True when the file of `ca` is another one than at the last look. */
static bool note_ca(struct pool_remote *remote)
{
    const char *ca = remote->member->config.ca;
    struct stat st;
    if (ca == NULL || stat(ca, &st) != 0) {
        return false;
    }
    int64_t ctime_ns = KW_S(st.st_ctim.tv_sec) + st.st_ctim.tv_nsec;
    bool changed = ctime_ns != remote->ca_ctime_ns || st.st_ino != remote->ca_inode;
    remote->ca_ctime_ns = ctime_ns;
    remote->ca_inode = st.st_ino;
    return changed;
}

/* Before each connection: a CA that was renewed is used without a restart. What cannot be read
 * changes nothing. */
static void look_at_ca(struct pool_remote *remote)
{
    SSL_CTX *fresh = NULL;
    if (!note_ca(remote) || pool_remote_tls_create(&fresh, remote->member->config.ca) != KW_OK) {
        return;
    }
    pthread_mutex_lock(&remote->lock);
    SSL_CTX *old = remote->tls;
    remote->tls = fresh;
    pthread_mutex_unlock(&remote->lock);
    SSL_CTX_free(old); /* connections that are open hold it as well */
}

static kw_status create(struct pool_member *member, const struct pool_member_config *config)
{
    struct pool_remote_url url;
    KW_TRY(pool_remote_url_read(config->url, &url));
    if (config->token_file == NULL) {
        return KW_E_INPUT;
    }
    struct pool_remote *remote = calloc(1, sizeof *remote);
    if (remote == NULL) {
        return KW_E_NOMEM;
    }
    pthread_mutex_init(&remote->lock, NULL);
    remote->member = member;
    remote->url = url;
    remote->seen = POOL_HEALTH_COUNT;
    remote->warned_days = INT32_MAX;
    member->impl = remote;
    note_ca(remote);
    kw_status status = pool_remote_tls_create(&remote->tls, config->ca);
    if (status != KW_OK) {
        destroy(member);
    }
    return status;
}

/* --- what it can do --- */

static bool can(const struct pool_member *member, const struct pool_op *op)
{
    const struct pool_remote *remote = member->impl;
    if (!pool_remote_can(op) || (op->key != NULL && pool_key_name(op->key) == NULL)) {
        return false;
    }
    int64_t until = atomic_load_explicit(&remote->unable_until_ns[op->lane.kind][op->lane.alg],
                                         memory_order_relaxed);
    return until == 0 || kw_now_ns() >= until;
}

static bool now(const struct pool_member *member, const struct pool_op *op)
{
    struct pool_remote *remote = member->impl;
    char version[POOL_REMOTE_VERSION_MAX + 1], via[POOL_VIA_TEXT_MAX + 1];
    int64_t until = atomic_load_explicit(&remote->busy_until_ns, memory_order_relaxed);
    if ((until != 0 && kw_now_ns() < until) ||
        pool_via_append(via, op->via, pool_instance(member->pool)) != KW_OK) {
        return false;
    }
    return op->key == NULL ||
           pool_remote_key_find(remote, op->key, version) != POOL_REMOTE_LACKS_KEY;
}

/* --- health --- */

void pool_remote_opened(struct pool_remote *remote)
{
    struct pool_member *member = remote->member;
    /* one port at a time: the steps must not mix */
    pthread_mutex_lock(&remote->lock);
    switch (pool_member_health(member)) {
    case POOL_HEALTH_STARTING:
        pool_member_transition(member, POOL_EV_LOGGED_IN, "the token is accepted");
        pool_member_transition(member, POOL_EV_IN_STEP, "keys are compared when they are used");
        pool_member_transition(member, POOL_EV_PROBE_OK, "it answers");
        break;
    case POOL_HEALTH_SUSPECT:
        pool_member_transition(member, POOL_EV_PROBE_OK, "it answers");
        break;
    default:
        break;
    }
    pthread_mutex_unlock(&remote->lock);
}

void pool_remote_refused(struct pool_remote_conn *conn, const char *why)
{
    struct pool_remote *remote = conn->link->remote;
    struct pool_member *member = remote->member;
    pthread_mutex_lock(&remote->lock);
    if (conn->token_generation != remote->token_generation) {
        pthread_mutex_unlock(&remote->lock);
        if (conn->state == POOL_REMOTE_PROBING) {
            pool_remote_conn_fail(conn, "its token was replaced while it was opened");
        } else {
            pool_remote_conn_drain(conn);
        }
        return;
    }
    bool first = pool_member_health(member) != POOL_HEALTH_AUTH_FAILED;
    remote->refused_generation = conn->token_generation;
    pool_member_transition(member, POOL_EV_LOGIN_REFUSED, why);
    pthread_mutex_unlock(&remote->lock);
    if (first) {
        struct pool_event event = {
            .type = POOL_EVENT_TOKEN_REFUSED,
            .member = member->config.name,
            .reason = why,
        };
        pool_emit(member->pool, &event);
    }
}

static void lost(struct pool_remote *remote, const char *why)
{
    if (atomic_load(&remote->open) == 0) {
        pool_member_transition(remote->member, POOL_EV_LOST, why);
    }
}

/* --- the credential --- */

static bool token_ok(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] <= 0x20 || data[i] >= 0x7f) {
            return false;
        }
    }
    return len > 0;
}

static ssize_t read_all(int fd, uint8_t *data, size_t cap)
{
    size_t len = 0;
    while (len < cap) {
        ssize_t n = read(fd, data + len, cap - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    return (ssize_t)len;
}

/* Reads the token anew for each connection, so that a changed one is used without a restart. */
static const char *read_token(struct pool_remote *remote)
{
    const char *why = NULL;
    struct stat st;
    int fd = open(remote->member->config.token_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint8_t *data = kw_secret_alloc(POOL_REMOTE_TOKEN_MAX);
    ssize_t len = fd >= 0 && data != NULL ? read_all(fd, data, POOL_REMOTE_TOKEN_MAX) : -1;
    while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r')) {
        len--;
    }
    if (len < 0 || fstat(fd, &st) != 0) {
        why = "the token file cannot be read";
    } else if (st.st_mode & 077) {
        why = "the token file is readable by others";
    } else if (!token_ok(data, (size_t)len) || len == POOL_REMOTE_TOKEN_MAX) {
        why = "the token file holds no token";
    } else {
        struct kw_secret token;
        if (kw_secret_copy(&token, kw_span_of(data, (size_t)len)) != KW_OK) {
            why = "out of memory";
        } else {
            remote->token_ctime_ns = KW_S(st.st_ctim.tv_sec) + st.st_ctim.tv_nsec;
            remote->token_inode = st.st_ino;
            pthread_mutex_lock(&remote->lock);
            if (remote->token.len != token.len ||
                !kw_ct_equal(remote->token.data, token.data, token.len)) {
                remote->token_generation++;
            }
            kw_secret_clear(&remote->token);
            remote->token = token;
            pthread_mutex_unlock(&remote->lock);
        }
    }
    kw_secret_free(data);
    if (fd >= 0) {
        close(fd);
    }
    return why;
}

/* A refused token is not tried again until its file has changed or an operator says so. The token
 * that was read last may be newer than the refused one: a refusal that arrives while the file is
 * being read is of the token before. */
static void look_at_token(struct pool_remote *remote)
{
    struct stat st;
    pthread_mutex_lock(&remote->lock);
    bool newer = remote->refused_generation != remote->token_generation;
    pthread_mutex_unlock(&remote->lock);
    if (newer) {
        pool_member_transition(remote->member, POOL_EV_OPERATOR_RECOVER, "the token file changed");
    } else if (stat(remote->member->config.token_file, &st) == 0 &&
               (KW_S(st.st_ctim.tv_sec) + st.st_ctim.tv_nsec != remote->token_ctime_ns ||
                st.st_ino != remote->token_inode)) {
        pool_member_transition(remote->member, POOL_EV_OPERATOR_RECOVER, "the token file changed");
    }
}

/* --- the certificate --- */

/* Days at which its end is announced; once for each and for each certificate. */
static void watch_certificate(struct pool_remote *remote)
{
    static const int days[] = {1, 7, 14, 30};
    pthread_mutex_lock(&remote->lock);
    int64_t end = remote->not_after;
    pthread_mutex_unlock(&remote->lock);
    if (end != remote->warned_of) {
        remote->warned_of = end;
        remote->warned_days = INT32_MAX;
    }
    int64_t left_s = end - kw_wall_s();
    for (size_t i = 0; end != 0 && i < sizeof days / sizeof days[0]; i++) {
        if (left_s >= (int64_t)days[i] * DAY_S) {
            continue;
        }
        if (days[i] < remote->warned_days) {
            remote->warned_days = days[i];
            struct pool_event event = {
                .type = POOL_EVENT_CERTIFICATE,
                .member = remote->member->config.name,
                .reason = remote->url.authority,
                .number = left_s / DAY_S,
            };
            pool_emit(remote->member->pool, &event);
        }
        break;
    }
}

/* --- the supervisor's turn --- */

static void hand_over(struct pool_port *port, void *arg)
{
    /* when memory is short the link asks again */
    (void)!pool_port_call(port, pool_remote_take_addresses, arg);
}

static void begin(struct pool_remote *remote, int64_t now_ns)
{
    look_at_ca(remote);
    const char *why = read_token(remote);
    remote->opening_ns = now_ns;
    if (why == NULL &&
        pool_remote_resolve_start(&remote->resolve, remote->url.host, remote->url.port) != KW_OK) {
        why = "out of memory";
    }
    if (why != NULL) {
        lost(remote, why);
    }
}

static void take_answer(struct pool_remote *remote)
{
    struct pool_remote_addresses found;
    const char *why;
    if (!pool_remote_resolve_done(remote->resolve, &found, &why)) {
        return;
    }
    pool_remote_resolve_drop(remote->resolve);
    remote->resolve = NULL;
    if (why != NULL) {
        char text[128];
        snprintf(text, sizeof text, "DNS: %.60s: %.50s", remote->url.host, why);
        lost(remote, text);
        return;
    }
    pthread_mutex_lock(&remote->lock);
    remote->addresses = found;
    pthread_mutex_unlock(&remote->lock);
    pool_each_port(remote->member->pool, hand_over, remote->member);
}

int64_t pool_remote_supervise(struct pool_member *member, int64_t now_ns)
{
    struct pool_remote *remote = member->impl;
    int64_t next = now_ns + KW_S(1);
    enum pool_health health = pool_member_health(member);
    if (health == POOL_HEALTH_MISMATCHED) {
        remote->seen = health;
        return INT64_MAX;
    }
    if (health == POOL_HEALTH_AUTH_FAILED) {
        remote->seen = health;
        look_at_token(remote);
        return now_ns + LOOK_NS;
    }
    if (health == POOL_HEALTH_DOWN && remote->resolve == NULL) {
        remote->seen = health;
        if (!pool_member_retry_due(member, now_ns, &next)) {
            return next;
        }
        pool_member_transition(member, POOL_EV_HOST_STARTED, "connecting");
        health = POOL_HEALTH_STARTING;
    }
    if (health == POOL_HEALTH_STARTING && remote->seen != POOL_HEALTH_STARTING) {
        pool_remote_keys_forget(remote); /* it may be another one that answers now */
        atomic_store(&remote->busy_until_ns, 0);
        atomic_store(&remote->wanted, true);
        remote->opening_ns = now_ns;
    }
    remote->seen = health;
    if (remote->resolve == NULL && atomic_exchange(&remote->wanted, false)) {
        begin(remote, now_ns);
    }
    if (remote->resolve != NULL) {
        take_answer(remote);
    }
    if (health == POOL_HEALTH_STARTING && remote->opening_ns + OPENING_NS <= now_ns) {
        remote->seen = POOL_HEALTH_COUNT; /* no port was there, or none answered: once more */
    }
    watch_certificate(remote);
    return remote->resolve != NULL ? now_ns + POLL_NS : next;
}

static void stats(struct pool_member *member, struct pool_member_stats *out)
{
    struct pool_remote *remote = member->impl;
    snprintf(out->endpoint, sizeof out->endpoint, "%s", remote->url.authority);
    pthread_mutex_lock(&remote->lock);
    out->certificate_not_after = remote->not_after;
    pthread_mutex_unlock(&remote->lock);
}

const struct pool_member_type pool_member_remote = {
    .kind = "remote",
    .depth_min = 4,
    .depth_max = 64,
    .create = create,
    .destroy = destroy,
    .attach = pool_remote_attach,
    .detach = pool_remote_detach,
    .submit = pool_remote_submit,
    .flush = pool_remote_flush,
    .ready = pool_remote_ready,
    .expire = pool_remote_expire,
    .can = can,
    .now = now,
    .supervise = pool_remote_supervise,
    .stats = stats,
};
