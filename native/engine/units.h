/* units.h: times, sizes and lists as texts: what people write into settings. Knows nothing of Python. */
#ifndef ISO_UNITS_H
#define ISO_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "isoexec.h"

#define ISO__UNIT_TEXT 32 /* enough for any text of iso__unit_format */

enum iso__unit { ISO__UNIT_TIME, ISO__UNIT_SIZE };

/* "20ms", "1.5s", "64M", "none", a plain number (seconds, octets) as a count of ns or octets. 0 or -1. */
int iso__unit_parse(enum iso__unit unit, const char *text, int64_t *out);
/* The shortest such text of a count: "20ms", "64M", "" for 0. */
void iso__unit_format(enum iso__unit unit, int64_t count, char out[ISO__UNIT_TEXT]);

/* Walks over the items of a list text: they are parted by line ends if the text has one, else by commas. */
typedef struct iso__list {
    const char *at;
    const char *separator;
} iso__list;

iso__list iso__list_over(const char *text); /* borrowed; NULL is an empty list */
/* The next item that is not empty, trimmed. Returns 1, or 0 at the end. */
int iso__list_next(iso__list *list, iso_str *item_out);

#endif
