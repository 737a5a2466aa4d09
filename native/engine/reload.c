/* reload.c: new code for a script that serves.
 *
 * Each rank does it itself between two calls, one after another, so that a fault in the new code shows in the
 * first and the others go on untouched. The old modules stand aside until the new handler is there
 * (own_modules.py), and come back if it never is. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "engine/clock.h"
#include "engine/load_limit.h"
#include "engine/mailbox.h"
#include "engine/methods.h"
#include "engine/settings.h"
#include "engine/states.h"

/* ---- in the rank, attached ---- */

/* Calls a method of the Reload without arguments. 0, or -1 with an error set. */
static int
change_does(PyObject *change, const char *method)
{
    PyObject *done = PyObject_CallMethod(change, method, NULL);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

static int
load_beside(iso_rank *rank, PyObject *change, PyObject **handler_out, iso_error *err)
{
    int failed = iso__script_load(rank, handler_out, err);
    if (!failed && change_does(change, "load_late") < 0)
        failed = iso__failure_start(rank, err, ISO_ESCRIPT,
                                    "a module that the old code had loaded later could not be loaded");
    return failed;
}

/* The handler changes hands here; then the old code ends. Nothing of the new one fails any more. */
static void
take_over(iso_rank *rank, PyObject *handler, PyObject *change)
{
    PyObject *old = rank->handler;
    iso__methods_reset(rank);
    rank->handler = handler;
    iso__child_exit(rank, old);
    Py_DECREF(old);
    PyObject *done = PyObject_CallMethod(change, "finish", "d", (double)rank->settings.grace / (double)ISO__SECOND);
    if (done == NULL)
        iso__failure_start(rank, NULL, ISO_EINTERNAL, "reload: what the old code left could not be ended");
    Py_XDECREF(done);
}

static void
tell(iso_rank *rank)
{
    iso__log(rank->engine, ISO_LOG_INFO, rank->number, "reloaded");
    atomic_fetch_add(&rank->reloads, 1);
    iso__rank_let_go(rank); /* as isoexec.h promises */
    iso__event(rank->engine, ISO_EVENT_RELOADED, rank->number);
    iso__rank_hold(rank);
}

/* What an exception in the middle of the new code means to who asked for it. */
static void
tell_limit(iso_rank *rank, uint32_t limit_ms, iso_error *err)
{
    snprintf(err->message, sizeof err->message, "rank %d: the new code did not load within %u ms, and was ended",
             rank->number, limit_ms);
    iso__log(rank->engine, ISO_LOG_ERR, rank->number, "the new code did not load within %u ms, and was ended",
             limit_ms);
}

static int
reload_here(iso_rank *rank, uint32_t limit_ms, iso_error *err)
{
    PyObject *handler = NULL;
    PyObject *change = PyObject_CallMethod(rank->own_modules, "begin", NULL);
    if (change == NULL)
        return iso__failure_start(rank, err, ISO_EINTERNAL, "reload: the old modules could not be set aside");
    iso__load_limit *limit = iso__load_limit_begin(rank, limit_ms);
    int failed = load_beside(rank, change, &handler, err);
    bool too_long = iso__load_limit_end(limit);
    if (failed && too_long)
        tell_limit(rank, limit_ms, err);
    if (!failed) {
        take_over(rank, handler, change);
    } else {
        Py_XDECREF(handler);
        if (change_does(change, "undo") < 0)
            iso__failure_start(rank, NULL, ISO_EINTERNAL, "reload: the old modules could not be put back");
        iso__log(rank->engine, ISO_LOG_NOTICE, rank->number, "the reload failed: the old code goes on");
    }
    Py_DECREF(change);
    return failed;
}

/* A letter's work. One that comes late may find that its reload has failed in another rank. */
void
iso__reload_by_letter(iso_rank *rank, iso__letter *letter)
{
    _Atomic uint64_t *failed = &rank->engine->reload_failed;
    uint64_t round = atomic_exchange(&letter->round, 0);
    if (atomic_load(failed) >= round) {
        letter->code = iso__fail(&letter->err, ISO_ESTATE, "rank %d: the reload failed in another rank", rank->number);
        return;
    }
    if (rank->elsewhere != NULL)
        iso__elsewhere_letter(rank, ISO__LETTER_RELOAD, letter);
    else
        letter->code = reload_here(rank, atomic_load(&letter->limit_ms), &letter->err);
    if (letter->code == 0 && !rank->whole) /* else the engine's side does */
        tell(rank);
    uint64_t last = atomic_load(failed);
    while (letter->code != 0 && last < round && !atomic_compare_exchange_weak(failed, &last, round))
        ;
}

/* ---- for all ranks, from any thread ---- */

/* A rank that is being opened may have read the old code, and takes no letter yet. */
static int
wait_until_open(iso_engine *engine, iso_rank *rank, uint64_t end_ns)
{
    struct timespec end = {.tv_sec = (time_t)(end_ns / 1000000000u), .tv_nsec = (long)(end_ns % 1000000000u)};
    int timed = 0;
    pthread_mutex_lock(&engine->lock);
    while (atomic_load(&rank->state) == ISO__RANK_OPENING && !engine->closing && timed != ETIMEDOUT)
        timed = pthread_cond_timedwait(&engine->changed, &engine->lock, &end);
    pthread_mutex_unlock(&engine->lock);
    return atomic_load(&rank->state) == ISO__RANK_OPENING ? ISO_ETIMEDOUT : 0;
}

/* How long a rank that is busy holds up those after it. */
#define TURN_NS UINT64_C(1000000000)
/* What new code has to unwind when its time is over, before the caller hears that the rank is still at it. */
#define UNWIND_NS UINT64_C(2000000000)

/* Until a time, or a little longer if the rank is at it. */
static int
wait_for(iso_rank *rank, iso__letter *letter, uint64_t end_ns)
{
    int code = iso__letter_wait(rank, letter, end_ns);
    return code == ISO_ETIMEDOUT && atomic_load(&letter->begun) ? iso__letter_wait(rank, letter, end_ns + UNWIND_NS)
                                                                : code;
}

/* The letter of an earlier reload that the rank has not come to asks for this one from here on, so that a busy rank
 * reloads once however often it is asked; else a new one is sent. NULL: no memory. */
static iso__letter *
letter_for(iso_rank *rank, uint32_t limit_ms)
{
    iso__letter *letter = rank->reload_letter;
    uint64_t round = rank->engine->reload_round, earlier = letter != NULL ? atomic_load(&letter->round) : 0;
    if (earlier != 0) {
        atomic_store(&letter->limit_ms, limit_ms);
        atomic_fetch_add(&letter->shares, 1);
        if (atomic_compare_exchange_strong(&letter->round, &earlier, round))
            return letter;
        iso__letter_drop(letter); /* the rank has come to it meanwhile, and may have read older code */
    }
    letter = iso__letter_new(iso__reload_by_letter);
    if (letter == NULL)
        return NULL;
    atomic_store(&letter->round, round);
    atomic_store(&letter->limit_ms, limit_ms);
    atomic_fetch_add(&letter->shares, 1);
    if (rank->reload_letter != NULL)
        iso__letter_drop(rank->reload_letter);
    rank->reload_letter = letter;
    iso__letter_send(rank, letter);
    return letter;
}

/* Posts the letter and waits for the answer, as long as the rank's turn and its work take; *letter_out stays NULL if
 * the rank needs none: it is not open, or its thread is gone. */
static int
ask(iso_engine *engine, iso_rank *rank, int timeout_ms, uint64_t end_ns, iso__letter **letter_out, iso_error *err)
{
    int code = wait_until_open(engine, rank, end_ns);
    if (code != 0 || atomic_load(&rank->state) != ISO__RANK_SERVING || atomic_load(&rank->thread_gone))
        return code;
    iso__letter *letter = letter_for(rank, (uint32_t)timeout_ms);
    if (letter == NULL)
        return iso__fail(err, ISO_ENOMEM, "no memory to reload rank %d", rank->number);
    *letter_out = letter;
    uint64_t turn_ns = iso__clock_monotonic_ns() + TURN_NS;
    code = iso__letter_wait(rank, letter, turn_ns < end_ns ? turn_ns : end_ns);
    return code == ISO_ETIMEDOUT && atomic_load(&letter->begun) ? wait_for(rank, letter, end_ns) : code;
}

/* What the rank made of it, once it has answered. One that ended meanwhile needs no new code. */
static int
answer_of(const iso_rank *rank, const iso__letter *letter, iso_error *err)
{
    if (letter == NULL || letter->code == 0 || atomic_load(&rank->state) != ISO__RANK_SERVING)
        return 0;
    if (err != NULL)
        *err = letter->err;
    return letter->code;
}

/* One rank of a reload, in the order of the ranks. */
typedef struct turn {
    iso_rank *rank;
    iso__letter *letter;
    int code;
} turn;

/* Each rank in its turn; at last all wait for those that were late. Stops at the first that fails. */
static int
take_turns(iso_engine *engine, turn *turns, int timeout_ms, iso_error *err)
{
    uint64_t end_ns = iso__clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000u;
    int count = engine->config.ranks, code = 0;
    for (int i = 0; i < 2 * count && code == 0; i++) {
        turn *now = &turns[i % count];
        if (i < count)
            now->code = ask(engine, now->rank, timeout_ms, end_ns, &now->letter, err);
        else if (now->code == ISO_ETIMEDOUT && now->letter != NULL)
            now->code = wait_for(now->rank, now->letter, end_ns);
        if (now->code == 0)
            code = answer_of(now->rank, now->letter, err);
        else if (now->code != ISO_ETIMEDOUT)
            code = now->code;
    }
    return code;
}

static int
reload_ranks(iso_engine *engine, int timeout_ms, iso_error *err)
{
    int count = engine->config.ranks, late = 0;
    bool at_it = false;
    turn *turns = calloc((size_t)count, sizeof *turns);
    if (turns == NULL)
        return iso__fail(err, ISO_ENOMEM, "no memory to reload %d ranks", count);
    for (int i = 0; i < count; i++)
        turns[i].rank = iso__rank_of(engine, i + 1);
    int code = take_turns(engine, turns, timeout_ms, err);
    for (int i = 0; i < count; i++) {
        if (turns[i].code == ISO_ETIMEDOUT && late == 0) {
            late = i + 1;
            at_it = turns[i].letter != NULL && atomic_load(&turns[i].letter->begun);
        }
        if (turns[i].letter != NULL)
            iso__letter_drop(turns[i].letter);
    }
    free(turns);
    if (engine->closing)
        return iso__fail(err, ISO_ESTATE, "the engine is closing");
    if (code == 0 && late != 0)
        return iso__fail(err, ISO_ETIMEDOUT,
                         at_it ? "rank %d has begun to load the new code, and is not done after %d ms"
                               : "rank %d did not come to the reload within %d ms; it does so before its next call",
                         late, timeout_ms);
    return code;
}

/* The number of a rank that this thread holds, in a call, which can not end before the reload does, or in a burst,
 * beside which no other rank can be attached; or 0. */
static int
rank_held(const iso_engine *engine)
{
    for (int i = 0; i < engine->config.ranks; i++) {
        const iso_rank *rank = iso__rank_of(engine, i + 1);
        if (atomic_load(&rank->state) == ISO__RANK_SERVING && atomic_load(&rank->thread) == iso__this_thread() &&
            (rank->depth > 0 || rank->attached))
            return rank->number;
    }
    return 0;
}

static int
begin(iso_engine *engine, iso_error *err)
{
    int number = rank_held(engine), code = 0;
    if (number != 0)
        return iso__fail(err, ISO_ESTATE,
                         "this thread is in a call or a burst of rank %d: reload after it, or on another thread",
                         number);
    pthread_mutex_lock(&engine->lock);
    if (engine->closing)
        code = iso__fail(err, ISO_ESTATE, "the engine is closing");
    else if (engine->reloading)
        code = iso__fail(err, ISO_ESTATE, "another reload of the engine is going on");
    else
        engine->reloading = true;
    pthread_mutex_unlock(&engine->lock);
    return code;
}

int
iso_engine_reload(iso_engine *engine, int timeout_ms, iso_error *err)
{
    if (engine == NULL || timeout_ms < 0)
        return iso__fail(err, ISO_EINVAL, "no engine, or a time that is negative");
    int code = begin(engine, err);
    if (code != 0)
        return code;
    engine->reload_round++;
    code = reload_ranks(engine, timeout_ms, err);
    pthread_mutex_lock(&engine->lock);
    engine->reloading = false;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock); /* the engine may be gone from here */
    return code;
}

void
iso__reload_end(iso_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    while (engine->reloading)
        pthread_cond_wait(&engine->changed, &engine->lock);
    pthread_mutex_unlock(&engine->lock);
}
