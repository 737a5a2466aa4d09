/* function_reply.c: host functions that answer the request. */
#include "functions.h"

static int
reply(proxy_context *context, const proxy_arguments *given)
{
    int64_t code = proxy_number_at(given, 0, 699);
    iso_str reason = proxy_text_at(given, 1);
    if (code < 100)
        return proxy_fail(given, "a reply needs a status code, 100 to 699");
    if (reason.n > 0 && proxy_breaks_line(reason))
        return proxy_fail(given, "a reason phrase must hold no line end");
    return proxy_route_answer(context, (int)code, reason) < 0 ? -1 : 1;
}

int
proxy_fn_send_reply(proxy_context *context, const proxy_arguments *given)
{
    return reply(context, given);
}

int
proxy_fn_sl_send_reply(proxy_context *context, const proxy_arguments *given)
{
    return reply(context, given);
}

int
proxy_fn_t_reply(proxy_context *context, const proxy_arguments *given)
{
    return proxy_relay_begin(context) != 0 ? -1 : reply(context, given);
}

int
proxy_fn_append_to_reply(proxy_context *context, const proxy_arguments *given)
{
    iso_str row = proxy_text_at(given, 0);
    while (row.n > 0 && (row.p[row.n - 1] == '\n' || row.p[row.n - 1] == '\r'))
        row.n--;
    if (row.n == 0 || memchr(row.p, ':', row.n) == NULL || proxy_breaks_line(row))
        return proxy_fail(given, "append_to_reply takes one line, 'Name: value'");
    proxy_writer rows = {context->reply_rows, context->reply_rows_n, sizeof context->reply_rows};
    proxy_put(&rows, row);
    proxy_put_text(&rows, "\r\n");
    if (rows.n > rows.size)
        return -1;
    context->reply_rows_n = rows.n;
    return 1;
}
