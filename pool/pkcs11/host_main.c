/* The life of a member host process: hardened first, told over the control socket what to load,
 * ended when that socket closes. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "pool/pkcs11/ckr.h"
#include "pool/pkcs11/control.h"
#include "pool/pkcs11/host.h"
#include "pool/pkcs11/landlock.h"
#include "pool/pkcs11/sandbox.h"
#include "pool/pool.h"

enum { EXIT_DONE = 0, EXIT_PROTOCOL = 64, EXIT_FAILED = 65 };

static void harden(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    /* second line of defence: the first is that the control socket closes with the gateway */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* a terminal's interrupt is the gateway's business */
    signal(SIGHUP, SIG_IGN);
    sigset_t none_blocked;
    sigemptyset(&none_blocked);
    sigprocmask(SIG_SETMASK, &none_blocked, NULL);
}

static kw_status send_record(struct pool_host *host, const struct kw_buf *record)
{
    return pool_control_send(host->control_fd, kw_buf_span(record), -1);
}

static int failed(struct pool_host *host, enum pool_wire_stage stage, CK_RV rv, const char *reason)
{
    uint8_t room[POOL_WIRE_TEXT_MAX + 64];
    struct kw_buf out = {room, 0, sizeof(room)};
    struct pool_wire_failed msg = {stage, rv, kw_span_str(reason)};
    if (pool_wire_put_failed(&out, &msg) == KW_OK) {
        (void)!send_record(host, &out);
    }
    return EXIT_FAILED;
}

static void copy_field(char *out, size_t cap, const unsigned char *field, size_t len)
{
    size_t used = strnlen((const char *)field, len);
    while (used > 0 && field[used - 1] == ' ') {
        used--;
    }
    used = used < cap ? used : cap - 1;
    memcpy(out, field, used);
    out[used] = '\0';
}

static kw_status say_hello(struct pool_host *host)
{
    const CK_TOKEN_INFO *token = &host->token;
    struct pool_wire_hello hello = {.flags = token->flags};
    copy_field(hello.label, sizeof(hello.label), token->label, sizeof(token->label));
    copy_field(hello.serial, sizeof(hello.serial), token->serialNumber,
               sizeof(token->serialNumber));
    copy_field(hello.manufacturer, sizeof(hello.manufacturer), token->manufacturerID,
               sizeof(token->manufacturerID));
    copy_field(hello.model, sizeof(hello.model), token->model, sizeof(token->model));
    snprintf(hello.firmware, sizeof(hello.firmware), "%u.%u", token->firmwareVersion.major,
             token->firmwareVersion.minor);
    uint8_t room[512];
    struct kw_buf out = {room, 0, sizeof(room)};
    KW_TRY(pool_wire_put_hello(&out, &hello));
    return send_record(host, &out);
}

/** Waits for the lock that hosts of one token store share: a login rewrites the store, and some
 *  modules fail when two do it at once. The lock goes with the process. */
static void take_lock(struct pool_host *host)
{
    while (host->lock_fd >= 0 && flock(host->lock_fd, LOCK_EX) != 0 && errno == EINTR) {
    }
    uint8_t room[16];
    struct kw_buf out = {room, 0, sizeof(room)};
    if (pool_wire_put_plain(&out, POOL_WIRE_LOCKED) == KW_OK) {
        (void)!send_record(host, &out);
    }
}

static void release_lock(struct pool_host *host)
{
    if (host->lock_fd >= 0) {
        close(host->lock_fd);
        host->lock_fd = -1;
    }
}

