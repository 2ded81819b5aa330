/* Azure Blob storage with a SAS token, over libcurl: block uploads (Put Block, Put Block List) and
 * downloads by range. Each block goes with its MD5, which the service checks, and comes back with
 * the MD5 that the service computed; a block that failed is sent again by itself, after a pause.
 *
 * The token is part of the address: neither is in any message. */

#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "crypto/base/secret.h"
#include "gateway/backup/place_ops.h"

#define API_VERSION "2020-10-02"
#define BLOCK       (4u << 20) /* the largest range that is given out with an MD5 */
#define BLOCKS_MAX  50000
#define TRIES       8   /* 32 s of pauses: a storage that restarts is back by then */
#define PAUSE_MS    250 /* doubled with each try */
#define ADDRESS_MAX (BACKUP_URI_MAX + BACKUP_TOKEN_MAX + 512)
#define CONNECT_S   15L
#define STALLED_S   30L
#define PROBE       "keyward-probe"
#define MD5_TEXT    25 /* base64 of 16 bytes, with NUL */

struct blob_place {
    struct backup_place base;
    CURL *curl;
    char uri[BACKUP_URI_MAX + 1], token[BACKUP_TOKEN_MAX + 1];
    char address[ADDRESS_MAX]; /* of the request that is under way */
    uint8_t *block;
};

/** One request and its answer. */
struct exchange {
    struct blob_place *place;
    const char *method;
    const char *folder, *name, *query; /* `query` may be empty */
    const char *headers[6];
    const uint8_t *body;
    size_t body_len, sent;
    uint8_t *room; /* of the answer's body; what does not fit fails the exchange */
    size_t room_len, got;
    long status;
    uint64_t total; /* of Content-Range; UINT64_MAX: not known */
    char md5[MD5_TEXT], etag[128], code[64];
};

/* --- one request --- */

static size_t on_read(char *out, size_t size, size_t count, void *ctx)
{
    struct exchange *x = ctx;
    size_t n = x->body_len - x->sent < size * count ? x->body_len - x->sent : size * count;
    if (n > 0)
        memcpy(out, x->body + x->sent, n);
    x->sent += n;
    return n;
}

static int on_seek(void *ctx, curl_off_t offset, int origin)
{
    struct exchange *x = ctx;
    if (origin != SEEK_SET || offset < 0 || (size_t)offset > x->body_len)
        return CURL_SEEKFUNC_FAIL;
    x->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static size_t on_write(char *data, size_t size, size_t count, void *ctx)
{
    struct exchange *x = ctx;
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
    struct exchange *x = ctx;
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
    const struct exchange *x = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return place_go_on(&x->place->base) == KW_OK ? 0 : 1;
}

static void set_up(struct exchange *x, const struct curl_slist *headers)
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

static CURLcode once(struct exchange *x)
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

static kw_status fault(const struct exchange *x, CURLcode code, char *error)
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

/** Until it is answered with 2xx or for good with something else; `good` looks at a 2xx (NULL: all
 *  are good) and may ask for another try. */
static kw_status ask(struct exchange *x, bool (*good)(const struct exchange *x), char *error)
{
    struct blob_place *place = x->place;
    kw_status status = KW_E_IO;
    int n = snprintf(place->address, sizeof place->address, "%s/%s%s%s?%s%s%s", place->uri,
                     x->folder, x->folder[0] ? "/" : "", x->name, x->query,
                     x->query[0] && place->token[0] ? "&" : "", place->token);
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

/* --- blocks --- */

static bool md5_text(char out[MD5_TEXT], const uint8_t *data, size_t len)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    if (EVP_Digest(data, len, digest, &digest_len, EVP_md5(), NULL) != 1 || digest_len != 16)
        return false;
    EVP_EncodeBlock((unsigned char *)out, digest, 16);
    return true;
}

static bool read_block(int fd, uint8_t *out, size_t len, uint64_t at)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = pread(fd, out + got, len - got, (off_t)(at + got));
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

/* base64 of "00000042", its '=' escaped: of one length for all, as the service asks. */
static void block_id(char out[16], unsigned number)
{
    char text[16];
    snprintf(text, sizeof text, "%08u", number);
    EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, 8);
}

static kw_status send_body(struct blob_place *place, const char *folder, const char *name,
                           const char *query, const char *kind, const uint8_t *body, size_t len,
                           char *error)
{
    char md5[MD5_TEXT], header[64];
    if (!md5_text(md5, body, len))
        return KW_E_INTERNAL;
    snprintf(header, sizeof header, "Content-MD5: %s", md5);
    struct exchange x = {.place = place,
                         .method = "PUT",
                         .folder = folder,
                         .name = name,
                         .query = query,
                         .headers = {header, kind},
                         .body = body,
                         .body_len = len};
    return ask(&x, NULL, error);
}

static kw_status send_list(struct blob_place *place, const char *folder, const char *name,
                           unsigned count, char *error)
{
    static const char head[] = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>";
    size_t room = sizeof head + 64 + (size_t)count * 48, used = 0;
    char *text = malloc(room), id[16];
    if (!text)
        return KW_E_NOMEM;
    used += (size_t)snprintf(text, room, "%s", head);
    for (unsigned i = 0; i < count; i++) {
        block_id(id, i);
        used += (size_t)snprintf(text + used, room - used, "<Latest>%s</Latest>", id);
    }
    used += (size_t)snprintf(text + used, room - used, "</BlockList>");
    kw_status status =
        send_body(place, folder, name, "comp=blocklist", "Content-Type: application/xml",
                  (const uint8_t *)text, used, error);
    free(text);
    return status;
}

