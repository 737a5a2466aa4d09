/* shot.c: how a deadline reaches Python code: a pending call of the rank's interpreter.
 *
 * It runs on whichever thread of the interpreter comes by first, under its GIL, and checks that the call still
 * runs. On the rank's own thread it raises DeadlineExceeded there and then. On another it waits for the rank's
 * turn; if that does not come, the rank is likely to wait in C, and DeadlineExceeded becomes the asynchronous
 * exception of its thread, for the moment when it comes back. The end of a call clears what has not come yet,
 * under the same GIL, so that it never reaches the next one.
 *
 * Never while the call may hold a lock of the library (library_locks.h). That is also why the rank's turn is waited
 * for. */
#include <stdlib.h>

#include "engine/clock.h"
#include "engine/library_locks.h"
#include "engine/pending.h"
#include "engine/states.h"
#include "engine/units.h"

#define FOLLOW_NS 200000  /* a shot that was put off follows its thread out of the library for so long */
#define READY_NS 1000000  /* the rank's turn is waited for at every check for so long: each costs the others a call */

struct iso__shot {
    iso_rank *rank; /* NULL: dropped; under the GIL, as what follows */
    PyInterpreterState *interp;
    uint64_t call;         /* that was missed last; 0: its own thread has had its turn since */
    uint64_t missed_at;    /* ticks, for the first time by other threads */
    uint64_t followed_at;  /* ticks, since when it follows */
    _Atomic int missed;    /* the watchdog is to fire again soon */
    _Atomic int fresh;     /* fired, and not run since */
    _Atomic int waiting;   /* a pending call is in the queue: one serves all aims */
    _Atomic uint64_t soft; /* the calls that are aimed at, by their begin */
    _Atomic uint64_t hard;
};

static int run(void *argument);

/* Whether the thread is in the middle of handling it. Generators have exception states of their own, so all
 * are looked at. */
static bool
handles(const PyThreadState *state, PyObject *type)
{
    for (const _PyErr_StackItem *item = state->exc_info; item != NULL; item = item->previous_item) {
        if (item->exc_value != NULL && PyErr_GivenExceptionMatches(item->exc_value, type))
            return true;
    }
    return false;
}

static bool
is_within(uint64_t since, uint64_t now, double ns)
{
    return (double)(now - since) * iso__clock_ns_per_tick < ns;
}

/* Whether there is no need to raise it: it is on its way, or has just come. */
static bool
is_hit(const iso__watch *watch, uint64_t now)
{
    if (watch->shielded || watch->rank->py->async_exc != NULL)
        return true;
    return watch->fired && is_within(watch->last_shot, now, ISO__CLEAN_UP_NS) &&
           handles(watch->rank->py, watch->exception);
}

static void
note_hit(iso__watch *watch, uint64_t now)
{
    watch->fired = true;
    watch->last_shot = now;
}

static void
raise_later(iso__watch *watch, uint64_t now)
{
    if (iso__may_hold_library_lock(watch->rank->py))
        return;
    note_hit(watch, now);
    iso__rank_set_async(watch->rank, watch->exception);
}

void
iso__shot_raise(iso__watch *watch)
{
    uint64_t now = iso__clock_ticks();
    if (!is_hit(watch, now))
        raise_later(watch, now);
}

static void
log_stack(iso_rank *rank)
{
    char limit[ISO__UNIT_TEXT], head[96];
    iso__text text = {0};
    iso__unit_format(ISO__UNIT_TIME, rank->settings.soft_deadline, limit);
    snprintf(head, sizeof head, "takes longer than its soft deadline of %s:\n", limit);
    iso__failure_origin(rank->number, rank->frames[0].method, rank->frames[0].msg, &text);
    iso__text_add(&text, head, strlen(head));
    PyFrameObject *frame = PyThreadState_GetFrame(rank->py);
    if (frame != NULL)
        iso__failure_text(rank, "format_stack", (PyObject *)frame, &text);
    Py_XDECREF(frame);
    if (text.p != NULL)
        iso__log_lines(rank, ISO_LOG_WARN, (iso_str){text.p, text.n});
    iso__text_fini(&text);
}

static void
add_pending(iso__shot *shot)
{
    if (!atomic_exchange(&shot->waiting, 1) && !iso__pending_add(shot->interp, run, shot))
        atomic_store(&shot->waiting, 0); /* full of the script's own: the next shot tries again */
}

/* On the rank's own thread. The watchdog will fire again after a bad moment; but a thread that spends its time in a
 * system call of the library, a log's write for one, would be met there each time: so the shot is tried again as
 * soon as the thread has come further. (On another thread that would only take the other's time.) */
static int
hit_here(iso__shot *shot, uint64_t now)
{
    iso__watch *watch = &shot->rank->watch;
    shot->call = 0;
    if (iso__may_hold_library_lock(shot->rank->py)) {
        if (atomic_exchange(&shot->fresh, 0))
            shot->followed_at = now;
        if (is_within(shot->followed_at, now, FOLLOW_NS))
            add_pending(shot);
        atomic_store(&shot->missed, 1);
        return 0;
    }
    note_hit(watch, now);
    PyErr_SetNone(watch->exception);
    return -1;
}

static void
hit_from_elsewhere(iso__shot *shot, uint64_t now, uint64_t began)
{
    if (shot->call != began)
        shot->missed_at = now;
    shot->call = began;
    if (!is_within(shot->missed_at, now, ISO__TURN_NS)) {
        raise_later(&shot->rank->watch, now);
        return;
    }
    if (is_within(shot->missed_at, now, READY_NS))
        add_pending(shot);
    atomic_store(&shot->missed, 1);
}

/* Raises what it returns -1 for. */
static int
hit(iso__shot *shot, uint64_t began)
{
    uint64_t now = iso__clock_ticks();
    atomic_store(&shot->missed, 0);
    if (is_hit(&shot->rank->watch, now))
        return 0;
    if (PyThreadState_Get() == shot->rank->py)
        return hit_here(shot, now);
    hit_from_elsewhere(shot, now, began);
    return 0;
}

static int
run(void *argument)
{
    iso__shot *shot = argument;
    iso_rank *rank = shot->rank;
    if (rank == NULL) {
        free(shot);
        return 0;
    }
    atomic_store(&shot->waiting, 0); /* before the aims: who aims later adds another */
    uint64_t began = atomic_load(&rank->watch.began);
    if (began != 0 && atomic_load(&shot->soft) == began) {
        atomic_store(&shot->soft, 0);
        log_stack(rank); /* lets go of the GIL at times: the call may end meanwhile */
        began = atomic_load(&rank->watch.began);
    }
    return began != 0 && atomic_load(&shot->hard) == began ? hit(shot, began) : 0;
}

void
iso__shot_soft(iso__shot *shot, uint64_t began)
{
    atomic_store(&shot->soft, began);
    add_pending(shot);
}

void
iso__shot_hard(iso__shot *shot, uint64_t began)
{
    atomic_store(&shot->hard, began);
    atomic_store(&shot->fresh, 1);
    add_pending(shot);
}

bool
iso__shot_missed(const iso__shot *shot)
{
    return atomic_load(&shot->missed) != 0;
}

iso__shot *
iso__shot_new(iso_rank *rank)
{
    iso__shot *shot = calloc(1, sizeof *shot);
    if (shot != NULL) {
        shot->rank = rank;
        shot->interp = PyThreadState_GetInterpreter(rank->py);
    }
    return shot;
}

void
iso__shot_drop(iso__shot *shot)
{
    if (atomic_load(&shot->waiting))
        shot->rank = NULL;
    else
        free(shot);
}
