/* stream.c: framing of messages on TCP and TLS (RFC 3261 18.3). */
#include "isoexec_sip.h"
#include "sip/rows.h"
#include "sip/text.h"

/* The number of octets up to and with the blank line; 0 if it has not come yet. *line_out is 1 if at
 * least one line is whole. The rows are read only when all are there: a row that is cut says nothing. */
static size_t
head_length(const char *data, size_t n, int *line_out)
{
    const char *end = data + n, *p = data;
    *line_out = 0;
    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        *line_out = 1;
        p++;
        if (p < end && *p == '\r')
            p++;
        if (p < end && *p == '\n')
            return (size_t)(p - data) + 1;
    }
    return 0;
}

/* A message without Content-Length has no end on a stream (RFC 3261 20.14: it MUST be there), and rows
 * that disagree let two readers see two different next messages. */
static int64_t
frame_length(const char *data, size_t head)
{
    iso_msg msg;
    iso_index index;
    int agree;
    if (iso_msg_init(&msg, data, head) < 0 || iso_msg_index(&msg, &index) < 0)
        return ISO_EPARSE;
    int64_t body = iso__content_length(&msg, &index, &agree);
    if (body < 0 || body == ISO__LENGTH_NONE || !agree)
        return ISO_EPARSE;
    return (int64_t)head + body;
}

int64_t
iso_stream_next(const char *data, size_t n, size_t max, size_t *skip_out)
{
    size_t skip = 0;
    while (skip < n && iso__is_line_end(data[skip]))
        skip++;
    *skip_out = skip;
    if (skip == n)
        return 0;
    data += skip;
    n -= skip;
    int line;
    size_t head = head_length(data, n, &line);
    if (head == 0) {
        iso_msg msg;
        iso_index index;
        int refused = line && (iso_msg_init(&msg, data, n) < 0 || iso_msg_start_line(&msg, &index) < 0);
        return refused || n >= max ? ISO_EPARSE : 0;
    }
    int64_t length = frame_length(data, head);
    if (length < 0 || (uint64_t)length > max)
        return ISO_EPARSE;
    return (uint64_t)length <= n ? length : 0;
}
