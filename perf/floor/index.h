/* index.h: the floor of indexing. Two masks (line ends, colons) for each block of 64 octets, walked
 * bit by bit; the fastest of nine ways that were tried. Throw-away code: no compact forms, no replies. */
#ifndef FLOOR_INDEX_H
#define FLOOR_INDEX_H

#include <stdint.h>

#define FLOOR_ROWS 64

struct floor_row {
    uint16_t name, name_length, value, value_length;
};

struct floor_index {
    uint16_t method_length, uri, uri_length, row_count, body, length;
    struct floor_row rows[FLOOR_ROWS];
};

/* Both read up to 64 octets past the end. 0, or -1 if the octets are no request. */
typedef int (*floor_index_fn)(const char *data, unsigned length, struct floor_index *index);
int floor_index_sse2(const char *data, unsigned length, struct floor_index *index);
int floor_index_avx2(const char *data, unsigned length, struct floor_index *index);
int floor_has_avx2(void);

/* The row of a name in any case, or -1. */
int floor_index_find(const char *data, const struct floor_index *index, const char *name, unsigned length);

#endif
