/* isoexec_sip.h: SIP messages, edits and addresses, and what the rest of the public API shares with them: errors and texts.
 *
 * isoexec.h includes this file, and says how the functions behave that both have: threads, memory, failures. Here nothing
 * needs Python, an engine or a rank, nothing blocks, and every function may be called from any thread.
 */
#ifndef ISOEXEC_SIP_H
#define ISOEXEC_SIP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(ISO_BUILDING)
#define ISO_API __attribute__((visibility("default")))
#else
#define ISO_API
#endif

/* ---- errors ------------------------------------------------------------------------------- */
/* X(name, number, text). The numbers never change. */
#define ISO_ERROR_LIST(X)                                                                                              \
    X(EINVAL, -1, "an argument is out of range")                                                                       \
    X(ENOMEM, -2, "out of memory")                                                                                     \
    X(EPARSE, -3, "not a valid SIP message")                                                                           \
    X(ETHREAD, -4, "the rank belongs to another thread")                                                               \
    X(ESTATE, -5, "the engine or rank is not in a state that allows this")                                             \
    X(EVERSION, -6, "the Python that runs is not the one the library was built for")                                   \
    X(EINTERP, -7, "Python or an interpreter could not be started")                                                    \
    X(ESCRIPT, -8, "the handler script could not be loaded")                                                           \
    X(EINIT, -9, "mod_init or child_init failed")                                                                      \
    X(EDEPTH, -10, "calls are nested too deeply")                                                                      \
    X(ESPACE, -11, "the buffer is too small")                                                                          \
    X(ECONFIG, -12, "a setting is wrong")                                                                              \
    X(EFUNCTION, -13, "a host function failed")                                                                        \
    X(EINTERNAL, -14, "a fault of isoexec itself")                                                                     \
    X(EOVERLOAD, -15, "the queue is full")                                                                             \
    X(ETIMEDOUT, -16, "the time is over")                                                                              \
    X(ECANCELLED, -17, "the call was cancelled")                                                                       \
    X(ECYCLE, -18, "ranks would wait for each other")

enum iso_error_code {
#define ISO_ERROR_ENUM(name, number, text) ISO_##name = number,
    ISO_ERROR_LIST(ISO_ERROR_ENUM)
#undef ISO_ERROR_ENUM
};

/* Text of a code ("out of memory"), and its name ("ENOMEM"). Never NULL, static memory. */
ISO_API const char *iso_strerror(int code);
ISO_API const char *iso_error_name(int code);

typedef struct iso_error {
    int code; /* 0 or ISO_E... */
    char message[512]; /* one sentence, says what to do where something can be done */
    char traceback[4096]; /* Python traceback, "" if none; the end is kept when it is too long */
} iso_error;

/* ---- values ------------------------------------------------------------------------------- */
/* Octets, not terminated. p == NULL: absent; n == 0 with p != NULL: empty. */
typedef struct iso_str {
    const char *p;
    size_t n;
} iso_str;

/* A transport address, in no operating system's format: 20 octets, no sockets needed. */
typedef struct iso_address {
    uint8_t family; /* 4, 6, or 0 for none */
    uint8_t protocol; /* an ISO_PROTOCOL_ value, 0 unknown */
    uint16_t port; /* host byte order */
    uint8_t ip[16]; /* network byte order; IPv4 in the first 4 octets */
} iso_address;

enum { ISO_PROTOCOL_UNKNOWN, ISO_PROTOCOL_UDP, ISO_PROTOCOL_TCP, ISO_PROTOCOL_TLS, ISO_PROTOCOL_WS, ISO_PROTOCOL_WSS };

#define ISO_ADDRESS_TEXT 48 /* enough for any text that iso_address_format writes, with its NUL */

/* Reads "192.0.2.1", "2001:db8::1" or "[2001:db8::1]" (n octets). ISO_EINVAL on anything else. */
ISO_API int iso_address_parse(iso_address *out, const char *text, size_t n, uint16_t port);
/* Writes the IP as text, NUL-terminated, and returns its length. IPv6 as OpenSIPS prints it: eight
 * groups, upper-case, no leading zeros, no "::", no brackets. "" for family 0. */
ISO_API size_t iso_address_format(const iso_address *address, char text[ISO_ADDRESS_TEXT]);

