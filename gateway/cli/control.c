#include "gateway/cli/control.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define RESPONSE_MAX (64u << 20)
#define SECONDS      10

static int open_socket(const char *path, unsigned seconds, char *error, size_t error_len)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = (time_t)seconds};
    if (strlen(path) >= sizeof address.sun_path) {
        snprintf(error, error_len, "%s: the path is too long for a Unix socket", path);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
            return fd;
    }
    snprintf(error, error_len,
             "no gateway answers on %s (%s); is it running, and is this its data directory?", path,
             strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool send_request(int fd, const struct cli_exchange *exchange)
{
    char head[512];
    int len =
        snprintf(head, sizeof head,
                 "%s %s HTTP/1.1\r\nhost: %s\r\n%scontent-length: %zu\r\n"
                 "connection: close\r\n\r\n",
                 exchange->method, exchange->path, exchange->host ? exchange->host : "localhost",
                 exchange->json ? "content-type: application/json\r\n" : "", exchange->body_len);
    if (len < 0 || (size_t)len >= sizeof head)
        return false;
    return send_all(fd, head, (size_t)len) && send_all(fd, exchange->body, exchange->body_len);
}

static char *receive_all(int fd, size_t *len)
{
    size_t cap = 16384;
    char *data = malloc(cap);
    *len = 0;
    while (data) {
        if (*len == cap) {
            char *more = cap < RESPONSE_MAX ? realloc(data, cap * 2) : NULL;
            if (!more)
                break;
            data = more;
            cap *= 2;
        }
        ssize_t n = recv(fd, data + *len, cap - *len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        if (n == 0)
            return data;
        *len += (size_t)n;
    }
    free(data);
    return NULL;
}

/* --- the response --- */

struct head {
    long long content_length; /* -1: none */
    bool chunked;
};

static bool header_is(const char *line, const char *end, const char *name, const char **value)
{
    size_t len = strlen(name);
    if ((size_t)(end - line) <= len || strncasecmp(line, name, len) != 0 || line[len] != ':')
        return false;
    *value = line + len + 1;
    while (*value < end && (**value == ' ' || **value == '\t'))
        (*value)++;
    return true;
}

/* `text` is NUL-terminated; gives the start of the body. */
static const char *parse_head(const char *text, int *status, struct head *head)
{
    if (strncmp(text, "HTTP/1.1 ", 9) != 0 || !isdigit((unsigned char)text[9]))
        return NULL;
    *status = atoi(text + 9);
    *head = (struct head){.content_length = -1};
    const char *line = strstr(text, "\r\n");
    while (line) {
        line += 2;
        const char *end = strstr(line, "\r\n"), *value;
        if (!end)
            return NULL;
        if (end == line)
            return *status >= 100 && *status <= 599 ? end + 2 : NULL;
        if (header_is(line, end, "content-length", &value))
            head->content_length = atoll(value);
        else if (header_is(line, end, "transfer-encoding", &value))
            head->chunked = strncasecmp(value, "chunked", 7) == 0;
        line = end;
    }
    return NULL;
}

static bool unchunk(const char *from, const char *end, char *to, size_t *out_len)
{
    char *start = to;
    while (from < end) {
        char *after;
        unsigned long size = strtoul(from, &after, 16);
        const char *data = strstr(after, "\r\n");
        if (after == from || !data)
            return false;
        data += 2;
        if (size == 0) {
            *to = '\0';
            *out_len = (size_t)(to - start);
            return true;
        }
        if (size > (size_t)(end - data) || (size_t)(end - data) - size < 2)
            return false;
        memcpy(to, data, size);
        to += size;
        from = data + size + 2;
    }
    return false;
}

static kw_status parse(const char *response, size_t len, int *http_status, char **body,
                       size_t *body_len)
{
    char *text = malloc(len + 1);
    char *out = malloc(len + 1);
    kw_status status = text && out ? KW_E_INPUT : KW_E_NOMEM;
    if (status == KW_E_INPUT) {
        struct head head;
        memcpy(text, response, len);
        text[len] = '\0';
        const char *start = parse_head(text, http_status, &head);
        size_t rest = start ? len - (size_t)(start - text) : 0;
        if (start && head.chunked) {
            status = unchunk(start, text + len, out, body_len) ? KW_OK : KW_E_INPUT;
        } else if (start && (head.content_length < 0 || (size_t)head.content_length == rest)) {
            memcpy(out, start, rest);
            out[rest] = '\0';
            *body_len = rest;
            status = KW_OK;
        }
    }
    free(text);
    if (status == KW_OK)
        *body = out;
    else
        free(out);
    return status;
}

kw_status cli_control_parse(const char *response, size_t len, int *http_status, char **body)
{
    size_t body_len = 0;
    return parse(response, len, http_status, body, &body_len);
}

kw_status cli_exchange(const char *socket_path, struct cli_exchange *exchange, char *error,
                       size_t error_len)
{
    int fd =
        open_socket(socket_path, exchange->seconds ? exchange->seconds : SECONDS, error, error_len);
    exchange->answer = NULL;
    if (fd < 0)
        return KW_E_UNAVAILABLE;
    size_t len = 0;
    char *response = send_request(fd, exchange) ? receive_all(fd, &len) : NULL;
    close(fd);
    kw_status status =
        response ? parse(response, len, &exchange->status, &exchange->answer, &exchange->answer_len)
                 : KW_E_IO;
    free(response);
    if (status != KW_OK)
        snprintf(error, error_len, "%s: the gateway gave no usable answer", socket_path);
    return status;
}

kw_status cli_control(const char *socket_path, const char *method, const char *path,
                      int *http_status, char **body, char *error, size_t error_len)
{
    return cli_control_send(socket_path, method, path, NULL, SECONDS, http_status, body, error,
                            error_len);
}

kw_status cli_control_send(const char *socket_path, const char *method, const char *path,
                           const char *json, unsigned seconds, int *http_status, char **body,
                           char *error, size_t error_len)
{
    struct cli_exchange exchange = {.method = method,
                                    .path = path,
                                    .json = json != NULL,
                                    .body = json,
                                    .body_len = json ? strlen(json) : 0,
                                    .seconds = seconds};
    KW_TRY(cli_exchange(socket_path, &exchange, error, error_len));
    *http_status = exchange.status;
    *body = exchange.answer;
    return KW_OK;
}
