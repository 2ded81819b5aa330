/* /export and /import: jobs, and their files in pieces. File work is done aside. */

#include "gateway/api/recovery/export.h"

#include <stdlib.h>

#include "gateway/api/aside.h"
#include "gateway/api/json/read.h"
#include "gateway/api/objects/object_json.h"
#include "gateway/api/recovery/transfer_json.h"
#include "gateway/api/reply.h"
#include "gateway/app.h"

/* --- how a job looks --- */

static void write_conflicts(struct gw_out *out, const struct vault_transfer_info *info)
{
    if (info->conflict_count == 0)
        return;
    gw_write_number(out, ",\"conflictCount\":", (int64_t)info->conflict_count);
    gw_out_text(out, ",\"conflicts\":[");
    for (size_t i = 0; i < info->conflict_count && i < VAULT_TRANSFER_NAMES; i++)
        gw_write_word(out, i > 0 ? "," : "", info->conflicts[i]);
    gw_out_text(out, "]");
}

static void write_error(struct gw_out *out, const struct vault_transfer_info *info)
{
    gw_write_word(out, ",\"error\":{\"code\":", kw_status_name(info->status));
    gw_write_word(out, ",\"message\":", info->message);
    gw_out_text(out, "}");
}

static void reply_job(struct gw_request *req, int http, const struct vault_transfer_info *info)
{
    static const char *const what[] = {"export", "import", "verify"};
    static const char *const states[] = {"Receiving", "InProgress", "Succeeded", "Failed"};
    struct gw_out out;
    gw_out_init(&out, req->arena, 1024, 65536);
    gw_write_word(&out, "{\"id\":", info->id);
    gw_write_word(&out, ",\"kind\":", what[info->kind]);
    gw_write_word(&out, ",\"vault\":", info->vault);
    gw_write_word(&out, ",\"status\":", states[info->state]);
    gw_write_number(&out, ",\"size\":", (int64_t)info->size);
    if (info->state == VAULT_TRANSFER_SUCCEEDED)
        gw_write_hex(&out, ",\"sha256\":", info->digest, sizeof info->digest);
    gw_write_head(&out, info);
    gw_write_counts(&out, info);
    write_conflicts(&out, info);
    if (info->state == VAULT_TRANSFER_FAILED)
        write_error(&out, info);
    gw_out_text(&out, "}");
    gw_reply_json(req, http, &out);
}

static void reply_fault(struct gw_request *req, kw_status status)
{
    struct gw_fault fault;
    if (status == KW_E_NOT_FOUND)
        gw_fault_set(&fault, 404, "NotFound", NULL,
                     "This vault has no such export or import; it may have been given up for newer "
                     "ones.");
    else if (status == KW_E_CONFLICT)
        gw_fault_set(&fault, 409, "Conflict", NULL,
                     "Another export or import runs, or this one takes no pieces any more.");
    else if (status == KW_E_INPUT)
        gw_fault_bad(&fault, "The query parameter 'offset' is behind the end of what is there.");
    else
        gw_fault_status(&fault, status, (struct kw_span){0});
    gw_reply_fault(req, &fault);
}

static void reply(struct gw_request *req, int http, kw_status status,
                  const struct vault_transfer_info *info)
{
    if (status == KW_OK)
        reply_job(req, http, info);
    else
        reply_fault(req, status);
}

/* --- jobs --- */

static struct vault_transfers *transfers_of(const struct gw_request *req)
{
    return gw_loop_app(req->loop)->transfers;
}

/* The first path parameter, NUL-terminated; what is too long for an id names none. */
static void id_of(const struct gw_request *req, char id[VAULT_TRANSFER_ID_LEN + 1])
{
    size_t len = req->param_count > 0 ? req->params[0].len : 0;
    if (len > VAULT_TRANSFER_ID_LEN)
        len = 0;
    if (len > 0)
        memcpy(id, req->params[0].data, len);
    id[len] = '\0';
}

void gw_transfer_get(struct gw_request *req)
{
    struct vault_transfer_info info;
    char id[VAULT_TRANSFER_ID_LEN + 1];
    id_of(req, id);
    kw_status status = vault_transfer_get(transfers_of(req), gw_site_of(req)->name, id, &info);
    if (status == KW_OK && info.kind > VAULT_VERIFY)
        status = KW_E_NOT_FOUND; /* full backups have addresses of their own */
    reply(req, 200, status, &info);
}

/* --- what touches files, aside --- */

/* In the request's arena; the request is held while the file is worked on. */
struct piece {
    struct gw_request *req;
    int http; /* of success */
    bool verify;
    struct vault_transfers *transfers;
    const char *vault;
    char id[VAULT_TRANSFER_ID_LEN + 1];
    uint64_t offset;
    uint8_t *room; /* of a read */
    size_t got;
    kw_status status;
    struct vault_transfer_info info;
};

