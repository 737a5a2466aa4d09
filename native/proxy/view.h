/* view.h: what a proxy reads in a message, found in one walk over the rows of its index.
 *
 * A view borrows the octets. The worker keeps one for the message it handles; a transaction keeps one of its
 * own over its copy. Nothing is allocated. */
#ifndef PROXY_VIEW_H
#define PROXY_VIEW_H

#include "isoexec.h"

/* One Via element (RFC 3261 20.42, 18.2.1; RFC 3581). Texts that are absent have p == NULL. */
typedef struct proxy_via {
    iso_str transport; /* "UDP" */
    iso_str host;      /* of sent-by; an IPv6 address without its brackets */
    uint16_t port;     /* 0: none given */
    iso_str branch, received, maddr;
    iso_str rport;     /* n == 0 with p != NULL: asked for and not filled in */
    uint32_t start, end; /* offsets of the element in the message */
    uint8_t more;      /* another element follows in the same row */
} proxy_via;

#define PROXY_BRANCH_COOKIE "z9hG4bK" /* RFC 3261 8.1.1.7 */

typedef struct proxy_view {
    iso_msg msg;        /* msg.index is &index */
    int status;         /* of a reply */
    uint8_t method;     /* ISO_METHOD_... of the request, or of a reply's CSeq */
    iso_str method_name;
    iso_str ruri;       /* of a request */
    iso_str call_id, from, to, cseq, max_forwards, content_length, proxy_require,
        proxy_authorization; /* values; p == NULL: absent */
    iso_str to_tag;
    uint32_t cseq_number;
    int hops;           /* Max-Forwards, -1: absent */
    int32_t first_via, first_route, first_record_route, first_max_forwards; /* number of the row, -1: none */
    proxy_via via;      /* the topmost */
    uint8_t more_vias;  /* there are others, in its row or another */
    iso_str body;
    iso_index index;
} proxy_view;

/* Fills the view. 0, or why the message can not be handled: a text for the log and for a 400's reason. *reply_out
 * then says whether a reply can be built: Via, From, To, Call-ID and CSeq are there, and it is a request. */
const char *proxy_view_read(proxy_view *view, const iso_msg *msg, int *reply_out);

/* Reads one Via element that starts at *at of a value's text. NULL-free result only if it returns 1. */
int proxy_via_read(const char *data, iso_str value, proxy_via *out);
/* The parameters behind a From, To, Contact or Route value, for iso_parameter. */
iso_str proxy_header_parameters(iso_str value);
/* The tag of a From or To value, absent without one. */
iso_str proxy_tag_of(iso_str value);
/* The URI of such a value: what is inside <>, or the text up to the parameters. */
iso_str proxy_header_uri(iso_str value);
/* Takes the next Route (or other) element: *cursor as in iso_msg_header, *rest the remainder of the current row.
 * Both start at zero. 1, or 0 at the end. */
int proxy_next_element(const proxy_view *view, iso_str name, uint32_t *cursor, iso_str *rest, iso_str *element_out);

#endif
