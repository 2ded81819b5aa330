#include "gateway/http/h1_strict.h"

#include <strings.h>

/* Bytes of a token (RFC 9110 section 5.6.2). */
static bool is_token(uint8_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(struct kw_span span, const char *lower)
{
    return span.len == strlen(lower) && strncasecmp((const char *)span.data, lower, span.len) == 0;
}

static struct gw_h1_fault bad(const char *why)
{
    return (struct gw_h1_fault){400, why};
}

static const struct gw_h1_fault fine = {0, NULL};

bool gw_span_iequal(struct kw_span a, struct kw_span b)
{
    return a.len == b.len &&
           (a.len == 0 || strncasecmp((const char *)a.data, (const char *)b.data, a.len) == 0);
}

static size_t head_found(size_t len, struct gw_h1_fault *fault)
{
    if (len <= GW_H1_HEAD_MAX)
        return len;
    *fault = (struct gw_h1_fault){431, "the request's header fields are larger than 32 KiB"};
    return 0;
}

size_t gw_h1_head_end(const uint8_t *data, size_t len, size_t *scanned, struct gw_h1_fault *fault)
{
    size_t at = *scanned;
    *fault = fine;
    for (; at < len; at++) {
        uint8_t c = data[at];
        if (c >= 0x20 && c < 0x7f)
            continue;
        if (c == '\n') {
            if (at == 0 || data[at - 1] != '\r')
                *fault = bad("a line of the request does not end with CR LF");
            else if (at >= 3 && data[at - 2] == '\n' && data[at - 3] == '\r')
                return head_found(at + 1, fault);
        } else if (c == '\r') {
            /* the byte after it decides; at the end of the data it is looked at again later */
            if (at + 1 == len)
                break;
            if (data[at + 1] != '\n')
                *fault = bad("the request has a CR that ends no line");
        } else if (c != '\t') {
            *fault = bad("the request has a control character or a byte outside ASCII");
        }
        if (fault->status)
            return 0;
    }
    *scanned = at;
    return len > GW_H1_HEAD_MAX ? head_found(len, fault) : 0;
}

/* --- authority and target --- */

static bool port_valid(const uint8_t *data, size_t len)
{
    unsigned value = 0;
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(data[i]))
            return false;
        value = value * 10 + (data[i] - '0');
    }
    return value <= 65535;
}

static bool ipv6_char(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
}

static bool name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

bool gw_authority_valid(struct kw_span authority)
{
    const uint8_t *data = authority.data;
    size_t len = authority.len, at = 0;
    if (len == 0 || len > 255 + 6)
        return false;
    if (data[0] == '[') {
        for (at = 1; at < len && ipv6_char(data[at]); at++)
            ;
        if (at < 3 || at == len || data[at] != ']')
            return false;
        at++;
    } else {
        while (at < len && name_char(data[at]))
            at++;
    }
    if (at == 0)
        return false;
    return at == len || (data[at] == ':' && port_valid(data + at + 1, len - at - 1));
}

bool gw_target_valid(struct kw_span target)
{
    if (target.len == 0 || target.len > GW_H1_TARGET_MAX || target.data[0] != '/')
        return false;
    for (size_t i = 0; i < target.len; i++) {
        uint8_t c = target.data[i];
        if (c <= 0x20 || c >= 0x7f || strchr("#\"<>\\^`{|}", c))
            return false;
    }
    return true;
}

/* "https://host/path": the authority is the target's and must be that of Host (checked later). */
static bool split_absolute(struct gw_h1_head *head, struct kw_span *authority)
{
    struct kw_span target = head->target;
    size_t scheme = 0;
    if (target.len > 7 && strncasecmp((const char *)target.data, "http://", 7) == 0)
        scheme = 7;
    else if (target.len > 8 && strncasecmp((const char *)target.data, "https://", 8) == 0)
        scheme = 8;
    else
        return false;
    const uint8_t *start = target.data + scheme;
    size_t left = target.len - scheme, at = 0;
    while (at < left && start[at] != '/' && start[at] != '?')
        at++;
    *authority = kw_span_of(start, at);
    if (at == left)
        head->target = kw_span_str("/");
    else
        head->target = kw_span_of(start + at, left - at);
    return gw_authority_valid(*authority);
}

