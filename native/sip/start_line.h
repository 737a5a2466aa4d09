/* start_line.h: the start line of nearly every request, in a few nanoseconds. Inline, since it runs for
 * every call into Python. */
#ifndef ISO_SIP_START_LINE_H
#define ISO_SIP_START_LINE_H

#include "sip/method.h"
#include "sip/scan.h"

#define ISO__USUAL_LEAST (2 * ISO__SCAN_BLOCK + 16) /* two blocks, and what follows the second space */

/* What follows a method of method_n octets and a space: a R-URI that ends in the first 128 octets, "SIP/2.0",
 * CR LF. `low` is the mask of the first block. 1, or 0: iso_msg_start_line must look. */
static inline int
iso__usual_rest(const char *data, uint64_t low, uint32_t method_n, int method, iso_index *index)
{
    uint64_t rest = low & (low - 1); /* without the space after the method */
    uint32_t next = 0;
    if (rest == 0) {
        next = ISO__SCAN_BLOCK;
        rest = iso__scan_low64(data + next);
        if (rest == 0)
            return 0;
    }
    uint32_t uri = method_n + 1;
    uint32_t uri_end = next + (uint32_t)__builtin_ctzll(rest);
    if (iso__load8(data + uri_end) != iso__load8(" SIP/2.0") || data[uri_end + 8] != '\r' ||
        data[uri_end + 9] != '\n' || uri_end == uri)
        return 0;
    index->start = index->overflow = index->body = 0;
    index->headers = uri_end + 10;
    index->first_n = method_n;
    index->second = uri;
    index->second_n = uri_end - uri;
    index->third = uri_end + 1;
    index->third_n = 7;
    index->row_count = 0;
    index->type = ISO_TYPE_REQUEST;
    index->complete = 0;
    index->method = (uint8_t)method;
    memset(index->reserved, 0, sizeof index->reserved); /* one store for all of these */
    return 1;
}

/* The usual start line of a known method. */
static inline int
iso__usual_line(const iso_msg *msg, iso_index *index)
{
    const char *data = msg->data;
    uint64_t low = msg->length >= ISO__USUAL_LEAST ? iso__scan_low64(data) : 0;
    if (low == 0)
        return 0;
    uint32_t method_n = (uint32_t)__builtin_ctzll(low);
    if (method_n - 1 >= ISO__METHOD_LONGEST || data[method_n] != ' ')
        return 0;
    int method = iso__method_at(data, method_n);
    return method != ISO_METHOD_OTHER && iso__usual_rest(data, low, method_n, method, index);
}

/* The same for the method that the last message had: nearly all have one of two or three. */
static inline int
iso__usual_line_again(const iso_msg *msg, const iso__line_start *last, iso_index *index)
{
    const char *data = msg->data;
    if (msg->length < ISO__USUAL_LEAST || (iso__load8(data) & iso__load8(last->mask)) != iso__load8(last->octets))
        return 0;
    return iso__usual_rest(data, iso__scan_low64(data), last->method_n, last->method, index);
}

#endif
