/* shot.c: how a deadline reaches Python code: a pending call of the rank's interpreter.
 *
 * It runs on whichever thread of the interpreter comes by first, under its GIL, checks that the call still
 * runs, and sets DeadlineExceeded as the asynchronous exception of the rank's thread. (An exception that the
 * pending call itself raised would come out on the wrong thread, or be swallowed by a __del__.) The end of a
 * call clears what has not come yet, under the same GIL, so that it never reaches the next one. */
#include <stdlib.h>

#include "engine/clock.h"
#include "engine/pending.h"
#include "engine/states.h"
#include "engine/units.h"

struct iso__shot {
    iso_rank *rank; /* NULL: dropped; under the GIL */
    PyInterpreterState *interp;
    _Atomic int waiting;   /* a pending call is in the queue: one serves all aims */
    _Atomic uint64_t soft; /* the calls that are aimed at, by their begin */
    _Atomic uint64_t hard;
};

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

void
iso__shot_raise(iso__watch *watch)
{
    iso_rank *rank = watch->rank;
    uint64_t now = iso__clock_ticks();
    if (watch->shielded || rank->py->async_exc != NULL)
        return;
    if (watch->fired && (double)(now - watch->last_shot) * iso__clock_ns_per_tick < (double)ISO__CLEAN_UP_NS &&
        handles(rank->py, watch->exception))
        return;
    watch->fired = true;
    watch->last_shot = now;
    iso__rank_set_async(rank, watch->exception);
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
    if (began != 0 && atomic_load(&shot->hard) == began)
        iso__shot_raise(&rank->watch);
    return 0;
}

static void
add_pending(iso__shot *shot)
{
    if (!atomic_exchange(&shot->waiting, 1) && !iso__pending_add(shot->interp, run, shot))
        atomic_store(&shot->waiting, 0); /* full of the script's own: the next shot tries again */
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
    add_pending(shot);
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
