/* keep.c: the octets of messages that a worker's transactions keep: counted, bounded, and given back to the system
 * after a burst. */
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "proxy.h"

enum {
    MOST_EACH = 8192, /* for each transaction that there may be: long messages take the room of others */
    LEAST = 4 << 20,  /* so that a small table takes long messages too */
    BURST = 4 << 20,  /* what is worth giving back */
    FALL = 8,         /* a burst is over when so small a part of it is left */
};

static size_t
most(const proxy_worker *worker)
{
    size_t octets = (size_t)worker->proxy->config.transactions * MOST_EACH;
    return octets > LEAST ? octets : LEAST;
}

/* Half of it is for what comes of those that have begun: copies that are sent on, and replies. */
int
proxy_may_begin(const proxy_worker *worker)
{
    return worker->kept < most(worker) / 2;
}

int
proxy_hold(proxy_worker *worker, size_t octets)
{
    if (worker->kept + octets > most(worker))
        return ISO_EOVERLOAD;
    worker->kept += octets;
    return 0;
}

void
proxy_release(proxy_worker *worker, size_t octets)
{
    worker->kept -= octets;
}

int
proxy_keep(proxy_worker *worker, iso_str *slot, iso_str text)
{
    proxy_let_go(worker, slot);
    int code = proxy_hold(worker, text.n);
    if (code < 0) {
        proxy_count(worker, overload);
        return code;
    }
    char *copy = malloc(text.n);
    if (copy == NULL) {
        proxy_release(worker, text.n);
        return ISO_ENOMEM;
    }
    *slot = (iso_str){memcpy(copy, text.p, text.n), text.n};
    return 0;
}

void
proxy_let_go(proxy_worker *worker, iso_str *slot)
{
    proxy_release(worker, slot->n);
    free((char *)slot->p);
    *slot = (iso_str){NULL, 0};
}

/* glibc gives back the end of a heap only, and there is always something at its end. */
void
proxy_give_back(proxy_worker *worker)
{
    size_t kept = worker->kept + proxy_finished_octets(worker);
    if (kept > worker->most_kept) {
        worker->most_kept = kept;
    } else if (worker->most_kept >= BURST && kept < worker->most_kept / FALL) {
        worker->most_kept = kept;
#ifdef __GLIBC__ /* others do it by themselves, or not at all */
        malloc_trim(0);
#endif
    }
}
