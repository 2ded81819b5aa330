#pragma once
/* JSON log lines on standard error, one write each. Never a secret, a token, a body. */

enum gw_log_level { GW_LOG_ERROR, GW_LOG_WARN, GW_LOG_INFO, GW_LOG_DEBUG };

/** Pairs of (const char *name, const char *value) after `message`, ended by NULL; values are
 * escaped and cut at 512 bytes. Any thread. */
void gw_log(enum gw_log_level level, const char *message, ...) __attribute__((sentinel));
/** One number beside the text. */
void gw_log_n(enum gw_log_level level, const char *message, const char *name, long long value, ...)
    __attribute__((sentinel));
void gw_log_level_set(enum gw_log_level level);

/** pool_observer.event: turns pool events into log lines. */
struct pool_event;
void gw_log_pool_event(void *ctx, const struct pool_event *event);