/* ---- the message -------------------------------------------------------------------------- */
/* From where the host called: OpenSIPS' route types. */
enum { ISO_ROUTE_REQUEST = 1, ISO_ROUTE_ONREPLY, ISO_ROUTE_FAILURE, ISO_ROUTE_BRANCH };
enum { ISO_TYPE_REQUEST = 1, ISO_TYPE_REPLY };

/* The methods that are known by number: RFC 3261, 3262, 6665, 3311, 3428, 3515, 3903, 6086. */
/* clang-format off */
enum {
    ISO_METHOD_OTHER, ISO_METHOD_INVITE, ISO_METHOD_ACK, ISO_METHOD_BYE, ISO_METHOD_CANCEL, ISO_METHOD_OPTIONS,
    ISO_METHOD_REGISTER, ISO_METHOD_PRACK, ISO_METHOD_SUBSCRIBE, ISO_METHOD_NOTIFY, ISO_METHOD_PUBLISH,
    ISO_METHOD_INFO, ISO_METHOD_REFER, ISO_METHOD_MESSAGE, ISO_METHOD_UPDATE, ISO_METHOD_COUNT
};
/* clang-format on */

#define ISO_MSG_VERSION 1
#define ISO_MSG_MAX_LENGTH 0x7fffffffu /* octets of one message */
#define ISO_INDEX_ROWS 64 /* header rows that an index stores; later rows are found by scanning */

/* One header row; offsets count from the first octet of the message's data. */
typedef struct iso_row {
    uint32_t name; /* first octet of the name */
    uint32_t value; /* octet after the colon, not trimmed */
    uint32_t end; /* octet after the last one of the value, before its line end; folds are inside */
    uint16_t name_length; /* without white space before the colon */
    uint16_t reserved;
} iso_row;

/* The header index of one message: where its parts are. Filled by iso_msg_index. */
typedef struct iso_index {
    uint32_t start; /* first octet of the start line (leading line ends are skipped, RFC 3261 7.5) */
    uint32_t headers; /* first octet of the first header row */
    uint32_t overflow; /* first octet of row ISO_INDEX_ROWS + 1, 0 if all rows are stored */
    uint32_t body; /* octet after the blank line */
    uint32_t first_n; /* length of the first token, at `start`: method, or version of a reply */
    uint32_t second; /* second token: R-URI, or status code */
    uint32_t second_n;
    uint32_t third; /* third part: version, or reason phrase (may be empty) */
    uint32_t third_n;
    uint16_t row_count; /* rows stored */
    uint8_t type; /* ISO_TYPE_REQUEST or ISO_TYPE_REPLY; 0: not filled */
    uint8_t complete; /* 1 if the blank line that ends the headers is there */
    uint8_t method; /* ISO_METHOD_... of a request; ISO_METHOD_OTHER of a reply */
    uint8_t reserved[3];
    iso_row rows[ISO_INDEX_ROWS];
} iso_index;

/* A SIP message: a fixed header over octets that the host owns. Nothing is copied on the inline
 * channel. Version 1; new members are added at the end and change the version. */
typedef struct iso_msg {
    uint16_t version; /* ISO_MSG_VERSION */
    uint8_t route; /* ISO_ROUTE_..., informs the script */
    uint8_t reserved;
    uint32_t length; /* octets at data */
    const char *data; /* the message as received; must stay as it is until the call returned */
    iso_address source;
    iso_address destination; /* the host's receiving address */
    const iso_index *index; /* NULL, or an index of exactly these octets: then Python does not index again */
} iso_msg;

/* Fills a message header for a request route with unknown addresses. ISO_EINVAL if length is 0 or
 * above ISO_MSG_MAX_LENGTH. */
ISO_API int iso_msg_init(iso_msg *msg, const char *data, size_t length);

/* Indexes the message into caller memory, in one pass, without allocating (RFC 3261 7, 25).
 * ISO_EPARSE if the start line is not SIP or a row is no header. Does not set msg->index. */
ISO_API int iso_msg_index(const iso_msg *msg, iso_index *index);

/* Looks at the start line only: fills start, headers, first, second, third, type and method; no rows,
 * body 0. */
ISO_API int iso_msg_start_line(const iso_msg *msg, iso_index *index);

