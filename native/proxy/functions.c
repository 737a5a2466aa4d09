/* functions.c: what a handler may ask of the proxy by msg.call_function, with the names and meanings of OpenSIPS.
 *
 * One row of the table is one function: its signature (isoexec.h), the route types it may be called from, and the code
 * that runs with the context of the call. It returns what the script gets: > 0 good, < 0 failed. `append_hf`,
 * `insert_hf`, `remove_hf` and the like, which only look at the message or record edits, are the engine's own. */
#include <stdio.h>

#include "proxy.h"

typedef struct arguments {
    const iso_value *values;
    int count;
    iso_error *err; /* to be filled when the function returns ISO_EFUNCTION: RuntimeError in the script */
} arguments;

typedef struct function {
    const char *name;
    const char *signature;
    unsigned routes;
    int (*run)(proxy_context *context, const arguments *given);
} function;

enum {
    IN_REQUEST = 1 << ISO_ROUTE_REQUEST,
    IN_REPLY = 1 << ISO_ROUTE_ONREPLY,
    IN_FAILURE = 1 << ISO_ROUTE_FAILURE,
    IN_BRANCH = 1 << ISO_ROUTE_BRANCH,
    ANYWHERE = IN_REQUEST | IN_REPLY | IN_FAILURE | IN_BRANCH,
};

/* ---- arguments ---- */

static iso_str
text_at(const arguments *given, int i)
{
    return i < given->count && given->values[i].kind == ISO_VALUE_STR ? given->values[i].str : (iso_str){NULL, 0};
}

static int
fail(const arguments *given, const char *text)
{
    snprintf(given->err->message, sizeof given->err->message, "%s", text);
    return ISO_EFUNCTION;
}

/* A status code, given as text or as a number. */
static int
status_at(const arguments *given, int i)
{
    const iso_value *value = &given->values[i];
    int64_t code = value->kind == ISO_VALUE_INT ? value->num : proxy_number(text_at(given, i), 699);
    return code >= 100 && code <= 699 ? (int)code : -1;
}

static int
breaks_line(iso_str text)
{
    return memchr(text.p, '\r', text.n) != NULL || memchr(text.p, '\n', text.n) != NULL ||
           memchr(text.p, '\0', text.n) != NULL;
}

static int
set_name(const arguments *given, char slot[PROXY_METHOD_NAME])
{
    iso_str name = text_at(given, 0);
    if (name.n >= PROXY_METHOD_NAME)
        return fail(given, "the name of a method has at most 63 octets here");
    memcpy(slot, name.p, name.n);
    slot[name.n] = '\0';
    return 1;
}

/* ---- replies ---- */

static int
reply(proxy_context *context, const arguments *given)
{
    int code = status_at(given, 0);
    iso_str reason = text_at(given, 1);
    if (code < 0)
        return fail(given, "a reply needs a status code, 100 to 699");
    if (reason.n > 0 && breaks_line(reason))
        return fail(given, "a reason phrase must hold no line end");
    return proxy_route_answer(context, code, reason) < 0 ? -1 : 1;
}

static int
fn_send_reply(proxy_context *context, const arguments *given)
{
    return reply(context, given);
}

static int
fn_t_reply(proxy_context *context, const arguments *given)
{
    return proxy_relay_begin(context) != 0 ? -1 : reply(context, given);
}

static int
fn_append_to_reply(proxy_context *context, const arguments *given)
{
    iso_str row = text_at(given, 0);
    while (row.n > 0 && (row.p[row.n - 1] == '\n' || row.p[row.n - 1] == '\r'))
        row.n--;
    if (row.n == 0 || memchr(row.p, ':', row.n) == NULL || breaks_line(row))
        return fail(given, "append_to_reply takes one line, 'Name: value'");
    proxy_writer rows = {context->reply_rows, context->reply_rows_n, sizeof context->reply_rows};
    proxy_put(&rows, row);
    proxy_put_text(&rows, "\r\n");
    if (rows.n > rows.size)
        return -1;
    context->reply_rows_n = rows.n;
    return 1;
}

