/* Supervisor's side: the guarded login of a host. */
#include "pool/pkcs11/member.h"

#include <stdio.h>
#include <sys/stat.h>

#include <p11-kit/pkcs11.h>

#include "crypto/base/clock.h"
#include "pool/pkcs11/ckr.h"
#include "pool/pkcs11/control.h"
#include "pool/pkcs11/join.h"
#include "pool/pkcs11/login.h"

#define TURN_ASK_NS  KW_MS(200) /* each time costs the fingerprints anew */
#define TURN_WAIT_NS KW_S(120)

static const struct pool_config *config_of(const struct pool_p11 *p11)
{
    return pool_config(p11->member->pool);
}

/* --- the guarded login --- */

static void note_pin_file(struct pool_p11 *p11)
{
    struct stat info;
    if (stat(p11->member->config.pin_file, &info) == 0) {
        p11->pin_ctime_ns = (int64_t)info.st_ctim.tv_sec * 1000000000 + info.st_ctim.tv_nsec;
        p11->pin_inode = info.st_ino;
    }
}

bool pool_p11_pin_file_changed(const struct pool_p11 *p11)
{
    struct stat info;
    return stat(p11->member->config.pin_file, &info) == 0 &&
           ((int64_t)info.st_ctim.tv_sec * 1000000000 + info.st_ctim.tv_nsec != p11->pin_ctime_ns ||
            info.st_ino != p11->pin_inode);
}

static void refuse_login(struct pool_p11 *p11, struct pool_p11_host *host, const char *why,
                         CK_RV rv)
{
    p11->auth_failed = true;
    p11->operator_allows = false;
    pool_member_transition(p11->member, POOL_EV_LOGIN_REFUSED, why);
    pool_p11_emit(p11, POOL_EVENT_LOGIN_REFUSED, why, (int64_t)rv);
    pool_p11_kill_host(p11, host, why);
}

static struct pool_login login_of(const struct pool_p11 *p11, const struct kw_secret *pin)
{
    return (struct pool_login){.state_dir = config_of(p11)->state_dir,
                               .member = p11->member->config.name,
                               .serial = kw_span_str(p11->token.serial),
                               .pin = kw_span_of(pin->data, pin->len),
                               .flags = p11->token.flags,
                               .operator_allows = p11->operator_allows};
}

static kw_status send_login(struct pool_p11 *p11, struct pool_p11_host *host,
                            const struct kw_secret *pin)
{
    struct kw_secret wrapping = {0};
    struct kw_buf out = {p11->room, 0, POOL_CONTROL_MAX};
    KW_TRY(kc_domain_member_key(pool_domain(p11->member->pool), &wrapping));
    struct pool_wire_login msg = {kw_span_of(pin->data, pin->len),
                                  kw_span_of(wrapping.data, wrapping.len), kw_span_str(p11->domain),
                                  atomic_load(&p11->join)};
    kw_status status = pool_wire_put_login(&out, &msg);
    if (status == KW_OK) {
        status = pool_control_send(host->control, kw_buf_span(&out), -1);
    }
    kw_wipe(p11->room, out.len);
    kw_secret_clear(&wrapping);
    return status;
}

static void set_attempts(struct pool_p11 *p11, uint64_t flags)
{
    /* PKCS#11 has no count, only these words */
    pthread_mutex_lock(&p11->lock);
    p11->attempts_left = (flags & CKF_USER_PIN_LOCKED) != 0      ? 0
                         : (flags & CKF_USER_PIN_FINAL_TRY) != 0 ? 1
                                                                 : -1;
    pthread_mutex_unlock(&p11->lock);
}

/* --- who the token is --- */

void pool_p11_mismatch(struct pool_p11 *p11, struct pool_p11_host *host, const char *why)
{
    pool_member_transition(p11->member, POOL_EV_WRONG_DOMAIN, why);
    pool_p11_kill_host(p11, host, why);
}

