/* dns.c: NAPTR, SRV, A and AAAA by libresolv, and what else the system knows by getaddrinfo (RFC 3263 4.1, 4.2). */
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>

#include "address.h"
#include "resolver.h"
#include "text.h"

enum {
    ANSWER = 16384,
    RECORDS = 32,
    DEFAULT_PORT = 5060,
    SYSTEM_MS = 60000, /* what getaddrinfo found says not how long it is good for */
    LEAST_MS = 1000,   /* a TTL of 0 would ask again for each request */
    MOST_MS = 3600000,
    TRIES = 2,
    TRY_SECONDS = 2,
};

typedef struct look_up {
    const proxy_resolver_config *config;
    const proxy_question *question;
    proxy_answer *out;
    unsigned char reply[ANSWER];
} look_up;

typedef struct service {
    int order, preference; /* NAPTR; SRV: priority, weight */
    uint16_t port;
    uint8_t protocol;
    char flag;
    char name[PROXY_NAME_TEXT];
} service;

/* Each thread has its own state; getaddrinfo follows it too. */
static void
prepare(const proxy_resolver_config *config)
{
    static _Thread_local int prepared;
    if (prepared || res_ninit(&_res) < 0)
        return;
    prepared = 1;
    _res.retrans = TRY_SECONDS;
    _res.retry = TRIES;
    if (config->nameserver.family == 4) {
        struct sockaddr_in *server = &_res.nsaddr_list[0];
        *server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(config->nameserver.port)};
        memcpy(&server->sin_addr, config->nameserver.ip, 4);
        _res.nscount = 1;
    }
}

static void
shorten(proxy_answer *out, uint32_t seconds)
{
    uint64_t ms = (uint64_t)seconds * 1000;
    if (ms < out->ms)
        out->ms = ms < LEAST_MS ? LEAST_MS : (uint32_t)ms;
}

/* The answer section of a query. The number of its records, 0 also when there is no answer. */
static int
query(look_up *up, const char *name, int type, ns_msg *out)
{
    int n = res_nquery(&_res, name, ns_c_in, type, up->reply, sizeof up->reply);
    if (n <= 0 || n > (int)sizeof up->reply || ns_initparse(up->reply, n, out) < 0)
        return 0;
    return ns_msg_count(*out, ns_s_an);
}

/* ---- addresses ---- */

static int
allowed(const look_up *up, int family, uint8_t protocol)
{
    return (up->config->families & 1 << family) && (up->config->protocols & 1 << protocol);
}

static void
add(look_up *up, const proxy_found *like, int family, const void *ip)
{
    proxy_answer *out = up->out;
    if (out->count == PROXY_MAX_TARGETS || !allowed(up, family, like->address.protocol))
        return;
    proxy_found *added = &out->items[out->count++];
    *added = *like;
    added->address.family = (uint8_t)family;
    memcpy(added->address.ip, ip, family == 4 ? 4 : 16);
}

static void
add_by_dns(look_up *up, const char *name, const proxy_found *like, int family)
{
    ns_msg message;
    ns_rr record;
    int type = family == 4 ? ns_t_a : ns_t_aaaa;
    size_t size = family == 4 ? 4 : 16;
    if (!(up->config->families & 1 << family))
        return;
    int count = query(up, name, type, &message);
    for (int i = 0; i < count && ns_parserr(&message, ns_s_an, i, &record) == 0; i++) {
        if ((int)ns_rr_type(record) != type || ns_rr_rdlen(record) != size)
            continue; /* a CNAME on the way */
        shorten(up->out, ns_rr_ttl(record));
        add(up, like, family, ns_rr_rdata(record));
    }
}

static void
add_by_system(look_up *up, const char *name, const proxy_found *like)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found;
    if (getaddrinfo(name, NULL, &hints, &found) != 0)
        return;
    shorten(up->out, SYSTEM_MS / 1000);
    for (struct addrinfo *each = found; each != NULL; each = each->ai_next) {
        iso_address address;
        proxy_from_system((const struct sockaddr_storage *)each->ai_addr, 0, &address);
        if (address.family != 0)
            add(up, like, address.family, address.ip);
    }
    freeaddrinfo(found);
}

static void
add_host(look_up *up, const char *name, uint16_t port, uint8_t protocol, const service *from, int number)
{
    proxy_found like = {.address = {.port = port, .protocol = protocol}, .record = (uint16_t)number};
    if (from != NULL) {
        like.priority = (uint16_t)from->order;
        like.weight = (uint16_t)from->preference;
    }
    int before = up->out->count;
    add_by_dns(up, name, &like, 4);
    add_by_dns(up, name, &like, 6);
    if (up->out->count == before)
        add_by_system(up, name, &like);
}

/* ---- SRV and NAPTR ---- */

/* The records of one type, those of a lower order first. */
static int
read_services(look_up *up, const char *name, int type, int (*read)(const look_up *, const ns_rr *, service *),
              service *out)
{
    ns_msg message;
    ns_rr record;
    int found = 0, count = query(up, name, type, &message);
    for (int i = 0; i < count && found < RECORDS && ns_parserr(&message, ns_s_an, i, &record) == 0; i++) {
        service next = {0};
        if ((int)ns_rr_type(record) != type || !read(up, &record, &next))
            continue;
        shorten(up->out, ns_rr_ttl(record));
        int at = found++;
        while (at > 0 && (out[at - 1].order > next.order || (type == ns_t_naptr && out[at - 1].order == next.order &&
                                                             out[at - 1].preference > next.preference))) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = next;
    }
    return found;
}