/* --- the request line --- */

static struct gw_h1_fault check_version(struct kw_span version, struct gw_h1_head *head)
{
    const uint8_t *v = version.data;
    if (version.len != 8 || memcmp(v, "HTTP/", 5) != 0 || !is_digit(v[5]) || v[6] != '.' ||
        !is_digit(v[7]))
        return bad("the request line does not end with an HTTP version");
    if (v[5] != '1' || v[7] > '1')
        return (struct gw_h1_fault){505, "only HTTP/1.1 and HTTP/1.0 are spoken here"};
    head->http10 = v[7] == '0';
    return fine;
}

static struct gw_h1_fault check_request_line(struct kw_span line, struct gw_h1_head *head,
                                             struct kw_span *authority)
{
    size_t at = 0;
    while (at < line.len && is_token(line.data[at]))
        at++;
    if (at == 0 || at > 32 || at == line.len || line.data[at] != ' ')
        return bad("the request line does not start with a method and one space");
    head->method = kw_span_of(line.data, at);
    const uint8_t *start = line.data + at + 1;
    size_t left = line.len - at - 1, len = 0;
    while (len < left && start[len] > 0x20)
        len++;
    head->target = kw_span_of(start, len);
    if (len == 0 || len == left || start[len] != ' ')
        return bad("the request line is not: method, one space, target, one space, version");
    struct gw_h1_fault fault = check_version(kw_span_of(start + len + 1, left - len - 1), head);
    if (fault.status)
        return fault;
    if (len > GW_H1_TARGET_MAX)
        return (struct gw_h1_fault){414, "the request target is longer than 8192 bytes"};
    *authority = (struct kw_span){0};
    if (head->target.data[0] != '/' && !split_absolute(head, authority))
        return bad("the request target is neither a path nor an absolute http(s) address");
    if (!gw_target_valid(head->target))
        return bad("the request target has a character that must be percent-encoded");
    return fine;
}

/* --- header fields --- */

struct seen {
    unsigned hosts, lengths, encodings, expects;
    bool upgrade;
};

static struct kw_span trim(struct kw_span value)
{
    while (value.len > 0 && (value.data[0] == ' ' || value.data[0] == '\t')) {
        value.data++;
        value.len--;
    }
    while (value.len > 0 && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
        value.len--;
    return value;
}

/* Framing fields allow nothing around the value but the one usual space. */
static struct kw_span exact(struct kw_span value)
{
    if (value.len > 0 && value.data[0] == ' ') {
        value.data++;
        value.len--;
    }
    return value;
}

static struct gw_h1_fault content_length(struct kw_span value, struct gw_h1_head *head)
{
    value = exact(value);
    if (value.len == 0 || value.len > 18)
        return bad("Content-Length is not a number of 1 to 18 digits");
    int64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.data[i]))
            return bad("Content-Length is not a number of 1 to 18 digits");
        length = length * 10 + (value.data[i] - '0');
    }
    head->content_length = length;
    return fine;
}

static struct gw_h1_fault transfer_encoding(struct kw_span value, struct gw_h1_head *head)
{
    struct kw_span inner = trim(value);
    value = exact(value);
    if (inner.len != value.len || inner.len == 0 || memchr(inner.data, '\t', inner.len))
        return bad("Transfer-Encoding has white space where none belongs");
    if (!is_name(value, "chunked"))
        return (struct gw_h1_fault){501, "the only Transfer-Encoding known here is chunked"};
    head->chunked = true;
    return fine;
}