/** Not the token that was joined under this name: a device that was exchanged or reset, or a
 *  setting that points to another one. */
static bool is_stranger(struct pool_p11 *p11, struct pool_p11_host *host)
{
    struct pool_identity known;
    const char *name = p11->member->config.name;
    char why[256];
    if (atomic_load(&p11->join)) {
        return false;
    }
    kw_status status = pool_identity_load(&known, config_of(p11)->state_dir, name);
    if (status == KW_E_NOT_FOUND) {
        return false;
    }
    if (status != KW_OK) {
        pool_p11_start_failed(p11, host, "the member's record cannot be read");
        return true;
    }
    char serial[17];
    pool_identity_serial(serial, p11->token.serial);
    if (strcmp(known.serial, serial) != 0) {
        snprintf(why, sizeof(why),
                 "token %s is not %s, which was joined: keyward member replace %s joins it", serial,
                 known.serial, name);
        pool_p11_mismatch(p11, host, why);
        return true;
    }
    if (strcmp(known.domain, p11->domain) != 0) {
        pool_p11_on_other_domain(p11, host, known.domain);
        return true;
    }
    return false;
}

/** Serial numbers are unique where a vendor gives any; some modules show a constant one. */
static bool same_token(const struct pool_wire_hello *a, const struct pool_wire_hello *b)
{
    return a->serial[strspn(a->serial, "0 ")] != '\0' && strcmp(a->serial, b->serial) == 0 &&
           strcmp(a->manufacturer, b->manufacturer) == 0 && strcmp(a->model, b->model) == 0 &&
           strcmp(a->label, b->label) == 0;
}

/** Is the token another member's already? Two names for one token look like a second copy of every
 *  key and are none. The one that came first keeps it. */
static bool is_taken(struct pool_p11 *p11, struct pool_p11_host *host)
{
    struct pool_member *own = p11->member, *other = NULL;
    char why[256], serial[17];
    while ((other = pool_next_of_kind(own, other)) != NULL) {
        const struct pool_p11 *its = other->impl;
        if (other == own || strcmp(other->config.name, own->config.name) == 0 ||
            pool_member_health(other) == POOL_HEALTH_MISMATCHED ||
            !same_token(&its->token, &p11->token)) {
            continue;
        }
        pool_identity_serial(serial, p11->token.serial);
        snprintf(why, sizeof(why), "token %s of %s is that of %s: one token under two names",
                 serial, own->config.name, other->config.name);
        pool_p11_mismatch(p11, host, why);
        return true;
    }
    return false;
}

void pool_p11_on_other_domain(struct pool_p11 *p11, struct pool_p11_host *host, const char *other)
{
    const char *peer = pool_other_member(p11->member);
    char why[256];
    snprintf(why, sizeof(why),
             "security domain %.8s on %s, %.8s on %s: keyward member replace %s joins it", other,
             p11->member->config.name, p11->domain, peer != NULL ? peer : "the group",
             p11->member->config.name);
    pool_p11_mismatch(p11, host, why);
}

kw_status pool_p11_keep_identity(struct pool_p11 *p11)
{
    struct pool_identity identity, known;
    const char *dir = config_of(p11)->state_dir;
    pool_identity_serial(identity.serial, p11->token.serial);
    snprintf(identity.domain, sizeof(identity.domain), "%s", p11->domain);
    kw_status status = pool_identity_load(&known, dir, p11->member->config.name);
    if (status != KW_OK || strcmp(known.serial, identity.serial) != 0 ||
        strcmp(known.domain, identity.domain) != 0) {
        KW_TRY(pool_identity_store(dir, p11->member->config.name, &identity));
    }
    KW_TRY(pool_join_end(dir, p11->member->config.name));
    atomic_store(&p11->join, false);
    return KW_OK;
}

