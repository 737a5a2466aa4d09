/* index_case.c: the case index, the header index of one message without Python. 64 copies at shifting
 * alignments, as datagrams come. */
#include "index.h"
#include "measure.h"
#include "message.h"

#include <isoexec.h>
#include <stdlib.h>
#include <string.h>

#define COPIES 64
#define SHIFTS 13

static _Alignas(64) char copies[COPIES][FLOOR_BUFFER];

static const char *
copy_at(long i)
{
    return copies[i % COPIES] + i % COPIES % SHIFTS;
}

static double
time_floor(floor_index_fn indexer, long calls)
{
    static struct floor_index index;
    uint64_t begin = floor_clock(CLOCK_THREAD_CPUTIME_ID);
    int failed = 0;

    for (long i = 0; i < calls; i++) {
        failed |= indexer(copy_at(i), FLOOR_MESSAGE_LENGTH, &index);
        __asm__ volatile("" ::"r"(&index) : "memory");
    }
    if (failed || index.row_count != FLOOR_MESSAGE_HEADERS) {
        fprintf(stderr, "floor: the index is wrong\n");
        exit(2);
    }
    return (double)(floor_clock(CLOCK_THREAD_CPUTIME_ID) - begin) / (double)calls;
}

static double
time_isoexec(long calls)
{
    static iso_index index;
    uint64_t begin;
    int failed = 0;
    iso_msg msg;

    iso_msg_init(&msg, copies[0], FLOOR_MESSAGE_LENGTH);
    begin = floor_clock(CLOCK_THREAD_CPUTIME_ID);
    for (long i = 0; i < calls; i++) {
        msg.data = copy_at(i);
        failed |= iso_msg_index(&msg, &index);
    }
    if (failed || index.row_count != FLOOR_MESSAGE_HEADERS) {
        fprintf(stderr, "isoexec: the index is wrong\n");
        exit(2);
    }
    return (double)(floor_clock(CLOCK_THREAD_CPUTIME_ID) - begin) / (double)calls;
}

void
floor_measure_index(const struct floor_plan *plan)
{
    for (int i = 0; i < COPIES; i++) {
        memcpy(copies[i] + i % SHIFTS, FLOOR_MESSAGE, FLOOR_MESSAGE_LENGTH);
    }
    time_isoexec(plan->calls / 20);
    for (int repeat = 0; repeat < plan->repeats; repeat++) {
        floor_sample("index", "floor_sse2", time_floor(floor_index_sse2, plan->calls));
        if (floor_has_avx2()) {
            floor_sample("index", "floor_avx2", time_floor(floor_index_avx2, plan->calls));
        }
        floor_sample("index", "isoexec", time_isoexec(plan->calls));
    }
}
