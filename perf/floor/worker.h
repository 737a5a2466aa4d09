/* worker.h: a thread that owns one rank of a side and does one job at a time for the main thread. */
#ifndef FLOOR_WORKER_H
#define FLOOR_WORKER_H

#include <pthread.h>

#include "side.h"

struct floor_worker {
    const struct floor_side *side;
    void *rank;
    int number; /* of the rank, from 1 */
    pthread_t thread;
    pthread_mutex_t lock; /* guards job */
    pthread_cond_t changed;
    void (*job)(struct floor_worker *worker, void *argument); /* NULL: idle */
    void *argument;
    int stopping;
};

/* Starts the thread and opens its rank; returns when the rank is open. */
void floor_worker_open(struct floor_worker *worker, const struct floor_side *side, int number);
/* Closes the rank on its thread and joins it. */
void floor_worker_close(struct floor_worker *worker);
void floor_worker_start(struct floor_worker *worker, void (*job)(struct floor_worker *, void *), void *argument);
void floor_worker_wait(struct floor_worker *worker);
/* What one call of a case costs in the worker's rank, in ns of its thread's CPU time, after a warm-up. */
double floor_worker_time(struct floor_worker *worker, enum floor_case which, long calls);

#endif
