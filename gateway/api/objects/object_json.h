#pragma once
/* What objects of every kind show in the same way: ids, attributes, tags, the terms of a deletion.
 */

#include "gateway/api/json/write.h"
#include "gateway/api/site.h"
#include "gateway/http/request.h"
#include "gateway/vault/kind.h"

/** The authority of ids: what the client used, so that they lead it back to where it came from. */
struct kw_span gw_authority_of(const struct gw_request *req);

/** Quoted "https://AUTHORITY/COLLECTION/NAME[/VERSION]"; `collection` with both its slashes. */
void gw_write_url(struct gw_out *out, struct kw_span authority, const char *collection,
                  const char *name, const char *version);
/** `name` as it is ("\"kty\":"), then `word` as a string. */
void gw_write_word(struct gw_out *out, const char *name, const char *word);
void gw_write_number(struct gw_out *out, const char *name, int64_t value);

/** "attributes":{ with what every kind has, the vault's terms among it; the caller may add members
 * and closes the brace. */
void gw_write_attributes_open(struct gw_out *out, const struct gw_site *site,
                              const struct vault_object *object);
/** ,"tags":{...}, or nothing when there are none. */
void gw_write_tags(struct gw_out *out, const struct vault_object *object);
/** "recoveryId":...,"deletedDate":...,"scheduledPurgeDate":..., with a comma behind. */
void gw_write_deletion(struct gw_out *out, struct kw_span authority, const char *collection,
                       const struct vault_object *object);
