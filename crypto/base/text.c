#include "crypto/base/text.h"

#include <stdbool.h>
#include <string.h>

size_t kw_utf8_len(const unsigned char *s, size_t left)
{
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len > left) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) {
        return 0;
    }
    return len;
}

/* Bytes of the character at `s` if it may be shown; else 0. U+0080 to U+009F steer terminals as
 * the control characters below a space do. */
static size_t shown(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80) {
        return s[0] >= 0x20 && s[0] != 0x7f ? 1 : 0;
    }
    bool control = s[0] == 0xc2 && left > 1 && s[1] < 0xa0;
    return control ? 0 : kw_utf8_len(s, left);
}

void kw_text_clean(char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        size_t whole = shown((const unsigned char *)text + i, len - i);
        if (whole == 0) {
            text[i] = '?';
            whole = 1;
        }
        i += whole;
    }
}
