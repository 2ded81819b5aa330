#pragma once
/* GUIDs as 16 bytes, and as the 36 characters of RFC 9562 section 4, written in lower case. */

#include <stdbool.h>

#include "crypto/base/span.h"

#define GW_GUID_LEN  16
#define GW_GUID_TEXT 36

/** Reads exactly 8-4-4-4-12 hexadecimal digits of either case. False for anything else. */
bool gw_guid_read(uint8_t out[GW_GUID_LEN], struct kw_span text);
/** Writes the 36 characters and a NUL. */
void gw_guid_write(char out[GW_GUID_TEXT + 1], const uint8_t guid[GW_GUID_LEN]);