/** The file system first: the system calls for it are gone once the sandbox is on. */
static int narrow_view(struct pool_host *host, const struct pool_wire_config *config)
{
    char module[POOL_WIRE_TEXT_MAX + 1], wrong[POOL_WIRE_TEXT_MAX / 2], reason[POOL_WIRE_TEXT_MAX];
    if (host->sandbox != POOL_SANDBOX_STRICT) {
        return 0;
    }
    memcpy(module, config->module.data, config->module.len);
    module[config->module.len] = '\0';
    struct pool_landlock view = {module, config->paths};
    kw_status status = pool_landlock_enter(&view, wrong, sizeof(wrong));
    if (status == KW_OK) {
        return 0;
    }
    snprintf(reason, sizeof(reason),
             status == KW_E_NOT_FOUND ? "%s is to be usable in the sandbox and cannot be opened"
                                      : "the view of the file system cannot be narrowed%.0s",
             wrong);
    return failed(host, POOL_WIRE_STAGE_SANDBOX, CKR_GENERAL_ERROR, reason);
}

static int configure(struct pool_host *host, uint8_t *room)
{
    struct kw_span body;
    struct pool_wire_config config;
    if (pool_control_receive(host->control_fd, room, &body, &host->lock_fd) != KW_OK ||
        pool_wire_get_config(body, &config) != KW_OK) {
        return EXIT_PROTOCOL;
    }
    host->sessions = config.sessions;
    host->processors = config.processors;
    host->may_coalesce = config.coalesce;
    host->loaded_keys = config.loaded_keys;
    host->sandbox = (enum pool_sandbox)config.sandbox;
    int narrowed = narrow_view(host, &config);
    if (narrowed != 0) {
        return narrowed;
    }
    struct pool_sandbox_limits limits = {config.memory, config.files};
    if (pool_sandbox_enter(host->sandbox, &limits) != KW_OK) {
        return failed(host, POOL_WIRE_STAGE_SANDBOX, CKR_GENERAL_ERROR,
                      "the sandbox cannot be set up on this kernel");
    }
    take_lock(host);
    char reason[512] = "";
    CK_RV rv = pool_host_open_token(host, &config, reason, sizeof(reason));
    if (rv != CKR_OK) {
        return failed(host, host->stage, rv, reason);
    }
    return say_hello(host) == KW_OK ? 0 : EXIT_PROTOCOL;
}

static kw_status report_login(struct pool_host *host, CK_RV rv)
{
    CK_FLAGS flags = 0;
    (void)pool_host_flags(host, &flags);
    struct pool_wire_logged_in msg = {rv, flags};
    uint8_t room[64];
    struct kw_buf out = {room, 0, sizeof(room)};
    KW_TRY(pool_wire_put_logged_in(&out, &msg));
    return send_record(host, &out);
}

static int match_domain(struct pool_host *host, const struct pool_wire_login *login)
{
    bool match;
    char other[65], reason[128];
    CK_RV rv = pool_host_domain(host, login->domain, login->join, &match, other);
    if (rv != CKR_OK) {
        snprintf(reason, sizeof(reason), "the token's domain cannot be read: CKR_%s (0x%lx)",
                 pool_ckr(rv)->name, rv);
        return failed(host, POOL_WIRE_STAGE_DOMAIN, rv, reason);
    }
    return match ? 0 : failed(host, POOL_WIRE_STAGE_MISMATCH, CKR_OK, other);
}

/** PIN and wrapping key live in this packet alone; it is wiped before the host starts to work. */
static int log_in(struct pool_host *host, uint8_t *room)
{
    struct kw_span body;
    struct pool_wire_login login;
    int fd;
    if (pool_control_receive(host->control_fd, room, &body, &fd) != KW_OK ||
        pool_wire_get_login(body, &login) != KW_OK) {
        return EXIT_PROTOCOL;
    }
    CK_RV rv = pool_host_login(host, login.pin);
    if (report_login(host, rv) != KW_OK) {
        return EXIT_PROTOCOL;
    }
    if (rv != CKR_OK) {
        return EXIT_FAILED;
    }
    int code = match_domain(host, &login);
    release_lock(host); /* a new mark is written under it as well */
    if (code != 0) {
        return code;
    }
    rv = pool_host_install(host, login.wrapping_key);
    if (rv != CKR_OK) {
        char reason[128];
        snprintf(reason, sizeof(reason), "the wrapping key cannot be installed: CKR_%s (0x%lx)",
                 pool_ckr(rv)->name, rv);
        return failed(host, POOL_WIRE_STAGE_DOMAIN, rv, reason);
    }
    return 0;
}