/* The next row whose name is `name`, case-insensitively, compact and long forms alike ("f" and
 * "From", RFC 3261 7.3.3). *cursor starts at 0 and is moved on. The value is trimmed, folds are left
 * inside. Returns 1, or 0 if there is none. An empty name walks over every row. */
ISO_API int iso_msg_header(const iso_msg *msg, const iso_index *index, iso_str name, uint32_t *cursor,
                           iso_str *row_name_out, iso_str *value_out);

/* The body: as many octets as the first Content-Length says, or all that is there without one
 * (RFC 3261 18.3). ISO_EPARSE if Content-Length is not a number or more than is there. */
ISO_API int iso_msg_body(const iso_msg *msg, const iso_index *index, iso_str *body_out);

/* Copies a value with each fold turned into one space (RFC 3261 7.3.1). Returns the length; `to` needs
 * value.n octets and may be value.p. */
ISO_API size_t iso_unfold(iso_str value, char *to);

/* Splits a list header at commas outside quotes and <> (RFC 3261 7.3). Takes the next element off
 * *list, trimmed. Returns 1, or 0 at the end. Empty elements are skipped. */
ISO_API int iso_list_next(iso_str *list, iso_str *element_out);

/* Parts of a sip:, sips: or tel: URI (RFC 3261 19.1); borrowed from the text. Absent parts have p == NULL. */
typedef struct iso_uri {
    iso_str scheme, user, password, host, parameters, headers;
    uint16_t port; /* 0 if absent */
    uint8_t bracketed; /* host was an IPv6 reference; `host` is without the brackets */
} iso_uri;
/* Splits a URI. ISO_EPARSE if the text is none; *out is then untouched. */
ISO_API int iso_uri_parse(iso_str text, iso_uri *out);
/* The value of a parameter in ";a=b;c" text: 1 and *value_out (p == NULL if it has no "="), or 0. */
ISO_API int iso_parameter(iso_str parameters, iso_str name, iso_str *value_out);

/* Framing on a stream (RFC 3261 18.3). Looks at `n` octets received so far. Returns the length of the
 * first message (1 or more), 0 if more octets are needed, or ISO_EPARSE if the stream can not be
 * followed any more (no usable Content-Length, or a message above max octets). *skip_out is the
 * number of octets before the message that belong to none (CRLF keep-alives, RFC 5626 3.5.1). */
ISO_API int64_t iso_stream_next(const char *data, size_t n, size_t max, size_t *skip_out);

/* ---- edits -------------------------------------------------------------------------------- */
/* What a method changed. Headers edits apply in order. */
enum {
    ISO_EDIT_SET_RURI = 1, /* value: the new R-URI; empty: back to the original */
    ISO_EDIT_SET_DST_URI, /* value: where to send; empty: none */
    ISO_EDIT_APPEND_HEADER, /* after the last row: name, value */
    ISO_EDIT_INSERT_HEADER, /* before the first row: name, value */
    ISO_EDIT_REMOVE_HEADER, /* every row of this name */
    ISO_EDIT_REPLACE_HEADER, /* the first row of this name gets the value, the others go; appended if none */
    ISO_EDIT_SET_BODY, /* value: the body; name: its Content-Type, or absent to leave that */
};
typedef struct iso_edit {
    int kind; /* ISO_EDIT_... */
    iso_str name;
    iso_str value;
} iso_edit;
typedef struct iso_edits iso_edits; /* an action list */

ISO_API size_t iso_edits_count(const iso_edits *edits); /* NULL counts 0 */
ISO_API int iso_edits_get(const iso_edits *edits, size_t i, iso_edit *edit_out); /* ISO_EINVAL past the end */
/* A copy that the caller owns and frees (NULL: out of memory; of NULL: NULL), for a host that needs the
 * edits of a result after the next call. free(NULL) is a no-op. */
ISO_API iso_edits *iso_edits_copy(const iso_edits *edits);
ISO_API void iso_edits_free(iso_edits *edits);

/* Writes the message with the edits applied (R-URI, headers, body; Content-Length is made right when
 * the body changed). Returns the length it has; nothing above `size` is written, so a result above
 * `size` asks for a larger buffer. ISO_EPARSE if the message can not be indexed, ISO_ENOMEM. */
ISO_API int64_t iso_msg_render(const iso_msg *msg, const iso_edits *edits, char *to, size_t size);

#ifdef __cplusplus
}
#endif
#endif
