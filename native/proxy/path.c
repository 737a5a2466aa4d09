/* path.c: what the Route rows say about a request that leaves (RFC 3261 16.4, 16.6 steps 6 and 7, RFC 5658). */
#include "proxy.h"

typedef struct route_set {
    iso_str elements[PROXY_MAX_ROUTES];
    int first, count; /* those that stay */
} route_set;

static int
has_parameter(const iso_uri *uri, iso_str name)
{
    iso_str value;
    return uri->parameters.p != NULL && iso_parameter(uri->parameters, name, &value);
}

/* The listener that a URI names, or -1. */
static int
own_listener(const isoproxy *proxy, const iso_uri *uri)
{
    iso_address address;
    iso_str transport = PROXY_TEXT("udp");
    int found = -1;
    if (uri->parameters.p != NULL)
        (void)iso_parameter(uri->parameters, PROXY_TEXT("transport"), &transport);
    uint8_t protocol = proxy_protocol_of(transport);
    if (proxy_address_of(&address, uri->host, uri->port != 0 ? uri->port : PROXY_DEFAULT_PORT, protocol) < 0)
        return -1;
    for (int i = 0; i < proxy->listener_count; i++) {
        const iso_address *own = &proxy->listeners[i].address;
        if (proxy_same_address(&address, own) && (found < 0 || own->protocol == protocol))
            found = i;
    }
    return found;
}

int
proxy_is_own(const isoproxy *proxy, iso_str host, uint16_t port)
{
    iso_uri uri = {.host = host, .port = port};
    return own_listener(proxy, &uri) >= 0;
}

/* The Route elements; 0, or -1: too many. */
static int
read_routes(const proxy_view *view, route_set *out)
{
    uint32_t cursor = 0;
    iso_str rest = {NULL, 0}, element;
    out->first = out->count = 0;
    while (view->first_route >= 0 && proxy_next_element(view, PROXY_TEXT("Route"), &cursor, &rest, &element)) {
        if (out->count == PROXY_MAX_ROUTES)
            return -1;
        out->elements[out->count++] = element;
    }
    return 0;
}

/* The URI that a strict router put in place of the real one: ours, as patch_own_rows writes it (RFC 3261 16.4). */
static int
is_own_route(const isoproxy *proxy, iso_str text)
{
    iso_uri uri;
    return iso_uri_parse(text, &uri) == 0 && uri.user.n == 0 && has_parameter(&uri, PROXY_TEXT("lr")) &&
           own_listener(proxy, &uri) >= 0;
}

/* Takes off what names this proxy: one element, or both of a pair that it wrote for two interfaces. */
static void
pop_own(const isoproxy *proxy, route_set *routes, proxy_plan *plan)
{
    int pair = 0;
    while (routes->first < routes->count) {
        iso_uri uri;
        int number = -1;
        if (iso_uri_parse(proxy_header_uri(routes->elements[routes->first]), &uri) == 0)
            number = own_listener(proxy, &uri);
        int half = number >= 0 && has_parameter(&uri, PROXY_TEXT("r2"));
        if (number < 0 || (pair && !half))
            return;
        routes->first++;
        plan->preferred = number;
        if (pair || !half)
            return;
        pair = 1;
    }
}

/* Copies the rows of a message; the routes that are left stand where the first Route row was. */
static void
copy_rows(const proxy_view *view, const route_set *routes, iso_str last, proxy_writer *to)
{
    const char *data = view->msg.data;
    uint32_t cursor = 0;
    iso_str name, value;
    int written = 0;
    while (iso_msg_header(&view->msg, &view->index, (iso_str){NULL, 0}, &cursor, &name, &value)) {
        if (!proxy_same(name, PROXY_TEXT("Route"))) {
            proxy_put(to, name);
            proxy_put_text(to, ": ");
            proxy_put(to, value);
            proxy_put_text(to, "\r\n");
            continue;
        }
        for (int i = routes->first; !written && i < routes->count; i++) {
            proxy_put_text(to, "Route: ");
            proxy_put(to, routes->elements[i]);
            proxy_put_text(to, "\r\n");
        }
        if (!written && last.n > 0) {
            proxy_put_text(to, "Route: <");
            proxy_put(to, last);
            proxy_put_text(to, ">\r\n");
        }
        written = 1;
    }
    proxy_put_text(to, "\r\n");
    proxy_put(to, (iso_str){data + view->index.body, view->body.n});
}

/* Writes the request anew with other routes and R-URI. It is rare: only strict routers need it. 0, or -1. */
static int
rewrite(proxy_worker *worker, proxy_plan *plan, const route_set *routes, iso_str ruri, iso_str last)
{
    const proxy_view *view = plan->view;
    proxy_writer to = {worker->scratch + PROXY_MAX_MESSAGE, 0, PROXY_MAX_MESSAGE};
    iso_msg msg = view->msg;
    int reply;
    proxy_put(&to, view->method_name);
    proxy_put_text(&to, " ");
    proxy_put(&to, ruri);
    proxy_put_text(&to, " SIP/2.0\r\n");
    copy_rows(view, routes, last, &to);
    if (to.n > to.size)
        return -1;
    msg.data = to.p;
    msg.length = (uint32_t)to.n;
    msg.index = NULL;
    plan->view = &worker->edited;
    plan->ruri = (iso_str){NULL, 0};
    plan->pop_routes = 0;
    return proxy_view_read(&worker->edited, &msg, &reply) == NULL ? 0 : -1;
}

int
proxy_follow_routes(proxy_worker *worker, proxy_plan *plan, iso_str *next_out)
{
    const isoproxy *proxy = worker->proxy;
    iso_str ruri = plan->ruri.p != NULL ? plan->ruri : plan->view->ruri, last = {NULL, 0};
    iso_uri uri;
    route_set routes;
    *next_out = ruri;
    if (plan->view->first_route < 0)
        return 0;
    if (read_routes(plan->view, &routes) < 0)
        return 400;
    int strict = 0;
    if (routes.count > 0 && is_own_route(proxy, ruri)) {
        *next_out = ruri = proxy_header_uri(routes.elements[--routes.count]);
        strict = 1;
    }
    pop_own(proxy, &routes, plan);
    plan->pop_routes = routes.first;
    if (routes.first < routes.count) {
        iso_str first = proxy_header_uri(routes.elements[routes.first]);
        *next_out = first;
        if (iso_uri_parse(first, &uri) == 0 && !has_parameter(&uri, PROXY_TEXT("lr"))) { /* 16.6 step 6 */
            last = ruri;
            ruri = first;
            routes.first++;
            strict = 1;
        }
    }
    if (!strict)
        return 0;
    return rewrite(worker, plan, &routes, ruri, last) < 0 ? 513 : 0; /* `next_out` lies in the octets before */
}
