#pragma once
/* Listening sockets: addresses, TCP and Unix. */

#include <sys/socket.h>
#include <sys/stat.h>

#include "crypto/base/status.h"
#include "gateway/http/request.h"

struct gw_address {
    bool unix_socket;
    struct sockaddr_storage storage;
    socklen_t len;
};

/** "127.0.0.1:8443", "[::1]:8443", ":8443" or "unix:/path" (also a bare "/path"). On failure
 * `error` gets a sentence. */
KW_MUST_CHECK kw_status gw_address_parse(struct gw_address *out, const char *text, char *error,
                                         size_t error_len);

/** Makes a bound TCP socket with SO_REUSEPORT. `first`: refuses when another program listens there
 *  already (SO_REUSEPORT alone would silently share its connections). Port 0 in `address` is
 * replaced by the one that was given. */
KW_MUST_CHECK kw_status gw_socket_tcp(int *fd, struct gw_address *address, bool first, char *error,
                                      size_t error_len);

/** Makes a bound, listening Unix socket of the mode. A stale socket file is removed only when it is
 * a socket and nobody answers on it. */
KW_MUST_CHECK kw_status gw_socket_unix(int *fd, const struct gw_address *address, mode_t mode,
                                       struct stat *made, char *error, size_t error_len);

/** What is known of the peer of an accepted socket: numeric address, or the kernel's credentials.
 */
void gw_socket_peer(int fd, const struct sockaddr_storage *from, struct gw_peer *peer);
