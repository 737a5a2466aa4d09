/* caller.h: what a thread keeps that hands calls over: tasks at hand, its spin, and in which queue it is. */
#ifndef ISO_CALLER_H
#define ISO_CALLER_H

#include "engine/barrier.h"
#include "engine/park.h"
#include "engine/task.h"

struct iso__queue;

#define ISO__NAME_MEMOS 8
#define ISO__RECENT 32 /* places fit uint8_t */

/* Only its own thread writes it. Ends with the thread. */
typedef struct iso__caller {
    /* The queue that the thread is handing a call to: whoever closes that queue waits until nobody is in it. */
    _Alignas(64) _Atomic(struct iso__queue *) inside;
    iso__pool *pool;     /* of the tasks at hand; counted in pool->made by them */
    iso__bundle *loaded; /* tasks come from here, and go here */
    iso__bundle *other;  /* so that a thread at the end of a bundle need not go to the pool for each call */
    const char *names[ISO__NAME_MEMOS]; /* kept names, by the place of the text that the host gave for one */
    const iso_task *recent[ISO__RECENT]; /* submitted last, in turn; to be fetched and no more: they may be gone */
    unsigned recent_count;
    iso__spin wait_spin, room_spin;
    struct iso__caller *next; /* of all threads; under the lock of caller.c */
} iso__caller;

extern ISO__THREAD iso__caller *iso__caller_of_thread;

iso__caller *iso__caller_new(void); /* NULL: out of memory */

static inline iso__caller *
iso__caller_here(void)
{
    iso__caller *caller = iso__caller_of_thread;
    return caller != NULL ? caller : iso__caller_new();
}

/* iso__name_keep, but a name that the host gives from the same place again is not looked for. */
static inline const char *
iso__caller_name(iso__caller *caller, const char *name)
{
    const char **memo = &caller->names[((uintptr_t)name >> 3) % ISO__NAME_MEMOS];
    if (*memo != NULL && iso__name_is(*memo, name))
        return *memo;
    const char *kept = iso__name_keep(name);
    if (kept != NULL)
        *memo = kept;
    return kept;
}

/* Notes a task that is being submitted and may be waited for. */
static inline void
iso__caller_note(iso__caller *caller, iso_task *task)
{
    task->recent = (uint8_t)(caller->recent_count++ % ISO__RECENT);
    caller->recent[task->recent] = task;
}

/* After a wait: asks for the line of the task that was submitted after this one, which its rank wrote. It is mostly the
 * next one to be waited for, and has the time to come while a new call is written. */
static inline void
iso__caller_fetch_next(const iso__caller *caller, const iso_task *task)
{
    if (caller != NULL)
        iso__line_claim(caller->recent[(task->recent + 1) % ISO__RECENT]);
}

/* From here on the thread sees that the queue closes, or who closes it sees the mark. */
static inline void
iso__caller_enter(iso__caller *caller, struct iso__queue *queue)
{
    atomic_store_explicit(&caller->inside, queue, memory_order_relaxed);
    iso__barrier_here();
}

static inline void
iso__caller_leave(iso__caller *caller)
{
    atomic_store_explicit(&caller->inside, NULL, memory_order_release);
}

/* Of who closes the queue, after it said so: waits until no thread is in it. */
void iso__caller_wait_until_left(const struct iso__queue *queue);

/* A task of the pool; NULL: out of memory. */
iso_task *iso__caller_take(iso__caller *caller, iso__pool *pool);
/* Asks for the lines that the next call will write, which lie where a rank last read them. Asked for when they are needed,
 * they would hold the call back: what is stored after them is not seen before them. */
void iso__caller_warm(const iso__caller *caller);
/* Keeps a task that nobody holds any more, for the thread's next call. */
void iso__caller_keep(iso__caller *caller, iso_task *task);

#endif
