/* resolve.c: from a URI to an address (RFC 3263). Numeric hosts only: names need a resolver thread. */
#include "proxy.h"

int
proxy_resolve(proxy_worker *worker, iso_str text, int listener, proxy_target *out)
{
    iso_uri uri;
    iso_str value;
    if (iso_uri_parse(text, &uri) < 0 || !proxy_same(uri.scheme, PROXY_TEXT("sip")))
        return 416;
    iso_str host = uri.host;
    uint8_t protocol = ISO_PROTOCOL_UDP;
    int chosen = uri.parameters.p != NULL && iso_parameter(uri.parameters, PROXY_TEXT("transport"), &value);
    if (chosen)
        protocol = proxy_protocol_of(value);
    if (uri.parameters.p != NULL && iso_parameter(uri.parameters, PROXY_TEXT("maddr"), &value))
        host = value;
    *out = (proxy_target){.listener = -1};
    if (protocol == ISO_PROTOCOL_UNKNOWN ||
        proxy_address_of(&out->address, host, uri.port != 0 ? uri.port : PROXY_DEFAULT_PORT, protocol) < 0)
        return 503;
    out->listener = proxy_listener_for(worker->proxy, &out->address, listener);
    if (out->listener < 0 && !chosen) { /* a proxy without UDP */
        out->address.protocol = ISO_PROTOCOL_TCP;
        out->listener = proxy_listener_for(worker->proxy, &out->address, listener);
    }
    return out->listener < 0 ? 503 : 0;
}

int
proxy_is_own(const isoproxy *proxy, iso_str host, uint16_t port)
{
    iso_address address;
    if (proxy_address_of(&address, host, port != 0 ? port : PROXY_DEFAULT_PORT, 0) < 0)
        return 0;
    for (int i = 0; i < proxy->listener_count; i++) {
        if (proxy_same_address(&address, &proxy->listeners[i].address))
            return 1;
    }
    return 0;
}
