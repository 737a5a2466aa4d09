/* index.c: the start line and the header rows of a message (RFC 3261 7, 25).
 *
 * Trimming values and matching names is left to lookup.c: most rows of most messages are never read. */
#include "isoexec_sip.h"
#include "sip/rows.h"
#include "sip/scan.h"
#include "sip/sip.h"
#include "sip/start_line.h"
#include "sip/text.h"

/* Slow paths stand in functions of their own, so that the usual ones need few registers. */
#define COLD __attribute__((noinline, cold))

/* ---- start line ---- */

/* Walks the spaces and control characters of a message, in order. */
struct low_walk {
    uint64_t mask;
    uint32_t base; /* octet of mask bit 0 */
};

static COLD uint64_t
low_tail(const char *data, uint32_t n, uint32_t at)
{
    char copy[ISO__SCAN_BLOCK];
    unsigned shift;
    const char *block = iso__scan_tail(data, n, at, copy, &shift);
    return iso__scan_low64(block) >> shift;
}

static inline struct low_walk
low_at(const char *data, uint32_t n, uint32_t at)
{
    uint64_t mask = n - at >= ISO__SCAN_BLOCK ? iso__scan_low64(data + at) : low_tail(data, n, at);
    return (struct low_walk){mask, at};
}

/* The next block that has any; an empty mask if none has. */
static __attribute__((noinline)) struct low_walk
low_refill(const char *data, uint32_t n, uint32_t base)
{
    struct low_walk walk = {0, base};
    while (walk.mask == 0 && n - walk.base > ISO__SCAN_BLOCK)
        walk = low_at(data, n, walk.base + ISO__SCAN_BLOCK);
    return walk;
}

/* The next one, or n past the last. */
static inline uint32_t
low_next(const char *data, uint32_t n, struct low_walk *walk)
{
    if (__builtin_expect(walk->mask == 0, 0)) {
        *walk = low_refill(data, n, walk->base);
        if (walk->mask == 0)
            return n;
    }
    uint32_t at = walk->base + (uint32_t)__builtin_ctzll(walk->mask);
    walk->mask &= walk->mask - 1;
    return at;
}

/* The first octet after a line end at `at` (LF, or CR LF), or 0 if there is none. */
static inline uint32_t
after_line_end(const char *data, uint32_t n, uint32_t at)
{
    if (at < n && data[at] == '\n')
        return at + 1;
    if (n - at >= 2 && data[at] == '\r' && data[at + 1] == '\n')
        return at + 2;
    return 0;
}

/* "SIP/2.0", any case, any numbers (RFC 3261 7.1; RFC 4475 3.1.2.16 is for the host to answer). */
static COLD int
is_version(iso_str text)
{
    if (text.n < 7 || !iso__same(text.p, "SIP/", 4))
        return 0;
    const char *point = memchr(text.p, '.', text.n);
    if (!point)
        return 0;
    iso_str major = {text.p + 4, (size_t)(point - text.p) - 4};
    iso_str minor = {point + 1, text.n - major.n - 5};
    return iso__text_is(major, ISO__CLASS_DIGIT) && iso__text_is(minor, ISO__CLASS_DIGIT);
}

/* The number of a method, -1 if it is no token. */
static int
method_number(const char *data, uint32_t start, uint32_t length)
{
    int number = iso__method_number(data + start, length);
    if (number == ISO_METHOD_OTHER && !iso__text_is((iso_str){data + start, length}, ISO__CLASS_TOKEN))
        return -1;
    return number;
}

