#pragma once
/* Text that others have written. */

#include <stddef.h>

/** Bytes of the character at `s`, which has one above ASCII there; 0: it is not well-formed
 *  (RFC 3629). `left` > 0: bytes that are there. */
size_t kw_utf8_len(const unsigned char *s, size_t left);

/** Makes it fit for pages, logs and terminals: control characters, and each byte that is not
 *  well-formed UTF-8 (a character that was cut as well), become '?'. */
void kw_text_clean(char *text);
