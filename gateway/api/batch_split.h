#pragma once
/* Cuts the body of POST /batch into its elements while it arrives.
 *
 *   [ E, E, ... ]                                 or
 *   { "operations": [ E, E, ... ], "x": ... }     other members are skipped
 *
 * An element is handed on as text as soon as its last byte is there; whether it is a valid operation
 * is for its reader to say. Only what is broken around the elements breaks the request. */

#include "crypto/base/span.h"
#include "crypto/base/status.h"

#include <stdbool.h>

enum gw_split_result {
    GW_SPLIT_MORE,    /* all input taken; the next piece is needed */
    GW_SPLIT_ELEMENT, /* `element` is whole; go on with what is left of the input */
    GW_SPLIT_BROKEN,  /* the framing is not JSON of this shape; `why` says what */
    GW_SPLIT_NOMEM
};

struct gw_split {
    unsigned state;
    unsigned nesting;      /* brackets open in the value that is being read */
    bool in_string, escaped;
    bool is_object;        /* the outer value is an object */
    bool in_list;          /* the value being read is an element; else a member that is skipped */
    bool seen;             /* "operations" was there */
    bool is_operations;    /* of the member whose name was read last */
    const char *why;
    size_t element_max;
    char name[16];         /* of an outer member, as far as it can match */
    size_t name_len;
    /* bytes of an element or skipped scalar that began in an earlier piece */
    uint8_t *held;
    size_t held_len, held_cap;
    uint8_t brackets[64]; /* kinds of the open brackets, one bit each would do; bytes are clearer */
};

/** `element_max`: bytes of one element; a longer one breaks the request. */
void gw_split_init(struct gw_split *split, size_t element_max);
void gw_split_free(struct gw_split *split);

/** Takes bytes off the front of `input`. With GW_SPLIT_ELEMENT, `element` borrows from the input or
 *  from the splitter until the next call. */
enum gw_split_result gw_split_next(struct gw_split *split, struct kw_span *input,
                                   struct kw_span *element);

/** After the last byte: true when the request was whole. Otherwise `why` says what is missing. */
bool gw_split_end(struct gw_split *split);
