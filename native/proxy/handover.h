/* handover.h: messages that one worker received and another one must handle.
 *
 * Any worker pushes, the owner takes all at once: a stack of one compare-and-swap, turned round by the
 * reader, so no lock and no ABA. The owner's eventfd is written only when its stack was empty. Bounded by a
 * count; what does not fit is dropped, and SIP sends it again. */
#ifndef PROXY_HANDOVER_H
#define PROXY_HANDOVER_H

#include <stdatomic.h>

#include "isoexec.h"

typedef struct proxy_parcel {
    struct proxy_parcel *next;
    iso_address source;
    int listener;        /* number of the listen address where it came in */
    uint32_t connection; /* of the worker that pushed; of use for the log only */
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
/* Copies the message. From any thread. 0, or ISO_EOVERLOAD or ISO_ENOMEM: dropped. */
int proxy_inbox_push(proxy_inbox *inbox, const iso_msg *msg, int listener, uint32_t connection);
/* Wakes the owner without a message. From any thread, and from a signal handler. */
void proxy_inbox_wake(proxy_inbox *inbox);
/* Everything that waits, oldest first, linked; the caller frees each. Clears the eventfd. Owner only. */
proxy_parcel *proxy_inbox_take(proxy_inbox *inbox);

#endif
