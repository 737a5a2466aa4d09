#include <string.h>

#include "engine/clock.h"
#include "engine/queue.h"

#define STEPS_LOG2 3 /* 8 steps an octave */
#define STEPS (1u << STEPS_LOG2)

static size_t
bucket_of(uint64_t ns)
{
    if (ns < STEPS)
        return (size_t)ns;
    unsigned octave = 63u - (unsigned)__builtin_clzll(ns);
    size_t bucket = ((size_t)(octave - STEPS_LOG2 + 1) << STEPS_LOG2) + ((ns >> (octave - STEPS_LOG2)) & (STEPS - 1));
    return bucket < ISO_HISTOGRAM_BUCKETS ? bucket : ISO_HISTOGRAM_BUCKETS - 1;
}

uint64_t
iso_histogram_floor(size_t bucket)
{
    if (bucket < STEPS)
        return bucket;
    if (bucket >= ISO_HISTOGRAM_BUCKETS)
        bucket = ISO_HISTOGRAM_BUCKETS - 1;
    unsigned shift = (unsigned)(bucket >> STEPS_LOG2) - 1;
    return (uint64_t)(STEPS + (bucket & (STEPS - 1))) << shift;
}

void
iso__stats_sample(iso_rank *rank, uint64_t elapsed_ns)
{
    iso__count(&rank->counters.histogram[bucket_of(elapsed_ns)], 1);
}

uint64_t
iso_histogram_quantile(const uint64_t histogram[ISO_HISTOGRAM_BUCKETS], double p)
{
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < ISO_HISTOGRAM_BUCKETS; i++)
        total += histogram[i];
    if (total == 0)
        return 0;
    double clamped = p < 0 ? 0 : p > 1 ? 1 : p;
    uint64_t rank = (uint64_t)(clamped * (double)total);
    if ((double)rank < clamped * (double)total || rank == 0)
        rank++;
    for (size_t i = 0; i < ISO_HISTOGRAM_BUCKETS; i++) {
        seen += histogram[i];
        if (seen >= rank) /* the middle of the bucket */
            return (iso_histogram_floor(i) + iso_histogram_floor(i + 1)) / 2;
    }
    return iso_histogram_floor(ISO_HISTOGRAM_BUCKETS - 1);
}

int
iso_engine_stats(const iso_engine *engine, int number, iso_rank_stats *out)
{
    if (engine == NULL || number < 1 || number > engine->config.ranks)
        return ISO_EINVAL;
    const iso_rank *rank = iso__rank_of(engine, number);
    const iso__counters *from = &rank->counters;
    memset(out, 0, sizeof *out);
    out->number = number;
    out->open = atomic_load(&rank->state) == ISO__RANK_SERVING;
#define READ(member) atomic_load_explicit(&from->member, memory_order_acquire)
    uint64_t failed = 0;
    for (size_t i = 0; i < ISO_HISTOGRAM_BUCKETS; i++)
        out->sampled += out->histogram[i] = READ(histogram[i]);
    out->edits = READ(edits);
    out->log_lines = READ(log_lines);
    for (int i = ISO_OUTCOME_RETURNED + 1; i < ISO_OUTCOME_COUNT; i++) {
        out->outcomes[i] = READ(failures[i]);
        if (i != ISO_OUTCOME_REFUSED) /* was no call */
            failed += out->outcomes[i];
    }
    out->calls = READ(calls); /* last: it covers all of the above; a running call counts as returned */
    out->outcomes[ISO_OUTCOME_RETURNED] = out->calls - failed;
    uint64_t opened = atomic_load(&rank->opened_ns);
    out->opened_ns = opened != 0 ? iso__clock_monotonic_ns() - opened : 0;
    out->waiting = (uint32_t)iso__queue_waiting(engine, number);
    out->blocks = atomic_load(&rank->blocks);
    out->isolation = rank->settings.isolation;
    out->stuck = atomic_load(&rank->watch.stuck);
    out->restarts = rank->restarts + iso__children_stats(rank, &out->pid);
    out->reloads = atomic_load(&rank->reloads);
#undef READ
    return 0;
}
