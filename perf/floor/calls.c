/* calls.c: what one call costs on one thread. CPU time of that thread, so that a process that competes
 * for the core does not count; sides in turn, so that drift of the machine hits all alike. */
#include "measure.h"
#include "rank.h"
#include "worker.h"

#include <string.h>

static void
sample(struct floor_worker *worker, enum floor_case which, long calls, const char *label)
{
    floor_sample(floor_case_names[which], label, floor_worker_time(worker, which, calls));
}

/* The floor of the reads is the better of both indexers. */
static void
sample_floor_reads(struct floor_worker *worker, long calls)
{
    struct floor_rank *rank = worker->rank;

    rank->indexer = floor_index_sse2;
    sample(worker, FLOOR_CASE_READS, calls, "floor_sse2");
    if (floor_has_avx2()) {
        rank->indexer = floor_index_avx2;
        sample(worker, FLOOR_CASE_READS, calls, "floor_avx2");
    }
}

void
floor_measure_calls(const struct floor_plan *plan, const struct floor_side sides[FLOOR_SIDES])
{
    struct floor_worker workers[FLOOR_SIDES];

    for (int i = 0; i < FLOOR_SIDES; i++) {
        floor_worker_open(&workers[i], &sides[i], 1);
    }
    for (int repeat = 0; repeat < plan->repeats; repeat++) {
        for (enum floor_case which = 0; which < FLOOR_CASE_COUNT; which++) {
            /* A traceback's text takes two hundred times as long as its call. */
            long isoexec_calls = which == FLOOR_EXCEPTION ? plan->calls / 100 : plan->calls;

            if (which == FLOOR_CASE_READS) {
                sample_floor_reads(&workers[0], plan->calls);
            } else {
                sample(&workers[which == FLOOR_MAIN ? 3 : 0], which, plan->calls, "floor");
            }
            sample(&workers[which == FLOOR_MAIN ? 4 : 1], which, isoexec_calls, "isoexec");
            if (which == FLOOR_BATCH || which == FLOOR_ATTACH) {
                sample(&workers[2], which, plan->calls, "full");
            }
        }
    }
    for (int i = 0; i < FLOOR_SIDES; i++) {
        floor_worker_close(&workers[i]);
    }
}
