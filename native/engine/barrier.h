/* barrier.h: a barrier between two threads of which one comes by often and the other hardly ever. Each stores,
 * then reads what the other stored; the rare one pays for both (membarrier(2)). */
#ifndef ISO_BARRIER_H
#define ISO_BARRIER_H

#include <stdatomic.h>
#include <stdbool.h>

extern bool iso__barrier_fenced; /* there is no membarrier: the frequent side pays too. Set by setup */

void iso__barrier_setup(void); /* before either side */

/* A fence, in words that ThreadSanitizer knows too: it refuses atomic_thread_fence. */
static inline void
iso__barrier_full(void)
{
#if defined(__SANITIZE_THREAD__)
    static _Atomic int word;
    atomic_fetch_add(&word, 1);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* The frequent side: between its store and its load. */
static inline void
iso__barrier_here(void)
{
    if (__builtin_expect(iso__barrier_fenced, 0))
        iso__barrier_full();
    else
        atomic_signal_fence(memory_order_seq_cst);
}

/* The rare side: a full barrier on every thread of the process that runs. */
void iso__barrier_everywhere(void);

#endif
