/* test_level_main.c: ranks in the main interpreter of a C host: several on one thread, beside ranks of other levels,
 * on threads that have Python of their own, and left behind by their thread. The other programs run on this level too
 * (ISOEXEC_LEVEL). The script is tests/handlers/deadlines.py. */
#include <Python.h>

#include "queue_host.h"

#define DEADLINE_NS 50000000
#define RANKS 4

static atomic_int held_on;  /* what a host function in Python saw of its own deadline */
static atomic_int entered;  /* it was reached */
static atomic_int answered; /* its caller has been answered: the deadline has come */

/* In Python code until some time after the deadline: 1 if nothing was raised in it. Not for a fixed time: a machine
 * that stands still for that long would see the call end before anybody looks at its deadline. */
static int
long_python(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err)
{
    int failed = 0, over = 0;
    (void)call;
    (void)argv;
    (void)argc;
    (void)user;
    (void)err;
    atomic_store(&entered, 1);
    int in_main = PyThreadState_GetInterpreter(PyThreadState_Get()) == PyInterpreterState_Main();
    for (int64_t end = now_ns() + LIMIT_NS; !over && !failed && now_ns() < end;) {
        over = atomic_load(&answered);
        failed = PyRun_SimpleString("import time\n"
                                    "end = time.monotonic() + 0.03\n"
                                    "while time.monotonic() < end: pass\n");
    }
    atomic_store(&held_on, in_main && failed == 0);
    return 1;
}

static const iso_function functions[] = {
    {.name = "gate", .signature = "", .function = gate, .flags = ISO_FUNCTION_BLOCKING},
    {.name = "long_python", .signature = "", .function = long_python, .flags = ISO_FUNCTION_PYTHON},
};

static void
start(int channel, int64_t deadline, const iso_override *override)
{
    iso_config config;
    config_init(&config, RANKS, channel);
    config_script(&config, "deadlines.py");
    config.functions = functions;
    config.function_count = sizeof functions / sizeof functions[0];
    config.isolation = ISO_ISOLATION_MAIN;
    config.deadline = deadline;
    config.overrides = override;
    config.override_count = override != NULL;
    engine_start(&config);
}

static iso_rank *
open_rank(int number)
{
    iso_rank *rank = NULL;
    iso_error err = {0};
    if (!CHECK_INT(iso_rank_open(engine, number, &rank, &err), 0))
        printf("%s\n%s\n", err.message, err.traceback);
    return rank;
}

/* CPython looks for a thread's state by its thread, and here one thread has four. */
static void
test_a_deadline_ends_the_call_of_its_own_rank(void)
{
    static const iso_override one_own_gil = {2, 2, "isolation", "own_gil"};
    iso_rank *ranks[RANKS];
    start(ISO_CHANNEL_INLINE, DEADLINE_NS, &one_own_gil);
    for (int i = 0; i < RANKS; i++)
        ranks[i] = open_rank(i + 1);
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < RANKS; i++) {
            CHECK_INT(run_on(ranks[i], "spin", NULL).outcome, ISO_OUTCOME_DEADLINE);
            for (int k = 0; k < RANKS; k++)
                CHECK_INT(run_in_time(ranks[k], "who", DEADLINE_NS).code, k + 1);
        }
    }
    for (int i = 0; i < RANKS; i++)
        CHECK_INT(iso_rank_close(ranks[i]), 0);
    queue_end();
}

/* One call that is in the host's function when its deadline comes. On a busy machine it may come before: then again. */
static void
meet_a_host_function(int rank)
{
    atomic_store(&entered, 0);
    atomic_store(&held_on, 0);
    for (int64_t end = now_ns() + LIMIT_NS; now_ns() < end && !atomic_load(&entered);) {
        iso_task *task = NULL;
        atomic_store(&answered, 0);
        CHECK_INT(submit(rank, "calls", "long_python", NULL, 0, &task), 0);
        CHECK_INT(iso_task_wait(task, LIMIT_NS), 0);
        atomic_store(&answered, 1);
        CHECK_INT(iso_task_result(task)->outcome, ISO_OUTCOME_DEADLINE);
        iso_task_free(task);
        CHECK_INT(call_in_time(rank, "who", DEADLINE_NS), rank); /* after it: the function has ended */
    }
    CHECK_INT(atomic_load(&held_on), 1);
}

