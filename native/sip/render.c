/* render.c: the outgoing message, from the one received and the edits.
 *
 * What no edit touches leaves as it came, octet for octet: folds, compact forms, odd white space. Only
 * line ends before the start line and octets after the body are left out (RFC 3261 7.5, 18.3), and a
 * message that is cut before its blank line gets one. */
#include <stdio.h>
#include <stdlib.h>

#include "isoexec_sip.h"
#include "sip/edits.h"
#include "sip/rows.h"
#include "sip/wanted.h"

/* ---- writer ---- */

/* Counts on when the memory is full, so that one pass writes and measures. */
struct writer {
    char *to;
    size_t size;
    size_t n;
};

static void
put(struct writer *writer, iso_str text)
{
    if (text.n > 0 && writer->n < writer->size) {
        size_t room = writer->size - writer->n;
        memcpy(writer->to + writer->n, text.p, text.n < room ? text.n : room);
    }
    writer->n += text.n;
}

/* ---- the rows of the new message ---- */

/* A header line: received octets with their line end, or a name and a value. */
struct line {
    iso_str name;     /* n == 0: removed */
    iso_str value;    /* of a line that an edit wrote */
    iso_str received; /* p != NULL: written as it is */
};

#define STACK_LINES 96

struct render {
    const iso_msg *msg;
    const iso_index *index;
    iso_str uri;   /* absent: the received one */
    iso_str body;
    int new_body;
    char length[24]; /* text of the new Content-Length */
    struct line *lines; /* from `first` to `end`; inserted ones grow downwards */
    size_t first, end;
};

static void
set_line(struct line *line, iso_str name, iso_str value)
{
    *line = (struct line){.name = name, .value = value};
}

/* The first line of this name from *at on, which is moved behind it; NULL if there is none. */
static struct line *
next_line(struct render *render, const iso__wanted *wanted, size_t *at)
{
    while (*at < render->end) {
        struct line *line = &render->lines[(*at)++];
        if (line->name.n > 0 && iso__wanted_is(wanted, line->name))
            return line;
    }
    return NULL;
}

static void
remove_lines(struct render *render, const iso__wanted *wanted, size_t at)
{
    struct line *line;
    while ((line = next_line(render, wanted, &at)) != NULL)
        line->name.n = 0;
}

/* The row that stays keeps its name as it was written, so a compact form stays compact. */
static void
replace_line(struct render *render, iso_str name, iso_str value)
{
    iso__wanted wanted;
    iso__wanted_init(&wanted, name);
    size_t at = render->first;
    struct line *line = next_line(render, &wanted, &at);
    if (line) {
        set_line(line, line->name, value);
        remove_lines(render, &wanted, at);
    } else {
        set_line(&render->lines[render->end++], name, value);
    }
}

static void
apply(struct render *render, const iso_edit *edit)
{
    iso__wanted wanted;
    switch (edit->kind) {
    case ISO_EDIT_SET_RURI:
        render->uri = edit->value;
        break;
    case ISO_EDIT_APPEND_HEADER:
        set_line(&render->lines[render->end++], edit->name, edit->value);
        break;
    case ISO_EDIT_INSERT_HEADER:
        set_line(&render->lines[--render->first], edit->name, edit->value);
        break;
    case ISO_EDIT_REMOVE_HEADER:
        iso__wanted_init(&wanted, edit->name);
        remove_lines(render, &wanted, render->first);
        break;
    case ISO_EDIT_REPLACE_HEADER:
        replace_line(render, edit->name, edit->value);
        break;
    case ISO_EDIT_SET_BODY:
        render->body = edit->value;
        render->new_body = 1;
        if (edit->name.p)
            replace_line(render, ISO__TEXT("Content-Type"), edit->name);
        break;
    default: /* where to send is not in the message */
        break;
    }
}

/* Length of the blank line that ends the headers. */
static size_t
blank_length(const iso_msg *msg, const iso_index *index)
{
    if (!index->complete)
        return 0;
    uint32_t before = index->body - 1;
    return before > index->headers && msg->data[before - 1] == '\r' ? 2 : 1;
}

