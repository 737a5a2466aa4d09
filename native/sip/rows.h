/* rows.h: header rows, for the index and for what is found without it. */
#ifndef ISO_SIP_ROWS_H
#define ISO_SIP_ROWS_H

#include "sip/sip.h"

/* How a scan ended. */
enum {
    ISO__ROWS_MORE = 1, /* as many rows as asked for; *at is the next one */
    ISO__ROWS_END,      /* the blank line; *at is the octet after it */
    ISO__ROWS_CUT,      /* the octets ended before a blank line; *at is their number */
};

/* Reads up to `max` (1 or more) header rows of n octets from *at, which is the first octet of a row or
 * the blank line. A line ends at LF, with or without CR before it. ISO__ROWS_... or ISO_EPARSE. */
int iso__rows_scan(const char *data, uint32_t n, uint32_t *at, iso_row *rows, uint32_t max, uint32_t *count_out);

/* The Content-Length of the first such row: 0 or more, ISO__LENGTH_NONE without a row, ISO_EPARSE if it
 * is no number. *agree_out (may be NULL) is 0 if another row says something else. */
#define ISO__LENGTH_NONE INT64_MAX
int64_t iso__content_length(const iso_msg *msg, const iso_index *index, int *agree_out);

#endif
