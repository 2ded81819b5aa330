/* /backup, /restore and their pre-checks: begun aside (they touch files and the store), polled at
 * /backup/JOB/pending and /restore/JOB/pending. */

#include "gateway/api/recovery/full_backup.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "crypto/base/secret.h"
#include "gateway/api/aside.h"
#include "gateway/api/json/read.h"
#include "gateway/api/objects/object_json.h"
#include "gateway/api/recovery/transfer_json.h"
#include "gateway/api/reply.h"
#include "gateway/app.h"
#include "gateway/auth/auth.h"
#include "gateway/vault/archive/full.h"

/* --- how a job looks --- */

static bool is_backup(enum vault_transfer_kind kind)
{
    return kind == VAULT_BACKUP || kind == VAULT_PREBACKUP || kind == VAULT_BACKUP_VERIFY;
}

static void write_error(struct gw_out *out, const struct vault_transfer_info *info, bool running)
{
    if (running) {
        gw_out_text(out, ",\"error\":{\"code\":null,\"message\":null,\"innererror\":null}");
    } else if (info->state == VAULT_TRANSFER_FAILED) {
        gw_write_word(out, ",\"error\":{\"code\":", kw_status_name(info->status));
        gw_write_word(out, ",\"message\":", info->message);
        gw_out_text(out, ",\"innererror\":null}");
    } else {
        gw_out_text(out, ",\"error\":null");
    }
}

/* The first answer says that it runs, whatever has come of it by then: clients take anything else
 * there for a success. */
static void write_job(struct gw_out *out, const struct vault_transfer_info *info, bool first)
{
    bool good = !first && info->state == VAULT_TRANSFER_SUCCEEDED;
    bool running = first || info->state == VAULT_TRANSFER_RUNNING;
    gw_write_word(out, "{\"jobId\":", info->id);
    gw_write_word(out, ",\"status\":", running ? "InProgress" : good ? "Succeeded" : "Failed");
    if (!running && info->message[0])
        gw_write_word(out, ",\"statusDetails\":", info->message);
    else
        gw_out_text(out, ",\"statusDetails\":null");
    gw_write_number(out, ",\"startTime\":", info->started);
    if (running)
        gw_out_text(out, ",\"endTime\":null");
    else
        gw_write_number(out, ",\"endTime\":", info->ended);
    write_error(out, info, running);
    if (is_backup(info->kind) && good && info->place[0])
        gw_write_word(out, ",\"azureStorageBlobContainerUri\":", info->place);
    else if (is_backup(info->kind))
        gw_out_text(out, ",\"azureStorageBlobContainerUri\":null");
    if (good && info->has_head) {
        gw_write_number(out, ",\"size\":", (int64_t)info->size);
        gw_write_hex(out, ",\"sha256\":", info->digest, sizeof info->digest);
        gw_write_head(out, info);
        gw_write_counts(out, info);
    }
    gw_out_text(out, "}");
}

static void reply_job(struct gw_request *req, const struct vault_transfer_info *info, bool first)
{
    struct gw_out out, url;
    gw_out_init(&out, req->arena, 1024, 65536);
    write_job(&out, info, first);
    if (!first) {
        gw_reply_json(req, 200, &out);
        return;
    }
    struct kw_span authority = gw_authority_of(req);
    gw_out_init(&url, req->arena, 128, 4096);
    gw_out_text(&url, "https://");
    gw_out_raw(&url, authority.data, authority.len);
    gw_out_text(&url, is_backup(info->kind) ? "/backup/" : "/restore/");
    gw_out_text(&url, info->id);
    gw_out_raw(&url, "/pending", sizeof "/pending"); /* with its NUL */
    if (url.failed) {
        gw_reply_nomem(req);
        return;
    }
    gw_reply_header(req, "azure-asyncoperation", url.data);
    gw_reply_header(req, "retry-after", "10");
    gw_reply_json(req, 202, &out);
}

/* --- beginning --- */

/* The request is held while it is begun. */
struct beginning {
    struct gw_request *req;
    struct vault_transfers *transfers;
    const char *vault;
    enum vault_transfer_kind kind;
    struct vault_full_terms terms;
    kw_status status;
    char why[BACKUP_ERROR];
    struct vault_transfer_info info;
};

static void drop(struct beginning *b)
{
    kw_wipe(&b->terms, sizeof b->terms);
    free(b);
}

static void begin(void *ctx)
{
    struct beginning *b = ctx;
    b->status = vault_full_start(b->transfers, b->req->loop, b->vault, b->kind, &b->terms, &b->info,
                                 b->why);
}

