/* bare.c: see bare.h. */
#include "bare.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../floor/message.h"
#include "../floor/rank.h"
#include "handoff.h"

/* A sequence that one thread counts up and another waits for. */
struct event {
    _Alignas(64) _Atomic unsigned value;
    _Alignas(64) _Atomic unsigned sleepers;
};

struct bare {
    struct floor_rank rank;
    PyObject *route; /* the method's name */
    int by_name;     /* set while the rank's thread waits */
    struct event request, answer;
    _Alignas(64) _Atomic unsigned head;
    _Alignas(64) _Atomic unsigned tail;
    struct {
        const char *data;
        unsigned length;
    } ring[RING];
    char copies[RING][FLOOR_BUFFER];
};

static const char octets[FLOOR_BUFFER] = FLOOR_MESSAGE;
static double ticks_per_us;
static int spin_most; /* us; what isoexec's queue may spin at most */

static void
calibrate(void)
{
    uint64_t begin = floor_clock(CLOCK_MONOTONIC), ticks = __builtin_ia32_rdtsc(), ns;

    usleep(20000);
    ns = floor_clock(CLOCK_MONOTONIC) - begin;
    ticks_per_us = (double)(__builtin_ia32_rdtsc() - ticks) * 1e3 / (double)ns;
}

static void
event_wait(struct event *event, unsigned seen)
{
    uint64_t end = __builtin_ia32_rdtsc() + (uint64_t)(spin_most * ticks_per_us);

    while (atomic_load(&event->value) == seen && __builtin_ia32_rdtsc() < end) {
        __builtin_ia32_pause();
    }
    while (atomic_load(&event->value) == seen) {
        atomic_fetch_add(&event->sleepers, 1);
        syscall(SYS_futex, &event->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
        atomic_fetch_sub(&event->sleepers, 1);
    }
}

static void
event_post(struct event *event)
{
    atomic_fetch_add(&event->value, 1);
    if (atomic_load(&event->sleepers)) {
        syscall(SYS_futex, &event->value, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static inline void
call(struct bare *bare, const char *data, unsigned length)
{
    struct floor_rank *rank = &bare->rank;
    struct floor_message *message = floor_enter(rank, data, length);
    PyObject *arguments[3] = {NULL, rank->handler, (PyObject *)message}, *result;

    if (bare->by_name) {
        result = PyObject_VectorcallMethod(bare->route, arguments + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    } else {
        result = PyObject_Vectorcall(rank->functions[FLOOR_ROUTE], arguments + 1, 2, NULL);
    }
    if (!result) {
        floor_die_raised("the method failed");
    }
    Py_DECREF(result);
    floor_leave(rank, message);
}

/* ---- round trips ---- */

struct rounds {
    long count;
    unsigned seen; /* value of `request` before the first */
    const char *data;
};

static void
serve_rounds(struct floor_worker *worker, void *argument)
{
    struct bare *bare = worker->rank;
    struct rounds *rounds = argument;

    for (long i = 0; i < rounds->count; i++) {
        event_wait(&bare->request, rounds->seen + (unsigned)i);
        PyEval_RestoreThread(bare->rank.thread);
        call(bare, rounds->data, FLOOR_MESSAGE_LENGTH);
        PyEval_SaveThread();
        event_post(&bare->answer);
    }
}

static void
trip(void *argument)
{
    struct bare *bare = argument;
    unsigned seen = atomic_load(&bare->answer.value);

    event_post(&bare->request);
    event_wait(&bare->answer, seen);
}

static void
trip_with_copy(void *argument)
{
    struct bare *bare = argument;

    memcpy(bare->copies[0], octets, FLOOR_MESSAGE_LENGTH);
    trip(bare);
}

double
bare_round_trip(struct floor_worker *worker, long calls, enum bare_way way)
{
    struct bare *bare = worker->rank;
    int copy = way == BARE_WAY_COPY;
    struct rounds rounds = {
        .count = calls / BLOCK * BLOCK,
        .seen = atomic_load(&bare->request.value),
        .data = copy ? bare->copies[0] : octets,
    };
    double result;

    bare->by_name = way == BARE_WAY_BY_NAME;
    floor_worker_start(worker, serve_rounds, &rounds);
    result = handoff_median(copy ? trip_with_copy : trip, bare, calls);
    floor_worker_wait(worker);
    return result;
}

/* ---- one way ---- */

static void
drain(struct floor_worker *worker, void *argument)
{
    struct bare *bare = worker->rank;
    long left = *(long *)argument;
    unsigned tail = atomic_load(&bare->tail);

    while (left > 0) {
        unsigned seen = atomic_load(&bare->request.value), head = atomic_load(&bare->head);

        if (head == tail) {
            event_wait(&bare->request, seen);
            continue;
        }
        PyEval_RestoreThread(bare->rank.thread);
        for (; tail != head; tail++, left--) {
            call(bare, bare->ring[tail % RING].data, bare->ring[tail % RING].length);
        }
        atomic_store_explicit(&bare->tail, tail, memory_order_release);
        PyEval_SaveThread();
    }
}

static void
push(struct bare *bare, int copy)
{
    unsigned head = atomic_load_explicit(&bare->head, memory_order_relaxed), at = head % RING;

    while (head - atomic_load_explicit(&bare->tail, memory_order_acquire) >= RING) {
        __builtin_ia32_pause();
    }
    bare->ring[at].data = copy ? memcpy(bare->copies[at], octets, FLOOR_MESSAGE_LENGTH) : octets;
    bare->ring[at].length = FLOOR_MESSAGE_LENGTH;
    atomic_store_explicit(&bare->head, head + 1, memory_order_release);
    event_post(&bare->request);
}

double
bare_drain(struct floor_worker *worker, long count, enum bare_way way)
{
    struct bare *bare = worker->rank;
    uint64_t begin;

    bare->by_name = way == BARE_WAY_BY_NAME;
    floor_worker_start(worker, drain, &count);
    begin = floor_clock(CLOCK_MONOTONIC);
    for (long i = 0; i < count; i++) {
        push(bare, way == BARE_WAY_COPY);
    }
    floor_worker_wait(worker);
    return (double)(floor_clock(CLOCK_MONOTONIC) - begin) / (double)count;
}

/* ---- the rank ---- */

static void *
open_bare(const struct floor_side *side, int number)
{
    struct bare *bare = aligned_alloc(64, sizeof *bare);

    (void)number;
    if (!bare) {
        floor_die("out of memory");
    }
    memset(bare, 0, sizeof *bare);
    floor_rank_open(&bare->rank, side->context);
    PyEval_RestoreThread(bare->rank.thread);
    bare->route = PyUnicode_InternFromString("route");
    PyEval_SaveThread();
    if (!bare->route) {
        floor_die("out of memory");
    }
    return bare;
}

void
bare_open(struct floor_worker *worker, const char *script, int spin_us)
{
    static struct floor_side side = {.name = "bare", .open = open_bare};

    calibrate();
    spin_most = spin_us;
    side.context = script;
    floor_worker_open(worker, &side, 1);
}
