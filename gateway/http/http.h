#pragma once
/* The protocol side: sockets, TLS, HTTP/2 and HTTP/1.1. Built by app, used by nobody else. */

#include "gateway/config/config.h"
#include "gateway/http/request.h"

struct gw_listener_set;

/** Binds every configured listener, loads certificates. Each loop gets its own TCP socket
 *  (SO_REUSEPORT); a Unix socket is shared by all loops. `error` gets a sentence on failure. */
KW_MUST_CHECK kw_status gw_listeners_create(struct gw_listener_set **out, struct gw_app *app,
                                            char *error, size_t error_len);
/** Starts accepting on one loop. Called before the loop's thread starts. */
KW_MUST_CHECK kw_status gw_listeners_attach(struct gw_listener_set *set, struct gw_loop *loop);
/** Loads certificates again and swaps them for new connections; old ones stay on error. */
KW_MUST_CHECK kw_status gw_listeners_reload(struct gw_listener_set *set, char *error,
                                            size_t error_len);
/** New limits from now on: each loop takes them over in its own time. */
KW_MUST_CHECK kw_status gw_listeners_limits(struct gw_listener_set *set,
                                            const struct gw_limits *limits);
/** Port of the first TCP API listener (useful after binding port 0). */
int gw_listeners_port(const struct gw_listener_set *set);
/** The same of the first TCP listener of a face; -1 when there is none. */
int gw_listeners_port_of(const struct gw_listener_set *set, enum gw_face face);
/** After the loops' threads have ended (joined or never started). */
void gw_listeners_destroy(struct gw_listener_set *set);
