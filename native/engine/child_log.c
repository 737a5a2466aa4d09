/* child_log.c: log lines of the process go into the shared memory; the engine writes them into the host's log. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/child.h"

void
iso__child_ring(void)
{
    iso__bell_ring(ISO__FD_BELL);
}

/* Whether the engine looks into the ring by itself: it does when the call ends, and now and then while it waits. */
static bool
in_call(const iso_rank *rank)
{
    return atomic_load_explicit(&rank->thread, memory_order_relaxed) == iso__this_thread() && rank->depth > 0;
}

void
iso__child_log(void *argument, int level, int number, const char *text)
{
    iso__child *child = argument;
    (void)number;
    if (child->forked) { /* two processes must not write into one ring; this descriptor is read as well */
        dprintf(STDERR_FILENO, "%s\n", text);
        return;
    }
    pthread_mutex_lock(&child->log_lock);
    int was_empty = iso__log_ring_put(child->region, level, (iso_str){text, strlen(text)});
    pthread_mutex_unlock(&child->log_lock);
    if (was_empty != 0 && (child->rank == NULL || !in_call(child->rank)))
        iso__child_ring();
}
