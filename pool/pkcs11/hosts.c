/* Supervisor's side: hosts as state machines. Every step is short; what a host takes its time over
 * is waited for with a deadline, in later calls. */
#include "pool/pkcs11/landlock.h"
#include "pool/pkcs11/member.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "crypto/base/text.h"
#include "pool/pkcs11/control.h"
#include "pool/pkcs11/login.h"
#include "pool/pkcs11/spawn.h"
#include "pool/reach.h"

#define POLL_START_NS    KW_MS(5)   /* while a host comes up */
#define POLL_SERVING_NS  KW_MS(250) /* a death is told by the channels at once; this is the net */
#define PROBE_EVERY_NS   KW_S(5)
#define PROBE_SUSPECT_NS KW_MS(800) /* it may be well again any moment */
#define PROBE_FAILURES   3u
#define LOCK_WAIT_NS     KW_S(120) /* others may be logging in before */
#define PIN_CHECK_NS     KW_S(2)
#define BACKOFF_FIRST    KW_MS(100)
#define BACKOFF_TOP      KW_S(30)

static const struct pool_config *config_of(const struct pool_p11 *p11)
{
    return pool_config(p11->member->pool);
}

void pool_p11_emit(struct pool_p11 *p11, enum pool_event_type type, const char *reason,
                   int64_t number)
{
    struct pool_event event = {
        .type = type, .member = p11->member->config.name, .reason = reason, .number = number};
    pool_emit(p11->member->pool, &event);
}

/** +-15 %, so that hosts that fell together do not come back together. */
static int64_t jitter(int64_t wait_ns)
{
    uint16_t noise;
    if (kw_random(&noise, sizeof(noise)) != KW_OK) {
        return wait_ns;
    }
    return wait_ns + wait_ns / 100 * 15 * ((int64_t)noise - 0x8000) / 0x8000;
}

/* --- the end of a host --- */

void pool_p11_host_lost(struct pool_p11 *p11, unsigned number, uint32_t generation, const char *why)
{
    struct pool_p11_host *host = &p11->hosts[number];
    bool last = false;
    pthread_mutex_lock(&p11->lock);
    bool current = host->generation == generation && generation != 0 && !host->kill_wanted;
    if (current) {
        host->kill_wanted = true;
        snprintf(host->why, sizeof(host->why), "%s", why);
        if (host->serving) {
            host->serving = false;
            last = --p11->serving == 0;
        }
    }
    pthread_mutex_unlock(&p11->lock);
    if (!current) {
        return;
    }
    if (last) {
        pool_member_transition(p11->member, POOL_EV_LOST, why);
    }
    pool_supervisor_wake(p11->member->pool);
}

static void close_control(struct pool_p11 *p11, struct pool_p11_host *host)
{
    pthread_mutex_lock(&p11->lock);
    if (host->control >= 0) {
        close(host->control);
    }
    host->control = -1;
    pthread_mutex_unlock(&p11->lock);
}

/** Kills a host; it is reaped in later calls. */
void pool_p11_kill_host(struct pool_p11 *p11, struct pool_p11_host *host, const char *why)
{
    pool_p11_host_lost(p11, host->number, host->generation, why);
    kill(host->pid, SIGKILL);
    if (host->phase == POOL_P11_WAIT_LOGIN) {
        pool_login_abandon(config_of(p11)->state_dir, p11->member->config.name);
    }
    pool_p11_probe_close(host);
    close_control(p11, host);
    host->phase = POOL_P11_DYING;
}

static bool none_serves(struct pool_p11 *p11)
{
    pthread_mutex_lock(&p11->lock);
    bool none = p11->serving == 0;
    pthread_mutex_unlock(&p11->lock);
    return none;
}

