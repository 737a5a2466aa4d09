/* provided.c: the functions of OpenSIPS that scripts use most and that need no host: they look at the
 * message and record edits. A host's function of the same name goes before them. */
#include <string.h>

#include "script/sipmsg.h"
#include "sip/text.h"

/* Takes the first line off a text; its line end is left out. */
static iso_str
take_line(iso_str *text)
{
    const char *end = memchr(text->p, '\n', text->n);
    iso_str line = {text->p, end != NULL ? (size_t)(end - text->p) : text->n};
    size_t taken = end != NULL ? line.n + 1 : line.n;
    text->p += taken;
    text->n -= taken;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

/* Records "Name: value". 0, or -1 with an error set. */
static int
record_row(script_msg *self, const char *function, int kind, iso_str line)
{
    const char *colon = memchr(line.p, ':', line.n);
    if (colon == NULL) {
        PyErr_Format(PyExc_ValueError, "%s(): each line must be 'Name: value'", function);
        return -1;
    }
    iso_str name = {line.p, (size_t)(colon - line.p)};
    iso_str value = iso__trim((iso_str){colon + 1, line.n - name.n - 1});
    while (name.n > 0 && iso__is_blank(name.p[name.n - 1]))
        name.n--;
    return script_record(self, function, kind, name, value);
}

/* Records the rows of a text: all, or none and -1 with ValueError. */
static int
record_rows(script_msg *self, const char *function, int kind, iso_str text)
{
    iso_edits *edits = self->edits;
    iso__edits_mark mark = iso__edits_save(edits);
    do {
        iso_str line = take_line(&text);
        if (record_row(self, function, kind, line) < 0) {
            iso__edits_restore(edits, mark);
            return -1;
        }
    } while (text.n > 0);
    /* Each row goes before the first one: the last line has to go in first. */
    if (kind == ISO_EDIT_INSERT_HEADER) {
        for (uint32_t i = mark.count, j = edits->count - 1; i < j; i++, j--) {
            iso__edit_entry entry = edits->entries[i];
            edits->entries[i] = edits->entries[j];
            edits->entries[j] = entry;
        }
    }
    return 0;
}

/* Whether the header is there, with the edits so far. */
static int
is_there(script_msg *self, iso_str name)
{
    const iso_index *index = script_rows(self);
    if (index == NULL)
        return -1;
    uint32_t cursor = 0;
    iso_str row_name, value;
    int there = name.n > 0 && iso_msg_header(self->msg, index, name, &cursor, &row_name, &value);
    size_t count = iso_edits_count(self->edits);
    for (size_t i = 0; i < count; i++) {
        iso_edit edit = {0};
        iso_edits_get(self->edits, i, &edit);
        if (edit.kind == ISO_EDIT_SET_BODY)
            there |= script_same_name(name, ISO__TEXT("Content-Length")) ||
                     (edit.name.p != NULL && script_same_name(name, ISO__TEXT("Content-Type")));
        else if (edit.name.p != NULL && script_same_name(name, edit.name))
            there = edit.kind != ISO_EDIT_REMOVE_HEADER;
    }
    return there;
}

/* append_hf(text [, after]): where a row stands among rows of other names has no meaning (RFC 3261
 * 7.3.1), so `after` is taken and needs nothing done. */
static int
append_hf(script_msg *self, const iso_value *argv, int *code_out)
{
    *code_out = 1;
    return record_rows(self, "append_hf", ISO_EDIT_APPEND_HEADER, argv[0].str);
}

static int
insert_hf(script_msg *self, const iso_value *argv, int *code_out)
{
    *code_out = 1;
    return record_rows(self, "insert_hf", ISO_EDIT_INSERT_HEADER, argv[0].str);
}

static int
remove_hf(script_msg *self, const iso_value *argv, int *code_out)
{
    int there = is_there(self, argv[0].str);
    *code_out = there > 0 ? 1 : -1;
    if (there <= 0)
        return there;
    return script_record(self, "remove_hf", ISO_EDIT_REMOVE_HEADER, argv[0].str, (iso_str){NULL, 0});
}

static int
is_present_hf(script_msg *self, const iso_value *argv, int *code_out)
{
    int there = is_there(self, argv[0].str);
    *code_out = there > 0 ? 1 : -1;
    return there < 0 ? -1 : 0;
}

const script_provided script_provided_table[SCRIPT_PROVIDED_COUNT] = {
    {"append_hf", "s|s", append_hf},
    {"insert_hf", "s|s", insert_hf},
    {"remove_hf", "s", remove_hf},
    {"is_present_hf", "s", is_present_hf},
};
