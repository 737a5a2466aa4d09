/* calls.c: what one call costs on one thread. CPU time of that thread, so that a process that competes
 * for the core does not count; sides in turn, so that drift of the machine hits all alike. */
#include "measure.h"
#include "pace.h"
#include "rank.h"
#include "worker.h"

#include <string.h>

#define TRIES 50 /* of one sample */

/* What a sample that is worth keeping looks like. */
struct quiet {
    double pace; /* the best that was seen, in ns a step; begins with 0 */
    uint64_t until; /* when patience ends */
};

/* Notes a pace; whether the core was as fast as it can be. */
static int
is_quiet(struct quiet *quiet, double pace)
{
    if (quiet->pace == 0 || pace < quiet->pace) {
        quiet->pace = pace;
    }
    return pace <= quiet->pace * FLOOR_PACE_STEADY;
}

/* Taken again while somebody else has the other half of the core: what takes many instructions suffers more from that than
 * what waits for locked ones, so the ratio would say how busy the neighbours are. */
static void
sample(struct quiet *quiet, struct floor_worker *worker, enum floor_case which, long calls, const char *label)
{
    double ns = 0;
    int good = 0;

    for (int i = 0; i < TRIES && !good; i++) {
        int before = is_quiet(quiet, floor_pace_of(worker));

        ns = floor_worker_time(worker, which, calls);
        good = (is_quiet(quiet, floor_pace_of(worker)) && before) || floor_clock(CLOCK_MONOTONIC) > quiet->until;
    }
    floor_sample(floor_case_names[which], label, ns);
}

/* The floor of the reads is the better of both indexers. */
static void
sample_floor_reads(struct quiet *quiet, struct floor_worker *worker, long calls)
{
    struct floor_rank *rank = worker->rank;

    rank->indexer = floor_index_sse2;
    sample(quiet, worker, FLOOR_CASE_READS, calls, "floor_sse2");
    if (floor_has_avx2()) {
        rank->indexer = floor_index_avx2;
        sample(quiet, worker, FLOOR_CASE_READS, calls, "floor_avx2");
    }
}

void
floor_measure_calls(const struct floor_plan *plan, const struct floor_side sides[FLOOR_SIDES])
{
    struct floor_worker workers[FLOOR_SIDES];
    struct quiet quiet = {0, floor_clock(CLOCK_MONOTONIC) + (uint64_t)(plan->patience * 1e9)};

    for (int i = 0; i < FLOOR_SIDES; i++) {
        floor_worker_open(&workers[i], &sides[i], 1);
    }
    for (int repeat = 0; repeat < plan->repeats; repeat++) {
        for (enum floor_case which = 0; which < FLOOR_CASE_COUNT; which++) {
            /* A traceback's text takes two hundred times as long as its call. */
            long isoexec_calls = which == FLOOR_EXCEPTION ? plan->calls / 100 : plan->calls;

            if (which == FLOOR_CASE_READS) {
                sample_floor_reads(&quiet, &workers[0], plan->calls);
            } else {
                sample(&quiet, &workers[which == FLOOR_MAIN ? 3 : 0], which, plan->calls, "floor");
            }
            sample(&quiet, &workers[which == FLOOR_MAIN ? 4 : 1], which, isoexec_calls, "isoexec");
            if (which == FLOOR_BATCH || which == FLOOR_ATTACH) {
                sample(&quiet, &workers[2], which, plan->calls, "full");
            }
        }
    }
    for (int i = 0; i < FLOOR_SIDES; i++) {
        floor_worker_close(&workers[i]);
    }
}
