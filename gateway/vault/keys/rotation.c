#include "gateway/vault/keys/rotation.h"

#include <stdlib.h>
#include <time.h>

#include "gateway/vault/seal.h"

#define DAY_S        INT64_C(86400)
#define EXPIRY_MIN   (28 * DAY_S)
#define ROTATE_MIN   (7 * DAY_S) /* after creation, and before expiry */
#define DURATION_MAX (100 * 366 * DAY_S)
#define FORMAT       1

/* --- durations --- */

/** Digits and the letter behind them, which must be one of `units` and none before it. */
static bool take_part(struct kw_span *text, const char **units, unsigned *value, char *unit)
{
    size_t at = 0;
    *value = 0;
    while (at < text->len && at < 6 && text->data[at] >= '0' && text->data[at] <= '9')
        *value = *value * 10 + (unsigned)(text->data[at++] - '0');
    if (at == 0 || at == text->len)
        return false;
    *unit = (char)text->data[at];
    const char *found = *unit ? strchr(*units, *unit) : NULL;
    if (!found)
        return false;
    *units = found + 1;
    *text = kw_span_of(text->data + at + 1, text->len - at - 1);
    return true;
}

static void add_part(struct vault_duration *d, bool of_time, char unit, unsigned value)
{
    if (of_time)
        d->seconds += (int64_t)value * (unit == 'H' ? 3600 : unit == 'M' ? 60 : 1);
    else if (unit == 'Y')
        d->years = value;
    else if (unit == 'M')
        d->months = value;
    else
        d->days += unit == 'W' ? 7 * value : value;
}

/** About how long it is: years of 365 days, months of 30. */
static int64_t length(const struct vault_duration *d)
{
    return ((int64_t)d->years * 365 + (int64_t)d->months * 30 + d->days) * DAY_S + d->seconds;
}

bool vault_duration_parse(struct vault_duration *out, struct kw_span text)
{
    const char *units = "YMWD";
    bool of_time = false;
    *out = (struct vault_duration){0};
    if (text.len < 3 || text.len >= VAULT_DURATION_TEXT || text.data[0] != 'P')
        return false;
    memcpy(out->text, text.data, text.len);
    text = kw_span_of(text.data + 1, text.len - 1);
    while (text.len > 0) {
        unsigned value = 0;
        char unit = 0;
        if (!of_time && text.data[0] == 'T') {
            of_time = true;
            units = "HMS";
            text = kw_span_of(text.data + 1, text.len - 1);
        }
        if (!take_part(&text, &units, &value, &unit))
            return false;
        add_part(out, of_time, unit, value);
    }
    return length(out) > 0 && length(out) <= DURATION_MAX;
}

static int days_of(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month] + (month == 1 && leap);
}

int64_t vault_duration_add(int64_t from, const struct vault_duration *duration, int sign)
{
    time_t start = (time_t)from;
    struct tm tm;
    if (duration->years || duration->months) {
        if (!gmtime_r(&start, &tm))
            return from;
        int months = tm.tm_mon + sign * (int)(12 * duration->years + duration->months);
        int years = months >= 0 ? months / 12 : -((11 - months) / 12);
        tm.tm_year += years;
        tm.tm_mon = months - 12 * years;
        int last = days_of(tm.tm_year + 1900, tm.tm_mon);
        if (tm.tm_mday > last)
            tm.tm_mday = last;
        start = timegm(&tm);
    }
    return (int64_t)start + sign * ((int64_t)duration->days * DAY_S + duration->seconds);
}

static bool is_set(const struct vault_duration *duration)
{
    return duration->text[0] != '\0';
}

/* --- what a policy says --- */

static const char *broken_rule(const struct vault_rotation_policy *p)
{
    const struct vault_duration *before = &p->rotate_before_expiry;
    const struct vault_duration *after = &p->rotate_after_create;
    int64_t expiry = length(&p->expiry);
    if (is_set(&p->expiry) && expiry < EXPIRY_MIN)
        return "'expiryTime' must be at least 28 days";
    if (is_set(after) && is_set(before))
        return "an action has one trigger, 'timeAfterCreate' or 'timeBeforeExpiry'";
    if (is_set(after) && length(after) < ROTATE_MIN)
        return "'timeAfterCreate' of Rotate must be at least 7 days";
    if (is_set(after) && is_set(&p->expiry) && length(after) > expiry - ROTATE_MIN)
        return "'timeAfterCreate' of Rotate must be at least 7 days before 'expiryTime'";
    if (is_set(before) && !is_set(&p->expiry))
        return "'timeBeforeExpiry' of Rotate needs an 'expiryTime'";
    if (is_set(before) && length(before) < ROTATE_MIN)
        return "'timeBeforeExpiry' of Rotate must be at least 7 days";
    if (is_set(before) && expiry - length(before) < ROTATE_MIN)
        return "'timeBeforeExpiry' of Rotate must leave 7 days after the creation";
    if (is_set(&p->notify_before_expiry) && is_set(&p->expiry) &&
        length(&p->notify_before_expiry) >= expiry)
        return "'timeBeforeExpiry' of Notify must be shorter than 'expiryTime'";
    return NULL;
}

kw_status vault_rotation_check(const struct vault_rotation_policy *policy, const char **why)
{
    *why = broken_rule(policy);
    return *why ? KW_E_INPUT : KW_OK;
}

