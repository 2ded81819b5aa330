#include "gateway/http/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

static kw_status complain(char *error, size_t error_len, const char *what, const char *name)
{
    snprintf(error, error_len, "%s: %s: %s", name, what, strerror(errno));
    return KW_E_IO;
}

static kw_status parse_unix(struct gw_address *out, const char *path, char *error, size_t error_len)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->storage;
    size_t len = strlen(path);
    if (len == 0 || path[0] != '/' || len >= sizeof un->sun_path) {
        snprintf(error, error_len,
                 "%s: a Unix socket's path is absolute and shorter than %zu bytes", path,
                 sizeof un->sun_path);
        return KW_E_INPUT;
    }
    out->unix_socket = true;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len + 1);
    out->len = (socklen_t)sizeof *un;
    return KW_OK;
}

kw_status gw_address_parse(struct gw_address *out, const char *text, char *error, size_t error_len)
{
    memset(out, 0, sizeof *out);
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(out, text + 5, error, error_len);
    if (text[0] == '/')
        return parse_unix(out, text, error, error_len);
    char host[128];
    const char *colon = strrchr(text, ':');
    size_t host_len = colon ? (size_t)(colon - text) : 0;
    if (!colon || colon[1] == '\0' || host_len >= sizeof host) {
        snprintf(error, error_len, "%s: not ADDRESS:PORT, [ADDRESS]:PORT or unix:/PATH", text);
        return KW_E_INPUT;
    }
    memcpy(host, text, host_len);
    host[host_len] = '\0';
    if (host_len > 2 && host[0] == '[' && host[host_len - 1] == ']') {
        host[host_len - 1] = '\0';
        memmove(host, host + 1, host_len - 1);
    }
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, &found);
    if (result != 0 || !found || found->ai_addrlen > sizeof out->storage) {
        snprintf(error, error_len, "%s: %s", text, gai_strerror(result));
        if (found)
            freeaddrinfo(found);
        return KW_E_INPUT;
    }
    memcpy(&out->storage, found->ai_addr, found->ai_addrlen);
    out->len = found->ai_addrlen;
    freeaddrinfo(found);
    return KW_OK;
}

/* --- TCP --- */

static const char *tcp_name(const struct gw_address *address, char *out, size_t len)
{
    char host[64] = "?", port[8] = "?";
    getnameinfo((const struct sockaddr *)&address->storage, address->len, host, sizeof host, port,
                sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(out, len, "%s port %s", host, port);
    return out;
}

static int tcp_bind(const struct gw_address *address, bool share)
{
    const int on = 1;
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->storage.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if ((share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        bind(fd, (const struct sockaddr *)&address->storage, address->len) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

kw_status gw_socket_tcp(int *fd, struct gw_address *address, bool first, char *error,
                        size_t error_len)
{
    char name[80];
    *fd = -1;
    if (first) {
        int probe = tcp_bind(address, false);
        if (probe < 0)
            return complain(error, error_len, "cannot bind", tcp_name(address, name, sizeof name));
        close(probe);
    }
    int made = tcp_bind(address, true);
    if (made < 0)
        return complain(error, error_len, "cannot bind", tcp_name(address, name, sizeof name));
    address->len = sizeof address->storage;
    getsockname(made, (struct sockaddr *)&address->storage, &address->len);
    *fd = made;
    return KW_OK;
}

/* --- Unix --- */

/* Removes what an ended process left; never anything else. */
static kw_status remove_stale(const struct gw_address *address, char *error, size_t error_len)
{
    const char *path = ((const struct sockaddr_un *)&address->storage)->sun_path;
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? KW_OK : complain(error, error_len, "cannot look at it", path);
    if (!S_ISSOCK(st.st_mode)) {
        snprintf(error, error_len, "%s: exists and is not a socket", path);
        return KW_E_CONFLICT;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return complain(error, error_len, "cannot make a socket", path);
    int result = connect(fd, (const struct sockaddr *)&address->storage, address->len);
    int why = errno;
    close(fd);
    if (result == 0 || why != ECONNREFUSED) {
        snprintf(error, error_len, "%s: another program listens there", path);
        return KW_E_CONFLICT;
    }
    return unlink(path) < 0 ? complain(error, error_len, "cannot remove the old socket", path)
                            : KW_OK;
}

kw_status gw_socket_unix(int *fd, const struct gw_address *address, mode_t mode, struct stat *made,
                         char *error, size_t error_len)
{
    const char *path = ((const struct sockaddr_un *)&address->storage)->sun_path;
    *fd = -1;
    KW_TRY(remove_stale(address, error, error_len));
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return complain(error, error_len, "cannot make a socket", path);
    /* nobody may connect between bind and chmod */
    mode_t old = umask(0777);
    int result = bind(sock, (const struct sockaddr *)&address->storage, address->len);
    umask(old);
    if (result < 0 || chmod(path, mode) < 0 || listen(sock, SOMAXCONN) < 0 ||
        lstat(path, made) < 0) {
        kw_status status = complain(error, error_len, "cannot bind", path);
        if (result == 0)
            unlink(path);
        close(sock);
        return status;
    }
    *fd = sock;
    return KW_OK;
}

void gw_socket_peer(int fd, const struct sockaddr_storage *from, struct gw_peer *peer)
{
    if (from->ss_family == AF_UNIX) {
        struct ucred credentials;
        socklen_t len = sizeof credentials;
        peer->local = true;
        peer->uid = peer->gid = 65534; /* nobody, when the kernel does not say */
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) == 0) {
            peer->uid = credentials.uid;
            peer->gid = credentials.gid;
        }
        snprintf(peer->address, sizeof peer->address, "unix");
        return;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    char host[INET6_ADDRSTRLEN] = "?";
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(peer->address, sizeof peer->address, "%s:%u", host, ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(peer->address, sizeof peer->address, "[%s]:%u", host, ntohs(in6->sin6_port));
    }
}
