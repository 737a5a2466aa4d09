/* throughput.c: as many threads as ranks, and a handler of 10 us. Inline, each thread is a rank; through the
 * queue the threads keep calls in flight for whichever rank is idle, or wait for each call (blocking). */
#include "../floor/message.h"
#include "../floor/side.h"
#include "../floor/worker.h"
#include "handoff.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HANDLER_NS 10000
#define WINDOW 16 /* calls that a thread keeps in flight */

static const char octets[FLOOR_BUFFER] = FLOOR_MESSAGE;
static char rounds[16]; /* of the handler's loop */
static atomic_int stop;
static atomic_long made;

static iso_str
rounds_text(void)
{
    return (iso_str){rounds, strlen(rounds)};
}

static void
run_inline(struct floor_worker *worker, void *argument)
{
    iso_result result;
    iso_msg msg;
    long calls = 0;

    (void)argument;
    iso_msg_init(&msg, octets, FLOOR_MESSAGE_LENGTH);
    for (; !atomic_load_explicit(&stop, memory_order_relaxed); calls++) {
        if (iso_python_exec(worker->rank, "busy", &msg, rounds_text(), &result) || result.code != 1) {
            handoff_die("busy failed", "inline");
        }
    }
    atomic_fetch_add(&made, calls);
}

static void
finish(iso_task *task)
{
    if (iso_task_wait(task, -1) || iso_task_result(task)->code != 1) {
        handoff_die("busy failed", "queue");
    }
    iso_task_free(task);
}

static void
run_queue(struct floor_worker *worker, void *argument)
{
    iso_task *tasks[WINDOW] = {NULL};
    int window = *(int *)argument;
    iso_msg msg;
    long calls = 0;

    iso_msg_init(&msg, octets, FLOOR_MESSAGE_LENGTH);
    for (; !atomic_load_explicit(&stop, memory_order_relaxed); calls++) {
        iso_task **slot = &tasks[calls % window];

        if (*slot) {
            finish(*slot);
        }
        if (iso_submit(worker->rank, ISO_ANY_RANK, "busy", &msg, rounds_text(), NULL, 0, slot)) {
            handoff_die("iso_submit", "no place");
        }
        if (window == 1) {
            finish(*slot);
            *slot = NULL;
        }
    }
    for (int i = 0; i < WINDOW; i++) {
        if (tasks[i]) {
            finish(tasks[i]);
        }
    }
    atomic_fetch_add(&made, calls);
}

/* ns of wall time per call of all threads together, and of CPU time. */
static void
sample(struct floor_worker *workers, void (*run)(struct floor_worker *, void *), int window, const char *side,
       double seconds)
{
    char label[32];
    uint64_t begin, cpu, wall;

    atomic_store(&stop, 0);
    atomic_store(&made, 0);
    begin = floor_clock(CLOCK_MONOTONIC);
    cpu = floor_clock(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < RANKS; i++) {
        floor_worker_start(&workers[i], run, &window);
    }
    usleep((useconds_t)(seconds * 1e6));
    atomic_store(&stop, 1);
    for (int i = 0; i < RANKS; i++) {
        floor_worker_wait(&workers[i]);
    }
    wall = floor_clock(CLOCK_MONOTONIC) - begin;
    cpu = floor_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    floor_sample("throughput", side, (double)wall / (double)atomic_load(&made));
    snprintf(label, sizeof label, "cpu_%s", side);
    floor_sample("throughput", label, (double)cpu / (double)atomic_load(&made));
}

/* A caller of the queue is a worker whose "rank" is the engine. */
static void *
open_caller(const struct floor_side *side, int number)
{
    (void)number;
    return (void *)side->context;
}

static void
time_rounds(struct floor_worker *worker, void *argument)
{
    enum { CALLS = 400 };
    uint64_t *ns = argument, begin = floor_clock(CLOCK_THREAD_CPUTIME_ID);
    iso_result result;
    iso_msg msg;

    iso_msg_init(&msg, octets, FLOOR_MESSAGE_LENGTH);
    for (int i = 0; i < CALLS; i++) {
        if (iso_python_exec(worker->rank, "busy", &msg, rounds_text(), &result)) {
            handoff_die("busy failed", "calibration");
        }
    }
    *ns = (floor_clock(CLOCK_THREAD_CPUTIME_ID) - begin) / CALLS;
}

/* Finds the rounds that make a call take HANDLER_NS here and now: a virtual machine may be half as fast, or twice, a
 * second later. */
static void
calibrate(struct floor_worker *worker)
{
    uint64_t ns = 0;
    int count = 1000;

    for (int i = 0; i < 6; i++) {
        snprintf(rounds, sizeof rounds, "%d", count);
        floor_worker_start(worker, time_rounds, &ns);
        floor_worker_wait(worker);
        count = (int)((double)count * HANDLER_NS / (double)ns) + 1;
    }
}

void
handoff_measure_throughput(const char *script, int repeats, double seconds)
{
    static struct floor_worker inline_workers[RANKS], callers[RANKS];
    struct floor_side inline_side = floor_side_isoexec, queue_side = {.name = "queue", .open = open_caller};
    iso_engine *inline_engine = handoff_engine(script, ISO_CHANNEL_INLINE, RANKS);
    iso_engine *queue_engine = handoff_engine(script, ISO_CHANNEL_QUEUE, RANKS);

    inline_side.context = inline_engine;
    queue_side.context = queue_engine;
    for (int i = 0; i < RANKS; i++) {
        floor_worker_open(&inline_workers[i], &inline_side, i + 1);
        floor_worker_open(&callers[i], &queue_side, i + 1);
    }
    for (int i = 0; i < repeats; i++) {
        calibrate(&inline_workers[0]);
        sample(inline_workers, run_inline, 1, "inline", seconds);
        sample(callers, run_queue, WINDOW, "queue", seconds);
        sample(callers, run_queue, 1, "blocking", seconds);
    }
    for (int i = 0; i < RANKS; i++) {
        floor_worker_close(&inline_workers[i]);
        floor_worker_close(&callers[i]);
    }
    if (iso_engine_destroy(inline_engine) || iso_engine_destroy(queue_engine)) {
        handoff_die("ranks were abandoned", "throughput");
    }
}