static kw_status blob_put(struct backup_place *base, const char *folder, const char *name, int fd,
                          uint64_t size, char *error)
{
    struct blob_place *place = (struct blob_place *)base;
    unsigned count = 0;
    if (size / BLOCK >= BLOCKS_MAX)
        return KW_E_TOO_LARGE;
    for (uint64_t at = 0; at < size; count++) {
        char id[16], query[64];
        size_t len = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
        if (!read_block(fd, place->block, len, at))
            return KW_E_IO;
        block_id(id, count);
        id[strcspn(id, "=")] = '\0';
        snprintf(query, sizeof query, "comp=block&blockid=%s%%3D", id);
        KW_TRY(send_body(place, folder, name, query, NULL, place->block, len, error));
        at += len;
    }
    return send_list(place, folder, name, count, error);
}

/* --- ranges --- */

static bool range_good(const struct exchange *x)
{
    char md5[MD5_TEXT];
    return x->md5[0] == '\0' || (md5_text(md5, x->room, x->got) && strcmp(md5, x->md5) == 0);
}

static bool write_block(int fd, const uint8_t *data, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)at);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return true;
}

static kw_status get_range(struct blob_place *place, const char *folder, const char *name,
                           uint64_t at, const char *etag, struct exchange *x, char *error)
{
    char range[80], match[160];
    snprintf(range, sizeof range, "x-ms-range: bytes=%llu-%llu", (unsigned long long)at,
             (unsigned long long)at + BLOCK - 1);
    snprintf(match, sizeof match, "If-Match: %s", etag);
    *x = (struct exchange){
        .place = place,
        .method = "GET",
        .folder = folder,
        .name = name,
        .query = "",
        .headers = {range, "x-ms-range-get-content-md5: true", etag[0] ? match : NULL},
        .room = place->block,
        .room_len = BLOCK};
    kw_status status = ask(x, range_good, error);
    if (status != KW_OK && x->status == 416 && at == 0) {
        x->total = x->got = 0; /* an empty one has no ranges */
        return KW_OK;
    }
    x->headers[0] = x->headers[2] = NULL;
    if (status == KW_OK && x->total == UINT64_MAX && x->status == 200)
        x->total = x->got;
    return status;
}

static kw_status blob_get(struct backup_place *base, const char *folder, const char *name, int fd,
                          uint64_t max, uint64_t *size, char *error)
{
    struct blob_place *place = (struct blob_place *)base;
    struct exchange x;
    char etag[128] = "";
    uint64_t at = 0, total = UINT64_MAX;
    if (ftruncate(fd, 0) != 0)
        return KW_E_IO;
    while (at < total) {
        KW_TRY(get_range(place, folder, name, at, etag, &x, error));
        if (at == 0) {
            total = x.total;
            memcpy(etag, x.etag, sizeof etag);
        }
        if (x.total != total || total > max)
            return x.total != total ? KW_E_INTEGRITY : KW_E_TOO_LARGE;
        if ((x.got == 0 && total > 0) || x.got > total - at)
            return KW_E_INTEGRITY;
        if (!write_block(fd, place->block, x.got, at))
            return KW_E_IO;
        at += x.got;
    }
    *size = total;
    return KW_OK;
}

/* --- the place --- */

static kw_status blob_probe(struct backup_place *base, bool writes, char *error)
{
    struct blob_place *place = (struct blob_place *)base;
    struct exchange x = {.place = place, .method = "GET", .folder = "", .name = PROBE, .query = ""};
    if (writes) {
        KW_TRY(send_body(place, "", PROBE, "", "x-ms-blob-type: BlockBlob", (const uint8_t *)PROBE,
                         sizeof PROBE - 1, error));
        char ignored[BACKUP_ERROR];
        x.method = "DELETE"; /* a token without that right leaves a file of some bytes */
        kw_status left = ask(&x, NULL, ignored);
        (void)left;
        return KW_OK;
    }
    kw_status status = ask(&x, NULL, error);
    return status == KW_E_NOT_FOUND && strcmp(x.code, "BlobNotFound") == 0 ? KW_OK : status;
}

static void blob_close(struct backup_place *base)
{
    struct blob_place *place = (struct blob_place *)base;
    if (place->curl)
        curl_easy_cleanup(place->curl);
    free(place->block);
    kw_wipe(place, sizeof *place);
    free(place);
}

/* Printable, and nothing that would end the path or name a user. */
static bool text_ok(const char *text, const char *refused)
{
    for (const char *at = text; *at; at++)
        if (*at <= ' ' || *at > '~' || strchr(refused, *at))
            return false;
    return true;
}

kw_status place_open_blob(struct backup_place **out, const struct backup_rules *rules,
                          const char *uri, const char *token, char *error)
{
    static const struct place_ops ops = {blob_put, blob_get, blob_probe, blob_close};
    if (!text_ok(uri, "?#@\"<>\\^`{|}") || !text_ok(token, "#?\"<>\\^`{|}") ||
        !strchr(uri + 8, '/')) {
        snprintf(error, BACKUP_ERROR,
                 "storageResourceUri, token: allowed are "
                 "https://HOST/CONTAINER and a SAS token");
        return KW_E_INPUT;
    }
    struct blob_place *place = calloc(1, sizeof *place);
    if (!place)
        return KW_E_NOMEM;
    place->base = (struct backup_place){.ops = &ops, .rules = rules};
    snprintf(place->uri, sizeof place->uri, "%s", uri);
    for (size_t len = strlen(place->uri); len > 0 && place->uri[len - 1] == '/'; len--)
        place->uri[len - 1] = '\0';
    snprintf(place->token, sizeof place->token, "%s", token);
    place->block = malloc(BLOCK);
    place->curl = curl_easy_init();
    if (!place->block || !place->curl) {
        blob_close(&place->base);
        return KW_E_NOMEM;
    }
    *out = &place->base;
    return KW_OK;
}