static void begun(void *ctx)
{
    struct beginning *b = ctx;
    struct gw_request *req = b->req;
    struct gw_fault fault;
    if (b->status == KW_OK) {
        reply_job(req, &b->info, true);
    } else {
        if (b->why[0] && b->status == KW_E_INPUT)
            gw_fault_bad(&fault, "%s", b->why);
        else if (b->why[0] && b->status == KW_E_FORBIDDEN)
            gw_fault_set(&fault, 403, "Forbidden", NULL, "%s", b->why);
        else if (b->status == KW_E_CONFLICT)
            gw_fault_set(&fault, 409, "Conflict", NULL,
                         "Another backup, restore, export or import runs.");
        else
            gw_fault_status(&fault, b->status, (struct kw_span){0});
        gw_reply_fault(req, &fault);
    }
    drop(b);
    gw_request_unref(req);
}

static bool copy_text(char *out, size_t max, struct kw_span text, const char *name,
                      struct gw_fault *fault)
{
    if (text.len > 0 && memchr(text.data, 0, text.len))
        return gw_fault_bad(fault, "The property '%s' holds a NUL.", name);
    if (text.len > max)
        return gw_fault_bad(fault, "The property '%s' is too long.", name);
    if (text.len > 0)
        memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

/** {storageResourceUri, token}; the token as a client may give it, without its '?'. */
static bool read_place(const json_t *object, struct vault_full_terms *terms, struct gw_fault *fault)
{
    struct kw_span uri = {0}, token = {0};
    bool managed = false, present = false;
    if (!gw_json_string(object, "storageResourceUri", BACKUP_URI_MAX, &uri, fault) ||
        !gw_json_string(object, "token", BACKUP_TOKEN_MAX, &token, fault) ||
        !gw_json_bool(object, "useManagedIdentity", &managed, &present, fault))
        return false;
    if (managed)
        return gw_fault_bad(fault, "The property 'useManagedIdentity' must be false: a gateway has "
                                   "no managed identity. Give a SAS token.");
    if (token.len > 0 && token.data[0] == '?')
        token = kw_span_of(token.data + 1, token.len - 1);
    return copy_text(terms->uri, BACKUP_URI_MAX, uri, "storageResourceUri", fault) &&
           copy_text(terms->token, BACKUP_TOKEN_MAX, token, "token", fault);
}

/** Clients divide ADDRESS/FOLDER in different places: what is behind the last '/' is the folder. */
static bool join_folder(struct vault_full_terms *terms, struct kw_span folder,
                        struct gw_fault *fault)
{
    char all[BACKUP_URI_MAX + BACKUP_FOLDER_MAX + 2];
    size_t len = strlen(terms->uri);
    while (len > 0 && terms->uri[len - 1] == '/')
        len--;
    while (folder.len > 0 && folder.data[folder.len - 1] == '/')
        folder.len--;
    if (folder.len == 0 || memchr(folder.data, 0, folder.len))
        return gw_fault_bad(fault, "The name of the backup's folder is missing or malformed.");
    if (folder.len + len + 1 > BACKUP_URI_MAX)
        return gw_fault_bad(fault, "The property 'storageResourceUri' is too long.");
    snprintf(all, sizeof all, "%.*s/%.*s", (int)len, terms->uri, (int)folder.len,
             (const char *)folder.data);
    char *last = strrchr(all, '/');
    *last = '\0';
    return copy_text(terms->uri, BACKUP_URI_MAX, kw_span_str(all), "storageResourceUri", fault) &&
           copy_text(terms->folder, BACKUP_FOLDER_MAX, kw_span_str(last + 1), "folder", fault);
}

static bool read_source(const json_t *root, struct vault_full_terms *terms, const char *folder_name,
                        bool optional, struct gw_fault *fault)
{
    json_t *place = NULL;
    struct kw_span folder = {0};
    if (!gw_json_object(root, "sasTokenParameters", &place, fault) ||
        !gw_json_string(root, folder_name, BACKUP_URI_MAX, &folder, fault))
        return false;
    if (!place && !optional)
        return gw_fault_bad(fault, "The property 'sasTokenParameters' is missing.");
    if (place && !read_place(place, terms, fault))
        return false;
    if (folder.len == 0 && optional)
        return true;
    return join_folder(terms, folder, fault);
}

/** A folder of this machine asks nobody for a token. Whom the roles of one vault let restore gets
 *  from there what was written of this vault: other vaults' keys would be his in this one. */
static bool check_own(const struct gw_request *req, const struct vault_full_terms *terms,
                      struct gw_fault *fault)
{
    char principal[GW_GUID_TEXT + 1];
    if (req->identity->full || strncasecmp(terms->uri, "file:", 5) != 0 || !terms->folder[0] ||
        vault_full_is_of(terms->folder, gw_site_of(req)->name))
        return true;
    gw_guid_write(principal, req->identity->principal);
    return gw_fault_set(fault, 403, "Forbidden", "ForbiddenByRbac",
                        "Caller %s may restore backups of this vault alone from a folder of the "
                        "gateway.",
                        principal);
}

static bool read_terms(struct gw_request *req, enum vault_transfer_kind kind, const json_t *root,
                       struct vault_full_terms *terms, struct gw_fault *fault)
{
    bool optional = kind == VAULT_PREBACKUP || kind == VAULT_PRERESTORE;
    if (kind == VAULT_RESTORE_KEY &&
        !copy_text(terms->key, STORE_NAME_MAX, req->params[0], "keyName", fault))
        return false;
    if (kind == VAULT_BACKUP || kind == VAULT_PREBACKUP) {
        if (!read_place(root, terms, fault))
            return false;
    } else if (!read_source(root, terms, kind == VAULT_RESTORE_KEY ? "folder" : "folderToRestore",
                            optional, fault) ||
               !check_own(req, terms, fault)) {
        return false;
    }
    return terms->uri[0] || optional ||
           gw_fault_bad(fault, "The property 'storageResourceUri' is missing.");
}

static bool read_body(struct gw_request *req, struct beginning *b, struct gw_fault *fault)
{
    bool optional = b->kind == VAULT_PREBACKUP || b->kind == VAULT_PRERESTORE;
    if (optional && req->body.len == 0)
        return true;
    json_t *root = gw_json_parse(kw_buf_span(&req->body), fault);
    bool ok = root && read_terms(req, b->kind, root, &b->terms, fault);
    json_decref(root);
    return ok;
}

static void start(struct gw_request *req, enum vault_transfer_kind kind)
{
    struct gw_fault fault;
    struct beginning *b = calloc(1, sizeof *b);
    if (!b) {
        gw_reply_nomem(req);
        return;
    }
    b->req = req;
    b->transfers = gw_loop_app(req->loop)->transfers;
    b->vault = gw_site_of(req)->name;
    b->kind = kind;
    if (!read_body(req, b, &fault)) {
        drop(b);
        gw_reply_fault(req, &fault);
        return;
    }
    gw_request_ref(req);
    kw_status status = gw_aside_run(req->loop, begin, begun, b);
    if (status == KW_OK)
        return;
    drop(b);
    gw_reply_status(req, status, (struct kw_span){0});
    gw_request_unref(req);
}

void gw_backup_start(struct gw_request *req)
{
    start(req, VAULT_BACKUP);
}

void gw_backup_verify(struct gw_request *req)
{
    start(req, VAULT_BACKUP_VERIFY);
}

void gw_prebackup_start(struct gw_request *req)
{
    start(req, VAULT_PREBACKUP);
}

void gw_restore_start(struct gw_request *req)
{
    start(req, VAULT_RESTORE);
}

void gw_restore_key_start(struct gw_request *req)
{
    start(req, VAULT_RESTORE_KEY);
}

void gw_prerestore_start(struct gw_request *req)
{
    start(req, VAULT_PRERESTORE);
}

/* --- polling --- */

static void pending(struct gw_request *req, bool backup)
{
    struct vault_transfer_info info;
    struct gw_fault fault;
    char id[VAULT_TRANSFER_ID_LEN + 1] = "";
    struct kw_span text = req->params[0];
    if (text.len == VAULT_TRANSFER_ID_LEN)
        memcpy(id, text.data, text.len);
    kw_status status =
        vault_transfer_get(gw_loop_app(req->loop)->transfers, gw_site_of(req)->name, id, &info);
    if (status == KW_OK && info.kind >= VAULT_BACKUP && is_backup(info.kind) == backup) {
        reply_job(req, &info, false);
        return;
    }
    gw_fault_set(&fault, 404, "JobNotFound", NULL,
                 "There is no such job: the last eight are kept, and none over a restart.");
    gw_reply_fault(req, &fault);
}

void gw_backup_pending(struct gw_request *req)
{
    pending(req, true);
}

void gw_restore_pending(struct gw_request *req)
{
    pending(req, false);
}