static void connection(struct kw_span value, struct gw_h1_head *head)
{
    size_t at = 0;
    while (at < value.len) {
        size_t end = at;
        while (end < value.len && value.data[end] != ',')
            end++;
        struct kw_span option = trim(kw_span_of(value.data + at, end - at));
        if (is_name(option, "close"))
            head->close = true;
        else if (is_name(option, "keep-alive"))
            head->keep_alive = true;
        at = end + 1;
    }
}

static struct gw_h1_fault check_field(struct kw_span name, struct kw_span value,
                                      struct gw_h1_head *head, struct seen *seen)
{
    switch (name.len) {
    case 4:
        if (is_name(name, "host") && seen->hosts++ == 0)
            head->host = trim(value);
        break;
    case 6:
        if (!is_name(name, "expect"))
            break;
        if (seen->expects++ > 0 || !is_name(trim(value), "100-continue"))
            return (struct gw_h1_fault){417, "the only expectation known here is 100-continue"};
        head->expect_continue = true;
        break;
    case 10:
        if (is_name(name, "connection"))
            connection(value, head);
        break;
    case 14:
        if (is_name(name, "content-length")) {
            if (seen->lengths++ > 0)
                return bad("Content-Length is given more than once");
            return content_length(value, head);
        }
        break;
    case 17:
        if (is_name(name, "transfer-encoding")) {
            if (seen->encodings++ > 0)
                return bad("Transfer-Encoding is given more than once");
            return transfer_encoding(value, head);
        }
        break;
    default:
        break;
    }
    return fine;
}

static struct gw_h1_fault check_line(struct kw_span line, struct kw_span *name,
                                     struct kw_span *value)
{
    size_t at = 0;
    if (line.len > 0 && (line.data[0] == ' ' || line.data[0] == '\t'))
        return bad("a header line starts with white space");
    while (at < line.len && is_token(line.data[at]))
        at++;
    if (at == 0 || at == line.len || line.data[at] != ':')
        return bad("a header line is not a name, a colon and a value");
    *name = kw_span_of(line.data, at);
    *value = kw_span_of(line.data + at + 1, line.len - at - 1);
    return fine;
}

static struct gw_h1_fault check_whole(struct gw_h1_head *head, const struct seen *seen,
                                      struct kw_span authority)
{
    if (head->chunked && seen->lengths > 0)
        return bad("Content-Length and Transfer-Encoding are both given");
    if (head->chunked && head->http10)
        return bad("HTTP/1.0 has no Transfer-Encoding");
    if (seen->hosts > 1)
        return bad("Host is given more than once");
    if (seen->hosts == 0 && !head->http10)
        return bad("Host is missing");
    if (seen->hosts == 1 && !gw_authority_valid(head->host))
        return bad("Host is not a name or address with an optional port");
    if (authority.len > 0 && seen->hosts == 1 && !gw_span_iequal(authority, head->host))
        return bad("the request target names another host than Host");
    if (authority.len > 0)
        head->host = authority;
    return fine;
}

struct gw_h1_fault gw_h1_check(const uint8_t *data, size_t len, struct gw_h1_head *head)
{
    struct seen seen = {0};
    struct kw_span authority = {0};
    unsigned count = 0;
    *head = (struct gw_h1_head){.content_length = -1};
    if (len < 4)
        return bad("the request is empty");
    size_t end = len - 2; /* without the empty line */
    for (size_t at = 0; at < end;) {
        const uint8_t *cr = memchr(data + at, '\r', end - at);
        if (!cr)
            return bad("a line of the request does not end with CR LF");
        struct kw_span line = kw_span_of(data + at, (size_t)(cr - data) - at), name, value;
        struct gw_h1_fault fault;
        if (at == 0) {
            fault = check_request_line(line, head, &authority);
        } else {
            fault = check_line(line, &name, &value);
            if (!fault.status)
                fault = check_field(name, value, head, &seen);
            if (!fault.status && ++count > GW_H1_HEADERS_MAX)
                fault = (struct gw_h1_fault){431, "the request has more than 64 header fields"};
        }
        if (fault.status)
            return fault;
        at += line.len + 2;
    }
    return check_whole(head, &seen, authority);
}
