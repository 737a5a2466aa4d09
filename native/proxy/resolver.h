/* resolver.h: names of next hops become addresses, on threads of its own (RFC 3263).
 *
 * Workers look into the cache under a lock that is never held during a look-up. What is not there is queued, bounded;
 * the answer comes to the worker's inbox as a parcel. Names that do not exist are remembered too. */
#ifndef PROXY_RESOLVER_H
#define PROXY_RESOLVER_H

#include "handover.h"

#define PROXY_MAX_TARGETS 16
#define PROXY_NAME_TEXT 256 /* with its NUL */

/* All zero but what is set, so that two that are the same have the same octets. */
typedef struct proxy_question {
    char name[PROXY_NAME_TEXT]; /* lower case */
    uint16_t port;              /* 0: none given, SRV is asked */
    uint8_t protocol;           /* ISO_PROTOCOL_UNKNOWN: none given */
} proxy_question;

typedef struct proxy_found {
    iso_address address;
    uint16_t priority, weight; /* RFC 2782 */
    uint16_t record;           /* number of the SRV record that it came from */
} proxy_found;

typedef struct proxy_answer {
    uint32_t ms;   /* how long it is good for */
    uint8_t fixed; /* a record or the URI chose the protocol */
    int count;     /* 0: there is no such */
    proxy_found items[PROXY_MAX_TARGETS];
} proxy_answer;

/* What a look-up needs to know; texts are the proxy's own. */
typedef struct proxy_resolver_config {
    iso_address nameserver; /* family 0: those of the system */
    int threads, negative_ms;
    uint8_t protocols, families; /* bits 1 << ISO_PROTOCOL_..., 1 << 4 | 1 << 6: those of the listeners */
} proxy_resolver_config;

typedef struct proxy_resolver proxy_resolver;

/* NULL: out of memory. Threads are started when a name is asked for. */
proxy_resolver *proxy_resolver_new(const proxy_resolver_config *config);
/* No answer is pushed any more when it returns. A look-up that goes on is left to end alone. NULL is a no-op. */
void proxy_resolver_close(proxy_resolver *resolver);
/* From any thread. 1: *out is the answer. 0: not known yet. */
int proxy_resolver_find(proxy_resolver *resolver, const proxy_question *question, proxy_answer *out);
/* The same, and asks if it is not known: the answer then goes to `inbox`, labelled with transaction and branch; inbox
 * NULL: it only goes into the cache. ISO_EOVERLOAD: too much is asked for, ISO_ENOMEM. */
int proxy_resolver_ask(proxy_resolver *resolver, const proxy_question *question, proxy_inbox *inbox,
                       uint32_t transaction, uint32_t branch, proxy_answer *out);

/* dns.c: looks it up, blocking. */
void proxy_dns_look_up(const proxy_resolver_config *config, const proxy_question *question, proxy_answer *out);

#endif