static int
read_name(const look_up *up, const ns_rr *record, const unsigned char *at, char name[PROXY_NAME_TEXT])
{
    const unsigned char *end = ns_rr_rdata(*record) + ns_rr_rdlen(*record);
    return at < end && dn_expand(up->reply, up->reply + sizeof up->reply, at, name, PROXY_NAME_TEXT) > 0 &&
           name[0] != '\0';
}

static int
read_srv(const look_up *up, const ns_rr *record, service *out)
{
    const unsigned char *data = ns_rr_rdata(*record);
    if (ns_rr_rdlen(*record) < 7)
        return 0;
    out->order = (int)ns_get16(data);
    out->preference = (int)ns_get16(data + 2);
    out->port = (uint16_t)ns_get16(data + 4);
    return read_name(up, record, data + 6, out->name); /* "." says that there is no such service */
}

static int
read_naptr(const look_up *up, const ns_rr *record, service *out)
{
    const unsigned char *data = ns_rr_rdata(*record), *end = data + ns_rr_rdlen(*record);
    iso_str texts[3]; /* flags, service, regular expression */
    if (end - data < 4)
        return 0;
    out->order = (int)ns_get16(data);
    out->preference = (int)ns_get16(data + 2);
    data += 4;
    for (int i = 0; i < 3; i++) {
        if (data >= end || *data >= end - data)
            return 0;
        texts[i] = (iso_str){(const char *)data + 1, *data};
        data += 1 + texts[i].n;
    }
    if (proxy_same(texts[1], PROXY_TEXT("SIP+D2U")))
        out->protocol = ISO_PROTOCOL_UDP;
    else if (proxy_same(texts[1], PROXY_TEXT("SIP+D2T")))
        out->protocol = ISO_PROTOCOL_TCP;
    if (texts[0].n != 1 || out->protocol == 0 || !(up->config->protocols & 1 << out->protocol))
        return 0;
    out->flag = proxy_lower(texts[0].p[0]);
    return (out->flag == 's' || out->flag == 'a') && read_name(up, record, data, out->name);
}

/* Every target of one service name, by priority. 1 if there are records. */
static int
add_services(look_up *up, const char *name, uint8_t protocol)
{
    service *found = calloc(RECORDS, sizeof *found);
    int count = found != NULL ? read_services(up, name, ns_t_srv, read_srv, found) : 0;
    for (int i = 0; i < count; i++)
        add_host(up, found[i].name, found[i].port, protocol, &found[i], i);
    free(found);
    return count > 0;
}

static int
add_service_of(look_up *up, uint8_t protocol)
{
    char name[PROXY_NAME_TEXT + 16];
    if (!(up->config->protocols & 1 << protocol))
        return 0;
    snprintf(name, sizeof name, "_sip._%s.%s", protocol == ISO_PROTOCOL_TCP ? "tcp" : "udp", up->question->name);
    return add_services(up, name, protocol);
}

/* The first NAPTR record that leads anywhere. 1 if one did. */
static int
add_by_naptr(look_up *up)
{
    service *found = calloc(RECORDS, sizeof *found);
    int count = found != NULL ? read_services(up, up->question->name, ns_t_naptr, read_naptr, found) : 0;
    for (int i = 0; i < count && up->out->count == 0; i++) {
        if (found[i].flag == 's')
            add_services(up, found[i].name, found[i].protocol);
        else
            add_host(up, found[i].name, DEFAULT_PORT, found[i].protocol, NULL, 0);
    }
    free(found);
    return up->out->count > 0;
}

void
proxy_dns_look_up(const proxy_resolver_config *config, const proxy_question *question, proxy_answer *out)
{
    look_up up = {.config = config, .question = question, .out = out};
    uint8_t protocol = question->protocol;
    prepare(config);
    *out = (proxy_answer){.ms = MOST_MS, .fixed = protocol != ISO_PROTOCOL_UNKNOWN};
    int served = 0;
    if (question->port == 0 && protocol != ISO_PROTOCOL_UNKNOWN)
        served = add_service_of(&up, protocol);
    else if (question->port == 0)
        served = add_by_naptr(&up) || add_service_of(&up, ISO_PROTOCOL_UDP) || add_service_of(&up, ISO_PROTOCOL_TCP);
    out->fixed |= (uint8_t)served;
    if (!served) {
        if (protocol == ISO_PROTOCOL_UNKNOWN)
            protocol = config->protocols & 1 << ISO_PROTOCOL_UDP ? ISO_PROTOCOL_UDP : ISO_PROTOCOL_TCP;
        add_host(&up, question->name, question->port != 0 ? question->port : DEFAULT_PORT, protocol, NULL, 0);
    }
    if (out->count == 0 && (uint32_t)config->negative_ms < out->ms)
        out->ms = (uint32_t)config->negative_ms;
}
