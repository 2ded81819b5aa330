#include "crypto/base/status.h"

const char *kw_status_name(kw_status status)
{
    switch (status) {
    case KW_OK:
        return "ok";
    case KW_E_INPUT:
        return "input";
    case KW_E_CRYPTO:
        return "crypto";
    case KW_E_UNSUPPORTED:
        return "unsupported";
    case KW_E_FORBIDDEN:
        return "forbidden";
    case KW_E_NOT_FOUND:
        return "not_found";
    case KW_E_CONFLICT:
        return "conflict";
    case KW_E_TOO_LARGE:
        return "too_large";
    case KW_E_BUSY:
        return "busy";
    case KW_E_UNAVAILABLE:
        return "unavailable";
    case KW_E_COPIES:
        return "copies";
    case KW_E_DEADLINE:
        return "deadline";
    case KW_E_NOMEM:
        return "nomem";
    case KW_E_IO:
        return "io";
    case KW_E_INTEGRITY:
        return "integrity";
    case KW_E_INTERNAL:
        return "internal";
    }
    return "unknown";
}
