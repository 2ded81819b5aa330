/* The chain of pool/diagnose.h for a remote member: its name, its port, TLS, its certificate, and
 * the token that would be sent. Nothing is asked of the endpoint itself: that is the running
 * gateway's, whose state and probe are shown beside it. */
#include "pool/diagnose.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "pool/reach.h"
#include "pool/remote/remote.h"

#define REACH_NS KW_S(5)
#define DAY_S    86400
#define SOON     30 /* days */

static const char *const chain[] = {"dns", "tcp", "tls", "certificate", "token"};

struct look {
    struct pool_diagnosis *out;
    const struct pool_member_config *member;
    int64_t step_ns;
    struct pool_remote *remote;
    struct pool_remote_link link;
    struct pool_remote_conn conn;
    char address[64];
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
    vsnprintf(finding->seen, sizeof finding->seen, format, args);
    va_end(args);
    snprintf(finding->next, sizeof finding->next, "%s", next);
    for (char *c = finding->seen; *c != '\0'; c++) {
        *c = (unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f ? '?' : *c; /* from outside */
    }
    return outcome != POOL_STEP_FAIL;
}

#define OK(look, ...)              say(look, POOL_STEP_OK, POOL_BLAME_NONE, "", __VA_ARGS__)
#define FAIL(look, who, next, ...) say(look, POOL_STEP_FAIL, POOL_BLAME_##who, next, __VA_ARGS__)

/* --- the way there --- */

static bool see_network(struct look *look)
{
    const struct timespec pause = {0, 5000000};
    const struct pool_remote_url *url = &look->remote->url;
    struct pool_reach *reach = NULL;
    enum pool_reach_state state;
    if (pool_reach_start(&reach, url->host, (unsigned)atoi(url->port), kw_now_ns(), REACH_NS) !=
        KW_OK) {
        return FAIL(look, CONFIG, "look at the machine's resolver and memory",
                    "the lookup of %s cannot be started", url->host);
    }
    while ((state = pool_reach_step(reach, kw_now_ns())) == POOL_REACH_RESOLVING ||
           state == POOL_REACH_CONNECTING) {
        nanosleep(&pause, NULL);
    }
    snprintf(look->address, sizeof look->address, "%s", pool_reach_address(reach));
    bool good = state == POOL_REACH_OK;
    if (state == POOL_REACH_NO_NAME) {
        FAIL(look, NETWORK, "look at /etc/resolv.conf and the name in the member's `url`",
             "%s has no address: %s", url->host, pool_reach_why(reach));
    } else if (OK(look, "%s is %s", url->host, look->address) && good) {
        OK(look, "%s:%s takes connections", look->address, url->port);
    } else {
        FAIL(look, NETWORK, "look at the endpoint, then at routes and firewalls between",
             "%s:%s is unreachable: %s", look->address, url->port, pool_reach_why(reach));
    }
    pool_reach_free(reach);
    return good;
}

static int connect_to(const struct look *look)
{
    const struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                     .ai_socktype = SOCK_STREAM};
    const struct timeval limit = {.tv_sec = look->step_ns / KW_S(1),
                                  .tv_usec = look->step_ns % KW_S(1) / 1000};
    struct addrinfo *found = NULL;
    if (getaddrinfo(look->address, look->remote->url.port, &numeric, &found) != 0) {
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

/* --- TLS --- */

static bool fail_tls(struct look *look)
{
    const char *why = look->conn.why;
    if (strstr(why, "unknown CA") != NULL) {
        return FAIL(look, CONFIG, "name the CA that issued it: `ca` of the member", "%s", why);
    }
    if (strstr(why, "host name mismatch") != NULL) {
        return FAIL(look, CONFIG, "use a name of the certificate in `url`, or have it added there",
                    "%s", why);
    }
    if (strstr(why, "expired") != NULL || strstr(why, "not yet valid") != NULL) {
        return FAIL(look, DEVICE, "renew the endpoint's certificate; compare both clocks", "%s",
                    why);
    }
    if (strncmp(why, "unreachable", 11) == 0 || why[0] == '\0') {
        return FAIL(look, NETWORK, "does a proxy or another service answer on this port?", "%s",
                    why[0] != '\0' ? why : "no answer to the TLS handshake in time");
    }
    return FAIL(look, DEVICE, "look at the endpoint's TLS settings: TLS 1.2 and HTTP/2 are needed",
                "%s", why);
}

static bool see_tls(struct look *look)
{
    if (pool_remote_tls_create(&look->remote->tls, look->member->ca) != KW_OK) {
        return FAIL(look, CONFIG, "give a file of PEM certificates", "`ca`: %s cannot be used",
                    look->member->ca != NULL ? look->member->ca : "");
    }
    look->conn.fd = connect_to(look);
    if (look->conn.fd < 0 || pool_remote_tls_open(&look->conn) != KW_OK) {
        return FAIL(look, NETWORK, "try again", "a second connection could not be made");
    }
    if (pool_remote_tls_handshake(&look->conn) != 1) {
        return fail_tls(look);
    }
    return OK(look, "%s with %s; the certificate is trusted and for %s",
              SSL_get_version(look->conn.ssl), SSL_get_cipher_name(look->conn.ssl),
              look->remote->url.host);
}

static bool see_certificate(struct look *look)
{
    X509 *peer = SSL_get0_peer_certificate(look->conn.ssl);
    char issuer[128] = "?";
    X509_NAME_oneline(X509_get_issuer_name(peer), issuer, sizeof issuer);
    long long days = (long long)((look->remote->not_after - kw_wall_s()) / DAY_S);
    int count = sk_X509_num(SSL_get0_verified_chain(look->conn.ssl));
    if (days < SOON) {
        return say(look, POOL_STEP_WARN, POOL_BLAME_DEVICE,
                   "have the endpoint's certificate renewed", "ends in %lld days; issued by %s",
                   days, issuer);
    }
    return OK(look, "ends in %lld days; issued by %s; a chain of %d", days, issuer, count);
}

/* --- the token --- */

static bool see_token(struct look *look)
{
    static const char next[] = "correct the file named by `token_file`; mode 0600 or 0400";
    const char *path = look->member->token_file;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char first;
    bool readable = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    int error = errno;
    bool empty = readable && read(fd, &first, 1) != 1;
    if (fd >= 0) {
        close(fd);
    }
    if (!readable) {
        return FAIL(look, CREDENTIAL, next, "%s: %s", path,
                    fd >= 0 ? "not a regular file" : strerror(error));
    }
    if ((st.st_mode & 077) != 0) {
        return FAIL(look, CREDENTIAL, next, "%s: mode %04o lets others in", path,
                    (unsigned)st.st_mode & 07777u);
    }
    if (empty) {
        return FAIL(look, CREDENTIAL, next, "%s is empty", path);
    }
    return OK(look, "%s: mode %04o; whether it is valid there, the gateway's state says", path,
              (unsigned)st.st_mode & 07777u);
}

void pool_diagnose_remote(struct pool_diagnosis *out, const struct pool_member_config *member,
                          const struct pool_diagnose_options *options)
{
    memset(out, 0, sizeof *out);
    struct look look = {.out = out,
                        .member = member,
                        .conn = {.fd = -1},
                        .step_ns = options->step_ns != 0 ? options->step_ns : KW_S(10)};
    look.remote = calloc(1, sizeof *look.remote);
    if (look.remote == NULL || pool_remote_url_read(member->url, &look.remote->url) != KW_OK) {
        free(look.remote);
        return;
    }
    pthread_mutex_init(&look.remote->lock, NULL);
    look.link.remote = look.remote;
    look.conn.link = &look.link;
    if (see_network(&look) && see_tls(&look)) {
        see_certificate(&look);
    }
    const char *last = out->findings[out->count - 1].step;
    while (out->count < sizeof chain / sizeof chain[0] - 1) {
        say(&look, POOL_STEP_SKIP, POOL_BLAME_NONE, "", "not reached: the chain ends at \"%s\"",
            last);
    }
    see_token(&look);
    SSL_free(look.conn.ssl);
    if (look.conn.fd >= 0) {
        close(look.conn.fd);
    }
    SSL_CTX_free(look.remote->tls);
    pthread_mutex_destroy(&look.remote->lock);
    free(look.remote);
}
