/* watch.h: what a call shows to the watchdog of its engine, and how the two meet.
 *
 * A call stores the ticks of its begin, and 0 at its end. Ticks tell it from other calls too: one that can be
 * fired at has run for longer than a tick. The watchdog (watchdog.c) looks now and then; a call never wakes
 * it, but the first after a second without any. To touch what belongs to a call (its message, its task) the
 * watchdog holds it: the call ends only when the hold is over. Each side stores, then reads what the other
 * stored; the barrier that this needs is paid by the watchdog alone (barrier.h).
 *
 * "Under the GIL" is that of the rank's interpreter: pending calls run under it on any of its threads. */
#ifndef ISO_WATCH_H
#define ISO_WATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/barrier.h"
#include "isoexec.h"

#define ISO__LIKELY(x) __builtin_expect(!!(x), 1)
#define ISO__UNLIKELY(x) __builtin_expect(!!(x), 0)

typedef struct iso__shot iso__shot; /* shot.c */
typedef struct iso__watchdog iso__watchdog; /* below */

#define ISO__CLEAN_UP_NS 10000000 /* what an except or finally that handles DeadlineExceeded has, before the next */

/* Bits of iso__watch.held. */
enum {
    ISO__HELD_LOOK = 1,  /* the watchdog reads what belongs to the call */
    ISO__HELD_STUCK = 2, /* the call counts as stuck: its end is news */
};

typedef struct iso__watch {
    bool fired;                     /* at the running call; under the GIL */
    bool shielded;                  /* the engine's own Python runs for a nested call; under the GIL */
    uint64_t call;                  /* the same, of the running call or the last; the rank's */
    _Atomic uint64_t began;         /* of the outermost call, in ticks; 0: none runs */
    _Atomic uint32_t held;          /* ISO__HELD_... */
    _Atomic uint32_t asleep;        /* the watchdog sleeps until somebody rings */
    _Atomic int stuck;              /* for statistics */
    _Atomic int answered;           /* the watchdog has answered the submitter of the running call */
    _Atomic int freed;              /* a stuck call has ended: the watchdog is to say so */
    iso__watchdog *dog;
    iso_rank *rank;
    struct _object *exception;      /* DeadlineExceeded of the rank; owned */
    iso__shot *shot;
    uint64_t last_shot;             /* ticks; under the GIL */
    uint64_t soft, hard, grace;     /* ticks; 0: no such deadline */
    struct iso__watch *next;        /* in the watchdog's list, under its lock; all below is the watchdog's */
    uint64_t seen;                  /* the call that the rest is about */
    uint64_t next_shot;
    uint64_t calls;                 /* of the rank, when last looked */
    bool soft_done, answer_done, stuck_done;
} iso__watch;

struct iso__watchdog {
    iso_engine *engine;
    pthread_mutex_t lock;    /* guards the list and running; innermost, never held over anything that waits */
    iso__watch *first;
    pthread_t thread;
    bool running;
    _Atomic uint32_t word;   /* futex: changes with each ring */
    _Atomic int stopping;
    uint64_t active_at;      /* ticks when a call was last seen; the thread's own */
};

/* Raises DeadlineExceeded in the running call when it comes back to Python, unless that is on its way or has just
 * come, or the call may hold a lock of the library. Under the GIL. */
void iso__shot_raise(iso__watch *watch);

void iso__watchdog_ring(iso__watchdog *dog);   /* it looks again; any thread */
void iso__watch_wake(iso__watch *watch);       /* the same, for the first call after a pause */
void iso__watch_settle(iso__watch *watch);     /* the end of a call that was fired at or held; under the GIL */

/* The outermost call begins; its frame is filled. Attached or not. */
static inline void
iso__watch_begin(iso__watch *watch, uint64_t ticks)
{
    watch->call = ticks;
    atomic_store_explicit(&watch->began, ticks, memory_order_release);
    iso__barrier_here();
    if (ISO__UNLIKELY(atomic_load_explicit(&watch->asleep, memory_order_relaxed) != 0))
        iso__watch_wake(watch);
}

/* The method has ended, at this depth of calls: the exception must not come any more. Under the GIL; a second
 * time it does nothing. */
static inline void
iso__watch_method_over(iso__watch *watch, int depth)
{
    if (ISO__UNLIKELY(depth > 1)) {
        watch->shielded = true;
        if (watch->fired)
            iso__watch_settle(watch);
        return;
    }
    atomic_store_explicit(&watch->began, 0, memory_order_release);
    iso__barrier_here();
    if (ISO__UNLIKELY(watch->fired || atomic_load_explicit(&watch->held, memory_order_acquire) != 0))
        iso__watch_settle(watch);
}

/* A nested call has ended: the outer one goes on. Under the GIL. */
static inline void
iso__watch_outer(iso__watch *watch)
{
    watch->shielded = false;
    if (ISO__UNLIKELY(watch->fired))
        iso__shot_raise(watch);
}

/* watchdog.c */
void iso__watchdog_init(iso__watchdog *dog, iso_engine *engine);
void iso__watchdog_stop(iso__watchdog *dog); /* ends the thread, if there is one */
void iso__watchdog_fini(iso__watchdog *dog);
int iso__watch_enter(iso_rank *rank, iso_error *err); /* the rank opens; attached. Nothing if it has no deadline */
void iso__watch_leave(iso_rank *rank);                /* before its interpreter ends; attached */

/* shot.c */
iso__shot *iso__shot_new(iso_rank *rank);
/* No more shots will be fired. Under the GIL; who is last frees it: this, or a pending call that still waits. */
void iso__shot_drop(iso__shot *shot);
/* From any thread, without a GIL, while the interpreter is there: logs the stack of the call that began then,
 * or raises DeadlineExceeded in it, as soon as a thread of the interpreter runs Python. */
void iso__shot_soft(iso__shot *shot, uint64_t began);
void iso__shot_hard(iso__shot *shot, uint64_t began);
/* Whether the last one met another thread, or the call at a moment when an exception would do harm. Any thread. */
bool iso__shot_missed(const iso__shot *shot);

/* replace.c: of a queue rank whose stuck call is held */
bool iso__rank_replace(iso_rank *rank);

#endif
