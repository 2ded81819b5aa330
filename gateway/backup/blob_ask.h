#pragma once
/* Inside the blob place: one request to Azure Blob storage and its answer. */

#include <curl/curl.h>

#include "gateway/backup/place_ops.h"

#define BLOB_BLOCK       (4u << 20) /* the largest range that is given out with an MD5 */
#define BLOB_ADDRESS_MAX (BACKUP_URI_MAX + BACKUP_TOKEN_MAX + 4096)
#define BLOB_MD5_TEXT    25 /* base64 of 16 bytes, with NUL */

struct blob_place {
    struct backup_place base;
    CURL *curl;
    char uri[BACKUP_URI_MAX + 1], token[BACKUP_TOKEN_MAX + 1];
    char address[BLOB_ADDRESS_MAX]; /* of the request that is under way */
    uint8_t *block;
};

/** One request and its answer. */
struct blob_exchange {
    struct blob_place *place;
    const char *method;
    const char *folder, *name, *query; /* all may be empty */
    const char *headers[6];
    const uint8_t *body;
    size_t body_len, sent;
    uint8_t *room; /* of the answer's body; what does not fit fails the exchange */
    size_t room_len, got;
    long status;
    uint64_t total; /* of Content-Range; UINT64_MAX: not known */
    char md5[BLOB_MD5_TEXT], etag[128], code[64];
};

/** Until it is answered with 2xx or for good with something else; `good` looks at a 2xx (NULL: all
 *  are good) and may ask for another try. KW_E_NOT_FOUND for a 404. */
KW_MUST_CHECK kw_status blob_ask(struct blob_exchange *x,
                                 bool (*good)(const struct blob_exchange *x), char *error);

/** Removes FOLDER/NAME; what is not there counts as removed. */
KW_MUST_CHECK kw_status blob_delete(struct blob_place *place, const char *folder, const char *name,
                                    char *error);
/** place_ops.list */
KW_MUST_CHECK kw_status blob_list(struct backup_place *base, const char *prefix,
                                  backup_found_fn *found, void *ctx, char *error);
