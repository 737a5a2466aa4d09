#include "handover.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int
proxy_inbox_init(proxy_inbox *inbox)
{
    atomic_init(&inbox->top, NULL);
    atomic_init(&inbox->count, 0);
    inbox->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return inbox->fd < 0 ? ISO_ENOMEM : 0;
}

void
proxy_inbox_fini(proxy_inbox *inbox)
{
    if (inbox->fd < 0)
        return;
    proxy_parcel *parcel = proxy_inbox_take(inbox);
    while (parcel != NULL) {
        proxy_parcel *next = parcel->next;
        free(parcel);
        parcel = next;
    }
    close(inbox->fd);
    inbox->fd = -1;
}

void
proxy_inbox_wake(proxy_inbox *inbox)
{
    uint64_t one = 1;
    /* A full counter is as readable as one that was written just now. */
    (void)!write(inbox->fd, &one, sizeof one);
}

int
proxy_inbox_push(proxy_inbox *inbox, const proxy_parcel *label, const void *data, size_t length)
{
    if (atomic_fetch_add_explicit(&inbox->count, 1, memory_order_relaxed) >= PROXY_INBOX_MAX) {
        atomic_fetch_sub_explicit(&inbox->count, 1, memory_order_relaxed);
        return ISO_EOVERLOAD;
    }
    proxy_parcel *parcel = malloc(sizeof *parcel + length);
    if (parcel == NULL) {
        atomic_fetch_sub_explicit(&inbox->count, 1, memory_order_relaxed);
        return ISO_ENOMEM;
    }
    *parcel = *label;
    parcel->length = (uint32_t)length;
    memcpy(parcel->data, data, length);
    proxy_parcel *top = atomic_load_explicit(&inbox->top, memory_order_relaxed);
    do
        parcel->next = top;
    while (
        !atomic_compare_exchange_weak_explicit(&inbox->top, &top, parcel, memory_order_release, memory_order_relaxed));
    if (top == NULL)
        proxy_inbox_wake(inbox);
    return 0;
}

proxy_parcel *
proxy_inbox_take(proxy_inbox *inbox)
{
    uint64_t count;
    (void)!read(inbox->fd, &count, sizeof count); /* before the exchange: a push after it writes again */
    proxy_parcel *parcel = atomic_exchange_explicit(&inbox->top, NULL, memory_order_acquire), *oldest = NULL;
    uint32_t taken = 0;
    while (parcel != NULL) {
        proxy_parcel *next = parcel->next;
        parcel->next = oldest;
        oldest = parcel;
        parcel = next;
        taken++;
    }
    atomic_fetch_sub_explicit(&inbox->count, taken, memory_order_relaxed);
    return oldest;
}
