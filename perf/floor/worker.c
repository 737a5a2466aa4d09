/* worker.c: see worker.h. */
#include "worker.h"

#include "measure.h"

#include <stdio.h>
#include <stdlib.h>

#define STACK_SIZE (8u << 20) /* CPython 3.12 and 3.13 do not look at the stack they run on */

static void
open_rank(struct floor_worker *worker, void *argument)
{
    (void)argument;
    worker->rank = worker->side->open(worker->side, worker->number);
}

static void
close_rank(struct floor_worker *worker, void *argument)
{
    (void)argument;
    if (worker->side->close) {
        worker->side->close(worker->rank);
    }
    worker->stopping = 1;
}

static void *
serve(void *argument)
{
    struct floor_worker *worker = argument;

    while (!worker->stopping) {
        pthread_mutex_lock(&worker->lock);
        while (!worker->job) {
            pthread_cond_wait(&worker->changed, &worker->lock);
        }
        pthread_mutex_unlock(&worker->lock);
        worker->job(worker, worker->argument);
        pthread_mutex_lock(&worker->lock);
        worker->job = NULL;
        pthread_cond_signal(&worker->changed);
        pthread_mutex_unlock(&worker->lock);
    }
    return NULL;
}

void
floor_worker_start(struct floor_worker *worker, void (*job)(struct floor_worker *, void *), void *argument)
{
    pthread_mutex_lock(&worker->lock);
    worker->argument = argument;
    worker->job = job;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

void
floor_worker_wait(struct floor_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    while (worker->job) {
        pthread_cond_wait(&worker->changed, &worker->lock);
    }
    pthread_mutex_unlock(&worker->lock);
}

void
floor_worker_open(struct floor_worker *worker, const struct floor_side *side, int number)
{
    pthread_attr_t attributes;

    *worker = (struct floor_worker){.side = side, .number = number};
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->changed, NULL);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    if (pthread_create(&worker->thread, &attributes, serve, worker)) {
        fprintf(stderr, "floor: no thread\n");
        exit(2);
    }
    pthread_attr_destroy(&attributes);
    floor_worker_start(worker, open_rank, NULL);
    floor_worker_wait(worker);
}

void
floor_worker_close(struct floor_worker *worker)
{
    floor_worker_start(worker, close_rank, NULL);
    floor_worker_wait(worker);
    pthread_join(worker->thread, NULL);
}

struct timed {
    enum floor_case which;
    long calls;
    double ns; /* per call */
};

static void
run_timed(struct floor_worker *worker, void *argument)
{
    struct timed *timed = argument;
    uint64_t begin;

    worker->side->run(worker->rank, timed->which, timed->calls / 20); /* warms caches and Python's inline caches */
    begin = floor_clock(CLOCK_THREAD_CPUTIME_ID);
    worker->side->run(worker->rank, timed->which, timed->calls);
    timed->ns = (double)(floor_clock(CLOCK_THREAD_CPUTIME_ID) - begin) / (double)timed->calls;
}

double
floor_worker_time(struct floor_worker *worker, enum floor_case which, long calls)
{
    struct timed timed = {.which = which, .calls = calls};

    floor_worker_start(worker, run_timed, &timed);
    floor_worker_wait(worker);
    return timed.ns;
}
