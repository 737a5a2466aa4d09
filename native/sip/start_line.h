/* start_line.h: the start line of nearly every request, in a few nanoseconds. */
#ifndef ISO_SIP_START_LINE_H
#define ISO_SIP_START_LINE_H

#include "sip/method.h"
#include "sip/scan.h"

#define ISO__USUAL_LEAST (2 * ISO__SCAN_BLOCK + 16) /* two blocks, and what follows the second space */

/* The start line that nearly every request has: a known method, a R-URI that ends in the first 128
 * octets, "SIP/2.0", CR LF. 1, or 0: iso_msg_start_line must look. Inline, since it runs for every call into Python. */
static inline int
iso__usual_line(const iso_msg *msg, iso_index *index)
{
    const char *data = msg->data;
    if (msg->length < ISO__USUAL_LEAST)
        return 0;
    uint64_t low = iso__scan_low64(data);
    uint64_t rest = low & (low - 1);
    uint64_t next = ISO__SCAN_BLOCK;
    if (low == 0)
        return 0;
    if (rest == 0)
        rest = iso__scan_low64(data + next);
    else
        next = 0;
    if (rest == 0)
        return 0;
    uint32_t method_n = (uint32_t)__builtin_ctzll(low);
    uint32_t uri_end = (uint32_t)next + (uint32_t)__builtin_ctzll(rest);
    if (method_n - 1 >= ISO__METHOD_LONGEST || data[method_n] != ' ' || uri_end == method_n + 1)
        return 0;
    if (iso__load8(data + uri_end) != iso__load8(" SIP/2.0") || data[uri_end + 8] != '\r' || data[uri_end + 9] != '\n')
        return 0;
    int method = iso__method_at(data, method_n);
    if (method == ISO_METHOD_OTHER)
        return 0;
    index->start = index->overflow = index->body = 0;
    index->headers = uri_end + 10;
    index->first_n = method_n;
    index->second = method_n + 1;
    index->second_n = uri_end - method_n - 1;
    index->third = uri_end + 1;
    index->third_n = 7;
    index->row_count = 0;
    index->type = ISO_TYPE_REQUEST;
    index->complete = 0;
    index->method = (uint8_t)method;
    memset(index->reserved, 0, sizeof index->reserved); /* one store for all of these */
    return 1;
}

#endif
