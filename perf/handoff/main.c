/* main.c: the hand-off program. Runs every case bare and through isoexec's queue in turn, in one process, and
 * prints one line a sample. Started by `python -m perf handoff`, which builds it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../floor/message.h"
#include "../floor/pace.h"
#include "bare.h"
#include "handoff.h"

static const char octets[FLOOR_BUFFER] = FLOOR_MESSAGE;
static iso_engine *engine; /* one queue rank */
static iso_msg msg;

_Noreturn void
handoff_die(const char *what, const char *detail)
{
    fprintf(stderr, "handoff: %s: %s\n", what, detail);
    fflush(NULL);
    _exit(2);
}

iso_engine *
handoff_engine(const char *script, int channel, int ranks)
{
    iso_engine *made = NULL;
    iso_config config;
    iso_error err = {0};

    iso_config_init(&config);
    config.script_name = script;
    config.channel = channel;
    config.ranks = ranks;
    config.queue_size = RING;
    if (iso_engine_create(&made, &config, &err) || (channel == ISO_CHANNEL_QUEUE && iso_engine_start(made, &err))) {
        handoff_die(err.message, err.traceback);
    }
    return made;
}

static int
default_spin_us(void)
{
    iso_config config;

    iso_config_init(&config);
    return (int)(config.spin / 1000);
}

static void
trip(void *argument)
{
    iso_task *task = NULL;

    (void)argument;
    if (iso_submit(engine, 1, "route", &msg, (iso_str){NULL, 0}, NULL, 0, &task) || iso_task_wait(task, -1) ||
        iso_task_result(task)->code != 1) {
        handoff_die("a call failed", "round_trip");
    }
    iso_task_free(task);
}

/* ns per message that nobody waits for, until the last was handled. */
static double
drain(long count)
{
    uint64_t begin = floor_clock(CLOCK_MONOTONIC);

    for (long i = 1; i < count; i++) {
        if (iso_submit(engine, 1, "route", &msg, (iso_str){NULL, 0}, NULL, ISO_SUBMIT_FORGET, NULL)) {
            handoff_die("iso_submit", "drained");
        }
    }
    trip(NULL);
    return (double)(floor_clock(CLOCK_MONOTONIC) - begin) / (double)count;
}

/* What is measured of whom. */
enum side { BARE, BARE_BY_NAME, BARE_COPY, ISOEXEC, SIDES };
static const char *const side_names[] = {"bare", "bare_by_name", "bare_copy", "isoexec"};
static const enum bare_way ways[] = {BARE_WAY_PLAIN, BARE_WAY_BY_NAME, BARE_WAY_COPY};

struct sampling {
    struct floor_worker *bare;
    long count; /* round trips or messages */
    int repeat;
    int tries;
};

typedef double (*take_fn)(const struct sampling *of, enum side side);

static double
take_round_trip(const struct sampling *of, enum side side)
{
    return side == ISOEXEC ? handoff_median(trip, NULL, of->count) : bare_round_trip(of->bare, of->count, ways[side]);
}

static double
take_drained(const struct sampling *of, enum side side)
{
    return side == ISOEXEC ? drain(of->count) : bare_drain(of->bare, of->count, ways[side]);
}

/* All sides once; how even the pace was. Each side is the first in turn: who is has cores that had a rest. */
static double
take_sides(take_fn take, const struct sampling *of, double *ns)
{
    struct floor_pace pace = {0, 0};

    floor_pace_note(&pace, of->bare);
    for (int turn = 0; turn < SIDES; turn++) {
        enum side side = (enum side)((of->repeat + turn) % SIDES);

        ns[side] = take(of, side);
        floor_pace_note(&pace, of->bare);
    }
    return floor_pace_spread(&pace);
}

/* The sides are taken again, all of them, if one had other cores than another. */
static void
sample_sides(const char *name, take_fn take, const struct sampling *of)
{
    double kept[SIDES], kept_spread = 0;

    for (int i = 0; i < of->tries && (i == 0 || kept_spread > FLOOR_PACE_STEADY); i++) {
        double ns[SIDES], spread = take_sides(take, of, ns);

        if (i == 0 || spread < kept_spread) {
            memcpy(kept, ns, sizeof kept);
            kept_spread = spread;
        }
    }
    for (int side = 0; side < SIDES; side++) {
        floor_sample(name, side_names[side], kept[side]);
    }
}

static void
measure_handoff(const char *script, int repeats, long calls, long messages, int tries)
{
    struct floor_worker bare;

    bare_open(&bare, script, default_spin_us());
    for (int i = 0; i < repeats; i++) {
        struct sampling trips = {&bare, calls, i, tries}, one_way = {&bare, messages, i, tries};

        sample_sides("round_trip", take_round_trip, &trips);
        sample_sides("drained", take_drained, &one_way);
    }
}

/* CPU time of the process while four queue ranks have nothing to do, as a share of the time. */
static void
measure_idle(const char *script, double seconds)
{
    iso_engine *idle = handoff_engine(script, ISO_CHANNEL_QUEUE, RANKS);
    uint64_t cpu;

    usleep(200000);
    cpu = floor_clock(CLOCK_PROCESS_CPUTIME_ID);
    usleep((useconds_t)(seconds * 1e6));
    floor_sample("idle", "isoexec", (double)(floor_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu) / seconds);
    if (iso_engine_destroy(idle)) {
        handoff_die("ranks were abandoned", "idle");
    }
}

int
main(int argc, char **argv)
{
    if (argc != 9) {
        fprintf(stderr, "usage: handoff SCRIPT BUSY_SCRIPT REPEATS CALLS MESSAGES SECONDS IDLE_SECONDS TRIES\n");
        return 2;
    }
    if (atoi(argv[3]) < 1 || atol(argv[4]) < BLOCK || atol(argv[5]) < 2) {
        handoff_die("a number is out of range", argv[3]);
    }
    iso_msg_init(&msg, octets, FLOOR_MESSAGE_LENGTH);
    engine = handoff_engine(argv[1], ISO_CHANNEL_QUEUE, 1); /* starts Python, which the bare rank then uses too */
    measure_handoff(argv[1], atoi(argv[3]), atol(argv[4]), atol(argv[5]), atoi(argv[8]));
    if (iso_engine_destroy(engine)) {
        handoff_die("ranks were abandoned", "round_trip");
    }
    handoff_measure_throughput(argv[2], atoi(argv[3]), atof(argv[6]));
    measure_idle(argv[1], atof(argv[7]));
    fflush(NULL);
    _exit(0); /* the bare rank lives on, and must not meet Py_FinalizeEx */
}