/** A start that did not reach service. With no other host serving the member is down. */
void pool_p11_start_failed(struct pool_p11 *p11, struct pool_p11_host *host, const char *why)
{
    char text[128];
    snprintf(text, sizeof(text), "%s", why); /* `why` may lie in the packet room */
    pool_p11_kill_host(p11, host, text);
    host->failures++;
    if (none_serves(p11)) {
        pool_member_transition(p11->member, POOL_EV_LOST, text);
    }
}

static void set_backoff(struct pool_p11_host *host, int64_t now_ns)
{
    int64_t wait = BACKOFF_FIRST;
    for (unsigned i = 0; i < host->failures && wait < BACKOFF_TOP; i++) {
        wait *= 2;
    }
    host->next_start_ns = now_ns + jitter(wait < BACKOFF_TOP ? wait : BACKOFF_TOP);
}

static void reap(struct pool_p11 *p11, struct pool_p11_host *host, int64_t now_ns)
{
    int status = 0;
    if (waitpid(host->pid, &status, WNOHANG) == 0) {
        return;
    }
    pthread_mutex_lock(&p11->lock);
    host->generation = 0;
    host->kill_wanted = false;
    if (p11->pid == host->pid) {
        p11->pid = 0;
    }
    pthread_mutex_unlock(&p11->lock);
    pool_p11_emit(p11, POOL_EVENT_HOST_ENDED, host->why, status);
    host->pid = 0;
    host->phase = POOL_P11_IDLE;
    set_backoff(host, now_ns);
}

/* --- the start of a host --- */

