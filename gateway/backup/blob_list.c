/* What lies in a container: List Blobs with '/' as the delimiter, so that folders come as prefixes,
 * page by page. Of the XML only <BlobPrefix><Name>FOLDER/</Name> and <NextMarker> are read; names
 * that could not be those of a backup are left out, so nothing has to be unescaped. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/backup/blob_ask.h"

#define MARKER_MAX 1024
#define PAGES_MAX  10000

kw_status blob_delete(struct blob_place *place, const char *folder, const char *name, char *error)
{
    struct blob_exchange x = {
        .place = place, .method = "DELETE", .folder = folder, .name = name, .query = ""};
    kw_status status = blob_ask(&x, NULL, error);
    return status == KW_E_NOT_FOUND ? KW_OK : status;
}

/** The text between `open` and `close` from `at` on; NULL when there is none. */
static const char *element(const char *at, const char *end, const char *open, const char *close,
                           size_t *len)
{
    size_t open_len = strlen(open);
    const char *from = memmem(at, (size_t)(end - at), open, open_len);
    if (!from)
        return NULL;
    from += open_len;
    const char *to = memmem(from, (size_t)(end - from), close, strlen(close));
    if (!to)
        return NULL;
    *len = (size_t)(to - from);
    return from;
}

static void give(const char *name, size_t len, backup_found_fn *found, void *ctx)
{
    char folder[BACKUP_FOLDER_MAX + 1];
    if (len == 0 || name[len - 1] != '/' || len - 1 >= sizeof folder)
        return;
    memcpy(folder, name, len - 1);
    folder[len - 1] = '\0';
    if (backup_folder_ok(folder))
        found(ctx, folder);
}

static void read_page(const char *text, size_t text_len, backup_found_fn *found, void *ctx)
{
    const char *at = text, *end = text + text_len, *prefix, *name;
    size_t len, name_len;
    while ((prefix = element(at, end, "<BlobPrefix>", "</BlobPrefix>", &len))) {
        name = element(prefix, prefix + len, "<Name>", "</Name>", &name_len);
        if (name)
            give(name, name_len, found, ctx);
        at = prefix + len;
    }
}

/** What has to be given to get the next page; empty: this is the last one. */
static bool read_marker(char marker[MARKER_MAX], const char *text, size_t text_len)
{
    size_t len = 0;
    const char *at = element(text, text + text_len, "<NextMarker>", "</NextMarker>", &len);
    marker[0] = '\0';
    if (!at)
        return true;
    if (len >= MARKER_MAX)
        return false;
    memcpy(marker, at, len);
    marker[len] = '\0';
    return true;
}

static kw_status ask_page(struct blob_place *place, const char *prefix, const char *marker,
                          size_t *got, char *error)
{
    char query[BACKUP_FOLDER_MAX + 3 * MARKER_MAX + 128];
    char *escaped = marker[0] ? curl_easy_escape(place->curl, marker, 0) : NULL;
    if (marker[0] && !escaped)
        return KW_E_NOMEM;
    snprintf(query, sizeof query, "restype=container&comp=list&delimiter=%%2F&prefix=%s%s%s",
             prefix, escaped ? "&marker=" : "", escaped ? escaped : "");
    curl_free(escaped);
    struct blob_exchange x = {.place = place,
                              .method = "GET",
                              .folder = "",
                              .name = "",
                              .query = query,
                              .room = place->block,
                              .room_len = BLOB_BLOCK};
    kw_status status = blob_ask(&x, NULL, error);
    *got = x.got;
    return status;
}

kw_status blob_list(struct backup_place *base, const char *prefix, backup_found_fn *found,
                    void *ctx, char *error)
{
    struct blob_place *place = (struct blob_place *)base;
    char marker[MARKER_MAX] = "";
    for (unsigned page = 0; page < PAGES_MAX; page++) {
        size_t got = 0;
        KW_TRY(ask_page(place, prefix, marker, &got, error));
        read_page((const char *)place->block, got, found, ctx);
        if (!read_marker(marker, (const char *)place->block, got))
            break;
        if (!marker[0])
            return KW_OK;
    }
    snprintf(error, BACKUP_ERROR, "the storage's list of blobs is not usable");
    return KW_E_INTEGRITY;
}
