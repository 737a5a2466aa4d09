/* send.c: from a target to the transport that reaches it. */
#include "proxy.h"

proxy_writer
proxy_out_begin(proxy_worker *worker)
{
    if (worker->out_n + PROXY_MAX_MESSAGE > PROXY_OUT_MEMORY)
        proxy_out_flush(worker);
    return (proxy_writer){worker->out + worker->out_n, 0, PROXY_MAX_MESSAGE};
}

int
proxy_out_send(proxy_worker *worker, const proxy_target *target, const proxy_writer *message)
{
    iso_str octets = proxy_written(message);
    if (message->n > message->size)
        return ISO_ESPACE;
    if (target->listener < 0)
        return ISO_EINVAL;
    if (target->address.protocol == ISO_PROTOCOL_TCP)
        return proxy_tcp_send(worker, target, octets);
    worker->out_n += (octets.n + 63) & ~(size_t)63;
    proxy_udp_queue(worker, target, octets);
    return 0;
}

int
proxy_send(proxy_worker *worker, const proxy_target *target, iso_str message)
{
    proxy_writer to = proxy_out_begin(worker);
    proxy_put(&to, message);
    return proxy_out_send(worker, target, &to);
}

void
proxy_out_flush(proxy_worker *worker)
{
    proxy_udp_flush(worker);
    worker->out_n = 0;
}

int
proxy_listener_for(const isoproxy *proxy, const iso_address *address, int preferred)
{
    for (int i = -1; i < proxy->listener_count; i++) {
        int number = i < 0 ? preferred : i;
        if (number < 0)
            continue;
        const iso_address *own = &proxy->listeners[number].address;
        if (own->protocol == address->protocol && own->family == address->family)
            return number;
    }
    return -1;
}
