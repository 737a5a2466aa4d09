/* function_relay.c: host functions that send the request on, and say what happens to its transaction. */
#include <regex.h>

#include "functions.h"

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

int
proxy_fn_t_relay(proxy_context *context, const proxy_arguments *given)
{
    (void)given;
    return relayed(context, proxy_relay(context));
}

/* forward([destination]): a URI, or "host:port". */
int
proxy_fn_forward(proxy_context *context, const proxy_arguments *given)
{
    iso_str destination = proxy_text_at(given, 0);
    char memory[512];
    iso_uri uri;
    if (destination.n > 0 && iso_uri_parse(destination, &uri) < 0) {
        proxy_writer to = {memory, 0, sizeof memory};
        proxy_put_text(&to, "sip:");
        proxy_put(&to, destination);
        destination = proxy_written(&to);
        if (to.n > to.size || iso_uri_parse(destination, &uri) < 0)
            return proxy_fail(given, "forward takes a destination like sip:host:port or host:port");
    }
    return relayed(context, proxy_forward_stateless(context->worker, context, destination));
}

int
proxy_fn_t_newtran(proxy_context *context, const proxy_arguments *given)
{
    (void)given;
    return proxy_relay_begin(context) == 0 ? 1 : -1;
}

int
proxy_fn_drop(proxy_context *context, const proxy_arguments *given)
{
    (void)given;
    context->done |= PROXY_DROPPED;
    return 1;
}

/* ---- branches ---- */

static iso_str
keep_text(proxy_writer *to, iso_str text)
{
    size_t at = to->n;
    proxy_put(to, text);
    return (iso_str){text.p != NULL ? to->p + at : NULL, text.n};
}

/* append_branch([uri]): one more copy of the request when it is relayed: to the URI, or to where it goes now. */
int
proxy_fn_append_branch(proxy_context *context, const proxy_arguments *given)
{
    iso_str ruri = proxy_text_at(given, 0), dst_uri = {NULL, 0};
    iso_uri uri;
    if (ruri.n == 0) {
        ruri = proxy_current_ruri(context);
        dst_uri = proxy_current_dst_uri(context);
    } else if (iso_uri_parse(ruri, &uri) < 0 || proxy_breaks_line(ruri)) {
        return proxy_fail(given, "append_branch takes a URI like sip:user@host:port");
    }
    if (context->fork_count == PROXY_MAX_BRANCHES)
        return -1;
    proxy_writer to = {context->fork_text, context->fork_text_n, sizeof context->fork_text};
    proxy_fork fork = {.ruri = keep_text(&to, ruri), .dst_uri = keep_text(&to, dst_uri)};
    if (to.n > to.size)
        return -1;
    context->fork_text_n = to.n;
    context->forks[context->fork_count++] = fork;
    return 1;
}

/* t_cancel_branch([flags]): this branch; "a" all of them, "o" all others. */
int
proxy_fn_t_cancel_branch(proxy_context *context, const proxy_arguments *given)
{
    iso_str flags = proxy_text_at(given, 0);
    proxy_branch *own = context->branch;
    int all = flags.n == 1 && flags.p[0] == 'a', others = flags.n == 1 && flags.p[0] == 'o';
    if (flags.n > 0 && !all && !others)
        return proxy_fail(given, "t_cancel_branch takes \"a\" for all branches, \"o\" for the others, or nothing");
    if (own == NULL)
        return -1; /* a reply that belongs to no transaction */
    proxy_transaction *transaction = context->transaction;
    for (int i = 0; i < transaction->branch_count; i++) {
        if (transaction->branches[i] == own ? !others : all || others)
            proxy_client_cancel(transaction->branches[i]);
    }
    return 1;
}

/* ---- what is known of the transaction ---- */

int
proxy_fn_t_check_trans(proxy_context *context, const proxy_arguments *given)
{
    uint8_t method = context->view->method;
    int of_invite = method == ISO_METHOD_ACK || method == ISO_METHOD_CANCEL;
    (void)given;
    return proxy_transaction_find(context->worker, context->view, of_invite) != NULL ? 1 : -1;
}

/* t_check_status(pattern): whether the code of the reply, in a failure route of the best one, fits the regular
 * expression. */
int
proxy_fn_t_check_status(proxy_context *context, const proxy_arguments *given)
{
    iso_str pattern = proxy_text_at(given, 0);
    char expression[256], code[8];
    regex_t compiled;
    proxy_writer to = {code, 0, sizeof code - 1};
    if (pattern.n == 0 || pattern.n >= sizeof expression || proxy_breaks_line(pattern))
        return proxy_fail(given, "t_check_status takes a regular expression like \"486|408\"");
    memcpy(expression, pattern.p, pattern.n);
    expression[pattern.n] = '\0';
    if (regcomp(&compiled, expression, REG_EXTENDED | REG_NOSUB) != 0)
        return proxy_fail(given, "t_check_status: the regular expression is none");
    proxy_put_number(&to, (uint64_t)proxy_reply_code(context));
    code[to.n] = '\0';
    int fits = regexec(&compiled, code, 0, NULL, 0) == 0;
    regfree(&compiled);
    return fits ? 1 : -1;
}

int
proxy_reply_code(const proxy_context *context)
{
    if (context->route == ISO_ROUTE_ONREPLY)
        return context->view->status;
    return context->branch != NULL ? context->branch->code : 0;
}

/* ---- routes ---- */

static int
set_name(const proxy_arguments *given, char slot[PROXY_METHOD_NAME])
{
    iso_str name = proxy_text_at(given, 0);
    if (name.n >= PROXY_METHOD_NAME)
        return proxy_fail(given, "the name of a method has at most 63 octets here");
    memcpy(slot, name.p, name.n);
    slot[name.n] = '\0';
    return 1;
}

int
proxy_fn_t_on_reply(proxy_context *context, const proxy_arguments *given)
{
    return set_name(given, context->on_reply);
}

int
proxy_fn_t_on_failure(proxy_context *context, const proxy_arguments *given)
{
    return set_name(given, context->on_failure);
}

int
proxy_fn_t_on_branch(proxy_context *context, const proxy_arguments *given)
{
    return set_name(given, context->on_branch);
}

/* ---- the route set ---- */

int
proxy_fn_record_route(proxy_context *context, const proxy_arguments *given)
{
    (void)given;
    context->record_route = 1;
    return 1;
}

/* Whether Route rows say the way. They are followed, and ours taken off, when the request is relayed (path.c). */
int
proxy_fn_loose_route(proxy_context *context, const proxy_arguments *given)
{
    (void)given;
    return context->view->first_route >= 0 ? 1 : -1;
}
