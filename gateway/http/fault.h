#pragma once
/* Errors of the protocol level in the API's error shape:
 * {"error":{"code":"BadParameter","message":"..."}}. */

#include <stddef.h>

#define GW_FAULT_MAX  512
#define GW_FAULT_TYPE "application/json; charset=utf-8"

/** Writes the body to `out` (GW_FAULT_MAX bytes); returns its length. `message` is plain text of
 * the gateway's own: never bytes of the client. */
size_t gw_fault_body(char out[GW_FAULT_MAX], int status, const char *message);
/** Reason phrase of a status ("Bad Request"). Static. */
const char *gw_status_reason(int status);
