/* POST /keys/{name}/adopt: a key that lives on the tokens becomes a key of the gateway. Three
 * steps: what is on the tokens, and what is adopted already; a trial on every member that holds it;
 * the record. Nothing is written to a token.
 *
 * One at a time in a gateway, from the first look to the record: two of one key, begun together
 * under two names, would each see that nobody has it yet. */

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/base/hex.h"
#include "gateway/admin/admin.h"
#include "gateway/admin/token_keys.h"
#include "gateway/api/crypto/alg_names.h"
#include "gateway/api/json/read.h"
#include "gateway/api/objects/common.h"
#include "gateway/app.h"
#include "gateway/obs/log.h"

static atomic_flag under_way = ATOMIC_FLAG_INIT;

struct adoption {
    bool first; /* under_way is this one's */
    struct gw_request *req;
    struct gw_key_scan *scan;   /* NULL before the first step is over */
    const struct gw_site *site; /* the vault that gets it */
    char name[STORE_NAME_MAX + 1];
    uint8_t id[POOL_RESIDENT_ID_MAX];
    size_t id_len; /* 0: by label */
    char label[POOL_LABEL_MAX + 1];
    char member[POOL_NAME_MAX + 1]; /* empty: any */
    bool has_ops;
    uint16_t ops;

    const struct pool_found_key *found; /* in the scan's inventory */
    uint64_t holders;
    struct pool_key *trial;
    struct pool_agreement agreement;
};

static void end(struct adoption *adoption)
{
    if (adoption->first)
        atomic_flag_clear(&under_way);
    pool_key_unref(adoption->trial);
    gw_key_scan_free(adoption->scan);
    gw_request_unref(adoption->req);
    free(adoption);
}

static void refuse(struct adoption *adoption, int http, json_t *why)
{
    gw_reply_dump(adoption->req, http, json_pack("{s:o}", "error", why));
    end(adoption);
}

/* --- the record --- */

static json_t *names_json(const struct adoption *adoption, enum pool_agreement_result result)
{
    const struct pool_inventory *inventory = adoption->scan->inventory;
    json_t *out = json_array();
    for (size_t i = 0; i < inventory->member_count; i++) {
        if ((adoption->holders >> i & 1) && adoption->agreement.results[i] == result)
            json_array_append_new(out, json_string(inventory->members[i].name));
    }
    return out;
}

/** Members that were not looked at, or have not got it: what an operator should see to. */
static json_t *without_json(const struct adoption *adoption, bool read)
{
    const struct pool_inventory *inventory = adoption->scan->inventory;
    json_t *out = json_array();
    for (size_t i = 0; i < inventory->member_count; i++) {
        const struct pool_inventory_member *member = &inventory->members[i];
        if (member->hsm && !(adoption->holders >> i & 1) && member->complete == read)
            json_array_append_new(out, json_string(member->name));
    }
    return out;
}

static void on_stored(void *ctx, kw_status status, struct vault_key *key)
{
    struct adoption *adoption = ctx;
    if (status == KW_E_CONFLICT) {
        refuse(
            adoption, 409,
            json_sprintf("a deleted key is called %s; recover or purge it first", adoption->name));
        return;
    }
    if (status != KW_OK) {
        refuse(adoption, 503,
               json_sprintf("the record cannot be stored (%s)", kw_status_name(status)));
        return;
    }
    gw_log(GW_LOG_INFO, "operator command", "command", "key adopt", "key", key->name, "version",
           key->version, NULL);
    gw_reply_dump(adoption->req, 200,
                  json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:o}", "vault", key->vault, "name", key->name,
                            "version", key->version, "ops", gw_ops_json(key->ops), "members",
                            names_json(adoption, POOL_AGREE_SAME), "missing",
                            without_json(adoption, true), "unread", without_json(adoption, false)));
    end(adoption);
}

static void store(struct adoption *adoption)
{
    const struct gw_site *site = adoption->site;
    const struct pool_found_key *found = adoption->found;
    struct vault_resident resident = {.id_len = found->id_len};
    struct vault_key_request request = {.vault = site->name,
                                        .name = adoption->name,
                                        .kty = found->pub.kty,
                                        .curve = found->pub.curve,
                                        .bits = found->pub.bits,
                                        .hsm = true,
                                        .ops = adoption->ops,
                                        .attributes = {.enabled = true}};
    memcpy(resident.id, found->id, found->id_len);
    memcpy(resident.label, found->label, sizeof resident.label);
    memcpy(resident.check, adoption->agreement.check, adoption->agreement.check_len);
    resident.check_len = adoption->agreement.check_len;
    vault_key_adopt(site->vault, adoption->req->loop, &request, &resident, &found->pub, on_stored,
                    adoption);
}

/* --- the trial --- */

static const char *reason_of(kw_status status)
{
    switch (status) {
    case KW_E_UNSUPPORTED:
        return "the token does not support the operation";
    case KW_E_FORBIDDEN:
        return "the token does not permit the operation";
    case KW_E_UNAVAILABLE:
        return "the member takes no work now or failed the operation";
    case KW_E_DEADLINE:
        return "no answer in time";
    default:
        return kw_status_name(status);
    }
}

