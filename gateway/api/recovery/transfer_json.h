#pragma once
/* What jobs over whole vaults show in the same way. */

#include "gateway/api/json/write.h"
#include "gateway/vault/archive/export.h"

/** `name` as it is (",\"sha256\":"), then the bytes as a string of hex digits. */
void gw_write_hex(struct gw_out *out, const char *name, const uint8_t *bytes, size_t len);
/** ,"counts":{...} by kind. */
void gw_write_counts(struct gw_out *out, const struct vault_transfer_info *info);
/** ,"snapshot", "domain", "created", "origin" as far as they are known. */
void gw_write_head(struct gw_out *out, const struct vault_transfer_info *info);
