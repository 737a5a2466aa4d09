/* queue.h: the queue channel of an engine: ranks on threads of their own, calls from any thread. */
#ifndef ISO_QUEUE_H
#define ISO_QUEUE_H

#include "engine/engine.h"
#include "engine/pile.h"
#include "engine/park.h"
#include "engine/ring.h"
#include "engine/spare.h"
#include "engine/task.h"

#define ISO__PATIENCE_NS 1000000 /* how long a submitter may be left asleep by a rank that has more to do */
#define ISO__SLEEPERS 16         /* that a rank leaves asleep */
#define ISO__AHEAD 32 /* calls that a rank takes out of its ring at once, the one that it runs among them */

/* A rank's side of the channel. */
typedef struct iso__lane {
    _Alignas(64) _Atomic uint32_t asleep; /* futex word: 1 while the thread sleeps or is about to */
    iso__ring own;                        /* calls for this rank */
    _Atomic(iso_rank *) rank;             /* changes when a stuck one is replaced */
    iso__spin spin;
    pthread_t thread;
    bool has_thread;               /* to be joined */
    int status;                    /* of the start: 0, ISO_E..., or 1 while it runs; under the engine's lock */
    iso_error *start_error;        /* where the start says why, until it is over */
    _Atomic(iso_task *) running;   /* the outermost call, for an engine that abandons the rank */
    iso__bundle *spent;            /* forgotten calls that ran, to go back to the pool together */
    unsigned turn;                 /* counts calls taken, for whose turn it is */
    /* Calls (iso_task, its iso__task_bits) that were popped from `own` together; they wait here from [ahead_next] on. The
     * rank alone moves them; others may read them. */
    iso__entry ahead[ISO__AHEAD];
    iso__entry any; /* what it runs last of the calls for any rank */
    iso__spare spare;
    int looks_at; /* whose spare calls it looked at last: a place in `lanes` */
    _Atomic int ahead_next;
    _Atomic int ahead_count;
    _Atomic uint32_t *sleepers[ISO__SLEEPERS]; /* futex words of patient submitters that are still to be woken */
    int sleeper_count;
    uint64_t oldest_sleeper; /* ticks */
    uint64_t last_end; /* ticks, of a call that ended lately while cores were short */
    bool reads; /* its last call read headers */
    bool took_any; /* its last call was for any rank */
    bool blocked; /* its thread waits for a task; these three under the wait lock (wait.c) */
    struct iso__lane *waits_for; /* of another rank, NULL if no rank has that task yet */
    struct iso__lane *next_blocked;
} iso__lane;

typedef struct iso__queue {
    iso_engine *engine;
    iso__lane *lanes; /* config.ranks of them */
    int lane_count; /* ranks that have this channel */
    iso__ring any; /* calls for whichever rank is idle first */
    iso__pool *pool;
    _Atomic uint64_t sleeping[16]; /* a bit for each rank whose thread sleeps: who is woken for `any` */

    _Alignas(64) _Atomic(iso__lane *) spinner; /* it will take what comes for any rank, so that nobody else is woken */
    _Alignas(64) _Atomic int spares; /* 0: no rank has spare calls. May be 1 without any */

    /* Every call reads these; they change seldom. */
    _Alignas(64) _Atomic int closing;
    bool started; /* set before any other thread may know the engine */

    _Alignas(64) iso__pile completed; /* pushed by ranks, taken as a whole */
    iso__link *taken; /* oldest first; the taking thread's */
    int fd;
    int blocked; /* ranks whose thread waits for a task; under the wait lock */
} iso__queue;

int iso__queue_new(iso_engine *engine, iso_error *err); /* nothing for an inline engine */
void iso__queue_free(iso__queue *queue);
/* Ends all ranks of a queue engine: running calls may end (grace time), waiting ones are refused. */
int iso__queue_close(iso__queue *queue);
void iso__queue_refuse_ahead(iso__lane *lane); /* ends the calls that a rank took ahead; any thread, closing */
void iso__queue_list_completion(iso__queue *queue, iso_task *task);
void iso__queue_wake(iso__lane *lane); /* from any thread: something waits for this rank */
size_t iso__queue_waiting(const iso_engine *engine, int number);
size_t iso__lane_waiting(const iso__lane *lane); /* calls for this rank; any thread */

/* Its thread, which runs iso__lane_main or the same for a replaced rank. */
int iso__lane_start(iso__lane *lane, void *(*run)(void *lane), iso_error *err);

/* wait.c: the queue's ranks answer nobody any more */
void iso__queue_forget_waits(iso__queue *queue);
void iso__lane_hand_over(iso__lane *lane, iso_rank *to); /* its rank's thread waits for nobody in its name any more */

/* lane.c: on the rank's thread */
extern ISO__THREAD iso__lane *iso__lane_here; /* of the calling thread, NULL if it is no queue rank */
void *iso__lane_main(void *lane);
void iso__lane_serve(iso__lane *lane, iso_rank *rank); /* until the engine closes or the rank is replaced; ends it */
void iso__lane_refuse(iso__lane *lane); /* ends the calls that wait for this rank */
extern ISO__THREAD iso_rank *iso__lane_rank; /* its rank: once replaced, no longer that of its lane */
/* Runs a task, nested if the rank is in a call, and publishes its result for `holder` (task.h). A call that is
 * to be forgotten stays the caller's. */
void iso__lane_run(iso_rank *rank, iso_task *task, uint32_t holder);
void iso__queue_wake_idle(iso__queue *queue);
void iso__queue_give_room(iso__ring *ring); /* wakes who sleeps before it */

#endif
