/* side_floor.c: the cases on the floor's own ranks. */
#include "message.h"
#include "rank.h"
#include "side.h"

#include <stdlib.h>
#include <string.h>

const char *const floor_case_names[FLOOR_CASE_COUNT] = {"batch", "attach", "reads", "extra", "exception", "main"};

static const char octets[FLOOR_BUFFER] = FLOOR_MESSAGE;

/* One call of a method on the attached rank; the result is only checked for being there. */
static inline void
call(struct floor_rank *rank, enum floor_method method)
{
    struct floor_message *message = floor_enter(rank, octets, FLOOR_MESSAGE_LENGTH);
    PyObject *arguments[2] = {rank->handler, (PyObject *)message};
    PyObject *result = PyObject_Vectorcall(rank->functions[method], arguments, 2, NULL);

    if (!result) {
        floor_die_raised("the method failed");
    }
    Py_DECREF(result);
    floor_leave(rank, message);
}

static void
run_batch(struct floor_rank *rank, long calls)
{
    PyEval_RestoreThread(rank->thread);
    for (long i = 0; i < calls; i++) {
        call(rank, FLOOR_ROUTE);
    }
    PyEval_SaveThread();
}

static void
run_attach(struct floor_rank *rank, long calls)
{
    for (long i = 0; i < calls; i++) {
        PyEval_RestoreThread(rank->thread);
        call(rank, FLOOR_ROUTE);
        PyEval_SaveThread();
    }
}

/* Reads find Method in its slot, so the slot is filled first, from the octets. */
static void
run_reads(struct floor_rank *rank, long calls)
{
    for (long i = 0; i < calls; i++) {
        PyEval_RestoreThread(rank->thread);
        if (memcmp(octets, "INVITE ", 7) == 0) {
            floor_enter(rank, octets, FLOOR_MESSAGE_LENGTH)->method = rank->invite;
        }
        call(rank, FLOOR_READS);
        PyEval_SaveThread();
    }
}

static void
run_extra(struct floor_rank *rank, long calls)
{
    for (long i = 0; i < calls; i++) {
        struct floor_message *message;
        PyObject *arguments[3], *result;

        PyEval_RestoreThread(rank->thread);
        message = floor_enter(rank, octets, FLOOR_MESSAGE_LENGTH);
        arguments[0] = rank->handler;
        arguments[1] = (PyObject *)message;
        arguments[2] = rank->extra;
        result = PyObject_Vectorcall(rank->functions[FLOOR_ROUTE_EXTRA], arguments, 3, NULL);
        if (!result) {
            floor_die_raised("the method failed");
        }
        Py_DECREF(result);
        floor_leave(rank, message);
        PyEval_SaveThread();
    }
}

/* The exception is fetched and dropped: no text is made of it. */
static void
run_exception(struct floor_rank *rank, long calls)
{
    for (long i = 0; i < calls; i++) {
        struct floor_message *message;
        PyObject *arguments[2];

        PyEval_RestoreThread(rank->thread);
        message = floor_enter(rank, octets, FLOOR_MESSAGE_LENGTH);
        arguments[0] = rank->handler;
        arguments[1] = (PyObject *)message;
        if (PyObject_Vectorcall(rank->functions[FLOOR_RAISES], arguments, 2, NULL)) {
            floor_die("the method did not raise");
        }
        Py_DECREF(PyErr_GetRaisedException());
        floor_leave(rank, message);
        PyEval_SaveThread();
    }
}

static void
run(void *rank, enum floor_case which, long calls)
{
    static void (*const loops[FLOOR_CASE_COUNT])(struct floor_rank *, long) = {
        run_batch, run_attach, run_reads, run_extra, run_exception, run_attach,
    };

    loops[which](rank, calls);
}

static void *
open_rank(const struct floor_side *side, int number)
{
    struct floor_rank *rank = calloc(1, sizeof *rank);

    (void)number;
    if (!rank) {
        floor_die("out of memory");
    }
    floor_rank_open(rank, side->context);
    return rank;
}

static void *
open_rank_in_main(const struct floor_side *side, int number)
{
    struct floor_rank *rank = calloc(1, sizeof *rank);

    (void)number;
    if (!rank) {
        floor_die("out of memory");
    }
    floor_rank_open_in_main(rank, side->context);
    return rank;
}

const struct floor_side floor_side_floor = {.name = "floor", .open = open_rank, .run = run};
const struct floor_side floor_side_floor_main = {.name = "floor", .open = open_rank_in_main, .run = run};