void pool_p11_on_hello(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body)
{
    struct pool_wire_hello hello;
    if (pool_wire_get_hello(body, &hello) != KW_OK) {
        pool_p11_start_failed(p11, host, "the host broke the protocol");
        return;
    }
    pthread_mutex_lock(&p11->lock);
    p11->token = hello;
    bool first = p11->serving == 0;
    pthread_mutex_unlock(&p11->lock);
    for (unsigned kind = 0; first && kind < KW_KIND_COUNT; kind++) {
        /* it may come back with other firmware or another policy: what it refused is asked again */
        atomic_store(&p11->unable[kind], 0);
    }
    set_attempts(p11, hello.flags);
    if (is_taken(p11, host) || is_stranger(p11, host)) {
        return; /* before a login is spent on it */
    }
    pool_p11_try_login(p11, host, kw_now_ns());
}

void pool_p11_try_login(struct pool_p11 *p11, struct pool_p11_host *host, int64_t now_ns)
{
    struct kw_secret pin = {0};
    const char *why = "";
    note_pin_file(p11);
    if (pool_login_read_pin(p11->member->config.pin_file, &pin, &why) != KW_OK) {
        refuse_login(p11, host, why, CKR_OK);
        return;
    }
    struct pool_login login = login_of(p11, &pin);
    kw_status status = pool_login_begin(&login, &why);
    if (status == KW_E_FORBIDDEN) {
        refuse_login(p11, host, why, CKR_OK);
    } else if (status == KW_E_BUSY) {
        if (host->phase != POOL_P11_WAIT_TURN) {
            host->phase = POOL_P11_WAIT_TURN;
            host->phase_deadline_ns = now_ns + TURN_WAIT_NS;
        }
        host->next_turn_ns = now_ns + TURN_ASK_NS;
    } else if (status != KW_OK) {
        pool_p11_start_failed(p11, host, why);
    } else if (send_login(p11, host, &pin) != KW_OK) {
        (void)!pool_login_settle(&login, POOL_LOGIN_UNSPENT);
        pool_p11_start_failed(p11, host, "the login could not be sent");
    } else {
        /* one try: a host that dies over it leaves no word, and the next one goes by the record */
        p11->operator_allows = false;
        host->phase = POOL_P11_WAIT_LOGIN;
        host->phase_deadline_ns = now_ns + config_of(p11)->hard_deadline_ns;
    }
    kw_secret_clear(&pin);
}

void pool_p11_on_logged_in(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body)
{
    struct pool_wire_logged_in msg;
    char why[128];
    if (pool_wire_get_logged_in(body, &msg) != KW_OK) {
        pool_p11_start_failed(p11, host, "the host broke the protocol");
        return;
    }
    set_attempts(p11, msg.flags);
    struct kw_secret none = {0};
    struct pool_login login = login_of(p11, &none);
    bool refused = pool_ckr_refuses_pin(msg.ckr), known = pool_ckr_is_known(msg.ckr);
    enum pool_login_outcome outcome = msg.ckr == CKR_OK ? POOL_LOGIN_GOOD
                                      : refused         ? POOL_LOGIN_REFUSED
                                                        : POOL_LOGIN_UNSPENT;
    if (!known) {
        /* a vendor's "wrong PIN" may be among them: the attempt stays one without an answer */
        pool_login_abandon(login.state_dir, login.member);
    } else if (pool_login_settle(&login, outcome) != KW_OK && !refused) {
        pool_p11_start_failed(p11, host, "the login record cannot be kept");
        return;
    }
    snprintf(why, sizeof(why), "login: CKR_%s (0x%lx)", pool_ckr(msg.ckr)->name,
             (unsigned long)msg.ckr);
    if (refused || pool_ckr(msg.ckr)->action == POOL_CKR_NEVER) {
        refuse_login(p11, host, why, msg.ckr);
    } else if (msg.ckr != CKR_OK) {
        pool_p11_start_failed(p11, host, why);
    } else {
        host->phase = POOL_P11_WAIT_READY;
        pool_member_transition(p11->member, POOL_EV_LOGGED_IN, "");
    }
}
