/* handover.h: what one worker, or the resolver, leaves for another worker to do.
 *
 * Any worker pushes, the owner takes all at once: a stack of one compare-and-swap, turned round by the
 * reader, so no lock and no ABA. The owner's eventfd is written only when its stack was empty. Bounded by a
 * count; what does not fit is dropped, and SIP sends it again. */
#ifndef PROXY_HANDOVER_H
#define PROXY_HANDOVER_H

#include <stdatomic.h>

#include "isoexec.h"

enum {
    PROXY_PARCEL_MESSAGE, /* was received: handle it as if it had come in here */
    PROXY_PARCEL_SEND,    /* goes out by a connection of the owner */
    PROXY_PARCEL_ANSWER,  /* the resolver's, a proxy_answer, for a branch that waits */
    PROXY_PARCEL_ERROR,   /* a branch's request did not get to its target */
};

typedef struct proxy_parcel {
    struct proxy_parcel *next;
    int kind;            /* PROXY_PARCEL_... */
    iso_address address; /* where the message came from, or goes */
    int listener;        /* number of the listen address where it came in, or by which it leaves */
    uint64_t connection; /* on which it came, or goes, 0: none */
    uint32_t transaction, branch; /* of an answer or error */
    uint32_t length;
    char data[];
} proxy_parcel;

typedef struct proxy_inbox {
    _Alignas(64) _Atomic(proxy_parcel *) top;
    _Atomic uint32_t count;
    int fd; /* eventfd, non-blocking */
} proxy_inbox;

#define PROXY_INBOX_MAX 8192

/* 0, or ISO_ENOMEM. fini frees what nobody took; nobody may push any more. */
int proxy_inbox_init(proxy_inbox *inbox);
void proxy_inbox_fini(proxy_inbox *inbox);
/* Copies what `label` says and `length` octets of `data`. From any thread. 0, or ISO_EOVERLOAD or ISO_ENOMEM: dropped. */
int proxy_inbox_push(proxy_inbox *inbox, const proxy_parcel *label, const void *data, size_t length);
/* Wakes the owner without a message. From any thread, and from a signal handler. */
void proxy_inbox_wake(proxy_inbox *inbox);
/* Everything that waits, oldest first, linked; the caller frees each. Clears the eventfd. Owner only. */
proxy_parcel *proxy_inbox_take(proxy_inbox *inbox);

#endif