/* ---- relaying ---- */

static int
relayed(proxy_context *context, int status)
{
    if (status != 0) {
        proxy_log(context->worker, ISO_LOG_NOTICE, context->view, "not relayed: %d", status);
        return -1;
    }
    context->done |= PROXY_RELAYED;
    return 1;
}

static int
fn_t_relay(proxy_context *context, const arguments *given)
{
    (void)given;
    return relayed(context, proxy_relay(context));
}

static int
fn_forward(proxy_context *context, const arguments *given)
{
    (void)given;
    return relayed(context, proxy_forward_stateless(context->worker, context));
}

static int
fn_t_newtran(proxy_context *context, const arguments *given)
{
    (void)given;
    return proxy_relay_begin(context) == 0 ? 1 : -1;
}

static int
fn_record_route(proxy_context *context, const arguments *given)
{
    (void)given;
    context->record_route = 1;
    return 1;
}

static int
fn_drop(proxy_context *context, const arguments *given)
{
    (void)given;
    context->done |= PROXY_DROPPED;
    return 1;
}

/* ---- routes of the transaction ---- */

static int
fn_t_on_reply(proxy_context *context, const arguments *given)
{
    return set_name(given, context->on_reply);
}

static int
fn_t_on_failure(proxy_context *context, const arguments *given)
{
    return set_name(given, context->on_failure);
}

static int
fn_t_on_branch(proxy_context *context, const arguments *given)
{
    return set_name(given, context->on_branch);
}

/* ---- the table ---- */

/* X(name, signature, routes): isoproxy_functions makes an iso_function of each row. */
#define FUNCTIONS(X)                                                                                                   \
    X(append_to_reply, "s", IN_REQUEST | IN_FAILURE)                                                                   \
    X(drop, "", ANYWHERE)                                                                                              \
    X(forward, "", IN_REQUEST)                                                                                         \
    X(record_route, "", IN_REQUEST | IN_FAILURE)                                                                       \
    X(send_reply, "v|s", IN_REQUEST | IN_FAILURE)                                                                      \
    X(t_newtran, "", IN_REQUEST)                                                                                       \
    X(t_on_branch, "s", IN_REQUEST | IN_FAILURE)                                                                       \
    X(t_on_failure, "s", IN_REQUEST | IN_FAILURE)                                                                      \
    X(t_on_reply, "s", IN_REQUEST | IN_FAILURE)                                                                        \
    X(t_relay, "", IN_REQUEST | IN_FAILURE)                                                                            \
    X(t_reply, "v|s", IN_REQUEST | IN_FAILURE)

#define FUNCTION_ROW(name, signature, routes) {#name, signature, routes, fn_##name},
static const function table[] = {FUNCTIONS(FUNCTION_ROW){"sl_send_reply", "v|s", IN_REQUEST, fn_send_reply}};
#undef FUNCTION_ROW

enum { COUNT = sizeof table / sizeof *table };

/* What all functions share: the context of the call, and whether the route type allows it. */
static int
run(const iso_call *call, const iso_value *values, int count, void *user, iso_error *err)
{
    const function *wanted = user;
    proxy_context *context = proxy_current != NULL ? proxy_current->context : NULL;
    if (context == NULL) {
        snprintf(err->message, sizeof err->message, "%s: the proxy handles no message now", wanted->name);
        return ISO_EFUNCTION;
    }
    if (!(wanted->routes & 1u << context->route)) {
        snprintf(err->message, sizeof err->message, "%s can not be called from this route type", wanted->name);
        return ISO_EFUNCTION;
    }
    context->edits = call->edits;
    return wanted->run(context, &(arguments){values, count, err});
}

size_t
isoproxy_functions(const iso_function **out)
{
    static iso_function rows[COUNT];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < COUNT; i++)
        rows[i] = (iso_function){table[i].name, table[i].signature, run, (void *)&table[i], 0};
    pthread_mutex_unlock(&lock);
    *out = rows;
    return COUNT;
}