/* Method SP R-URI SP version, when the walk gave the end of the method. */
static inline int
request_line(const char *data, uint32_t n, struct low_walk *walk, iso_index *index)
{
    uint32_t uri = index->start + index->first_n + 1;
    uint32_t uri_end = low_next(data, n, walk);
    if (uri_end >= n || data[uri_end] != ' ' || uri_end == uri)
        return ISO_EPARSE;
    uint32_t line_end = low_next(data, n, walk);
    uint32_t headers = after_line_end(data, n, line_end);
    if (headers == 0)
        return ISO_EPARSE;
    index->headers = headers;
    index->second = uri;
    index->second_n = uri_end - uri;
    index->third = uri_end + 1;
    index->third_n = line_end - uri_end - 1;
    if (!(line_end - uri_end == 8 && iso__load8(data + uri_end) == iso__load8(" SIP/2.0")) &&
        !is_version((iso_str){data + uri_end + 1, line_end - uri_end - 1}))
        return ISO_EPARSE;
    index->type = ISO_TYPE_REQUEST;
    return 0;
}

/* Version SP status [SP reason]. The space may be missing too when there is no reason. */
static __attribute__((noinline)) int
reply_line(const char *data, uint32_t n, struct low_walk walk, iso_index *index)
{
    if (!is_version((iso_str){data + index->start, index->first_n}))
        return ISO_EPARSE;
    index->second = index->start + index->first_n + 1;
    uint32_t end = low_next(data, n, &walk);
    index->second_n = end - index->second;
    if (!iso__text_is((iso_str){data + index->second, index->second_n}, ISO__CLASS_DIGIT))
        return ISO_EPARSE;
    index->third = end;
    if (end < n && data[end] == ' ') {
        index->third = end + 1;
        do
            end = low_next(data, n, &walk);
        while (end < n && after_line_end(data, n, end) == 0);
    }
    index->headers = after_line_end(data, n, end);
    if (index->headers == 0)
        return ISO_EPARSE;
    index->third_n = end - index->third;
    index->type = ISO_TYPE_REPLY;
    return 0;
}

/* Any start line. */
static __attribute__((noinline)) int
any_line(const iso_msg *msg, iso_index *index)
{
    const char *data = msg->data;
    uint32_t n = msg->length, start = 0;
    while (start < n && iso__is_line_end(data[start]))
        start++;
    if (start == n)
        return ISO_EPARSE;
    struct low_walk walk = low_at(data, n, start);
    uint32_t end = low_next(data, n, &walk);
    if (end == n || end == start || data[end] != ' ')
        return ISO_EPARSE;
    index->start = start;
    index->first_n = end - start;
    int method = method_number(data, start, end - start);
    if (method < 0)
        return reply_line(data, n, walk, index);
    index->method = (uint8_t)method;
    return request_line(data, n, &walk, index);
}

int
iso_msg_start_line(const iso_msg *msg, iso_index *index)
{
    iso__usual usual = iso__usual_of(msg);
    if (__builtin_expect(usual != 0, 1)) {
        iso__usual_unpack(usual, index);
        return 0;
    }
    index->overflow = index->body = 0;
    index->row_count = 0;
    index->type = index->complete = index->method = 0;
    return any_line(msg, index);
}

/* ---- header rows ---- */

/* Fills the row whose first line is from `start` to the line end at `end`. 0 if it is no header. */
static inline int
row_fill(const char *data, uint32_t n, uint32_t start, uint32_t end, iso_row *row)
{
    uint64_t mask = n - start >= ISO__SCAN_SHORT ? iso__scan_equal16(data + start, ':') : 0;
    uint32_t colon;
    if (mask) {
        colon = start + (uint32_t)__builtin_ctzll(mask);
        if (colon >= end)
            return 0;
    } else {
        const char *found = memchr(data + start, ':', end - start);
        if (!found)
            return 0;
        colon = (uint32_t)(found - data);
    }
    uint32_t name_end = colon;
    while (name_end > start && iso__is_blank(data[name_end - 1]))
        name_end--;
    uint32_t length = name_end - start;
    if (length - 1 >= UINT16_MAX)
        return 0;
    row->name = start;
    row->value = colon + 1;
    row->name_length = (uint16_t)length;
    row->reserved = 0;
    return 1;
}

