#include "gateway/base/guid.h"

#include "crypto/base/hex.h"

static bool dash_at(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

bool gw_guid_read(uint8_t out[GW_GUID_LEN], struct kw_span text)
{
    size_t digits = 0;
    if (text.len != GW_GUID_TEXT)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (dash_at(i)) {
            if (text.data[i] != '-')
                return false;
            continue;
        }
        int value = kw_hex_digit(text.data[i]);
        if (value < 0)
            return false;
        uint8_t *byte = &out[digits / 2];
        *byte = (uint8_t)(digits % 2 ? *byte << 4 | value : value);
        digits++;
    }
    return true;
}

void gw_guid_write(char out[GW_GUID_TEXT + 1], const uint8_t guid[GW_GUID_LEN])
{
    size_t at = 0;
    for (size_t i = 0; i < GW_GUID_LEN; i++) {
        if (dash_at(at))
            out[at++] = '-';
        kw_hex_write(out + at, guid + i, 1);
        at += 2;
    }
}
