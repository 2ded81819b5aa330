/* The chain of pool/diagnose.h for a PKCS#11 member. */
#include "pool/diagnose.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <p11-kit/pkcs11.h>

#include "crypto/base/clock.h"
#include "pool/pkcs11/ckr.h"
#include "pool/pkcs11/diagnose_host.h"
#include "pool/pkcs11/login.h"
#include "pool/reach.h"

#define STEP_DEFAULT_NS KW_S(10)
#define REACH_NS        KW_S(5)

static const char *const chain[] = {"dns",  "tcp",   "tls",   "module", "initialize",
                                    "slot", "flags", "login", "domain", "sign"};

struct look {
    struct pool_diagnosis *out;
    const struct pool_member_config *member;
    const struct pool_diagnose_options *options;
    struct diagnose_host host;
    struct pool_wire_hello hello;
    int64_t step_ns;
};

static bool say(struct look *look, enum pool_outcome outcome, enum pool_blame blame,
                const char *next, const char *format, ...) __attribute__((format(printf, 5, 6)));

/** The finding of the chain's next step; false for a failure. */
static bool say(struct look *look, enum pool_outcome outcome, enum pool_blame blame,
                const char *next, const char *format, ...)
{
    struct pool_finding *finding = &look->out->findings[look->out->count];
    *finding =
        (struct pool_finding){.step = chain[look->out->count], .outcome = outcome, .blame = blame};
    look->out->count++;
    va_list args;
    va_start(args, format);
    vsnprintf(finding->seen, sizeof(finding->seen), format, args);
    va_end(args);
    snprintf(finding->next, sizeof(finding->next), "%s", next);
    for (char *c = finding->seen; *c != '\0'; c++) {
        *c =
            (unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f ? '?' : *c; /* from the library */
    }
    return outcome != POOL_STEP_FAIL;
}

#define OK(look, ...)              say(look, POOL_STEP_OK, POOL_BLAME_NONE, "", __VA_ARGS__)
#define SKIP(look, ...)            say(look, POOL_STEP_SKIP, POOL_BLAME_NONE, "", __VA_ARGS__)
#define FAIL(look, who, next, ...) say(look, POOL_STEP_FAIL, POOL_BLAME_##who, next, __VA_ARGS__)

/* --- the network --- */

static enum pool_reach_state reach_wait(struct pool_reach *reach)
{
    const struct timespec pause = {0, 5000000};
    enum pool_reach_state state;
    while ((state = pool_reach_step(reach, kw_now_ns())) == POOL_REACH_RESOLVING ||
           state == POOL_REACH_CONNECTING) {
        nanosleep(&pause, NULL);
    }
    return state;
}

static bool see_network(struct look *look)
{
    const char *host = look->member->probe_host;
    unsigned port = look->member->probe_port;
    struct pool_reach *reach = NULL;
    if (host == NULL) {
        SKIP(look, "no address is configured (probe: \"tcp://HOST:PORT\")");
        SKIP(look, "no address is configured");
        return true;
    }
    if (pool_reach_start(&reach, host, port, kw_now_ns(), REACH_NS) != KW_OK) {
        return FAIL(look, CONFIG, "look at the machine's resolver and memory",
                    "the lookup of %s cannot be started", host);
    }
    enum pool_reach_state state = reach_wait(reach);
    bool good = state == POOL_REACH_OK;
    if (state == POOL_REACH_NO_NAME) {
        FAIL(look, NETWORK, "look at /etc/resolv.conf and the name in the member's probe",
             "%s has no address: %s", host, pool_reach_why(reach));
    } else {
        OK(look, "%s is %s", host, pool_reach_address(reach));
        if (good) {
            OK(look, "%s:%u takes connections", pool_reach_address(reach), port);
        } else {
            FAIL(look, NETWORK,
                 "look at the device's power and address, then at routes and firewalls between",
                 "%s:%u is unreachable: %s", pool_reach_address(reach), port,
                 pool_reach_why(reach));
        }
    }
    pool_reach_free(reach);
    return good;
}

/* --- the library --- */

/** What a host that gives no record comes to. */
static bool see_silence(struct look *look, kw_status status)
{
    int how = look->host.wait_status;
    if (status == KW_E_DEADLINE) {
        return FAIL(look, DEVICE,
                    "the library hangs: look at the device, its client software and its network",
                    "no answer from the library within %lld s",
                    (long long)(look->step_ns / KW_S(1)));
    }
    if (status == KW_E_IO && WIFSIGNALED(how)) {
        return FAIL(look, DEVICE,
                    "try `sandbox: off` and no rlimits for this member; if it stays, the vendor",
                    "the library ended its process: %s", strsignal(WTERMSIG(how)));
    }
    return FAIL(look, DEVICE, "ask the vendor of the library",
                "the library ended its process or broke the protocol");
}

static bool see_failed(struct look *look, struct kw_span body)
{
    struct pool_wire_failed msg;
    if (pool_wire_get_failed(body, &msg) != KW_OK) {
        return see_silence(look, KW_E_INPUT);
    }
    int len = (int)msg.reason.len;
    const char *reason = (const char *)msg.reason.data;
    switch (msg.stage) {
    case POOL_WIRE_STAGE_MODULE:
        return FAIL(look, CONFIG, "correct `module`, or install the vendor's client software",
                    "%.*s", len, reason);
    case POOL_WIRE_STAGE_INITIALIZE:
        OK(look, "%s is loaded", look->member->module);
        return FAIL(look, DEVICE,
                    "look at the library's own configuration and environment, and at its log",
                    "%.*s", len, reason);
    case POOL_WIRE_STAGE_TOKEN:
        OK(look, "%s is loaded", look->member->module);
        OK(look, "C_Initialize succeeded");
        return FAIL(look, CONFIG,
                    "correct `token` and `serial`, or initialise the token; check that the "
                    "library sees the device",
                    "%.*s", len, reason);
    default:
        return FAIL(look, CONFIG, "try `sandbox: off`", "%.*s", len, reason);
    }
}

static bool see_library(struct look *look)
{
    struct kw_span body;
    if (diagnose_host_start(&look->host, look->member, look->options) != KW_OK) {
        return FAIL(look, CONFIG, "look at the data directory's modes and the machine's limits",
                    "the host process cannot be started");
    }
    kw_status status = diagnose_host_wait(&look->host, &body, look->step_ns);
    if (status == KW_OK && pool_wire_get_plain(body, POOL_WIRE_LOCKED) == KW_OK) {
        status = diagnose_host_wait(&look->host, &body, look->step_ns);
    } else if (status == KW_E_DEADLINE) {
        return FAIL(look, DEVICE, "keyward status says which member's host is starting",
                    "another host holds the token store's lock: it hangs in its login");
    }
    if (status != KW_OK) {
        return see_silence(look, status);
    }
    if (pool_wire_type_of(body) == POOL_WIRE_FAILED) {
        return see_failed(look, body);
    }
    if (pool_wire_get_hello(body, &look->hello) != KW_OK) {
        return see_silence(look, KW_E_INPUT);
    }
    const struct pool_wire_hello *hello = &look->hello;
    OK(look, "%s is loaded", look->member->module);
    OK(look, "C_Initialize succeeded");
    OK(look, "token \"%s\" serial %s (%s %s, firmware %s)", hello->label, hello->serial,
       hello->manufacturer, hello->model, hello->firmware);
    snprintf(look->out->serial, sizeof(look->out->serial), "%s", hello->serial);
    if (hello->serial[strspn(hello->serial, "0 ")] != '\0') {
        snprintf(look->out->token, sizeof(look->out->token), "%s|%s|%s|%s", hello->manufacturer,
                 hello->model, hello->serial, hello->label);
    }
    return true;
}

/* --- the credential --- */

static bool see_flags(struct look *look)
{
    uint64_t flags = look->hello.flags;
    if ((flags & CKF_USER_PIN_LOCKED) != 0) {
        return FAIL(look, CREDENTIAL, "the security officer has to reset the PIN",
                    "the token says LOCKED: its user PIN is locked");
    }
    if ((flags & CKF_USER_PIN_FINAL_TRY) != 0) {
        return FAIL(look, CREDENTIAL,
                    "find the right PIN, log in once with the vendor's tool, then recover the "
                    "member",
                    "the token says FINAL_TRY: one more wrong PIN locks it");
    }
    if ((flags & CKF_USER_PIN_TO_BE_CHANGED) != 0) {
        return FAIL(look, CREDENTIAL, "change the PIN with the vendor's tool",
                    "the token wants its user PIN changed");
    }
    if ((flags & CKF_USER_PIN_INITIALIZED) == 0) {
        return FAIL(look, CREDENTIAL, "the security officer has to set the user PIN",
                    "the token has no user PIN yet");
    }
    if ((flags & CKF_USER_PIN_COUNT_LOW) != 0) {
        say(look, POOL_STEP_WARN, POOL_BLAME_CREDENTIAL,
            "log in with the right PIN to reset the count; find out who tried",
            "the token says COUNT_LOW: a wrong PIN was given since the last login");
        return true;
    }
    OK(look, "the token's PIN is set, not locked, and no wrong one is counted");
    return true;
}

static bool try_login(struct look *look, struct pool_login *login)
{
    const char *why = "";
    struct kw_span body;
    struct pool_wire_logged_in msg;
    if (pool_login_begin(login, &why) != KW_OK) {
        return FAIL(look, CREDENTIAL, "see the login record in the data directory", "%s", why);
    }
    kw_status status = diagnose_host_login(&look->host, look->options->domain, login->pin);
    if (status == KW_OK) {
        status = diagnose_host_wait(&look->host, &body, look->step_ns);
    }
    if (status != KW_OK || pool_wire_get_logged_in(body, &msg) != KW_OK) {
        /* the record stays as "trying": nothing is known of this attempt */
        return see_silence(look, status);
    }
    bool refused = pool_ckr_refuses_pin(msg.ckr);
    enum pool_login_outcome outcome = msg.ckr == CKR_OK ? POOL_LOGIN_GOOD
                                      : refused         ? POOL_LOGIN_REFUSED
                                                        : POOL_LOGIN_UNSPENT;
    if (pool_login_settle(login, outcome) != KW_OK) {
        return FAIL(look, CONFIG, "look at the data directory's disk and modes",
                    "the login record cannot be written");
    }
    if (msg.ckr != CKR_OK) {
        return FAIL(look, CREDENTIAL,
                    refused ? "put the right PIN into the PIN file; it is not tried again as it is"
                            : "look at the device and its log",
                    "the login failed: CKR_%s (0x%lx)", pool_ckr(msg.ckr)->name,
                    (unsigned long)msg.ckr);
    }
    OK(look, "the login succeeded with the PIN that the record knows as good");
    return true;
}

static bool see_standing(struct look *look, struct pool_login *login)
{
    enum pool_login_standing standing;
    if (pool_login_look(login, &standing) != KW_OK) {
        return FAIL(look, CONFIG, "look at login-*.json in the data directory",
                    "the login record cannot be read, so the gateway tries no login either");
    }
    switch (standing) {
    case POOL_LOGIN_WAS_REFUSED:
        return FAIL(look, CREDENTIAL,
                    "put the right PIN into the PIN file; it is taken up within seconds",
                    "the record says that this PIN was refused; it is not tried again");
    case POOL_LOGIN_REFUSED_ELSEWHERE:
        return FAIL(look, CREDENTIAL,
                    "put this token's PIN into the PIN file, or run: keyward member recover NAME",
                    "this PIN was refused by another member's token; it is not tried here");
    case POOL_LOGIN_UNRESOLVED:
        return FAIL(look, CREDENTIAL, "check the PIN by hand, then: keyward member recover NAME",
                    "an attempt with this PIN ended without an answer and was never good before");
    case POOL_LOGIN_UNTRIED:
        SKIP(look, "this PIN was never tried on this token; the first try is the gateway's");
        return false;
    default:
        break;
    }
    if ((look->hello.flags & CKF_USER_PIN_COUNT_LOW) != 0) {
        SKIP(look, "the PIN was good before; not tried while the token says COUNT_LOW");
        return false;
    }
    if (look->options->domain == NULL) {
        SKIP(look,
             "the PIN was good before; without the domain key there is nothing to log in for");
        return false;
    }
    return try_login(look, login);
}

static bool see_login(struct look *look)
{
    struct kw_secret pin = {0};
    const char *why = "";
    if (pool_login_read_pin(look->member->pin_file, &pin, &why) != KW_OK) {
        return FAIL(look, CREDENTIAL, "correct the file named by `pin_file`; mode 0600 or 0400",
                    "%s: %s", look->member->pin_file, why);
    }
    struct pool_login login = {.state_dir = look->options->state_dir,
                               .member = look->member->name,
                               .serial = kw_span_str(look->hello.serial),
                               .pin = kw_span_of(pin.data, pin.len),
                               .flags = look->hello.flags};
    bool on = see_standing(look, &login);
    kw_secret_clear(&pin);
    return on;
}

/* --- domain and work --- */

static bool see_domain(struct look *look)
{
    struct kw_span body;
    struct pool_wire_failed msg;
    char check[2 * KC_DOMAIN_CHECK_LEN + 1];
    kw_status status = diagnose_host_wait(&look->host, &body, look->step_ns);
    if (status != KW_OK) {
        return see_silence(look, status);
    }
    if (pool_wire_get_failed(body, &msg) == KW_OK) {
        if (msg.stage == POOL_WIRE_STAGE_MISMATCH) {
            return FAIL(look, CONFIG, "join it by `keyward member replace`, if that is meant",
                        "the token belongs to another security domain, %.*s", (int)msg.reason.len,
                        (const char *)msg.reason.data);
        }
        return FAIL(look, DEVICE, "look at the token's policy and free object memory", "%.*s",
                    (int)msg.reason.len, (const char *)msg.reason.data);
    }
    kc_domain_check(look->options->domain, check);
    OK(look, "the wrapping key of domain %s was taken by the token", check);
    return true;
}

static void see_sign(struct look *look)
{
    char why[160];
    int64_t start = kw_now_ns();
    if (diagnose_host_sign(&look->host, look->options->domain, look->step_ns, why, sizeof(why)) ==
        KW_OK) {
        OK(look, "ES256 signed by the token and verified in %.1f ms",
           (double)(kw_now_ns() - start) / 1e6);
    } else {
        FAIL(look, DEVICE,
             "look at the device's log; take the member out with: keyward member "
             "drain NAME",
             "%s", why);
    }
}

void pool_diagnose(struct pool_diagnosis *out, const struct pool_member_config *member,
                   const struct pool_diagnose_options *options)
{
    memset(out, 0, sizeof(*out));
    if (member->kind != POOL_MEMBER_PKCS11) {
        return;
    }
    struct look look = {.out = out,
                        .member = member,
                        .options = options,
                        .host = {.control = -1},
                        .step_ns = options->step_ns != 0 ? options->step_ns : STEP_DEFAULT_NS};
    bool on = see_network(&look);
    if (on) {
        SKIP(&look, "the vendor's library speaks to its device by itself");
    }
    on = on && see_library(&look) && see_flags(&look) && see_login(&look) && see_domain(&look);
    if (on) {
        see_sign(&look);
    }
    diagnose_host_end(&look.host);
    const char *last = out->findings[out->count - 1].step;
    while (out->count < sizeof(chain) / sizeof(chain[0])) {
        SKIP(&look, "not reached: the chain ends at \"%s\"", last);
    }
}
