#include "gateway/http/h1_reply.h"

#include <string.h>

#include "gateway/http/fault.h"

struct writer {
    uint8_t *out;
    size_t len, cap;
    bool failed;
};

static void put(struct writer *writer, const char *data, size_t len)
{
    if (writer->failed || writer->cap - writer->len < len) {
        writer->failed = true;
        return;
    }
    memcpy(writer->out + writer->len, data, len);
    writer->len += len;
}

static void put_status(struct writer *writer, int status)
{
    const char *reason = gw_status_reason(status);
    char line[16] = "HTTP/1.1 000 ";
    line[9] = (char)('0' + status / 100 % 10);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    put(writer, line, 13);
    put(writer, reason, strlen(reason));
    put(writer, "\r\n", 2);
}

static void put_field(struct writer *writer, const struct gw_field *field)
{
    /* a value with a line end in it would be two fields */
    if (memchr(field->value, '\n', field->value_len) ||
        memchr(field->value, '\r', field->value_len))
        writer->failed = true;
    put(writer, field->name, field->name_len);
    put(writer, ": ", 2);
    put(writer, field->value, field->value_len);
    put(writer, "\r\n", 2);
}

size_t gw_h1_reply_head(struct gw_request *req, enum gw_h1_persist persist, const char *date,
                        uint8_t *out, size_t cap)
{
    struct gw_field fields[GW_REPLY_FIELDS_MAX];
    struct writer writer = {out, 0, cap, false};
    size_t count = gw_reply_fields(req, date, fields);
    put_status(&writer, req->reply.status);
    for (size_t i = 0; i < count; i++)
        put_field(&writer, &fields[i]);
    if (persist == GW_H1_CLOSE)
        put(&writer, "connection: close\r\n", 19);
    else if (persist == GW_H1_KEEP_10)
        put(&writer, "connection: keep-alive\r\n", 24);
    put(&writer, "\r\n", 2);
    return writer.failed ? 0 : writer.len;
}
