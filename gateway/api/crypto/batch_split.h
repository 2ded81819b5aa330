#pragma once
/* Cuts the body of POST /batch into its elements while it arrives: [E, E, ...] or
 * {"operations": [E, E, ...]}. An element is handed on as text as soon as its last byte is there;
 * whether it is a valid operation is for its reader to say. Only what is broken around the elements
 * breaks the request. */

#include <stdbool.h>

#include "crypto/base/span.h"

enum gw_split_result {
    GW_SPLIT_MORE,    /* all input taken; the next piece is needed */
    GW_SPLIT_ELEMENT, /* `element` is whole; go on with what is left of the input */
    GW_SPLIT_BROKEN,  /* the framing is not JSON of this shape; `why` says what */
    GW_SPLIT_NOMEM
};

/** Its members are the splitter's own, but for `why`. */
struct gw_split {
    unsigned state;
    unsigned nesting; /* brackets open in the element that is being read */
    bool in_string, escaped, scalar;
    bool is_object; /* the outer value is an object */
    size_t name_at; /* how much of the member's name has matched */
    const char *why;
    size_t element_max, element_len;
    uint8_t *held; /* the part of an element that came in earlier pieces */
    size_t held_len, held_cap;
};

/** `element_max`: bytes of one element that are kept. */
void gw_split_init(struct gw_split *split, size_t element_max);
/** Wipes and frees. */
void gw_split_free(struct gw_split *split);

/** Takes bytes off the front of `input`. With GW_SPLIT_ELEMENT, `element` borrows from the input or
 *  from the splitter until the next call; of an element longer than element_max only the length
 *  comes, with `data` NULL. */
enum gw_split_result gw_split_next(struct gw_split *split, struct kw_span *input,
                                   struct kw_span *element);

/** After the last byte: true when the request was whole. Otherwise `why` says what is missing. */
bool gw_split_end(struct gw_split *split);
