/* method.h: the number of a method by two loads and a table. */
#ifndef ISO_SIP_METHOD_H
#define ISO_SIP_METHOD_H

#include <stddef.h>

#include "sip/sip.h"
#include "sip/text.h"

#define ISO__METHOD_LONGEST 9 /* SUBSCRIBE */

/* The members of iso_index before its rows, in the same order. */
typedef struct iso__line_parts {
    uint32_t start, headers, overflow, body, first_n, second, second_n, third, third_n;
    uint16_t row_count;
    uint8_t type, complete, method, reserved[3];
} iso__line_parts;
#define ISO__LINE_BLOCK 48 /* the parts and a bit of the first row, of which there is none yet: three wide copies */
_Static_assert(sizeof(iso__line_parts) == offsetof(iso_index, rows) &&
                   offsetof(iso__line_parts, method) == offsetof(iso_index, method) &&
                   sizeof(iso__line_parts) <= ISO__LINE_BLOCK && ISO__LINE_BLOCK <= sizeof(iso_index),
               "the parts are copied as a whole");

/* How requests of one method begin: its name and a space, which the first 8 octets, masked, must be. */
typedef struct iso__line_start {
    char octets[16];
    char mask[16];
    union { /* of a usual start line whose R-URI ends at 0: that end is still to be added */
        iso__line_parts parts;
        unsigned char block[ISO__LINE_BLOCK];
    };
    uint32_t method_n;
} iso__line_start;

extern const iso__line_start iso__line_starts[ISO_METHOD_COUNT];

/* No two of the names share a slot; the compiler warns of a second initialiser if one ever does. */
#define ISO__METHOD_SLOT(length, first) (((unsigned)(length) * 11 + (unsigned char)(first)) & 31)

static const unsigned char iso__method_slots[32] = {
    [ISO__METHOD_SLOT(6, 'I')] = ISO_METHOD_INVITE,  [ISO__METHOD_SLOT(3, 'A')] = ISO_METHOD_ACK,
    [ISO__METHOD_SLOT(3, 'B')] = ISO_METHOD_BYE,     [ISO__METHOD_SLOT(6, 'C')] = ISO_METHOD_CANCEL,
    [ISO__METHOD_SLOT(7, 'O')] = ISO_METHOD_OPTIONS, [ISO__METHOD_SLOT(8, 'R')] = ISO_METHOD_REGISTER,
    [ISO__METHOD_SLOT(5, 'P')] = ISO_METHOD_PRACK,   [ISO__METHOD_SLOT(9, 'S')] = ISO_METHOD_SUBSCRIBE,
    [ISO__METHOD_SLOT(6, 'N')] = ISO_METHOD_NOTIFY,  [ISO__METHOD_SLOT(7, 'P')] = ISO_METHOD_PUBLISH,
    [ISO__METHOD_SLOT(4, 'I')] = ISO_METHOD_INFO,    [ISO__METHOD_SLOT(5, 'R')] = ISO_METHOD_REFER,
    [ISO__METHOD_SLOT(7, 'M')] = ISO_METHOD_MESSAGE, [ISO__METHOD_SLOT(6, 'U')] = ISO_METHOD_UPDATE,
};

/* The same as iso__method_number for 1 to 9 octets at p, where 9 octets may be read. */
static inline int
iso__method_at(const char *p, size_t n)
{
    int number = iso__method_slots[ISO__METHOD_SLOT(n, p[0])];
    const char *name = iso__method_names[number];
    uint64_t difference = iso__load8(p) ^ iso__load8(name);
    if (n < 8) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        difference = __builtin_bswap64(difference);
#endif
        difference <<= 64 - 8 * n;
        return difference == 0 && name[n] == '\0' ? number : ISO_METHOD_OTHER;
    }
    return difference == 0 && (n == 8 || p[8] == name[8]) && name[n] == '\0' ? number : ISO_METHOD_OTHER;
}

#endif
