#pragma once
/* The control socket between gateway and host: one record per packet, with at most one descriptor.
 */

#include "pool/pkcs11/wire.h"

#define POOL_CONTROL_MAX 8192u

/** Sends one record; `fd` travels along unless it is -1. Does not block when the socket is
 *  non-blocking (KW_E_BUSY then). KW_E_IO when the other end is gone. */
KW_MUST_CHECK kw_status pool_control_send(int socket, struct kw_span record, int fd);

/** Receives one packet into `room` (POOL_CONTROL_MAX bytes) and points `body` at its record.
 *  `fd` gets a descriptor that came along (close-on-exec, owned by the caller) or -1.
 *  KW_E_NOT_FOUND: nothing there (non-blocking). KW_E_IO: the other end is gone. KW_E_INPUT: not a
 *  record. */
KW_MUST_CHECK kw_status pool_control_receive(int socket, uint8_t room[POOL_CONTROL_MAX],
                                             struct kw_span *body, int *fd);
