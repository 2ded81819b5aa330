#pragma once
/* The CLI's way to a running gateway: one HTTP/1.1 request over its control socket. Blocking; CLI
 * only. */

#include "crypto/base/status.h"

#include <stdbool.h>
#include <stddef.h>

/** Sends METHOD PATH without a body; `*body` is malloc'd and NUL-terminated. KW_E_UNAVAILABLE when
 *  nobody listens at `socket_path`; `error` gets a sentence. */
KW_MUST_CHECK kw_status cli_control(const char *socket_path, const char *method, const char *path,
                                    int *http_status, char **body, char *error, size_t error_len);

/** One exchange with more to it. */
struct cli_exchange {
    const char *method, *path;
    const char *host; /* NULL: "localhost"; selects a vault */
    bool json;        /* the body is JSON */
    unsigned seconds; /* to wait for the answer; 0: 10 */
    const void *body; /* `body_len` bytes of any kind */
    size_t body_len;
    /* the answer */
    int status;
    char *answer; /* malloc'd, NUL-terminated; NULL on failure */
    size_t answer_len;
};
/** As cli_control. */
KW_MUST_CHECK kw_status cli_exchange(const char *socket_path, struct cli_exchange *exchange,
                                     char *error, size_t error_len);

/** The same with a JSON body (NULL: none), waiting up to `seconds` for the answer. */
KW_MUST_CHECK kw_status cli_control_send(const char *socket_path, const char *method,
                                         const char *path, const char *json, unsigned seconds,
                                         int *http_status, char **body, char *error,
                                         size_t error_len);

/** Parses an HTTP/1.1 response (RFC 9112) of `len` bytes, received until the end of the connection:
 *  content-length or chunked. `*body` is malloc'd. KW_E_INPUT when it is not one. */
KW_MUST_CHECK kw_status cli_control_parse(const char *response, size_t len, int *http_status,
                                          char **body);
