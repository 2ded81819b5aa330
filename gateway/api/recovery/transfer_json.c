#include "gateway/api/recovery/transfer_json.h"

#include "crypto/base/hex.h"
#include "gateway/api/objects/object_json.h"

void gw_write_hex(struct gw_out *out, const char *name, const uint8_t *bytes, size_t len)
{
    gw_out_text(out, name);
    gw_out_text(out, "\"");
    for (size_t i = 0; i < len; i++) {
        char pair[3];
        kw_hex_write(pair, bytes + i, 1);
        gw_out_raw(out, pair, 2);
    }
    gw_out_text(out, "\"");
}

void gw_write_counts(struct gw_out *out, const struct vault_transfer_info *info)
{
    const char *comma = "";
    gw_out_text(out, ",\"counts\":{");
    for (size_t i = 1; i <= STORE_KIND_MAX; i++) {
        if (info->versions[i] == 0)
            continue;
        gw_write_word(out, comma, vault_transfer_kind_name((enum store_kind)i));
        gw_write_number(out, ":{\"objects\":", (int64_t)info->objects[i]);
        gw_write_number(out, ",\"versions\":", (int64_t)info->versions[i]);
        gw_out_text(out, "}");
        comma = ",";
    }
    gw_out_text(out, "}");
}

void gw_write_head(struct gw_out *out, const struct vault_transfer_info *info)
{
    if (!info->has_head)
        return;
    gw_write_hex(out, ",\"snapshot\":", info->head.id, sizeof info->head.id);
    gw_write_hex(out, ",\"domain\":", info->head.check, sizeof info->head.check);
    gw_write_number(out, ",\"created\":", info->head.created);
    gw_write_word(out, ",\"origin\":", info->origin);
}
