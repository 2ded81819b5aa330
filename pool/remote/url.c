#include "pool/remote/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "pool/pool.h"

static bool host_ok(const char *host, bool *numeric)
{
    uint8_t address[16];
    *numeric = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
    if (*numeric) {
        return true;
    }
    size_t len = strlen(host);
    return len > 0 && len <= 253 && host[0] != '-' && host[0] != '.' &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == len;
}

static bool port_ok(const char *port)
{
    size_t len = strlen(port);
    if (len == 0 || len > 5 || strspn(port, "0123456789") != len) {
        return false;
    }
    unsigned value = 0;
    for (size_t i = 0; i < len; i++) {
        value = value * 10 + (unsigned)(port[i] - '0');
    }
    return value >= 1 && value <= 65535;
}

/* "HOST", "HOST:PORT", "[V6]", "[V6]:PORT" */
static bool split(const char *text, size_t len, struct pool_remote_url *out)
{
    bool bracket = len > 0 && text[0] == '[';
    const char *end = bracket ? memchr(text, ']', len) : memchr(text, ':', len);
    size_t host_len;
    if (bracket) {
        if (end == NULL) {
            return false;
        }
        host_len = (size_t)(end - text) - 1;
        end++;
    } else {
        end = end != NULL ? end : text + len;
        host_len = (size_t)(end - text);
    }
    size_t rest = len - (size_t)(end - text);
    if (host_len == 0 || host_len >= sizeof out->host || (rest > 0 && *end != ':') || rest == 1 ||
        rest > sizeof out->port) {
        return false;
    }
    memcpy(out->host, text + bracket, host_len);
    snprintf(out->port, sizeof out->port, "%.*s", rest > 0 ? (int)rest - 1 : 3,
             rest > 0 ? end + 1 : "443");
    return !bracket || strchr(out->host, ':') != NULL;
}

kw_status pool_remote_url_read(const char *text, struct pool_remote_url *out)
{
    static const char scheme[] = "https://";
    memset(out, 0, sizeof *out);
    if (text == NULL || strncmp(text, scheme, sizeof scheme - 1) != 0) {
        return KW_E_INPUT;
    }
    text += sizeof scheme - 1;
    size_t len = strlen(text);
    if (len > 0 && text[len - 1] == '/') {
        len--;
    }
    if (!split(text, len, out) || !host_ok(out->host, &out->numeric) || !port_ok(out->port)) {
        return KW_E_INPUT;
    }
    bool v6 = strchr(out->host, ':') != NULL, usual = strcmp(out->port, "443") == 0;
    snprintf(out->authority, sizeof out->authority, "%s%s%s%s%s", v6 ? "[" : "", out->host,
             v6 ? "]" : "", usual ? "" : ":", usual ? "" : out->port);
    return KW_OK;
}

kw_status pool_remote_url_check(const char *url)
{
    struct pool_remote_url read;
    return pool_remote_url_read(url, &read);
}
