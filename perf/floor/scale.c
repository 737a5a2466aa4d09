/* scale.c: the case scaling, calls per second of n ranks at once, each on its own thread, attached per
 * call. Wall time, so a sample in which other processes used the cores is taken again. */
#define _GNU_SOURCE
#include "forks.h"
#include "measure.h"
#include "worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES 8    /* of one sample */
#define DISTURBED 0.03 /* cores that others may use in a good sample */
#define CHUNK 8    /* calls between two looks at the stop flag */

struct race {
    pthread_barrier_t barrier;
    atomic_int stop;
    atomic_long calls;
};

struct sample {
    double ns;     /* wall time per call, of all ranks together */
    double cpu_ns; /* CPU time per call */
    double others; /* cores that other processes used meanwhile */
};

static void
run_race(struct floor_worker *worker, void *argument)
{
    struct race *race = argument;
    long calls = 0;

    pthread_barrier_wait(&race->barrier);
    while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
        worker->side->run(worker->rank, FLOOR_ATTACH, CHUNK);
        calls += CHUNK;
    }
    atomic_fetch_add(&race->calls, calls);
    pthread_barrier_wait(&race->barrier);
}

/* Seconds of CPU time that the whole machine has used; 0 where there is no /proc. */
static double
machine_busy(void)
{
    long user = 0, nice = 0, system = 0, idle, wait, hard = 0, soft = 0, steal = 0;
    FILE *file = fopen("/proc/stat", "r");

    if (!file) {
        return 0;
    }
    if (fscanf(file, "cpu %ld %ld %ld %ld %ld %ld %ld %ld", &user, &nice, &system, &idle, &wait, &hard, &soft,
               &steal) != 8) {
        user = nice = system = hard = soft = steal = 0;
    }
    fclose(file);
    return (double)(user + nice + system + hard + soft + steal) / (double)sysconf(_SC_CLK_TCK);
}

static struct sample
race_once(struct floor_worker *workers, int ranks, double seconds)
{
    struct race race = {.stop = 0};
    struct sample sample;
    uint64_t begin, wall, own;
    double busy;

    pthread_barrier_init(&race.barrier, NULL, (unsigned)ranks + 1);
    for (int i = 0; i < ranks; i++) {
        floor_worker_start(&workers[i], run_race, &race);
    }
    busy = machine_busy();
    own = floor_clock(CLOCK_PROCESS_CPUTIME_ID);
    begin = floor_clock(CLOCK_MONOTONIC);
    pthread_barrier_wait(&race.barrier);
    usleep((useconds_t)(seconds * 1e6));
    atomic_store(&race.stop, 1);
    pthread_barrier_wait(&race.barrier);
    wall = floor_clock(CLOCK_MONOTONIC) - begin;
    own = floor_clock(CLOCK_PROCESS_CPUTIME_ID) - own;
    busy = machine_busy() - busy;
    for (int i = 0; i < ranks; i++) {
        floor_worker_wait(&workers[i]);
    }
    pthread_barrier_destroy(&race.barrier);
    sample.ns = (double)wall / (double)atomic_load(&race.calls);
    sample.cpu_ns = (double)own / (double)atomic_load(&race.calls);
    sample.others = (busy - (double)own * 1e-9) / seconds;
    return sample;
}

static void
print_sample(const char *prefix, const struct floor_worker *workers, int ranks, double value)
{
    char label[64];

    snprintf(label, sizeof label, "%s%s_%d", prefix, workers[0].side->name, ranks);
    floor_sample("scaling", label, value);
}

/* Waits, half a second at most, until no other process wants a core. */
static void
wait_for_quiet(void)
{
    for (int i = 0; i < 100; i++) {
        FILE *file = fopen("/proc/stat", "r");
        char line[512];
        int running = 1;

        if (!file) {
            return;
        }
        while (fgets(line, sizeof line, file) && sscanf(line, "procs_running %d", &running) != 1) {
        }
        fclose(file);
        if (running <= 1) {
            return;
        }
        usleep(5000);
    }
}

/* Takes the sample again while others disturb it, until the case has used up its time. */
static void
race(struct floor_worker *workers, int ranks, double seconds, uint64_t until)
{
    struct sample best;

    if (floor_clock(CLOCK_MONOTONIC) < until) {
        wait_for_quiet();
    }
    best = race_once(workers, ranks, seconds);
    for (int i = 1; i < TRIES && best.others > DISTURBED && floor_clock(CLOCK_MONOTONIC) < until; i++) {
        struct sample sample;

        wait_for_quiet();
        sample = race_once(workers, ranks, seconds);
        if (sample.others < best.others) {
            best = sample;
        }
    }
    print_sample("", workers, ranks, best.ns);
    print_sample("cpu_", workers, ranks, best.cpu_ns);
    print_sample("others_", workers, ranks, best.others);
}

static void
race_forks(const struct floor_forks *forks, int count, double seconds, uint64_t until)
{
    char label[32];

    if (floor_clock(CLOCK_MONOTONIC) < until) {
        wait_for_quiet();
    }
    snprintf(label, sizeof label, "fork_%d", count);
    floor_sample("scaling", label, floor_forks_race(forks, count, seconds));
}

void
floor_measure_scaling(const struct floor_plan *plan, const struct floor_side sides[2], const struct floor_forks *forks)
{
    static const int counts[] = {1, 2, 8, 32, 128};
    static struct floor_worker workers[2][FLOOR_MOST_RANKS];
    uint64_t until;

    /* The two sides lock the making of interpreters each by their own lock, so one after the other. */
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < plan->most_ranks; i++) {
            floor_worker_open(&workers[side][i], &sides[side], i + 1);
        }
    }
    until = floor_clock(CLOCK_MONOTONIC) + (uint64_t)(plan->patience * 1e9);
    for (int repeat = 0; repeat < plan->scale_repeats; repeat++) {
        for (size_t i = 0; i < sizeof counts / sizeof *counts && counts[i] <= plan->most_ranks; i++) {
            for (int turn = 0; turn < 2; turn++) { /* who comes first has cores that had a rest */
                race(workers[(turn + repeat) % 2], counts[i], plan->seconds, until);
            }
            if (counts[i] <= FLOOR_FORKS) {
                race_forks(forks, counts[i], plan->seconds, until);
            }
        }
    }
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < plan->most_ranks; i++) {
            floor_worker_close(&workers[side][i]);
        }
    }
}
