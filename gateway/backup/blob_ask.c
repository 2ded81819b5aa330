/* Requests over libcurl: what failed in passing is sent again, after a pause.
 *
 * The token is part of the address: neither is in any message. */

#include "gateway/backup/blob_ask.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define API_VERSION "2020-10-02"
#define TRIES       8   /* 32 s of pauses: a storage that restarts is back by then */
#define PAUSE_MS    250 /* doubled with each try */
#define CONNECT_S   15L
#define STALLED_S   30L

/* --- one request --- */

static size_t on_read(char *out, size_t size, size_t count, void *ctx)
{
    struct blob_exchange *x = ctx;
    size_t n = x->body_len - x->sent < size * count ? x->body_len - x->sent : size * count;
    if (n > 0)
        memcpy(out, x->body + x->sent, n);
    x->sent += n;
    return n;
}

static int on_seek(void *ctx, curl_off_t offset, int origin)
{
    struct blob_exchange *x = ctx;
    if (origin != SEEK_SET || offset < 0 || (size_t)offset > x->body_len)
        return CURL_SEEKFUNC_FAIL;
    x->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static size_t on_write(char *data, size_t size, size_t count, void *ctx)
{
    struct blob_exchange *x = ctx;
    long status = 0;
    size_t n = size * count;
    curl_easy_getinfo(x->place->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 != 2 || !x->room)
        return n; /* the text of an error: its code is in the head */
    if (n > x->room_len - x->got)
        return 0;
    memcpy(x->room + x->got, data, n);
    x->got += n;
    return n;
}

/** The value of header `name`, when the line is it. */
static bool header_is(const char *line, size_t len, const char *name, char *out, size_t out_len)
{
    size_t n = strlen(name);
    if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
        return false;
    line += n + 1;
    len -= n + 1;
    while (len > 0 && *line == ' ')
        line++, len--;
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' '))
        len--;
    if (len < out_len) {
        memcpy(out, line, len);
        out[len] = '\0';
    }
    return true;
}

static size_t on_header(char *line, size_t size, size_t count, void *ctx)
{
    struct blob_exchange *x = ctx;
    size_t len = size * count;
    char range[96] = "";
    unsigned long long total = 0;
    if (header_is(line, len, "content-md5", x->md5, sizeof x->md5) ||
        header_is(line, len, "etag", x->etag, sizeof x->etag) ||
        header_is(line, len, "x-ms-error-code", x->code, sizeof x->code))
        return len;
    if (header_is(line, len, "content-range", range, sizeof range)) {
        const char *slash = strchr(range, '/');
        if (slash && sscanf(slash + 1, "%llu", &total) == 1)
            x->total = total;
    }
    return len;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct blob_exchange *x = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return place_go_on(&x->place->base) == KW_OK ? 0 : 1;
}

static void set_up(struct blob_exchange *x, const struct curl_slist *headers)
{
    CURL *curl = x->place->curl;
    const char *ca = x->place->base.rules->ca;
    curl_easy_reset(curl); /* connections are kept */
    curl_easy_setopt(curl, CURLOPT_URL, x->place->address);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, STALLED_S);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (ca)
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, x);
    if (strcmp(x->method, "PUT") == 0) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)x->body_len);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(curl, CURLOPT_READDATA, x);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, x);
    } else if (strcmp(x->method, "GET") != 0) {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, x->method);
    }
}

static CURLcode once(struct blob_exchange *x)
{
    struct curl_slist *headers = NULL;
    bool ok = true;
    x->sent = x->got = 0;
    x->status = 0;
    x->total = UINT64_MAX;
    x->md5[0] = x->etag[0] = x->code[0] = '\0';
    for (size_t i = 0; i <= sizeof x->headers / sizeof *x->headers && ok; i++) {
        const char *line = i == 0 ? "x-ms-version: " API_VERSION : x->headers[i - 1];
        struct curl_slist *longer = line ? curl_slist_append(headers, line) : headers;
        ok = !line || longer;
        headers = longer ? longer : headers;
    }
    struct curl_slist *longer = ok ? curl_slist_append(headers, "Expect:") : NULL;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    if (longer) {
        set_up(x, longer);
        code = curl_easy_perform(x->place->curl);
        curl_easy_getinfo(x->place->curl, CURLINFO_RESPONSE_CODE, &x->status);
        headers = longer;
    }
    curl_slist_free_all(headers);
    return code;
}

/* What may be well the next time: the service says so, or the connection broke. */
static bool is_passing(CURLcode code, long status)
{
    switch (code) {
    case CURLE_OK:
        return status == 408 || status == 429 || status >= 500;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
        return true;
    default:
        return false;
    }
}

static kw_status wait(struct blob_place *place, unsigned attempt)
{
    unsigned ms = PAUSE_MS << attempt;
    for (; ms > 0; ms -= ms < 100 ? ms : 100) {
        KW_TRY(place_go_on(&place->base));
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    return KW_OK;
}

static kw_status fault(const struct blob_exchange *x, CURLcode code, char *error)
{
    if (code != CURLE_OK) {
        snprintf(error, BACKUP_ERROR, "the storage cannot be reached: %s",
                 curl_easy_strerror(code));
        return KW_E_IO;
    }
    snprintf(error, BACKUP_ERROR, "the storage answered %ld%s%s to %s of %.80s", x->status,
             x->code[0] ? " " : "", x->code, x->method, x->name);
    return x->status == 404 ? KW_E_NOT_FOUND : KW_E_IO;
}

kw_status blob_ask(struct blob_exchange *x, bool (*good)(const struct blob_exchange *x),
                   char *error)
{
    struct blob_place *place = x->place;
    kw_status status = KW_E_IO;
    int n = snprintf(place->address, sizeof place->address, "%s%s%s%s%s?%s%s%s", place->uri,
                     x->folder[0] || x->name[0] ? "/" : "", x->folder, x->folder[0] ? "/" : "",
                     x->name, x->query, x->query[0] && place->token[0] ? "&" : "", place->token);
    if (n < 0 || (size_t)n >= sizeof place->address)
        return KW_E_TOO_LARGE;
    for (unsigned attempt = 0; attempt < TRIES; attempt++) {
        KW_TRY(attempt == 0 ? place_go_on(&place->base) : wait(place, attempt - 1));
        CURLcode code = once(x);
        KW_TRY(place_go_on(&place->base));
        bool answered = code == CURLE_OK && x->status / 100 == 2;
        if (answered && (!good || good(x)))
            return KW_OK;
        if (answered) {
            snprintf(error, BACKUP_ERROR, "the storage gave another %s than it sent a digest of",
                     x->name);
            status = KW_E_INTEGRITY;
            continue;
        }
        status = fault(x, code, error);
        if (!is_passing(code, x->status))
            break;
    }
    return status;
}