/* The deadline comes while the host's own Python runs on the rank's thread: it waits for the method. */
static void
test_a_deadline_never_reaches_a_host_function(void)
{
    start(ISO_CHANNEL_QUEUE, DEADLINE_NS, NULL);
    for (int rank = 1; rank <= RANKS; rank++)
        meet_a_host_function(rank);
    queue_end();
}

static void
test_batches_and_ranks_that_open_again(void)
{
    start(ISO_CHANNEL_INLINE, 0, NULL);
    for (int turn = 0; turn < 64 / SCALE + 2; turn++) {
        iso_rank *first = open_rank(1), *second = open_rank(2);
        CHECK_INT(iso_rank_begin(first), 0);
        for (int i = 0; i < 100; i++)
            CHECK_INT(run_on(first, "who", NULL).code, 1);
        CHECK_INT(iso_rank_end(first), 0);
        CHECK_INT(iso_rank_close(turn % 2 ? first : second), 0);
        CHECK_INT(run_on(turn % 2 ? second : first, "one", NULL).code, 1);
        CHECK_INT(iso_rank_close(turn % 2 ? second : first), 0);
    }
    queue_end();
}

/* ---- a thread with Python of its own ---- */

/* The host's state is detached during calls, and is the one that PyGILState finds once it is back. */
static void *
host_with_python(void *unused)
{
    PyGILState_STATE before = PyGILState_Ensure();
    PyThreadState *own = PyThreadState_Get();
    for (int turn = 0; turn < 3; turn++) {
        PyEval_SaveThread();
        iso_rank *rank = open_rank(3);
        for (int i = 0; i < 100; i++) {
            CHECK_INT(run_on(rank, "who", NULL).code, 3);
            PyEval_RestoreThread(own);
            CHECK(PyGILState_GetThisThreadState() == own && PyGILState_Check());
            CHECK_INT(PyRun_SimpleString("import threading; threading.local().x = 1"), 0);
            PyEval_SaveThread();
        }
        CHECK_INT(iso_rank_close(rank), 0);
        PyEval_RestoreThread(own);
    }
    PyGILState_Release(before);
    return unused;
}

static void
test_a_thread_with_python_of_its_own(void)
{
    pthread_t thread;
    start(ISO_CHANNEL_INLINE, 0, NULL);
    CHECK_INT(pthread_create(&thread, NULL, host_with_python, NULL), 0);
    pthread_join(thread, NULL);
    queue_end();
}

/* ---- a thread that ends with its rank open ---- */

static void *
leaves_rank_open(void *number)
{
    iso_rank *rank = open_rank((int)(intptr_t)number);
    CHECK_INT(run_on(rank, "one", NULL).code, 1);
    return NULL;
}

/* Its state was made on another stack, which is gone: 3.14 and later measure where a thread's stack ends. */
static void
test_a_rank_whose_thread_has_ended(void)
{
    for (int turn = 0; turn < 3; turn++) {
        pthread_t threads[RANKS];
        start(ISO_CHANNEL_INLINE, 0, NULL);
        for (intptr_t i = 0; i < RANKS; i++)
            CHECK_INT(pthread_create(&threads[i], NULL, leaves_rank_open, (void *)(i + 1)), 0);
        for (int i = 0; i < RANKS; i++)
            pthread_join(threads[i], NULL);
        queue_end();
    }
}

/* ---- engines and levels beside each other ---- */

static void
test_levels_beside_each_other(void)
{
    static const iso_override halves = {3, 4, "isolation", "own_gil"};
    iso_engine *first;
    start(ISO_CHANNEL_QUEUE, 0, &halves);
    first = engine;
    start(ISO_CHANNEL_QUEUE, 0, NULL);
    for (int turn = 0; turn < 200 / SCALE; turn++) {
        for (int rank = 1; rank <= RANKS; rank++)
            CHECK_INT(call(rank, "who", NULL), rank);
    }
    queue_end();
    engine = first;
    for (int rank = 1; rank <= RANKS; rank++)
        CHECK_INT(call(rank, "who", NULL), rank);
    queue_end();
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_a_deadline_ends_the_call_of_its_own_rank),
              TEST(test_a_deadline_never_reaches_a_host_function), TEST(test_batches_and_ranks_that_open_again),
              TEST(test_a_thread_with_python_of_its_own), TEST(test_a_rank_whose_thread_has_ended),
              TEST(test_levels_beside_each_other));
}
