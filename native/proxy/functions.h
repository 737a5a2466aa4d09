/* functions.h: the host functions: one row of the table each, and a function in the file of what it is about. */
#ifndef PROXY_FUNCTIONS_H
#define PROXY_FUNCTIONS_H

#include "proxy.h"

typedef struct proxy_arguments {
    const iso_call *call;
    const iso_value *values; /* pseudo-variables in texts are expanded, but for rows that are RAW */
    int count;
    iso_error *err; /* filled when a function returns ISO_EFUNCTION: RuntimeError in the script */
} proxy_arguments;

enum {
    PROXY_IN_REQUEST = 1 << ISO_ROUTE_REQUEST,
    PROXY_IN_REPLY = 1 << ISO_ROUTE_ONREPLY,
    PROXY_IN_FAILURE = 1 << ISO_ROUTE_FAILURE,
    PROXY_IN_BRANCH = 1 << ISO_ROUTE_BRANCH,
    PROXY_IN_DECIDING = PROXY_IN_REQUEST | PROXY_IN_FAILURE, /* where it is decided what becomes of a request */
    PROXY_IN_REQUESTS = PROXY_IN_DECIDING | PROXY_IN_BRANCH,
    PROXY_IN_ALL = PROXY_IN_REQUESTS | PROXY_IN_REPLY,
};

enum { PROXY_EXPANDED, PROXY_RAW };

/* X(name, signature as in isoexec.h, route types it may be called from, what its texts are) */
#define PROXY_FUNCTIONS(X)                                                                                             \
    /* function_reply.c */                                                                                             \
    X(append_to_reply, "s", PROXY_IN_DECIDING, PROXY_EXPANDED)                                                         \
    X(send_reply, "v|s", PROXY_IN_DECIDING, PROXY_EXPANDED)                                                            \
    X(sl_send_reply, "v|s", PROXY_IN_REQUEST, PROXY_EXPANDED)                                                          \
    X(t_reply, "v|s", PROXY_IN_DECIDING, PROXY_EXPANDED)                                                               \
    /* function_relay.c */                                                                                             \
    X(append_branch, "|s", PROXY_IN_DECIDING, PROXY_EXPANDED)                                                          \
    X(drop, "", PROXY_IN_ALL, PROXY_EXPANDED)                                                                          \
    X(forward, "|s", PROXY_IN_REQUEST, PROXY_EXPANDED)                                                                 \
    X(loose_route, "", PROXY_IN_REQUESTS, PROXY_EXPANDED)                                                              \
    X(record_route, "", PROXY_IN_DECIDING, PROXY_EXPANDED)                                                             \
    X(t_cancel_branch, "|s", PROXY_IN_REPLY, PROXY_EXPANDED)                                                           \
    X(t_check_status, "s", PROXY_IN_REPLY | PROXY_IN_FAILURE, PROXY_EXPANDED)                                          \
    X(t_check_trans, "", PROXY_IN_REQUEST, PROXY_EXPANDED)                                                             \
    X(t_newtran, "", PROXY_IN_REQUEST, PROXY_EXPANDED)                                                                 \
    X(t_on_branch, "s", PROXY_IN_DECIDING, PROXY_EXPANDED)                                                             \
    X(t_on_failure, "s", PROXY_IN_DECIDING, PROXY_EXPANDED)                                                            \
    X(t_on_reply, "s", PROXY_IN_DECIDING, PROXY_EXPANDED)                                                              \
    X(t_relay, "", PROXY_IN_DECIDING, PROXY_EXPANDED)                                                                  \
    /* function_message.c */                                                                                           \
    X(append_hf, "s|s", PROXY_IN_ALL, PROXY_EXPANDED)                                                                  \
    X(has_totag, "", PROXY_IN_ALL, PROXY_EXPANDED)                                                                     \
    X(insert_hf, "s|s", PROXY_IN_ALL, PROXY_EXPANDED)                                                                  \
    X(is_method, "s", PROXY_IN_ALL, PROXY_EXPANDED)                                                                    \
    X(isflagset, "v", PROXY_IN_ALL, PROXY_EXPANDED)                                                                    \
    X(mf_process_maxfwd_header, "v", PROXY_IN_REQUESTS, PROXY_EXPANDED)                                                \
    X(resetflag, "v", PROXY_IN_ALL, PROXY_EXPANDED)                                                                    \
    X(setflag, "v", PROXY_IN_ALL, PROXY_EXPANDED)                                                                      \
    X(xlog, "s|s", PROXY_IN_ALL, PROXY_EXPANDED)                                                                       \
    /* function_uri.c */                                                                                               \
    X(resetdsturi, "", PROXY_IN_REQUESTS, PROXY_EXPANDED)                                                              \
    X(setdsturi, "s", PROXY_IN_REQUESTS, PROXY_EXPANDED)                                                               \
    X(sethost, "s", PROXY_IN_REQUESTS, PROXY_EXPANDED)                                                                 \
    X(setport, "v", PROXY_IN_REQUESTS, PROXY_EXPANDED)                                                                 \
    X(seturi, "s", PROXY_IN_REQUESTS, PROXY_EXPANDED)                                                                  \
    X(setuser, "s", PROXY_IN_REQUESTS, PROXY_EXPANDED)                                                                 \
    /* variables.c; the engine runs them for msg.get_pseudoVar and msg.set_pseudoVar */                                \
    X(get_pseudoVar, "s", PROXY_IN_ALL, PROXY_RAW)                                                                     \
    X(set_pseudoVar, "ss", PROXY_IN_ALL, PROXY_RAW)

/* Each returns what the script gets: > 0 good, < 0 failed. */
#define PROXY_FUNCTION_DECLARATION(name, signature, routes, texts)                                                     \
    int proxy_fn_##name(proxy_context *context, const proxy_arguments *given);
PROXY_FUNCTIONS(PROXY_FUNCTION_DECLARATION)
#undef PROXY_FUNCTION_DECLARATION

/* ---- arguments: functions.c ---- */

/* Absent if it was not given, or is a number. */
iso_str proxy_text_at(const proxy_arguments *given, int i);
/* A number, given as one or as text: -1 if it is none from 0 to max. */
int64_t proxy_number_at(const proxy_arguments *given, int i, int64_t max);
/* RuntimeError in the script. */
int proxy_fail(const proxy_arguments *given, const char *text);
int proxy_breaks_line(iso_str text);
/* Records an edit as the script's own: 1, or RuntimeError. */
int proxy_edit(const proxy_arguments *given, int kind, iso_str name, iso_str value);

/* ---- URIs: function_uri.c ---- */

/* Sets a part of the R-URI, the rest stays. */
enum { PROXY_URI_USER, PROXY_URI_HOST, PROXY_URI_PORT };
int proxy_set_ruri_part(proxy_context *context, const proxy_arguments *given, int part, iso_str value);
int proxy_set_uri(const proxy_arguments *given, int kind, iso_str uri);

/* ---- pseudo-variables: variables.c ---- */

/* Writes `format` with its pseudo-variables. 0, or -1 with a name in *unknown_out that none has. */
int proxy_expand(const proxy_context *context, iso_str format, proxy_writer *to, iso_str *unknown_out);

#endif