int64_t vault_rotation_rotate_at(const struct vault_rotation_policy *policy,
                                 const struct vault_attributes *newest)
{
    if (!newest->enabled)
        return 0;
    if (is_set(&policy->rotate_after_create))
        return vault_duration_add(newest->created, &policy->rotate_after_create, 1);
    if (is_set(&policy->rotate_before_expiry) && newest->exp != 0)
        return vault_duration_add(newest->exp, &policy->rotate_before_expiry, -1);
    return 0;
}

int64_t vault_rotation_notify_at(const struct vault_rotation_policy *policy,
                                 const struct vault_attributes *newest, const char *version)
{
    if (!newest->enabled || newest->exp == 0 || !is_set(&policy->notify_before_expiry) ||
        strcmp(policy->notified, version) == 0)
        return 0;
    return vault_duration_add(newest->exp, &policy->notify_before_expiry, -1);
}

int64_t vault_rotation_wake_at(const struct vault_rotation_policy *policy,
                               const struct vault_attributes *newest, const char *version)
{
    int64_t rotate = vault_rotation_rotate_at(policy, newest);
    int64_t notify = vault_rotation_notify_at(policy, newest, version);
    /* 0 says never in the store: what was due before 1970 is due */
    if (rotate < 0)
        rotate = 1;
    if (notify < 0)
        notify = 1;
    return rotate == 0 || (notify != 0 && notify < rotate) ? notify : rotate;
}

/* --- records --- */

/* Byte 0 is the format; then five texts, each with its length in a byte before it (the durations,
 * the version that was announced), then two times. */
#define TEXTS    5
#define ROOM_MAX (1 + TEXTS * (1 + STORE_VERSION_LEN) + 2 * 8)

static void put_text(struct kw_buf *buf, const char *text)
{
    size_t len = strlen(text);
    buf->data[buf->len++] = (uint8_t)len;
    memcpy(buf->data + buf->len, text, len);
    buf->len += len;
}

static void put_time(struct kw_buf *buf, int64_t value)
{
    for (int i = 0; i < 8; i++)
        buf->data[buf->len++] = (uint8_t)((uint64_t)value >> (56 - 8 * i));
}

kw_status vault_rotation_seal(const struct kc_domain *domain, const char *vault, const char *name,
                              const struct vault_rotation_policy *policy, uint8_t **out,
                              size_t *out_len)
{
    uint8_t room[ROOM_MAX];
    struct kw_buf plain = {.data = room, .cap = sizeof room};
    struct store_ref place = {
        .vault = vault, .kind = STORE_KEY_POLICY, .name = name, .version = VAULT_ROTATION_VERSION};
    plain.data[plain.len++] = FORMAT;
    put_text(&plain, policy->expiry.text);
    put_text(&plain, policy->rotate_after_create.text);
    put_text(&plain, policy->rotate_before_expiry.text);
    put_text(&plain, policy->notify_before_expiry.text);
    put_text(&plain, policy->notified);
    put_time(&plain, policy->created);
    put_time(&plain, policy->updated);
    return vault_seal_at(domain, &place, kw_buf_span(&plain), out, out_len);
}

static bool take(struct kw_span *from, struct kw_span *out, size_t len)
{
    if (from->len < len)
        return false;
    *out = kw_span_of(from->data, len);
    *from = kw_span_of(from->data + len, from->len - len);
    return true;
}

static bool take_text(struct kw_span *from, struct kw_span *out)
{
    struct kw_span len;
    return take(from, &len, 1) && take(from, out, len.data[0]);
}

static bool take_duration(struct kw_span *from, struct vault_duration *out)
{
    struct kw_span text;
    return take_text(from, &text) && (text.len == 0 || vault_duration_parse(out, text));
}

static bool take_time(struct kw_span *from, int64_t *out)
{
    struct kw_span bytes;
    uint64_t value = 0;
    if (!take(from, &bytes, 8))
        return false;
    for (size_t i = 0; i < 8; i++)
        value = value << 8 | bytes.data[i];
    *out = (int64_t)value;
    return true;
}

static kw_status decode(struct kw_span plain, struct vault_rotation_policy *out)
{
    struct kw_span format, notified;
    *out = (struct vault_rotation_policy){0};
    if (!take(&plain, &format, 1))
        return KW_E_INTEGRITY;
    if (format.data[0] != FORMAT)
        return KW_E_UNSUPPORTED;
    if (!take_duration(&plain, &out->expiry) || !take_duration(&plain, &out->rotate_after_create) ||
        !take_duration(&plain, &out->rotate_before_expiry) ||
        !take_duration(&plain, &out->notify_before_expiry) || !take_text(&plain, &notified) ||
        notified.len > STORE_VERSION_LEN || !take_time(&plain, &out->created) ||
        !take_time(&plain, &out->updated) || plain.len != 0)
        return KW_E_INTEGRITY;
    memcpy(out->notified, notified.data, notified.len);
    return KW_OK;
}

kw_status vault_rotation_open(const struct kc_domain *domain, const struct store_row *row,
                              struct vault_rotation_policy *out)
{
    struct kw_buf plain;
    KW_TRY(vault_unseal(domain, STORE_KEY_POLICY, row->vault, row, &plain));
    kw_status status = decode(kw_buf_span(&plain), out);
    vault_plain_free(&plain);
    return status;
}