static bool read_offset(struct gw_request *req, uint64_t *offset, struct gw_fault *fault)
{
    struct kw_span text;
    *offset = 0;
    if (!gw_query_get(req, "offset", &text))
        return true;
    bool ok = text.len >= 1 && text.len <= 15;
    for (size_t i = 0; ok && i < text.len; i++) {
        ok = text.data[i] >= '0' && text.data[i] <= '9';
        *offset = *offset * 10 + (uint64_t)(text.data[i] - '0');
    }
    return ok || gw_fault_bad(fault, "The query parameter 'offset' must be a number of bytes.");
}

static void run_piece(struct gw_request *req, void (*work)(void *), void (*done)(void *),
                      size_t room)
{
    struct gw_fault fault;
    struct piece *piece = gw_arena_alloc(req->arena, sizeof *piece);
    if (!piece || (room > 0 && !(piece->room = malloc(room)))) {
        gw_reply_nomem(req);
        return;
    }
    piece->req = req;
    piece->transfers = transfers_of(req);
    piece->vault = gw_site_of(req)->name;
    id_of(req, piece->id);
    if (!read_offset(req, &piece->offset, &fault)) {
        free(piece->room);
        gw_reply_fault(req, &fault);
        return;
    }
    gw_request_ref(req);
    kw_status status = gw_aside_run(req->loop, work, done, piece);
    if (status == KW_OK)
        return;
    free(piece->room);
    gw_reply_status(req, status, (struct kw_span){0});
    gw_request_unref(req);
}

static void answer(void *ctx)
{
    struct piece *piece = ctx;
    struct gw_request *req = piece->req;
    if (piece->status == KW_OK && piece->http == 204)
        gw_reply(req, 204, NULL, NULL, 0);
    else
        reply(req, piece->http, piece->status, &piece->info);
    gw_request_unref(req);
}

static void start_export(void *ctx)
{
    struct piece *piece = ctx;
    piece->http = 202;
    piece->status =
        vault_export_start(piece->transfers, piece->req->loop, piece->vault, &piece->info);
}

void gw_export_start(struct gw_request *req)
{
    run_piece(req, start_export, answer, 0);
}

static void start_import(void *ctx)
{
    struct piece *piece = ctx;
    piece->http = 202;
    piece->status = vault_import_start(piece->transfers, piece->vault, piece->verify, &piece->info);
}

static void start_verify(void *ctx)
{
    struct piece *piece = ctx;
    piece->verify = true;
    start_import(piece);
}

void gw_import_start(struct gw_request *req)
{
    struct gw_fault fault;
    bool verify = false, present, ok = true;
    if (req->body.len > 0) {
        json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault);
        ok = root && gw_json_bool(root, "verify", &verify, &present, &fault);
        json_decref(root);
    }
    if (ok)
        run_piece(req, verify ? start_verify : start_import, answer, 0);
    else
        gw_reply_fault(req, &fault);
}

static void commit(void *ctx)
{
    struct piece *piece = ctx;
    piece->http = 202;
    piece->status = vault_import_commit(piece->transfers, piece->req->loop, piece->vault, piece->id,
                                        &piece->info);
}

void gw_import_commit(struct gw_request *req)
{
    run_piece(req, commit, answer, 0);
}

static void drop(void *ctx)
{
    struct piece *piece = ctx;
    piece->http = 204;
    piece->status = vault_transfer_get(piece->transfers, piece->vault, piece->id, &piece->info);
    if (piece->status == KW_OK && piece->info.kind > VAULT_VERIFY)
        piece->status = KW_E_NOT_FOUND;
    if (piece->status == KW_OK)
        piece->status = vault_transfer_drop(piece->transfers, piece->vault, piece->id);
}

void gw_transfer_drop(struct gw_request *req)
{
    run_piece(req, drop, answer, 0);
}

static void read_piece(void *ctx)
{
    struct piece *piece = ctx;
    piece->status = vault_export_read(piece->transfers, piece->vault, piece->id, piece->offset,
                                      piece->room, VAULT_TRANSFER_PIECE, &piece->got);
}

static void piece_read(void *ctx)
{
    struct piece *piece = ctx;
    struct gw_request *req = piece->req;
    if (piece->status == KW_OK && piece->got > 0) {
        gw_reply_owned(req, 200, "application/octet-stream", piece->room, piece->got, free);
        piece->room = NULL;
    } else if (piece->status == KW_OK) {
        gw_reply(req, 204, NULL, NULL, 0);
    } else {
        reply_fault(req, piece->status);
    }
    free(piece->room);
    gw_request_unref(req);
}

void gw_export_data(struct gw_request *req)
{
    run_piece(req, read_piece, piece_read, VAULT_TRANSFER_PIECE);
}

static void write_piece(void *ctx)
{
    struct piece *piece = ctx;
    piece->http = 200;
    piece->status = vault_import_write(piece->transfers, piece->vault, piece->id, piece->offset,
                                       kw_buf_span(&piece->req->body), &piece->info);
}

void gw_import_data(struct gw_request *req)
{
    run_piece(req, write_piece, answer, 0);
}
