#include "gateway/obs/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pool/events.h"

#define LINE_MAX_LEN  4096
#define VALUE_MAX_LEN 512

static atomic_int log_level = GW_LOG_INFO;

struct line {
    char text[LINE_MAX_LEN];
    size_t used;
};

/* The last bytes are kept for the closing brace. */
#define ROOM (LINE_MAX_LEN - 4)

static void put(struct line *line, const char *text, size_t len)
{
    if (len > ROOM - line->used)
        len = ROOM - line->used;
    memcpy(line->text + line->used, text, len);
    line->used += len;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* Bytes of the UTF-8 character at `s`; 0 when it is not well-formed (RFC 3629: no overlong forms,
 * no surrogates, at most U+10FFFF). */
static size_t utf8_len(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        return (s[1] & 0xc0) == 0x80 ? 2 : 0;
    if (s[0] >= 0xe0 && s[0] <= 0xef) {
        if ((s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80)
            return 0;
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))
            return 0;
        return 3;
    }
    if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        if ((s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80 || (s[3] & 0xc0) != 0x80)
            return 0;
        if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
            return 0;
        return 4;
    }
    return 0;
}

/* A JSON string (RFC 8259 section 7): one line whatever the value holds. A character is put whole
 * or not at all, so that a cut line stays valid. */
static void put_string(struct line *line, const char *value)
{
    const unsigned char *s = (const unsigned char *)value;
    size_t taken = 0;
    put(line, "\"", 1);
    while (*s != '\0' && taken < VALUE_MAX_LEN && line->used + 8 < ROOM) {
        char escape[8];
        size_t len = utf8_len(s);
        if (len == 0) {
            put_text(line, "\\ufffd");
            len = 1;
        } else if (*s == '"' || *s == '\\') {
            escape[0] = '\\';
            escape[1] = (char)*s;
            put(line, escape, 2);
        } else if (*s < 0x20 || *s == 0x7f) {
            snprintf(escape, sizeof escape, "\\u%04x", *s);
            put_text(line, escape);
        } else {
            put(line, (const char *)s, len);
        }
        s += len;
        taken += len;
    }
    put(line, "\"", 1);
}

static void put_head(struct line *line, enum gw_log_level level, const char *message)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    struct timespec now;
    struct tm utc;
    char head[96], date[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(head, sizeof head, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"message\":", date,
             now.tv_nsec / 1000000, names[level]);
    put_text(line, head);
    put_string(line, message);
}

static void put_pairs(struct line *line, va_list args)
{
    const char *name;
    while ((name = va_arg(args, const char *)) != NULL) {
        const char *value = va_arg(args, const char *);
        if (line->used + strlen(name) + 16 >= ROOM)
            break;
        put(line, ",", 1);
        put_string(line, name);
        put(line, ":", 1);
        if (value)
            put_string(line, value);
        else
            put_text(line, "null");
    }
}

/* One write: lines of many threads never mix (a pipe takes up to 4096 bytes whole). */
static void send_line(struct line *line)
{
    memcpy(line->text + line->used, "}\n", 2);
    ssize_t n;
    do {
        n = write(STDERR_FILENO, line->text, line->used + 2);
    } while (n < 0 && errno == EINTR);
}

void gw_log(enum gw_log_level level, const char *message, ...)
{
    if ((int)level > atomic_load_explicit(&log_level, memory_order_relaxed))
        return;
    struct line line;
    line.used = 0;
    put_head(&line, level, message);
    va_list args;
    va_start(args, message);
    put_pairs(&line, args);
    va_end(args);
    send_line(&line);
}

void gw_log_n(enum gw_log_level level, const char *message, const char *name, long long value, ...)
{
    if ((int)level > atomic_load_explicit(&log_level, memory_order_relaxed))
        return;
    struct line line;
    char number[32];
    line.used = 0;
    put_head(&line, level, message);
    put(&line, ",", 1);
    put_string(&line, name);
    snprintf(number, sizeof number, ":%lld", value);
    put_text(&line, number);
    va_list args;
    va_start(args, value);
    put_pairs(&line, args);
    va_end(args);
    send_line(&line);
}