/** A member that agreed, to name beside one that did not; NULL: none. */
static const char *agreeing(const struct adoption *adoption)
{
    const struct pool_inventory *inventory = adoption->scan->inventory;
    for (size_t i = 0; i < inventory->member_count; i++) {
        if ((adoption->holders >> i & 1) && adoption->agreement.results[i] == POOL_AGREE_SAME)
            return inventory->members[i].name;
    }
    return NULL;
}

static json_t *fault_of(const struct adoption *adoption, size_t member)
{
    const char *name = adoption->scan->inventory->members[member].name;
    const char *other = agreeing(adoption);
    switch (adoption->agreement.results[member]) {
    case POOL_AGREE_SAME:
        return NULL;
    case POOL_AGREE_LACKS:
        return json_sprintf("%s: the key cannot be found there any more", name);
    case POOL_AGREE_DIFFERS:
        return other
                   ? json_sprintf("%s and %s hold different keys under this id", other, name)
                   : json_sprintf("%s: what it makes with the key does not belong to the public "
                                  "half that was read on %s",
                                  name,
                                  adoption->scan->inventory->members[adoption->found->member].name);
    case POOL_AGREE_CANNOT:
        break;
    }
    return json_sprintf("%s: the key cannot be tried: %s", name,
                        reason_of(adoption->agreement.why[member]));
}

static void on_agreed(struct pool_agreement *agreement)
{
    struct adoption *adoption = agreement->owner;
    for (size_t i = 0; i < adoption->scan->inventory->member_count; i++) {
        json_t *fault = (adoption->holders >> i & 1) ? fault_of(adoption, i) : NULL;
        if (fault) {
            refuse(adoption, 409, fault);
            return;
        }
    }
    if (adoption->found->secret && agreement->check_len == 0)
        refuse(adoption, 503, json_string("the key's check value could not be made; try again"));
    else
        store(adoption);
}

static kw_status try_key(struct adoption *adoption)
{
    const struct pool_found_key *found = adoption->found;
    struct pool_key_desc desc = {.hsm = true,
                                 .pub = found->pub,
                                 .resident = kw_span_of(found->id, found->id_len),
                                 .name = adoption->name};
    KW_TRY(kw_random(desc.id, sizeof desc.id));
    KW_TRY(pool_key_create(&adoption->trial, gw_loop_app(adoption->req->loop)->pool, &desc));
    adoption->agreement.key = adoption->trial;
    adoption->agreement.members = adoption->holders;
    adoption->agreement.ops = adoption->ops;
    adoption->agreement.on_done = on_agreed;
    adoption->agreement.owner = adoption;
    return KW_OK;
}

/* --- which key --- */

static bool is_meant(const struct adoption *adoption, const struct gw_token_key *key)
{
    const struct pool_inventory *inventory = adoption->scan->inventory;
    for (size_t i = 0; i < key->count; i++) {
        const struct pool_found_key *found = key->found[i];
        bool there = adoption->member[0] == '\0' ||
                     strcmp(adoption->member, inventory->members[found->member].name) == 0;
        bool meant = adoption->id_len > 0
                         ? kw_span_equal(kw_span_of(adoption->id, adoption->id_len),
                                         kw_span_of(found->id, found->id_len))
                         : strcmp(adoption->label, found->label) == 0;
        if (there && meant)
            return true;
    }
    return false;
}

/** NULL when there is a reason against it, which was answered. */
static const struct gw_token_key *choose(struct adoption *adoption, const struct gw_token_key *keys,
                                         size_t count)
{
    const struct gw_token_key *chosen = NULL;
    size_t meant = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_meant(adoption, &keys[i])) {
            chosen = &keys[i];
            meant++;
        }
    }
    if (meant == 0) {
        refuse(adoption, 404,
               json_string("no key on the tokens is called so; see: keyward key "
                           "adopt --list"));
        return NULL;
    }
    if (meant > 1) {
        refuse(adoption, 409,
               json_sprintf("%zu keys on the tokens match; say which by its id", meant));
        return NULL;
    }
    char problem[GW_PROBLEM_TEXT];
    gw_token_key_problem(adoption->scan->inventory, chosen, problem);
    if (problem[0]) {
        refuse(adoption, 409, json_string(problem));
        return NULL;
    }
    const struct gw_scanned_key *adopted = chosen->adopted;
    if (adopted) {
        refuse(adoption, 409,
               json_sprintf("it is adopted already: %s/%s/%s%s", adopted->site->name, adopted->name,
                            adopted->version, adopted->deleted ? " (deleted)" : ""));
        return NULL;
    }
    return chosen;
}

/** The operations that the key gets; false when what was asked for is more than the tokens allow.
 */
static bool settle_ops(struct adoption *adoption, uint16_t allowed)
{
    uint16_t over = adoption->has_ops ? adoption->ops & (uint16_t)~allowed : 0;
    if (over == 0) {
        adoption->ops = adoption->has_ops ? adoption->ops : allowed;
        return true;
    }
    json_t *words = gw_ops_json(over);
    char *text = words ? json_dumps(words, 0) : NULL;
    refuse(adoption, 409,
           json_sprintf("the tokens do not allow %s with this key", text ? text : "this"));
    free(text);
    json_decref(words);
    return false;
}