/* Each received row lasts up to the start of the next. */
static void
load_lines(struct render *render)
{
    const iso_msg *msg = render->msg;
    const char *end = msg->data + render->index->body - blank_length(msg, render->index);
    uint32_t cursor = 0;
    iso_str name;
    while (iso_msg_header(msg, render->index, (iso_str){NULL, 0}, &cursor, &name, NULL)) {
        if (render->end > render->first) {
            struct line *last = &render->lines[render->end - 1];
            last->received.n = (size_t)(name.p - last->received.p);
        }
        render->lines[render->end++] = (struct line){
            .name = name,
            .received = {name.p, (size_t)(end - name.p)},
        };
    }
}

/* ---- writing ---- */

static void
write_start_line(struct writer *writer, const struct render *render)
{
    const iso_index *index = render->index;
    const char *data = render->msg->data;
    if (index->type == ISO_TYPE_REQUEST && render->uri.n > 0) {
        uint32_t after = index->second + index->second_n;
        put(writer, (iso_str){data + index->start, index->second - index->start});
        put(writer, render->uri);
        put(writer, (iso_str){data + after, index->headers - after});
    } else {
        put(writer, (iso_str){data + index->start, index->headers - index->start});
    }
}

static void
write_line(struct writer *writer, const struct line *line)
{
    const iso_str line_end = ISO__TEXT("\r\n");
    if (line->name.n == 0)
        return;
    if (line->received.p) {
        iso_str received = line->received;
        if (received.p[received.n - 1] == '\r') /* half a line end: the message is cut here */
            received.n--;
        put(writer, received);
        if (received.p[received.n - 1] != '\n')
            put(writer, line_end);
        return;
    }
    put(writer, line->name);
    put(writer, line->value.n > 0 ? ISO__TEXT(": ") : ISO__TEXT(":"));
    put(writer, line->value);
    put(writer, line_end);
}

static void
write_message(struct writer *writer, const struct render *render)
{
    const iso_msg *msg = render->msg;
    const iso_index *index = render->index;
    size_t blank = blank_length(msg, index);
    write_start_line(writer, render);
    for (size_t i = render->first; i < render->end; i++)
        write_line(writer, &render->lines[i]);
    put(writer, blank ? (iso_str){msg->data + index->body - blank, blank} : ISO__TEXT("\r\n"));
    put(writer, render->body);
}

static size_t
count_rows(const iso_msg *msg, const iso_index *index)
{
    size_t count = index->row_count;
    uint32_t cursor = index->row_count;
    while (index->overflow && iso_msg_header(msg, index, (iso_str){NULL, 0}, &cursor, NULL, NULL))
        count++;
    return count;
}

/* A Content-Length that is wrong is left as it is, with all octets that are there: the next element
 * must see what was sent. */
static iso_str
received_body(const iso_msg *msg, const iso_index *index)
{
    iso_str body;
    if (iso_msg_body(msg, index, &body) < 0)
        body = (iso_str){msg->data + index->body, msg->length - index->body};
    return body;
}

int64_t
iso_msg_render(const iso_msg *msg, const iso_edits *edits, char *to, size_t size)
{
    iso_index own;
    const iso_index *index = msg->index;
    struct line stack[STACK_LINES];
    iso_edit edit;
    if (!index) {
        if (iso_msg_index(msg, &own) < 0)
            return ISO_EPARSE;
        index = &own;
    }
    /* An edit adds at most one line, in front or behind; a new body adds one more for its length. */
    size_t edit_count = iso_edits_count(edits);
    size_t capacity = count_rows(msg, index) + 2 * edit_count + 1;
    struct render render = {.msg = msg, .index = index, .body = received_body(msg, index), .lines = stack};
    if (capacity > STACK_LINES && !(render.lines = malloc(capacity * sizeof(*render.lines))))
        return ISO_ENOMEM;
    render.first = render.end = edit_count;
    load_lines(&render);
    for (size_t i = 0; i < edit_count && iso_edits_get(edits, i, &edit) == 0; i++)
        apply(&render, &edit);
    if (render.new_body) {
        int n = snprintf(render.length, sizeof(render.length), "%zu", render.body.n);
        replace_line(&render, ISO__TEXT("Content-Length"), (iso_str){render.length, (size_t)n});
    }
    struct writer writer = {to, size, 0};
    write_message(&writer, &render);
    if (render.lines != stack)
        free(render.lines);
    return (int64_t)writer.n;
}
