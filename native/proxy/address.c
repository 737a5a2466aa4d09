#define _GNU_SOURCE
#include "address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "text.h"

size_t
proxy_ip_text(const iso_address *address, char text[PROXY_IP_TEXT])
{
    if (address->family == 4) {
        proxy_writer to = {text, 0, PROXY_IP_TEXT};
        for (int i = 0; i < 4; i++) {
            if (i > 0)
                proxy_put_text(&to, ".");
            proxy_put_number(&to, address->ip[i]);
        }
        text[to.n] = '\0';
        return to.n;
    }
    if (inet_ntop(AF_INET6, address->ip, text, PROXY_IP_TEXT) == NULL)
        text[0] = '\0';
    return strlen(text);
}

size_t
proxy_host_text(const iso_address *address, char text[PROXY_IP_TEXT])
{
    if (address->family == 4)
        return proxy_ip_text(address, text);
    char ip[PROXY_IP_TEXT];
    size_t n = proxy_ip_text(address, ip);
    text[0] = '[';
    memcpy(text + 1, ip, n);
    memcpy(text + 1 + n, "]", 2);
    return n + 2;
}

uint8_t
proxy_protocol_of(iso_str name)
{
    if (proxy_same(name, PROXY_TEXT("udp")))
        return ISO_PROTOCOL_UDP;
    return proxy_same(name, PROXY_TEXT("tcp")) ? ISO_PROTOCOL_TCP : ISO_PROTOCOL_UNKNOWN;
}

const char *
proxy_protocol_name(uint8_t protocol)
{
    return protocol == ISO_PROTOCOL_TCP ? "TCP" : "UDP";
}

int
proxy_address_of(iso_address *out, iso_str host, uint16_t port, uint8_t protocol)
{
    if (iso_address_parse(out, host.p, host.n, port) < 0)
        return ISO_EINVAL;
    out->protocol = protocol;
    return 0;
}

socklen_t
proxy_to_system(const iso_address *address, struct sockaddr_storage *out)
{
    if (address->family == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        *v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(address->port)};
        memcpy(&v4->sin_addr, address->ip, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    *v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
    memcpy(&v6->sin6_addr, address->ip, 16);
    return sizeof *v6;
}

void
proxy_from_system(const struct sockaddr_storage *address, uint8_t protocol, iso_address *out)
{
    *out = (iso_address){.protocol = protocol};
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        out->family = 4;
        out->port = ntohs(v4->sin_port);
        memcpy(out->ip, &v4->sin_addr, 4);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        out->family = 6;
        out->port = ntohs(v6->sin6_port);
        memcpy(out->ip, &v6->sin6_addr, 16);
    }
}

int
proxy_same_address(const iso_address *a, const iso_address *b)
{
    return a->family == b->family && a->port == b->port && memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16) == 0;
}

/* ---- listen addresses ---- */

static int
fail(iso_error *err, const char *text, const char *why)
{
    if (err != NULL) {
        *err = (iso_error){.code = ISO_ECONFIG};
        snprintf(err->message, sizeof err->message, "listen address %s: %s", text, why);
    }
    return ISO_ECONFIG;
}

static int
is_wildcard(const iso_address *address)
{
    static const uint8_t zero[16];
    return memcmp(address->ip, zero, sizeof zero) == 0;
}

/* IPv6 addresses of one link need a scope, which no SIP URI can carry: left out. */
static int
add_every(const iso_address *wildcard, iso_address *out, int *count, int max)
{
    struct ifaddrs *all, *each;
    if (getifaddrs(&all) < 0)
        return -1;
    int before = *count;
    for (each = all; each != NULL && *count < max; each = each->ifa_next) {
        iso_address address;
        if (each->ifa_addr == NULL || !(each->ifa_flags & IFF_UP) ||
            each->ifa_addr->sa_family != (wildcard->family == 4 ? AF_INET : AF_INET6))
            continue;
        proxy_from_system((const struct sockaddr_storage *)each->ifa_addr, wildcard->protocol, &address);
        if (address.family == 6 && address.ip[0] == 0xfe && (address.ip[1] & 0xc0) == 0x80)
            continue;
        address.port = wildcard->port;
        out[(*count)++] = address;
    }
    freeifaddrs(all);
    return *count > before ? 0 : -1;
}

static int
look_up(iso_str host, iso_address *out)
{
    char name[256];
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG}, *found;
    if (host.n >= sizeof name)
        return -1;
    memcpy(name, host.p, host.n);
    name[host.n] = '\0';
    if (getaddrinfo(name, NULL, &hints, &found) != 0)
        return -1;
    uint16_t port = out->port;
    proxy_from_system((const struct sockaddr_storage *)found->ai_addr, out->protocol, out);
    out->port = port;
    freeaddrinfo(found);
    return 0;
}

int
proxy_listen_parse(const char *text, iso_address *out, int *count, int max, iso_error *err)
{
    const char *colon = strchr(text, ':'), *last = strrchr(text, ':');
    uint8_t protocol = colon == NULL ? 0 : proxy_protocol_of((iso_str){text, (size_t)(colon - text)});
    if (protocol == 0)
        return fail(err, text, "it must be udp:HOST:PORT or tcp:HOST:PORT");
    iso_str host = {colon + 1, strlen(colon + 1)};
    int64_t port = 5060;
    if (last > colon && last[-1] != ':' && (host.p[0] != '[' || last[-1] == ']')) {
        host.n = (size_t)(last - host.p);
        port = proxy_number(proxy_text_of(last + 1), UINT16_MAX);
    }
    if (port < 0 || host.n == 0)
        return fail(err, text, "it must be udp:HOST:PORT or tcp:HOST:PORT, an IPv6 address in brackets");
    iso_address address = {.port = (uint16_t)port, .protocol = protocol};
    if (*count == max)
        return fail(err, text, "there are too many");
    if (proxy_address_of(&address, host, (uint16_t)port, protocol) < 0) {
        address = (iso_address){.port = (uint16_t)port, .protocol = protocol};
        if (look_up(host, &address) < 0)
            return fail(err, text, "there is no such host");
    }
    if (is_wildcard(&address)) {
        if (add_every(&address, out, count, max) < 0)
            return fail(err, text, "no address of this kind is up");
        return 0;
    }
    out[(*count)++] = address;
    return 0;
}
