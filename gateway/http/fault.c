#include "gateway/http/fault.h"

#include <http_parser.h>
#include <stdio.h>

static const char *code_of(int status)
{
    switch (status) {
    case 408:
        return "RequestTimeout";
    case 413:
        return "RequestBodyTooLarge";
    case 414:
        return "RequestUriTooLarge";
    case 417:
        return "ExpectationFailed";
    case 431:
        return "RequestHeadersTooLarge";
    case 500:
        return "InternalServerError";
    case 501:
        return "NotImplemented";
    case 503:
        return "ServiceUnavailable";
    case 505:
        return "HttpVersionNotSupported";
    default:
        return "BadParameter";
    }
}

size_t gw_fault_body(char out[GW_FAULT_MAX], int status, const char *message)
{
    int len = snprintf(out, GW_FAULT_MAX, "{\"error\":{\"code\":\"%s\",\"message\":\"%.400s\"}}",
                       code_of(status), message);
    return len < 0 ? 0 : (size_t)len;
}

const char *gw_status_reason(int status)
{
    return http_status_str((enum http_status)status);
}
