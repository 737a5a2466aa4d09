/* start_line.h: the start line of nearly every request, in a few nanoseconds. Inline, since it runs for
 * every call into Python. */
#ifndef ISO_SIP_START_LINE_H
#define ISO_SIP_START_LINE_H

#include "sip/method.h"
#include "sip/scan.h"

#define ISO__USUAL_LEAST (2 * ISO__SCAN_BLOCK + 16) /* two blocks, and what follows the second space */

/* Where the R-URI ends after a method of method_n octets and a space, if what follows is usual: a R-URI that ends in the
 * first 128 octets, "SIP/2.0", CR LF. `low` is the mask of the first block. 0: iso_msg_start_line must look. */
static inline uint32_t
iso__usual_uri_end(const char *data, uint64_t low, uint32_t method_n)
{
    uint64_t rest = low & (low - 1); /* without the space after the method */
    uint32_t next = 0;
    if (rest == 0) {
        next = ISO__SCAN_BLOCK;
        rest = iso__scan_low64(data + next);
        if (rest == 0)
            return 0;
    }
    uint32_t uri_end = next + (uint32_t)__builtin_ctzll(rest);
    if (iso__load8(data + uri_end) != iso__load8(" SIP/2.0") || data[uri_end + 8] != '\r' ||
        data[uri_end + 9] != '\n' || uri_end == method_n + 1)
        return 0;
    return uri_end;
}

static inline void
iso__usual_fill(const iso__line_start *start, uint32_t uri_end, iso_index *index)
{
    memcpy(index, start->block, sizeof start->block); /* a load below then needs what one store wrote, not two */
    index->headers += uri_end;
    index->second_n += uri_end;
    index->third += uri_end;
}

/* A usual start line in 16 bits, for who looks at it on another thread than the one that needs it: the method, then
 * the end of the R-URI. 0: it is not usual, or the method has no number. */
typedef uint16_t iso__usual;

static inline iso__usual
iso__usual_of(const iso_msg *msg)
{
    const char *data = msg->data;
    uint64_t low = msg->length >= ISO__USUAL_LEAST ? iso__scan_low64(data) : 0;
    if (low == 0)
        return 0;
    uint32_t method_n = (uint32_t)__builtin_ctzll(low);
    if (method_n - 1 >= ISO__METHOD_LONGEST || data[method_n] != ' ')
        return 0;
    int method = iso__method_at(data, method_n);
    uint32_t uri_end = method != ISO_METHOD_OTHER ? iso__usual_uri_end(data, low, method_n) : 0;
    return uri_end != 0 ? (iso__usual)((unsigned)method << 8 | uri_end) : 0;
}

static inline const iso__line_start *
iso__usual_start(iso__usual usual)
{
    return &iso__line_starts[usual >> 8];
}

static inline void
iso__usual_unpack(iso__usual usual, iso_index *index)
{
    iso__usual_fill(iso__usual_start(usual), usual & 0xff, index);
}

/* The same for the method that the last message had: nearly all have one of two or three. 1, or 0: look further. */
static inline int
iso__usual_line_again(const iso_msg *msg, const iso__line_start *last, iso_index *index)
{
    const char *data = msg->data;
    if (msg->length < ISO__USUAL_LEAST || (iso__load8(data) & iso__load8(last->mask)) != iso__load8(last->octets))
        return 0;
    uint32_t uri_end = iso__usual_uri_end(data, iso__scan_low64(data), last->method_n);
    if (uri_end == 0)
        return 0;
    iso__usual_fill(last, uri_end, index);
    return 1;
}

#endif
