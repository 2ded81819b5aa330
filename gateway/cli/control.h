#pragma once
/* The CLI's way to a running gateway: one HTTP/1.1 request over its control socket. Blocking; CLI
 * only. */

#include "crypto/base/status.h"

#include <stddef.h>

/** Sends METHOD PATH without a body; `*body` is malloc'd and NUL-terminated. KW_E_UNAVAILABLE when
 *  nobody listens at `socket_path`; `error` gets a sentence. */
KW_MUST_CHECK kw_status cli_control(const char *socket_path, const char *method, const char *path,
                                    int *http_status, char **body, char *error, size_t error_len);

/** The same with a JSON body (NULL: none), waiting up to `seconds` for the answer. */
KW_MUST_CHECK kw_status cli_control_send(const char *socket_path, const char *method,
                                         const char *path, const char *json, unsigned seconds,
                                         int *http_status, char **body, char *error,
                                         size_t error_len);

/** Parses an HTTP/1.1 response (RFC 9112) of `len` bytes, received until the end of the connection:
 *  content-length or chunked. `*body` is malloc'd. KW_E_INPUT when it is not one. */
KW_MUST_CHECK kw_status cli_control_parse(const char *response, size_t len, int *http_status,
                                          char **body);