int pool_p11_open_lock(const char *state_dir, const char *module)
{
    char path[4096];
    uint32_t hash = 2166136261u; /* one lock per module: its tokens may share a store */
    char real[PATH_MAX];         /* whatever names it goes by */
    const char *named = realpath(module, real);
    for (const char *c = named != NULL ? named : module; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    }
    int n = snprintf(path, sizeof(path), "%s/module-%08x.lock", state_dir, hash);
    return n < 0 || (size_t)n >= sizeof(path) ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static struct kw_span text_of(const char *text)
{
    return text != NULL ? kw_span_str(text) : kw_span_of(NULL, 0);
}

static kw_status send_config(struct pool_p11 *p11, struct pool_p11_host *host)
{
    const struct pool_member_config *member = &p11->member->config;
    struct pool_wire_config msg = {.module = text_of(member->module),
                                   .token_label = text_of(member->token_label),
                                   .token_serial = text_of(member->token_serial),
                                   .sessions = host->sessions,
                                   .processors = pool_spawn_processors(p11->host_count),
                                   .loaded_keys = member->loaded_keys,
                                   .coalesce = !member->coalesce_off,
                                   .sandbox = (uint8_t)member->sandbox,
                                   .memory = member->memory_max,
                                   .files = member->files_max,
                                   .paths = kw_span_of(member->paths, member->paths_len)};
    struct kw_buf out = {p11->room, 0, POOL_CONTROL_MAX};
    KW_TRY(pool_wire_put_config(&out, &msg));
    int lock = pool_p11_open_lock(config_of(p11)->state_dir, member->module);
    if (lock < 0) {
        return KW_E_IO;
    }
    kw_status status = pool_control_send(host->control, kw_buf_span(&out), lock);
    close(lock);
    return status;
}

static uint32_t next_generation(void)
{
    static _Atomic uint32_t last;
    uint32_t generation = atomic_fetch_add(&last, 1) + 1;
    return generation != 0 ? generation : atomic_fetch_add(&last, 1) + 1;
}

static void start(struct pool_p11 *p11, struct pool_p11_host *host, int64_t now_ns)
{
    int control = -1;
    kw_status status = pool_spawn_host(config_of(p11)->host_program, &host->pid, &control);
    if (status != KW_OK) {
        host->failures++;
        set_backoff(host, now_ns);
        if (none_serves(p11)) {
            pool_member_transition(p11->member, POOL_EV_LOST, "the host process cannot be started");
        }
        return;
    }
    pthread_mutex_lock(&p11->lock);
    host->generation = next_generation();
    host->control = control;
    host->kill_wanted = false;
    host->why[0] = '\0';
    p11->pid = host->number == 0 || p11->pid == 0 ? host->pid : p11->pid;
    pthread_mutex_unlock(&p11->lock);
    host->phase = POOL_P11_WAIT_LOCK;
    host->start_ns = now_ns;
    host->phase_deadline_ns = now_ns + LOCK_WAIT_NS;
    host->probe_failures = 0;
    host->zeroize_sent = false;
    pool_p11_emit(p11, POOL_EVENT_HOST_STARTED, "", host->pid);
    static atomic_flag told = ATOMIC_FLAG_INIT;
    if (p11->member->config.sandbox == POOL_SANDBOX_STRICT && pool_landlock_abi() == 0 &&
        !atomic_flag_test_and_set(&told)) {
        pool_p11_emit(p11, POOL_EVENT_NO_LANDLOCK, "", 0);
    }
    if (send_config(p11, host) != KW_OK) {
        pool_p11_start_failed(p11, host, "the host's configuration cannot be sent");
    }
}

/* --- into service --- */

static void on_ready(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body,
                     int64_t now_ns)
{
    struct pool_wire_ready msg;
    if (pool_wire_get_ready(body, &msg) != KW_OK || pool_p11_probe_open(host) != KW_OK ||
        pool_p11_probe_send(p11, host, now_ns) != KW_OK) {
        pool_p11_start_failed(p11, host, "the host broke the protocol");
        return;
    }
    if (pool_p11_keep_identity(p11) != KW_OK) {
        pool_p11_start_failed(p11, host, "the member's record cannot be kept");
        return;
    }
    host->phase = POOL_P11_WAIT_PROBE;
    pool_member_transition(p11->member, POOL_EV_IN_STEP, "");
}

static void open_on_port(struct pool_port *port, void *member)
{
    /* on KW_E_NOMEM that port goes without until the next host starts */
    (void)!pool_port_call(port, pool_p11_open_channels, member);
}

static void into_service(struct pool_p11 *p11, struct pool_p11_host *host)
{
    host->phase = POOL_P11_SERVING;
    host->failures = 0;
    pthread_mutex_lock(&p11->lock);
    if (!host->kill_wanted) {
        host->serving = true;
        p11->serving++;
    }
    pool_member_read_anew(p11->member);
    pthread_mutex_unlock(&p11->lock);
    pool_each_port(p11->member->pool, open_on_port, p11->member);
}

/** Takes what the probe's channel has; true while the host may go on. */
static void watch_probe(struct pool_p11 *p11, struct pool_p11_host *host, int64_t now_ns)
{
    kw_status status = pool_p11_probe_receive(host);
    switch (status) {
    case KW_OK:
        if (host->phase == POOL_P11_WAIT_PROBE) {
            into_service(p11, host);
        }
        host->probe_failures = 0;
        host->next_probe_ns = now_ns + jitter(PROBE_EVERY_NS);
        pool_member_transition(p11->member, POOL_EV_PROBE_OK, "");
        return;
    case KW_E_NOT_FOUND:
        break;
    case KW_E_INTEGRITY:
        pool_member_transition(p11->member, POOL_EV_WRONG_ANSWER, "the probe's answer was wrong");
        pool_p11_start_failed(p11, host, "the probe's answer was wrong");
        return;
    case KW_E_UNAVAILABLE:
        host->next_probe_ns = now_ns + KW_S(1);
        if (host->phase == POOL_P11_WAIT_PROBE || ++host->probe_failures >= PROBE_FAILURES) {
            pool_p11_start_failed(p11, host, "the probe failed");
        }
        return;
    default:
        pool_p11_start_failed(p11, host, "the host process ended");
        return;
    }
    if (!host->probe_out) {
        return;
    }
    int64_t age = now_ns - host->probe_sent_ns;
    if (age >= config_of(p11)->hard_deadline_ns) {
        pool_p11_start_failed(p11, host, "the host did not answer within the hard deadline");
    } else if (age >= config_of(p11)->soft_deadline_ns && !host->probe_late) {
        host->probe_late = true;
        pool_member_transition(p11->member, POOL_EV_LATE, "the probe is late");
    }
}

/* --- one host's turn --- */

static void on_failed(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body)
{
    struct pool_wire_failed msg;
    char why[128] = "the host broke the protocol";
    bool mismatch = false;
    if (pool_wire_get_failed(body, &msg) == KW_OK) {
        mismatch = msg.stage == POOL_WIRE_STAGE_MISMATCH;
        snprintf(why, sizeof(why), "%.*s", (int)msg.reason.len, (const char *)msg.reason.data);
        kw_text_clean(why);
    }
    if (mismatch) {
        pool_p11_on_other_domain(p11, host, why);
    } else {
        pool_p11_start_failed(p11, host, why);
    }
}

static void on_record(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body,
                      int64_t now_ns)
{
    uint8_t type = pool_wire_type_of(body);
    if (type == POOL_WIRE_FAILED) {
        on_failed(p11, host, body);
    } else if (type == POOL_WIRE_LOCKED && host->phase == POOL_P11_WAIT_LOCK) {
        host->phase = POOL_P11_WAIT_HELLO;
        host->phase_deadline_ns = now_ns + config_of(p11)->hard_deadline_ns;
    } else if (type == POOL_WIRE_HELLO && host->phase == POOL_P11_WAIT_HELLO) {
        pool_p11_on_hello(p11, host, body);
    } else if (type == POOL_WIRE_LOGGED_IN && host->phase == POOL_P11_WAIT_LOGIN) {
        pool_p11_on_logged_in(p11, host, body);
    } else if (type == POOL_WIRE_ZEROIZED && host->phase == POOL_P11_SERVING) {
        pool_p11_on_zeroized(p11, host, body);
    } else if (type >= POOL_WIRE_LISTED && type <= POOL_WIRE_LISTED_ALL &&
               host->phase == POOL_P11_SERVING) {
        if (!pool_p11_on_listed(p11, host, body)) {
            pool_p11_start_failed(p11, host, "the host broke the protocol");
        }
    } else if (type == POOL_WIRE_READY && host->phase == POOL_P11_WAIT_READY) {
        on_ready(p11, host, body, now_ns);
    } else {
        pool_p11_start_failed(p11, host, "the host broke the protocol");
    }
}

static bool is_starting(const struct pool_p11_host *host)
{
    return host->phase >= POOL_P11_WAIT_LOCK && host->phase <= POOL_P11_WAIT_PROBE;
}

static void read_control(struct pool_p11 *p11, struct pool_p11_host *host, int64_t now_ns)
{
    while (is_starting(host) || host->phase == POOL_P11_SERVING) {
        struct kw_span body;
        int fd;
        kw_status status = pool_control_receive(host->control, p11->room, &body, &fd);
        if (fd >= 0) {
            close(fd); /* hosts have nothing to hand over */
        }
        if (status == KW_E_NOT_FOUND) {
            return;
        }
        if (status != KW_OK) {
            pool_p11_start_failed(p11, host, "the host process ended");
            return;
        }
        on_record(p11, host, body, now_ns);
    }
}

static bool kill_is_wanted(struct pool_p11 *p11, struct pool_p11_host *host)
{
    pthread_mutex_lock(&p11->lock);
    bool wanted = host->kill_wanted;
    pthread_mutex_unlock(&p11->lock);
    return wanted;
}

static int64_t run_host(struct pool_p11 *p11, struct pool_p11_host *host, int64_t now_ns)
{
    if (host->phase == POOL_P11_DYING) {
        reap(p11, host, now_ns);
    } else if (host->phase != POOL_P11_IDLE && kill_is_wanted(p11, host)) {
        pool_p11_kill_host(p11, host, "");
    } else if (host->phase != POOL_P11_IDLE) {
        read_control(p11, host, now_ns);
    }
    if (host->phase == POOL_P11_WAIT_TURN && now_ns >= host->next_turn_ns) {
        pool_p11_try_login(p11, host, now_ns);
    }
    if (host->phase == POOL_P11_WAIT_PROBE || host->phase == POOL_P11_SERVING) {
        watch_probe(p11, host, now_ns);
    }
    if (pool_member_health(p11->member) == POOL_HEALTH_SUSPECT &&
        host->next_probe_ns > now_ns + PROBE_SUSPECT_NS) {
        host->next_probe_ns = now_ns + jitter(PROBE_SUSPECT_NS);
    }
    if (host->phase == POOL_P11_SERVING && !host->probe_out && now_ns >= host->next_probe_ns &&
        pool_p11_probe_send(p11, host, now_ns) != KW_OK) {
        pool_p11_start_failed(p11, host, "the host does not take requests");
    }
    if (is_starting(host) && pool_p11_start_is_late(p11, host, now_ns)) {
        pool_p11_start_failed(p11, host, "the host did not start within its deadline");
    }
    if (host->phase == POOL_P11_IDLE) {
        return INT64_MAX;
    }
    if (host->phase != POOL_P11_SERVING || host->probe_out) {
        return now_ns + POLL_START_NS;
    }
    return now_ns + POLL_SERVING_NS;
}

/* --- the member's turn --- */

/** With a connect probe configured a host starts only once the device takes connections: a library
 *  without its device may hang for minutes in its initialisation. */
static int64_t start_if_reachable(struct pool_p11 *p11, struct pool_p11_host *host, int64_t now_ns)
{
    const struct pool_member_config *member = &p11->member->config;
    enum pool_reach_state state = POOL_REACH_OK;
    if (member->probe_host != NULL && p11->reach == NULL &&
        pool_reach_start(&p11->reach, member->probe_host, member->probe_port, now_ns, KW_S(5)) !=
            KW_OK) {
        p11->reach = NULL; /* no probe then; the start itself will tell */
    }
    if (p11->reach != NULL) {
        state = pool_reach_step(p11->reach, now_ns);
    }
    if (state == POOL_REACH_RESOLVING || state == POOL_REACH_CONNECTING) {
        return now_ns + POLL_START_NS;
    }
    char why[128];
    snprintf(why, sizeof(why), POOL_UNREACHABLE ": tcp://%.60s:%u: %.40s",
             member->probe_host != NULL ? member->probe_host : "", member->probe_port,
             p11->reach != NULL ? pool_reach_why(p11->reach) : "");
    pool_reach_free(p11->reach);
    p11->reach = NULL;
    if (state == POOL_REACH_OK) {
        start(p11, host, now_ns);
        return now_ns + POLL_START_NS;
    }
    host->failures++;
    set_backoff(host, now_ns);
    if (none_serves(p11)) {
        pool_member_transition(p11->member, POOL_EV_LOST, why);
    }
    return now_ns;
}

/** Starts at most one host at a time, so that one member's logins never overlap. */
static int64_t start_hosts(struct pool_p11 *p11, int64_t now_ns)
{
    enum pool_health health = pool_member_health(p11->member);
    struct pool_p11_host *idle = NULL;
    bool serving = false;
    for (unsigned i = 0; i < p11->host_count; i++) {
        struct pool_p11_host *host = &p11->hosts[i];
        if (is_starting(host)) {
            return INT64_MAX;
        }
        serving = serving || host->phase == POOL_P11_SERVING;
        if (host->phase == POOL_P11_IDLE &&
            (idle == NULL || host->next_start_ns < idle->next_start_ns)) {
            idle = host;
        }
    }
    if (idle == NULL) {
        return INT64_MAX;
    }
    if (!serving && health == POOL_HEALTH_DOWN && p11->reach == NULL) {
        int64_t next = INT64_MAX;
        if (!pool_member_retry_due(p11->member, now_ns, &next)) {
            return next;
        }
        pool_member_transition(p11->member, POOL_EV_HOST_STARTED, "");
    } else if (serving && p11->reach == NULL && now_ns < idle->next_start_ns) {
        return idle->next_start_ns;
    }
    return start_if_reachable(p11, idle, now_ns);
}

/** A member that the group put down while its hosts run gets new hosts: the deepest repair. An
 *  operator may have set it to STARTING again before this was seen: then what is past its login is
 *  of the life before. */
static void restart_fallen(struct pool_p11 *p11, enum pool_health health)
{
    bool fallen = health == POOL_HEALTH_DOWN || health == POOL_HEALTH_AUTH_FAILED ||
                  health == POOL_HEALTH_MISMATCHED;
    if (!fallen && health != POOL_HEALTH_STARTING) {
        return;
    }
    for (unsigned i = 0; i < p11->host_count; i++) {
        enum pool_p11_phase phase = p11->hosts[i].phase;
        bool past_login = phase == POOL_P11_WAIT_READY || phase == POOL_P11_WAIT_PROBE ||
                          phase == POOL_P11_SERVING;
        if (past_login || (fallen && phase != POOL_P11_IDLE && phase != POOL_P11_DYING)) {
            pool_p11_kill_host(p11, &p11->hosts[i], "the member was taken down");
        }
    }
}

/** True while only an operator or another PIN can help. */
static bool stays_refused(struct pool_p11 *p11, enum pool_health health, int64_t now_ns)
{
    if (!p11->auth_failed) {
        return health == POOL_HEALTH_AUTH_FAILED || health == POOL_HEALTH_MISMATCHED;
    }
    if (health != POOL_HEALTH_AUTH_FAILED) {
        p11->auth_failed = false;
        p11->operator_allows = true; /* one try, whatever the record says */
        return false;
    }
    if (now_ns >= p11->pin_checked_ns + PIN_CHECK_NS) {
        p11->pin_checked_ns = now_ns;
        if (pool_p11_pin_file_changed(p11)) {
            p11->auth_failed = false; /* the record decides whether the PIN is another one */
            pool_member_transition(p11->member, POOL_EV_OPERATOR_RECOVER,
                                   "the PIN file has changed");
            return false;
        }
    }
    return true;
}

int64_t pool_p11_supervise(struct pool_member *member, int64_t now_ns)
{
    struct pool_p11 *p11 = member->impl;
    int64_t next = INT64_MAX;
    restart_fallen(p11, pool_member_health(member));
    for (unsigned i = 0; i < p11->host_count; i++) {
        int64_t wanted = run_host(p11, &p11->hosts[i], now_ns);
        next = wanted < next ? wanted : next;
    }
    pool_p11_pass_on_forget(p11);
    pool_p11_run_zeroize(p11);
    int64_t listing = pool_p11_run_inventory(p11, now_ns);
    next = listing < next ? listing : next;
    if (pool_member_parked(member)) {
        return next; /* until an operator activates it, which wakes the supervisor */
    }
    if (stays_refused(p11, pool_member_health(member), now_ns)) {
        int64_t check = now_ns + PIN_CHECK_NS;
        return check < next ? check : next;
    }
    int64_t wanted = start_hosts(p11, now_ns);
    return wanted < next ? wanted : next;
}

void pool_p11_stop(struct pool_p11 *p11)
{
    pool_reach_free(p11->reach);
    p11->reach = NULL;
    for (unsigned i = 0; i < p11->host_count; i++) {
        struct pool_p11_host *host = &p11->hosts[i];
        if (host->phase == POOL_P11_IDLE) {
            continue;
        }
        kill(host->pid, SIGKILL);
        pool_login_abandon(config_of(p11)->state_dir, p11->member->config.name);
        while (waitpid(host->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        pool_p11_probe_close(host);
        close_control(p11, host);
        host->phase = POOL_P11_IDLE;
    }
}
