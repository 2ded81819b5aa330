#include "gateway/config/values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static bool digits(const char *text, unsigned long long *value, const char **rest)
{
    if (!isdigit((unsigned char)*text))
        return false;
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    *rest = end;
    return errno == 0;
}

kw_status gw_parse_duration(const char *text, int64_t *ns)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {{"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}};
    unsigned long long value;
    const char *unit;
    if (!digits(text, &value, &unit))
        return KW_E_INPUT;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(unit, units[i].unit) != 0)
            continue;
        if (value > (unsigned long long)(30LL * 24 * units[3].ns / units[i].ns))
            return KW_E_INPUT;
        *ns = (int64_t)value * units[i].ns;
        return KW_OK;
    }
    return KW_E_INPUT;
}

kw_status gw_parse_size(const char *text, size_t *bytes)
{
    return gw_parse_size_to(text, (size_t)1 << 30, bytes);
}

kw_status gw_parse_size_to(const char *text, size_t max, size_t *bytes)
{
    unsigned long long value, factor;
    const char *unit;
    if (!digits(text, &value, &unit))
        return KW_E_INPUT;
    if (*unit == '\0')
        factor = 1;
    else if (strcmp(unit, "KiB") == 0)
        factor = 1024;
    else if (strcmp(unit, "MiB") == 0)
        factor = 1024 * 1024;
    else
        return KW_E_INPUT;
    if (value == 0 || value > max / factor)
        return KW_E_INPUT;
    *bytes = (size_t)(value * factor);
    return KW_OK;
}

static kw_status parse_tcp(const char *text, unsigned *port)
{
    const char *colon = strrchr(text, ':');
    if (!colon)
        return KW_E_INPUT;
    const char *host = text;
    size_t host_len = (size_t)(colon - text);
    int family = AF_INET;
    if (host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']') {
        family = AF_INET6;
        host++;
        host_len -= 2;
    }
    char name[INET6_ADDRSTRLEN];
    if (host_len == 0 || host_len >= sizeof name)
        return KW_E_INPUT;
    memcpy(name, host, host_len);
    name[host_len] = '\0';
    unsigned char address[sizeof(struct in6_addr)];
    unsigned long long value;
    const char *rest;
    if (inet_pton(family, name, address) != 1 || !digits(colon + 1, &value, &rest) ||
        *rest != '\0' || value > 65535)
        return KW_E_INPUT;
    *port = (unsigned)value;
    return KW_OK;
}

kw_status gw_parse_bind(const char *text, bool *is_unix, unsigned *port)
{
    bool local = strncmp(text, "unix:", 5) == 0;
    unsigned number = 0;
    if (local) {
        size_t len = strlen(text + 5);
        if (text[5] != '/' || len < 2 || len >= sizeof((struct sockaddr_un *)0)->sun_path)
            return KW_E_INPUT;
    } else {
        KW_TRY(parse_tcp(text, &number));
    }
    if (is_unix)
        *is_unix = local;
    if (port)
        *port = number;
    return KW_OK;
}
