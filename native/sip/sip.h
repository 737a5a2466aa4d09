/* sip.h: what sip/ gives to script/ and engine/ beyond the public header. No Python, no sockets. */
#ifndef ISO_SIP_H
#define ISO_SIP_H

#include "isoexec_sip.h"
#include "sip/edits.h"

/* Completes an index whose start line iso_msg_start_line filled: the header rows, overflow, body,
 * complete. 0 or ISO_EPARSE. */
int iso__index_rows(const iso_msg *msg, iso_index *index);

/* The number of a method, exact case (RFC 3261 7.1); ISO_METHOD_OTHER if it has none. */
int iso__method_number(const char *p, size_t n);
extern const char iso__method_names[ISO_METHOD_COUNT][16]; /* [0] is ""; padded with NUL */

/* The long form of a compact header letter ("f" -> "From"), absent for a letter that is none. */
iso_str iso__compact_long(char letter);

#endif
