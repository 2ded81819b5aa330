/* Azure Blob storage with a SAS token: block uploads (Put Block, Put Block List) and downloads by
 * range. Each block goes with its MD5, which the service checks, and comes back with the MD5 that
 * the service computed; a block that failed is sent again by itself, after a pause. */

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/base/secret.h"
#include "gateway/backup/blob_ask.h"

#define BLOCKS_MAX 50000
#define PROBE      "keyward-probe"

/* --- blocks --- */

static bool md5_text(char out[BLOB_MD5_TEXT], const uint8_t *data, size_t len)
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
    char md5[BLOB_MD5_TEXT], header[64];
    if (!md5_text(md5, body, len))
        return KW_E_INTERNAL;
    snprintf(header, sizeof header, "Content-MD5: %s", md5);
    struct blob_exchange x = {.place = place,
                              .method = "PUT",
                              .folder = folder,
                              .name = name,
                              .query = query,
                              .headers = {header, kind},
                              .body = body,
                              .body_len = len};
    return blob_ask(&x, NULL, error);
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
    if (size / BLOB_BLOCK >= BLOCKS_MAX)
        return KW_E_TOO_LARGE;
    for (uint64_t at = 0; at < size; count++) {
        char id[16], query[64];
        size_t len = size - at < BLOB_BLOCK ? (size_t)(size - at) : BLOB_BLOCK;
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

static bool range_good(const struct blob_exchange *x)
{
    char md5[BLOB_MD5_TEXT];
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
                           uint64_t at, const char *etag, struct blob_exchange *x, char *error)
{
    char range[80], match[160];
    snprintf(range, sizeof range, "x-ms-range: bytes=%llu-%llu", (unsigned long long)at,
             (unsigned long long)at + BLOB_BLOCK - 1);
    snprintf(match, sizeof match, "If-Match: %s", etag);
    *x = (struct blob_exchange){
        .place = place,
        .method = "GET",
        .folder = folder,
        .name = name,
        .query = "",
        .headers = {range, "x-ms-range-get-content-md5: true", etag[0] ? match : NULL},
        .room = place->block,
        .room_len = BLOB_BLOCK};
    kw_status status = blob_ask(x, range_good, error);
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
    struct blob_exchange x;
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
    struct blob_exchange x = {
        .place = place, .method = "GET", .folder = "", .name = PROBE, .query = ""};
    if (writes) {
        KW_TRY(send_body(place, "", PROBE, "", "x-ms-blob-type: BlockBlob", (const uint8_t *)PROBE,
                         sizeof PROBE - 1, error));
        char ignored[BACKUP_ERROR];
        x.method = "DELETE"; /* a token without that right leaves a file of some bytes */
        kw_status left = blob_ask(&x, NULL, ignored);
        (void)left;
        return KW_OK;
    }
    kw_status status = blob_ask(&x, NULL, error);
    return status == KW_E_NOT_FOUND && strcmp(x.code, "BlobNotFound") == 0 ? KW_OK : status;
}

static kw_status blob_remove(struct backup_place *base, const char *folder,
                             const char *const *names, size_t count, char *error)
{
    for (size_t i = 0; i < count; i++)
        KW_TRY(blob_delete((struct blob_place *)base, folder, names[i], error));
    return KW_OK;
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
    static const struct place_ops ops = {blob_put,    blob_get,  blob_probe,
                                         blob_remove, blob_list, blob_close};
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
    place->block = malloc(BLOB_BLOCK);
    place->curl = curl_easy_init();
    if (!place->block || !place->curl) {
        blob_close(&place->base);
        return KW_E_NOMEM;
    }
    *out = &place->base;
    return KW_OK;
}
