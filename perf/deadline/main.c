/* main.c: the deadline program. What a deadline that is set costs a call, and how late one that passes ends it.
 * Prints one line a sample. Started by `python -m perf deadline`, which builds it. */
#include <isoexec.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../floor/measure.h"
#include "../floor/log.h"
#include "../floor/message.h"
#include "../floor/worker.h"

#define SIDES 4
#define FAR_NS INT64_C(1000000000) /* is set, watched, and never passes */
#define LATE_NS INT64_C(20000000)

static const char octets[FLOOR_BUFFER] = FLOOR_MESSAGE;

static _Noreturn void
die(const char *what, const char *detail)
{
    fprintf(stderr, "deadline: %s: %s\n", what, detail);
    fflush(NULL);
    _exit(2);
}

/* Calls `spin` of the same rank, nested. */
static int
again(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err)
{
    iso_result result;

    (void)argv;
    (void)argc;
    (void)user;
    (void)err;
    iso_python_exec(call->rank, "spin", call->msg, (iso_str){NULL, 0}, &result);
    return result.code;
}

static iso_engine *
make_engine(const char *script, int timing, int64_t deadline)
{
    static const iso_function function = {.name = "again", .signature = "", .function = again};
    iso_engine *engine = NULL;
    iso_config config;
    iso_error err = {0};

    iso_config_init(&config);
    config.script_name = script;
    config.ranks = 1;
    config.timing = timing;
    config.deadline = deadline;
    config.log = floor_drop_log;
    config.functions = &function;
    config.function_count = 1;
    if (iso_engine_create(&engine, &config, &err)) {
        die(err.message, err.traceback);
    }
    return engine;
}

/* ---- the cost of one that is set ---- */

static void
measure_cost(const char *script, int repeats, long calls)
{
    static const char *const names[SIDES] = {"plain", "set", "full", "full_set"};
    struct floor_side sides[SIDES];
    struct floor_worker workers[SIDES];

    for (int i = 0; i < SIDES; i++) {
        int timing = i < 2 ? ISO_TIMING_SAMPLED : ISO_TIMING_FULL;

        sides[i] = floor_side_isoexec;
        sides[i].context = make_engine(script, timing, i % 2 ? FAR_NS : 0);
        floor_worker_open(&workers[i], &sides[i], 1);
    }
    for (int repeat = 0; repeat < repeats; repeat++) {
        for (enum floor_case which = FLOOR_BATCH; which <= FLOOR_ATTACH; which++) {
            for (int k = 0; k < SIDES; k++) {
                int i = (k + repeat) % SIDES;
                floor_sample(which == FLOOR_BATCH ? "batch" : "attach", names[i],
                             floor_worker_time(&workers[i], which, calls));
            }
        }
    }
    for (int i = 0; i < SIDES; i++) {
        floor_worker_close(&workers[i]);
        iso_engine_destroy((iso_engine *)sides[i].context);
    }
}

/* ---- how late ---- */

static iso_result
call(iso_rank *rank, const char *method)
{
    iso_msg msg;
    iso_result result;

    iso_msg_init(&msg, octets, FLOOR_MESSAGE_LENGTH);
    iso_python_exec(rank, method, &msg, (iso_str){NULL, 0}, &result);
    return result;
}

static void
measure_late(const char *script, int count)
{
    static const char *const methods[] = {"spin", "in_del", "swallowed_once", "nested", "busy_thread"};
    iso_engine *engine = make_engine(script, ISO_TIMING_SAMPLED, LATE_NS);
    iso_rank *rank = NULL;
    iso_error err = {0};

    if (iso_rank_open(engine, 1, &rank, &err)) {
        die(err.message, err.traceback);
    }
    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
        int busy = strcmp(methods[m], "busy_thread") == 0;

        if (busy && call(rank, "start").code != 1) {
            die("the script's thread", "did not start");
        }
        for (int i = -1; i < count; i++) { /* the first imports what a traceback needs */
            uint64_t begin = floor_clock(CLOCK_MONOTONIC);
            iso_result result = call(rank, busy ? "spin" : methods[m]);
            uint64_t took = floor_clock(CLOCK_MONOTONIC) - begin;

            if (result.outcome != ISO_OUTCOME_DEADLINE) {
                die(methods[m], iso_outcome_name(result.outcome));
            }
            if (i >= 0) {
                floor_sample(methods[m], "late", (double)took - (double)LATE_NS);
            }
        }
        if (busy && call(rank, "stop").code != 1) {
            die("the script's thread", "did not stop");
        }
    }
    iso_rank_close(rank);
    iso_engine_destroy(engine);
}

/* ---- an engine that is idle ---- */

static void
measure_idle(const char *script, double seconds)
{
    iso_engine *engine = make_engine(script, ISO_TIMING_SAMPLED, LATE_NS);
    iso_rank *rank = NULL;
    iso_error err = {0};
    uint64_t begin;

    if (iso_rank_open(engine, 1, &rank, &err)) {
        die(err.message, err.traceback);
    }
    call(rank, "route");
    sleep(2); /* after one second without calls the watchdog sleeps */
    begin = floor_clock(CLOCK_PROCESS_CPUTIME_ID);
    usleep((useconds_t)(seconds * 1e6));
    floor_sample("idle", "cpu", (double)(floor_clock(CLOCK_PROCESS_CPUTIME_ID) - begin) / seconds);
    iso_rank_close(rank);
    iso_engine_destroy(engine);
}

int
main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: deadline SCRIPT LATE_SCRIPT REPEATS CALLS LATE\n");
        return 2;
    }
    measure_cost(argv[1], atoi(argv[3]), atol(argv[4]));
    measure_late(argv[2], atoi(argv[5]));
    measure_idle(argv[2], 1.0);
    fflush(NULL);
    _exit(0);
}