static void on_scanned(struct gw_key_scan *scan)
{
    struct adoption *adoption = scan->ctx;
    struct gw_token_key *keys = NULL;
    size_t count = 0;
    adoption->scan = scan;
    kw_status status = scan->status;
    if (status == KW_OK)
        status = gw_token_keys(scan, &keys, &count);
    if (status != KW_OK) {
        gw_reply_scan_failed(adoption->req, status);
        end(adoption);
        return;
    }
    const struct gw_token_key *chosen = choose(adoption, keys, count);
    if (chosen && settle_ops(adoption, gw_token_key_ops(chosen))) {
        adoption->found = gw_token_key_shown(chosen);
        for (size_t i = 0; i < chosen->count; i++)
            adoption->holders |= (uint64_t)1 << chosen->found[i]->member;
        status = try_key(adoption);
        if (status == KW_OK)
            pool_agree(gw_loop_port(adoption->req->loop), &adoption->agreement);
        else
            refuse(adoption, 409,
                   json_sprintf("the key cannot be used (%s)", kw_status_name(status)));
    }
    free(keys);
}

/* --- the request --- */

static bool read_id(struct adoption *adoption, struct kw_span text)
{
    if (text.len % 2 != 0 || text.len == 0 || text.len > 2 * sizeof adoption->id)
        return false;
    adoption->id_len = text.len / 2;
    return kw_hex_read(adoption->id, adoption->id_len, (const char *)text.data);
}

static bool read_ops(struct adoption *adoption, const json_t *words)
{
    size_t i;
    const json_t *word;
    adoption->has_ops = json_is_array(words);
    json_array_foreach(words, i, word)
    {
        enum kw_kind kind;
        const char *text = json_string_value(word);
        if (!text || !gw_key_op_parse(kw_span_str(text), &kind))
            return false;
        adoption->ops |= (uint16_t)(1u << kind);
    }
    return !words || (adoption->has_ops && adoption->ops != 0);
}

static bool copy_text(char *out, size_t room, struct kw_span text)
{
    if (text.len >= room || (text.len && memchr(text.data, 0, text.len)))
        return false;
    if (text.len)
        memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

/** NULL, or what is wrong with the request. */
static const char *read_request(struct adoption *adoption, const json_t *body)
{
    struct gw_fault fault;
    struct kw_span id, label, member, vault, name = adoption->req->params[0];
    if (!body || !gw_json_string(body, "id", 2 * POOL_RESIDENT_ID_MAX, &id, &fault) ||
        !gw_json_string(body, "label", POOL_LABEL_MAX, &label, &fault) ||
        !gw_json_string(body, "member", POOL_NAME_MAX, &member, &fault) ||
        !gw_json_string(body, "vault", STORE_VAULT_MAX, &vault, &fault))
        return "the request is not one of keyward key adopt";
    if (!gw_object_name_ok(name))
        return "a key's name is 1 to 127 letters, digits and dashes";
    (void)copy_text(adoption->name, sizeof adoption->name, name);
    if ((id.data == NULL) == (label.data == NULL))
        return "the key is named by its id or by its label";
    if (id.data && !read_id(adoption, id))
        return "the id is 1 to 128 bytes in hexadecimal digits";
    if (label.data &&
        (label.len == 0 || !copy_text(adoption->label, sizeof adoption->label, label)))
        return "the label is 1 to 128 bytes";
    if (!copy_text(adoption->member, sizeof adoption->member, member))
        return "no member has this name";
    adoption->site = gw_sites_named(gw_loop_app(adoption->req->loop)->sites,
                                    vault.data ? vault : kw_span_str(GW_DEFAULT_VAULT));
    if (!adoption->site)
        return "no vault has this name";
    if (!read_ops(adoption, json_object_get(body, "ops")))
        return "operations are sign, verify, encrypt, decrypt, wrapKey, unwrapKey";
    return NULL;
}

void gw_admin_adopt(struct gw_request *req)
{
    struct gw_fault fault;
    struct adoption *adoption = calloc(1, sizeof *adoption);
    if (!adoption) {
        gw_reply_nomem(req);
        return;
    }
    adoption->req = req;
    gw_request_ref(req);
    json_t *body = gw_json_parse(kw_buf_span(&req->body), &fault);
    const char *wrong = read_request(adoption, body);
    json_decref(body);
    if (wrong) {
        refuse(adoption, 400, json_string(wrong));
        return;
    }
    adoption->first = !atomic_flag_test_and_set(&under_way);
    if (!adoption->first) {
        refuse(adoption, 409, json_string("another key is being adopted now; try again"));
        return;
    }
    kw_status status = gw_key_scan_start(req, true, on_scanned, adoption);
    if (status != KW_OK) {
        gw_reply_scan_failed(req, status);
        end(adoption);
    }
}
