#pragma once
/* What an HTTP/1.1 request may look like, byte by byte, before the parser sees it. The parser is
 * lenient in places where two readers of one byte stream may disagree about where a request ends
 * (request smuggling); here every such ambiguity is an error that closes the connection.
 * RFC 9112, with the choices: one Content-Length, Transfer-Encoding "chunked" alone, no obs-fold,
 * no bare CR or LF, no bytes outside ASCII. */

#include <stdbool.h>

#include "crypto/base/span.h"

#define GW_H1_HEAD_MAX     32768
#define GW_H1_HEADERS_MAX  64
#define GW_H1_TARGET_MAX   8192
#define GW_H1_TRAILERS_MAX 4096

/** What is wrong: the status to answer with and why. status 0: nothing. `why` is static text. */
struct gw_h1_fault {
    int status;
    const char *why;
};

/** How the request is framed and addressed. Spans point into the head. */
struct gw_h1_head {
    struct kw_span method, target, host; /* target in origin form; host from Host or the target */
    bool http10, chunked, expect_continue, close, keep_alive;
    int64_t content_length; /* -1: none */
};

/** Searches the end of the head in `data`, which starts with the request line; `*scanned` (0 at
 * first) remembers how far earlier calls came. Length of the head with its empty line, or 0: more
 * bytes are needed. Control bytes and bare CR or LF are found as soon as they are there. */
size_t gw_h1_head_end(const uint8_t *data, size_t len, size_t *scanned, struct gw_h1_fault *fault);

/** Checks one whole head (as long as gw_h1_head_end said). */
struct gw_h1_fault gw_h1_check(const uint8_t *data, size_t len, struct gw_h1_head *head);

/** Host or authority: name, IPv4 or [IPv6], and a port of digits. No user information. */
bool gw_authority_valid(struct kw_span authority);
/** Origin-form target: '/', then visible ASCII without '#', '"', '<', '>', '\\', '^', '`', '{',
 * '|', '}'. */
bool gw_target_valid(struct kw_span target);
/** ASCII, case ignored. */
bool gw_span_iequal(struct kw_span a, struct kw_span b);

/* --- chunked bodies --- */

/** Zero state: ready for a chunk's size. */
struct gw_h1_chunks {
    int state;
    unsigned digits;
    size_t extension;
    uint64_t left;
    size_t line_at, trailers; /* of the trailer section */
    uint8_t line[256];
};

enum gw_h1_step { GW_H1_MORE, GW_H1_PIECE, GW_H1_END, GW_H1_BAD };

/** Takes bytes from data[0..len): `*used` of them. PIECE: `*piece` (inside data) is body; call
 * again. END: the body and its trailers are over. MORE: everything was used. BAD: `fault` says why.
 */
enum gw_h1_step gw_h1_chunks_feed(struct gw_h1_chunks *chunks, const uint8_t *data, size_t len,
                                  size_t *used, struct kw_span *piece, struct gw_h1_fault *fault);