/* What stands at the start of a line: 0 for a header row, ISO__ROWS_END or _CUT, LINE_FOLD, or ISO_EPARSE. */
enum { LINE_FOLD = ISO__ROWS_CUT + 1 };
static int
line_kind(const char *data, uint32_t n, uint32_t *at)
{
    if (*at == n)
        return ISO__ROWS_CUT;
    char c = data[*at];
    if (iso__is_blank(c))
        return LINE_FOLD;
    uint32_t after = after_line_end(data, n, *at);
    if (after) {
        *at = after;
        return ISO__ROWS_END;
    }
    if (c == '\r' && *at + 1 == n) {
        *at = n;
        return ISO__ROWS_CUT;
    }
    return (unsigned char)c < ' ' ? ISO_EPARSE : 0;
}

/* The last row has no line end: the message is cut. */
static int
rows_cut(const char *data, uint32_t n, uint32_t *at, iso_row *row, int folded, uint32_t *count)
{
    uint32_t end = n;
    if (!folded) {
        if (!row_fill(data, n, *at, end, row))
            return ISO_EPARSE;
        ++*count;
    }
    if (data[end - 1] == '\r' && end > row->value)
        end--;
    row->end = end;
    *at = n;
    return ISO__ROWS_CUT;
}

static COLD uint64_t
line_ends_tail(const char *data, uint32_t n, uint32_t at)
{
    char copy[ISO__SCAN_BLOCK];
    unsigned shift;
    const char *block = iso__scan_tail(data, n, at, copy, &shift);
    return iso__scan_equal64(block, '\n') >> shift;
}

int
iso__rows_scan(const char *data, uint32_t n, uint32_t *at, iso_row *rows, uint32_t max, uint32_t *count_out)
{
    uint32_t start = *at, count = 0, base = start;
    int folded = 0;
    *count_out = 0;
    int kind = line_kind(data, n, at);
    if (kind != 0)
        return kind == LINE_FOLD ? ISO_EPARSE : kind; /* a fold needs a row before it */
    for (;; base += ISO__SCAN_BLOCK) {
        uint64_t mask =
            n - base >= ISO__SCAN_BLOCK ? iso__scan_equal64(data + base, '\n') : line_ends_tail(data, n, base);
        for (; mask; mask &= mask - 1) {
            uint32_t end = base + (uint32_t)__builtin_ctzll(mask);
            if (__builtin_expect(!folded, 1)) {
                if (!row_fill(data, n, start, end, &rows[count]))
                    return ISO_EPARSE;
                count++;
            }
            rows[count - 1].end = end - (data[end - 1] == '\r');
            start = end + 1;
            if (__builtin_expect(start < n && (unsigned char)data[start] > ' ', 1)) {
                folded = 0;
                if (count == max)
                    goto more;
                continue;
            }
            kind = line_kind(data, n, &start);
            folded = kind == LINE_FOLD;
            if (!folded) {
                *at = start;
                *count_out = count;
                return kind;
            }
        }
        if (n - base <= ISO__SCAN_BLOCK)
            break;
    }
    *at = start;
    kind = rows_cut(data, n, at, folded ? &rows[count - 1] : &rows[count], folded, &count);
    *count_out = count;
    return kind;
more:
    *at = start;
    *count_out = count;
    return ISO__ROWS_MORE;
}

int
iso__index_rows(const iso_msg *msg, iso_index *index)
{
    uint32_t at = index->headers, count;
    int end = iso__rows_scan(msg->data, msg->length, &at, index->rows, ISO_INDEX_ROWS, &count);
    index->row_count = (uint16_t)count;
    index->overflow = end == ISO__ROWS_MORE ? at : 0;
    while (__builtin_expect(end == ISO__ROWS_MORE, 0)) {
        iso_row beyond[ISO_INDEX_ROWS];
        end = iso__rows_scan(msg->data, msg->length, &at, beyond, ISO_INDEX_ROWS, &count);
    }
    if (end < 0)
        return end;
    index->body = at;
    index->complete = end == ISO__ROWS_END;
    return 0;
}

int
iso_msg_index(const iso_msg *msg, iso_index *index)
{
    int failed = iso_msg_start_line(msg, index);
    return failed ? failed : iso__index_rows(msg, index);
}
