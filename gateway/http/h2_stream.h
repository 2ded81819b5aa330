#pragma once
/* One HTTP/2 stream: its request's head as it comes in, its body, its answer. Lives in the arena of
 * its request. */

#include <nghttp2/nghttp2.h>

#include "gateway/http/conn.h"
#include "gateway/http/h2_limits.h"

struct gw_h2 {
    struct gw_conn *conn;
    nghttp2_session *session;
    struct gw_h2_limits limits;
    struct gw_h2_stream *streams;
    struct gw_in_flight *in_flight;
    unsigned open;       /* streams */
    size_t queued_bytes; /* of answers not sent yet */
    uint32_t fatal;      /* error code of the GOAWAY that ends it, when `failing` */
    bool failing, terminated;
    bool settings_came;
    bool notice_sent; /* the first GOAWAY of a graceful end */
    bool final_sent;
    int64_t opened_ns, active_ns, notice_ns;
    int64_t block_ns; /* since when a header block is incomplete; 0: none is */
};

struct gw_h2_stream {
    struct gw_h2_stream *next, **link;
    struct gw_h2 *h2;
    struct gw_request *req;
    int32_t id;
    unsigned fields;
    size_t header_bytes;
    const char *fault; /* the head is wrong: why */
    int fault_status;
    bool head_done, input_over, stream_body, discard, paused, expect_continue;
    bool over_pending; /* the body ended while it was paused */
    struct kw_span host;
    size_t sent;
    uint64_t body_got;
    int64_t body_ns, reply_ns;
    struct kw_buf held; /* body that came while paused */
};

struct gw_h2_stream *gw_h2_stream_create(struct gw_h2 *h2, int32_t id);
/** The stream is closed: detaches the request and drops it. */
void gw_h2_stream_close(struct gw_h2_stream *stream);

/** One header field. False: the block is so large that the connection must end. */
bool gw_h2_stream_header(struct gw_h2_stream *stream, struct kw_span name, struct kw_span value);
/** The head is complete. */
void gw_h2_stream_head(struct gw_h2_stream *stream, bool end_stream);
/** A piece of body. */
void gw_h2_stream_data(struct gw_h2_stream *stream, struct kw_span piece);
/** The client has sent all. */
void gw_h2_stream_end(struct gw_h2_stream *stream);
/** False: its time is over; reset it. */
bool gw_h2_stream_tick(struct gw_h2_stream *stream, int64_t now_ns);
