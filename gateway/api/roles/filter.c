#include "gateway/api/roles/filter.h"

#include <strings.h>

/* Forms send a blank as '+'. */
static bool blank(uint8_t c)
{
    return c == ' ' || c == '+' || c == '\t';
}

static void skip_blanks(struct kw_span *text)
{
    while (text->len > 0 && blank(text->data[0]))
        *text = kw_span_of(text->data + 1, text->len - 1);
}

/** The next word, without case: letters up to anything else. */
static bool take_word(struct kw_span *text, const char *word)
{
    size_t len = strlen(word);
    skip_blanks(text);
    if (text->len < len || strncasecmp((const char *)text->data, word, len) != 0)
        return false;
    uint8_t next = text->len > len ? text->data[len] : 0;
    if ((next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z'))
        return false;
    *text = kw_span_of(text->data + len, text->len - len);
    return true;
}

static bool take_mark(struct kw_span *text, char mark)
{
    skip_blanks(text);
    if (text->len == 0 || text->data[0] != (uint8_t)mark)
        return false;
    *text = kw_span_of(text->data + 1, text->len - 1);
    return true;
}

/** What stands between quotes, '' for one of them. */
static bool take_quoted(struct kw_span *text, struct kw_span *out, struct gw_arena *arena)
{
    if (!take_mark(text, '\''))
        return false;
    char *copy = gw_arena_alloc(arena, text->len + 1);
    size_t len = 0, at = 0;
    for (; copy && at < text->len; at++) {
        if (text->data[at] != '\'') {
            copy[len++] = (char)text->data[at];
        } else if (at + 1 < text->len && text->data[at + 1] == '\'') {
            copy[len++] = '\'';
            at++;
        } else {
            break;
        }
    }
    if (!copy || at == text->len)
        return false;
    *out = kw_span_of(copy, len);
    *text = kw_span_of(text->data + at + 1, text->len - at - 1);
    return true;
}

static bool take_empty_call(struct kw_span *text, const char *name)
{
    struct kw_span rest = *text;
    if (!take_word(&rest, name) || !take_mark(&rest, '(') || !take_mark(&rest, ')'))
        return false;
    *text = rest;
    return true;
}

static bool take_equal(struct kw_span *text, const char *name, struct kw_span *out,
                       struct gw_arena *arena)
{
    struct kw_span rest = *text;
    if (!take_word(&rest, name) || !take_word(&rest, "eq") || !take_quoted(&rest, out, arena))
        return false;
    *text = rest;
    return true;
}

static bool take_assigned_to(struct kw_span *text, struct kw_span *out, struct gw_arena *arena)
{
    struct kw_span rest = *text;
    if (!take_word(&rest, "assignedTo") || !take_mark(&rest, '(') ||
        !take_quoted(&rest, out, arena) || !take_mark(&rest, ')'))
        return false;
    *text = rest;
    return true;
}

static bool take_clause(struct gw_role_filter *out, struct kw_span *text, bool assignments,
                        struct gw_arena *arena)
{
    struct kw_span id;
    if (take_empty_call(text, "atScope"))
        return out->at_scope = true;
    if (take_empty_call(text, "atScopeAndBelow"))
        return true;
    if (!assignments && take_equal(text, "roleName", &out->name, arena))
        return out->has_name = true;
    if (!assignments && take_equal(text, "type", &out->type, arena))
        return out->has_type = true;
    if (assignments &&
        (take_equal(text, "principalId", &id, arena) || take_assigned_to(text, &id, arena)))
        return out->has_principal = gw_guid_read(out->principal, id);
    return false;
}

bool gw_role_filter_read(struct gw_role_filter *out, struct kw_span text, bool assignments,
                         struct gw_arena *arena, struct gw_fault *fault)
{
    *out = (struct gw_role_filter){.at_scope = false};
    skip_blanks(&text);
    bool good = text.len <= GW_FILTER_MAX;
    while (good && text.len > 0) {
        good = take_clause(out, &text, assignments, arena);
        skip_blanks(&text);
        if (good && text.len > 0) {
            good = take_word(&text, "and");
            skip_blanks(&text);
            good = good && text.len > 0;
        }
    }
    return good ||
           gw_fault_bad(fault, "The query parameter '$filter' is not understood; %s.",
                        assignments ? "known are atScope(), atScopeAndBelow() and principalId eq "
                                      "'GUID', joined by 'and'"
                                    : "known are atScope(), atScopeAndBelow(), roleName eq '...' "
                                      "and type eq '...', joined by 'and'");
}