void gw_log_level_set(enum gw_log_level level)
{
    atomic_store(&log_level, (int)level);
}

/* --- pool events --- */

/* Health that an operator should hear of; the steps of a start or a recovery are not. */
static bool is_trouble(const char *health)
{
    static const char *const names[] = {"suspect", "down", "auth_failed", "mismatched"};
    for (size_t i = 0; health && i < sizeof names / sizeof *names; i++) {
        if (strcmp(health, names[i]) == 0)
            return true;
    }
    return false;
}

void gw_log_pool_event(void *ctx, const struct pool_event *event)
{
    (void)ctx;
    const char *member = event->member ? event->member : "";
    const char *reason = event->reason ? event->reason : "";
    switch (event->type) {
    case POOL_EVENT_MEMBER_STATE: {
        gw_log(is_trouble(event->to) ? GW_LOG_WARN : GW_LOG_INFO, "member changed state", "member",
               member, "from", event->from, "to", event->to, "reason", reason, NULL);
        break;
    }
    case POOL_EVENT_HOST_STARTED:
        gw_log_n(GW_LOG_INFO, "member host started", "pid", event->number, "member", member, NULL);
        break;
    case POOL_EVENT_HOST_ENDED:
        gw_log_n(GW_LOG_WARN, "member host ended", "wait_status", event->number, "member", member,
                 "reason", reason, NULL);
        break;
    case POOL_EVENT_LOGIN_REFUSED:
        gw_log_n(GW_LOG_ERROR,
                 "member refused the PIN; no further login until the PIN file changes or an "
                 "operator runs: keyward member recover",
                 "rv", event->number, "member", member, "reason", reason, NULL);
        break;
    case POOL_EVENT_FAILOVER:
        gw_log(GW_LOG_DEBUG, "operation failed over", "member", member, "reason", reason, NULL);
        break;
    case POOL_EVENT_WRONG_ANSWER:
        gw_log(GW_LOG_ERROR, "member gave a wrong answer; it was not sent", "member", member,
               "reason", reason, NULL);
        break;
    case POOL_EVENT_OUTLIER:
        gw_log_n(GW_LOG_WARN,
                 event->number > 0 ? "member is an outlier and is asked last for a time"
                                   : "member takes its share again",
                 "seconds", event->number, "member", member, "reason", reason, NULL);
        break;
    case POOL_EVENT_KEY_LACKING:
        gw_log(
            GW_LOG_WARN,
            "member is not asked for a resident key until its next start or: keyward member sync",
            "member", member, "reason", reason, NULL);
        break;
    case POOL_EVENT_TOKEN_REFUSED:
        gw_log(GW_LOG_ERROR,
               "member refused the token; no further attempt until the token file changes or an "
               "operator runs: keyward member recover",
               "member", member, "reason", reason, NULL);
        break;
    case POOL_EVENT_CERTIFICATE:
        gw_log_n(GW_LOG_WARN, "a member's certificate ends soon", "days_left", event->number,
                 "member", member, "endpoint", reason, NULL);
        break;
    case POOL_EVENT_MEMBERSHIP:
        gw_log(GW_LOG_INFO, "group changed", "member", member, "from", event->from, "to", event->to,
               "reason", reason, NULL);
        break;
    case POOL_EVENT_NO_LANDLOCK:
        gw_log(GW_LOG_WARN,
               "this kernel has no Landlock: hosts with sandbox: strict see the whole file system",
               "member", member, NULL);
        break;
    case POOL_EVENT_CORE_ALARM:
        gw_log(GW_LOG_ERROR, "the core caught a wrong result of its own; it was not sent", "member",
               member, "reason", reason, NULL);
        break;
    }
}