/** From here on the library has what it needs: no more code, no more sockets in `strict`. */
static int seal(struct pool_host *host)
{
    return pool_sandbox_seal(host->sandbox) == KW_OK
               ? 0
               : failed(host, POOL_WIRE_STAGE_SANDBOX, CKR_GENERAL_ERROR,
                        "the sandbox cannot be sealed");
}

static int begin_work(struct pool_host *host)
{
    host->keys = pool_host_keys_create(host->loaded_keys);
    if (host->keys == NULL || pool_host_work_start(host) != KW_OK) {
        return failed(host, POOL_WIRE_STAGE_RUN, CKR_SESSION_COUNT, "no session could be opened");
    }
    struct pool_wire_ready msg = {host->sessions};
    uint8_t room[64];
    struct kw_buf out = {room, 0, sizeof(room)};
    if (pool_wire_put_ready(&out, &msg) != KW_OK || send_record(host, &out) != KW_OK) {
        return EXIT_PROTOCOL;
    }
    return 0;
}

/** The last work of a host: the gateway ends it when it has read what came of it. Ending here would
 *  show on the data channels first and look like a crash. */
static kw_status zeroize(struct pool_host *host)
{
    struct pool_wire_zeroized result;
    uint8_t room[64];
    struct kw_buf out = {room, 0, sizeof(room)};
    pool_host_zeroize(host, &result);
    KW_TRY(pool_wire_put_zeroized(&out, &result));
    return send_record(host, &out);
}

/** Takes channels in, and words on keys, until the gateway closes the control socket. */
static int serve(struct pool_host *host, uint8_t *room)
{
    for (;;) {
        struct kw_span body;
        int fd;
        kw_status status = pool_control_receive(host->control_fd, room, &body, &fd);
        if (status == KW_E_IO) {
            return EXIT_DONE;
        }
        struct kw_span ids;
        struct pool_wire_list list;
        if (status == KW_OK && fd < 0 && pool_wire_get_forget(body, &ids) == KW_OK) {
            pool_host_keys_forget(host, ids);
            if (ids.len == 0) {
                pool_host_objects_forget(host);
            }
            continue;
        }
        if (status == KW_OK && fd < 0 && pool_wire_get_list(body, &list) == KW_OK) {
            if (pool_host_list(host, &list) != KW_OK) {
                return EXIT_PROTOCOL;
            }
            continue;
        }
        if (status == KW_OK && fd < 0 && pool_wire_get_plain(body, POOL_WIRE_ZEROIZE) == KW_OK) {
            if (zeroize(host) != KW_OK) {
                return EXIT_PROTOCOL;
            }
            continue;
        }
        if (status != KW_OK || fd < 0 || pool_wire_get_plain(body, POOL_WIRE_CHANNEL) != KW_OK) {
            return EXIT_PROTOCOL;
        }
        if (pool_host_work_add(host, fd) != KW_OK) {
            return EXIT_FAILED;
        }
    }
}

int pool_host_main(int control_fd)
{
    static struct pool_host host;
    harden();
    host.control_fd = control_fd;
    host.lock_fd = -1;
    pthread_mutex_init(&host.objects, NULL);
    pthread_mutex_init(&host.generating, NULL);
    pthread_mutex_init(&host.finding, NULL);
    uint8_t *room = kw_secret_alloc(POOL_CONTROL_MAX);
    if (room == NULL) {
        return EXIT_FAILED;
    }
    int code = configure(&host, room);
    code = code == 0 ? log_in(&host, room) : code;
    kw_secret_free(room);
    room = kw_secret_alloc(POOL_CONTROL_MAX);
    code = code == 0 ? seal(&host) : code;
    code = code == 0 ? begin_work(&host) : code;
    code = code == 0 && room != NULL ? serve(&host, room) : code;
    /* Session threads may be inside the module: C_Finalize under them crashes some modules, and so
     * does their clean-up at exit. The token forgets the sessions with the process. */
    _exit(code);
}
