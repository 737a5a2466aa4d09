/* edits.c: the action list (edits.h). No locks: a list belongs to one rank. */
#include <stdlib.h>

#include "sip/edits.h"
#include "sip/text.h"

#define FIRST_ENTRIES 16
#define FIRST_TEXT 1024

enum { NAME_PRESENT = 1 }; /* of iso__edit_entry.flags */

/* ---- recording ---- */

/* The capacity, doubled as often as needed, that holds `used + more`; 0 if there is none. */
static uint32_t
grown(uint32_t capacity, uint32_t used, size_t more, uint32_t first)
{
    if (more > UINT32_MAX - used)
        return 0;
    uint32_t next = capacity ? capacity : first, needed = used + (uint32_t)more;
    while (next < needed)
        next = next > UINT32_MAX / 2 ? UINT32_MAX : next * 2;
    return next;
}

static int
reserve_entry(iso_edits *edits)
{
    if (edits->count < edits->capacity)
        return 0;
    uint32_t capacity = grown(edits->capacity, edits->count, 1, FIRST_ENTRIES);
    iso__edit_entry *entries = capacity ? realloc(edits->entries, capacity * sizeof(*entries)) : NULL;
    if (!entries)
        return ISO_ENOMEM;
    edits->entries = entries;
    edits->capacity = capacity;
    return 0;
}

/* Gives the array before, if the text moved, for the caller to free. */
static int
reserve_text(iso_edits *edits, size_t more, char **old_out)
{
    *old_out = NULL;
    if (edits->text && more <= edits->text_capacity - edits->text_n)
        return 0;
    uint32_t capacity = grown(edits->text_capacity, edits->text_n, more, FIRST_TEXT);
    char *text = capacity ? malloc(capacity) : NULL;
    if (!text)
        return ISO_ENOMEM;
    if (edits->text_n > 0)
        memcpy(text, edits->text, edits->text_n);
    *old_out = edits->text;
    edits->text = text;
    edits->text_capacity = capacity;
    return 0;
}

static uint32_t
put_text(iso_edits *edits, iso_str text)
{
    uint32_t at = edits->text_n;
    if (text.n > 0)
        memcpy(edits->text + at, text.p, text.n);
    edits->text_n += (uint32_t)text.n;
    return at;
}

int
iso__edits_add(iso_edits *edits, int kind, iso_str name, iso_str value)
{
    char *old; /* freed last: name or value may be borrowed from it */
    if (name.n > ISO_MSG_MAX_LENGTH || value.n > ISO_MSG_MAX_LENGTH || reserve_entry(edits) < 0 ||
        reserve_text(edits, name.n + value.n, &old) < 0)
        return ISO_ENOMEM;
    iso__edit_entry *entry = &edits->entries[edits->count++];
    entry->kind = (uint32_t)kind;
    entry->flags = name.p ? NAME_PRESENT : 0;
    entry->name = put_text(edits, name);
    entry->name_n = (uint32_t)name.n;
    entry->value = put_text(edits, value);
    entry->value_n = (uint32_t)value.n;
    free(old);
    if (kind == ISO_EDIT_SET_RURI)
        edits->ruri = edits->count;
    else if (kind == ISO_EDIT_SET_DST_URI)
        edits->dst_uri = edits->count;
    return 0;
}

int
iso__edits_add_all(iso_edits *edits, const iso_edits *from)
{
    iso__edits_mark mark = iso__edits_save(edits);
    size_t count = iso_edits_count(from);
    iso_edit edit;
    for (size_t i = 0; i < count && iso_edits_get(from, i, &edit) == 0; i++) {
        if (iso__edits_add(edits, edit.kind, edit.name, edit.value) < 0) {
            iso__edits_restore(edits, mark);
            return ISO_ENOMEM;
        }
    }
    return 0;
}

void
iso__edits_fini(iso_edits *edits)
{
    free(edits->entries);
    free(edits->text);
    *edits = (iso_edits){0};
}

/* ---- reading ---- */

size_t
iso_edits_count(const iso_edits *edits)
{
    return edits ? edits->count : 0;
}

int
iso_edits_get(const iso_edits *edits, size_t i, iso_edit *edit_out)
{
    if (i >= iso_edits_count(edits))
        return ISO_EINVAL;
    const iso__edit_entry *entry = &edits->entries[i];
    edit_out->kind = (int)entry->kind;
    edit_out->name = (iso_str){entry->flags & NAME_PRESENT ? edits->text + entry->name : NULL, entry->name_n};
    edit_out->value = (iso_str){edits->text + entry->value, entry->value_n};
    return 0;
}

iso_str
iso__edits_uri(const iso_edits *edits, int kind)
{
    iso_edit edit;
    uint32_t number = kind == ISO_EDIT_SET_RURI ? edits->ruri : edits->dst_uri;
    if (number == 0 || iso_edits_get(edits, number - 1, &edit) < 0 || edit.value.n == 0)
        return (iso_str){NULL, 0};
    return edit.value;
}

iso_edits *
iso_edits_copy(const iso_edits *edits)
{
    if (!edits)
        return NULL;
    iso_edits *copy = calloc(1, sizeof(*copy));
    if (copy && iso__edits_add_all(copy, edits) < 0) {
        iso_edits_free(copy);
        copy = NULL;
    }
    return copy;
}

void
iso_edits_free(iso_edits *edits)
{
    if (edits) {
        iso__edits_fini(edits);
        free(edits);
    }
}

/* ---- checking ---- */

static int
breaks_line(iso_str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (iso__is_line_end(text.p[i]) || text.p[i] == '\0')
            return 1;
    }
    return 0;
}

static const char *
check_ruri(iso_str uri)
{
    for (size_t i = 0; i < uri.n; i++) {
        if ((unsigned char)uri.p[i] <= ' ' || uri.p[i] == 0x7f)
            return "a R-URI must hold no space, line end or control character";
    }
    return NULL;
}

static const char *
check_name(iso_str name)
{
    if (!iso__text_is(name, ISO__CLASS_TOKEN))
        return "a header name must be a token: letters, digits and -.!%*_+`'~";
    return name.n > UINT16_MAX ? "a header name is too long" : NULL;
}

const char *
iso__edit_check(int kind, iso_str name, iso_str value)
{
    const char *wrong = NULL;
    if (name.n > ISO_MSG_MAX_LENGTH || value.n > ISO_MSG_MAX_LENGTH)
        return "the text is too long for a message";
    switch (kind) {
    case ISO_EDIT_SET_RURI:
        return check_ruri(value);
    case ISO_EDIT_SET_DST_URI:
        return breaks_line(value) ? "a destination must hold no line end or NUL" : NULL;
    case ISO_EDIT_REMOVE_HEADER:
        return check_name(name);
    case ISO_EDIT_APPEND_HEADER:
    case ISO_EDIT_INSERT_HEADER:
    case ISO_EDIT_REPLACE_HEADER:
        wrong = check_name(name);
        if (!wrong && breaks_line(value))
            wrong = "a header value must hold no line end or NUL";
        return wrong;
    case ISO_EDIT_SET_BODY:
        return breaks_line(name) ? "a Content-Type must hold no line end or NUL" : NULL;
    default:
        return "this is no kind of edit";
    }
}
