#pragma once
/* The keys on the members' tokens, those with one id on several members taken together. */

#include "gateway/admin/key_scan.h"

#include <jansson.h>

#define GW_PROBLEM_TEXT 256

/** Objects of one class, type and id, one for each member; or one object that has no id. */
struct gw_token_key {
    const struct pool_found_key *const *found; /* `count` of them, by member */
    size_t count;
    const struct gw_scanned_key *adopted; /* the stored version that is this key; NULL: none */
};

/** All of them, by id; `*out` is malloc'd and one block with what it points to. The scan must
 *  outlive it. */
KW_MUST_CHECK kw_status gw_token_keys(const struct gw_key_scan *scan, struct gw_token_key **out,
                                      size_t *count);
/** The one that `key`, a resident key, means; NULL: it is on no token that was read. */
const struct gw_token_key *gw_token_key_of(const struct gw_token_key *keys, size_t count,
                                           const struct gw_scanned_key *key);

/** Why it cannot be adopted, or "" when it can. `text` has GW_PROBLEM_TEXT bytes. */
void gw_token_key_problem(const struct pool_inventory *inventory, const struct gw_token_key *key,
                          char *text);
/** The object whose public half is read: the first that has one. */
const struct pool_found_key *gw_token_key_shown(const struct gw_token_key *key);
/** What every member allows. */
uint16_t gw_token_key_ops(const struct gw_token_key *key);

/** JSON array of the words of `ops`. */
json_t *gw_ops_json(uint16_t ops);
/** "RSA", "EC", "AES" or the number of another type. */
json_t *gw_type_json(const struct pool_found_key *found);
/** Answers with what came of a scan that failed. */
void gw_reply_scan_failed(struct gw_request *req, kw_status status);
/** Answers with `json` (whose reference is taken over; NULL: no memory). */
void gw_reply_dump(struct gw_request *req, int http, json_t *json);
