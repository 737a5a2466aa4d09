/* function_uri.c: host functions that change where a request goes, as edits of the script. */
#include "functions.h"

#define LONGEST_URI 2048

int
proxy_set_uri(const proxy_arguments *given, int kind, iso_str uri)
{
    iso_uri parts;
    if (uri.n == 0 || iso_uri_parse(uri, &parts) < 0)
        return proxy_fail(given, "the URI is none: it should be like sip:user@host:port");
    return proxy_edit(given, kind, (iso_str){NULL, 0}, uri);
}

/* ---- parts of the R-URI ---- */

static void
put_host(proxy_writer *to, iso_str host, int bracketed)
{
    bracketed = bracketed || (memchr(host.p, ':', host.n) != NULL && host.p[0] != '[');
    if (bracketed)
        proxy_put_text(to, "[");
    proxy_put(to, host);
    if (bracketed)
        proxy_put_text(to, "]");
}

/* A URI of these parts: iso_uri_parse the other way round. An empty user takes the "@" away too. */
static void
put_uri(proxy_writer *to, const iso_uri *uri)
{
    proxy_put(to, uri->scheme);
    proxy_put_text(to, ":");
    if (uri->user.n > 0) {
        proxy_put(to, uri->user);
        if (uri->password.p != NULL) {
            proxy_put_text(to, ":");
            proxy_put(to, uri->password);
        }
        proxy_put_text(to, "@");
    }
    put_host(to, uri->host, uri->bracketed);
    if (uri->port != 0) {
        proxy_put_text(to, ":");
        proxy_put_number(to, uri->port);
    }
    if (uri->parameters.n > 0) {
        proxy_put_text(to, ";");
        proxy_put(to, uri->parameters);
    }
    if (uri->headers.n > 0) {
        proxy_put_text(to, "?");
        proxy_put(to, uri->headers);
    }
}

int
proxy_set_ruri_part(proxy_context *context, const proxy_arguments *given, int part, iso_str value)
{
    iso_uri uri;
    char memory[LONGEST_URI];
    proxy_writer to = {memory, 0, sizeof memory};
    if (iso_uri_parse(proxy_current_ruri(context), &uri) < 0 || uri.host.n == 0)
        return -1; /* a tel: URI has no such parts */
    if (part == PROXY_URI_USER) {
        uri.user = value;
    } else if (part == PROXY_URI_HOST) {
        if (value.n == 0)
            return proxy_fail(given, "a URI needs a host");
        uri.host = value;
        uri.bracketed = 0;
    } else {
        int64_t port = value.n == 0 ? 0 : proxy_number(value, UINT16_MAX);
        if (port < 0)
            return proxy_fail(given, "a port is a number up to 65535");
        uri.port = (uint16_t)port;
    }
    put_uri(&to, &uri);
    return to.n > to.size ? -1 : proxy_set_uri(given, ISO_EDIT_SET_RURI, proxy_written(&to));
}

int
proxy_fn_setuser(proxy_context *context, const proxy_arguments *given)
{
    return proxy_set_ruri_part(context, given, PROXY_URI_USER, proxy_text_at(given, 0));
}

int
proxy_fn_sethost(proxy_context *context, const proxy_arguments *given)
{
    return proxy_set_ruri_part(context, given, PROXY_URI_HOST, proxy_text_at(given, 0));
}

int
proxy_fn_setport(proxy_context *context, const proxy_arguments *given)
{
    int64_t port = proxy_number_at(given, 0, UINT16_MAX);
    char digits[8];
    proxy_writer to = {digits, 0, sizeof digits};
    if (port < 0)
        return proxy_fail(given, "a port is a number up to 65535");
    proxy_put_number(&to, (uint64_t)port);
    return proxy_set_ruri_part(context, given, PROXY_URI_PORT, proxy_written(&to));
}

/* ---- whole URIs ---- */

int
proxy_fn_seturi(proxy_context *context, const proxy_arguments *given)
{
    (void)context;
    return proxy_set_uri(given, ISO_EDIT_SET_RURI, proxy_text_at(given, 0));
}

int
proxy_fn_setdsturi(proxy_context *context, const proxy_arguments *given)
{
    (void)context;
    return proxy_set_uri(given, ISO_EDIT_SET_DST_URI, proxy_text_at(given, 0));
}

int
proxy_fn_resetdsturi(proxy_context *context, const proxy_arguments *given)
{
    (void)context;
    return proxy_edit(given, ISO_EDIT_SET_DST_URI, (iso_str){NULL, 0}, (iso_str){NULL, 0});
}
