#include "gateway/api/crypto/batch_split.h"

#include <stdlib.h>

#include "crypto/base/secret.h"

enum state {
    START,        /* '[' or '{' */
    NAME_QUOTE,   /* '"' of "operations" */
    NAME,         /* inside it */
    NAME_COLON,   /* ':' */
    LIST_OPEN,    /* '[' */
    FIRST,        /* an element or ']' */
    NEXT,         /* an element: a comma was before it */
    ELEMENT,      /* inside one */
    AFTER,        /* ',' or ']' */
    OBJECT_CLOSE, /* '}' */
    END           /* white space only */
};

static const char member[] = "operations";

static const char *const expected[] = {
    [START] = "an array of operations, or an object with the member 'operations', is expected",
    [NAME_QUOTE] = "the member 'operations' is expected, and no other",
    [NAME] = "the member 'operations' is expected, and no other",
    [NAME_COLON] = "a colon is expected after 'operations'",
    [LIST_OPEN] = "'operations' must be an array",
    [FIRST] = "an operation or the end of the array is expected",
    [NEXT] = "an operation is expected after the comma",
    [ELEMENT] = "the body ends inside an operation",
    [AFTER] = "a comma or the end of the array is expected after an operation",
    [OBJECT_CLOSE] = "nothing but the end of the object is expected after 'operations'",
    [END] = "nothing is expected after the end",
};

void gw_split_init(struct gw_split *split, size_t element_max)
{
    *split = (struct gw_split){.state = START, .element_max = element_max};
}

void gw_split_free(struct gw_split *split)
{
    if (split->held) {
        kw_wipe(split->held, split->held_cap);
        free(split->held);
    }
    split->held = NULL;
    split->held_len = split->held_cap = 0;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Keeps the beginning of an element whose rest has not come yet. Past the limit only the length is
 * counted. */
static bool hold(struct gw_split *split, const uint8_t *data, size_t len)
{
    if (split->element_len > split->element_max || len == 0)
        return true;
    if (len > split->held_cap - split->held_len) {
        size_t cap = split->held_cap ? split->held_cap : 1024;
        while (cap - split->held_len < len)
            cap *= 2;
        uint8_t *room = malloc(cap);
        if (!room)
            return false;
        if (split->held_len > 0)
            memcpy(room, split->held, split->held_len);
        size_t kept = split->held_len;
        gw_split_free(split);
        split->held = room;
        split->held_len = kept;
        split->held_cap = cap;
    }
    memcpy(split->held + split->held_len, data, len);
    split->held_len += len;
    return true;
}

/* Scans the inside of an element. Returns how many bytes belong to it; `done` when it is whole. */
static size_t scan(struct gw_split *split, struct kw_span input, bool *done)
{
    *done = true;
    for (size_t i = 0; i < input.len; i++) {
        uint8_t c = input.data[i];
        if (split->in_string) {
            if (split->escaped) {
                split->escaped = false;
            } else if (c == '\\') {
                split->escaped = true;
            } else if (c == '"') {
                split->in_string = false;
                if (split->nesting == 0)
                    return i + 1;
            }
        } else if (split->scalar) {
            if (is_space(c) || c == ',' || c == ']' || c == '}')
                return i;
        } else if (c == '"') {
            split->in_string = true;
        } else if (c == '{' || c == '[') {
            split->nesting++;
        } else if ((c == '}' || c == ']') && --split->nesting == 0) {
            return i + 1;
        }
    }
    *done = false;
    return input.len;
}

static void take(struct kw_span *input, size_t len)
{
    input->data += len;
    input->len -= len;
}

/* One piece of the element at the front of the input. */
static enum gw_split_result read_element(struct gw_split *split, struct kw_span *input,
                                         struct kw_span *element)
{
    bool done;
    size_t len = scan(split, *input, &done);
    split->element_len += len;
    bool too_long = split->element_len > split->element_max;
    if (done && split->held_len == 0 && !too_long)
        *element = kw_span_of(input->data, len);
    else if (!hold(split, input->data, len))
        return GW_SPLIT_NOMEM;
    take(input, len);
    if (!done)
        return GW_SPLIT_MORE;
    if (too_long)
        *element = kw_span_of(NULL, split->element_len);
    else if (split->held_len > 0)
        *element = kw_span_of(split->held, split->held_len);
    split->state = AFTER;
    return GW_SPLIT_ELEMENT;
}

static void begin_element(struct gw_split *split, uint8_t c)
{
    split->state = ELEMENT;
    split->nesting = 0;
    split->in_string = split->escaped = false;
    split->scalar = c != '"' && c != '{' && c != '[';
    split->held_len = 0;
    split->element_len = 0;
}

/* One byte between the elements. False: it cannot stand here. */
static bool step(struct gw_split *split, uint8_t c)
{
    switch ((enum state)split->state) {
    case START:
        split->is_object = c == '{';
        split->state = c == '{' ? NAME_QUOTE : FIRST;
        return c == '{' || c == '[';
    case NAME_QUOTE:
        split->state = NAME;
        return c == '"';
    case NAME:
        if (split->name_at == sizeof member - 1) {
            split->state = NAME_COLON;
            return c == '"';
        }
        return c == (uint8_t)member[split->name_at++];
    case NAME_COLON:
        split->state = LIST_OPEN;
        return c == ':';
    case LIST_OPEN:
        split->state = FIRST;
        return c == '[';
    case FIRST:
    case AFTER:
        if (c == ']') {
            split->state = split->is_object ? OBJECT_CLOSE : END;
            return true;
        }
        if (split->state == AFTER) {
            split->state = NEXT;
            return c == ',';
        }
        return false;
    case OBJECT_CLOSE:
        split->state = END;
        return c == '}';
    case NEXT:
    case ELEMENT:
    case END:
        break;
    }
    return false;
}

/* May `c` begin a JSON value? */
static bool begins_value(uint8_t c)
{
    return c == '{' || c == '[' || c == '"' || c == '-' || (c >= '0' && c <= '9') ||
           (c >= 'a' && c <= 'z');
}

enum gw_split_result gw_split_next(struct gw_split *split, struct kw_span *input,
                                   struct kw_span *element)
{
    while (input->len > 0) {
        uint8_t c = input->data[0];
        if (split->state == ELEMENT)
            return read_element(split, input, element);
        if ((split->state == FIRST || split->state == NEXT) && begins_value(c)) {
            begin_element(split, c);
            continue;
        }
        if (is_space(c) && split->state != NAME) {
            take(input, 1);
            continue;
        }
        unsigned before = split->state;
        if (!step(split, c)) {
            split->why = expected[before];
            return GW_SPLIT_BROKEN;
        }
        take(input, 1);
    }
    return GW_SPLIT_MORE;
}

bool gw_split_end(struct gw_split *split)
{
    if (split->state == END)
        return true;
    split->why = expected[split->state];
    return false;
}
