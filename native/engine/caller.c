#include "engine/caller.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "engine/line.h"

#define KEPT_MOST (2 * ISO__POOL_BUNDLE) /* a thread with more gives a bundle back */
#define WARM_LINES 16                    /* of a task that is written soon */

ISO__THREAD iso__caller *iso__caller_of_thread;

static pthread_mutex_t callers_lock = PTHREAD_MUTEX_INITIALIZER; /* guards callers; innermost */
static iso__caller *callers;
static pthread_key_t exit_key;
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

/* Gives up to `count` tasks back to their pool. */
static void
give_back(iso__caller *caller, int count)
{
    iso_task *first = caller->tasks, *last = first;
    if (first == NULL)
        return;
    int given = 1;
    for (; given < count && last->next != NULL; given++)
        last = last->next;
    caller->tasks = last->next;
    caller->count -= given;
    iso__pool_give(first, last, given);
}

/* At the thread's exit. */
static void
caller_end(void *ending)
{
    iso__caller *caller = ending;
    pthread_mutex_lock(&callers_lock);
    iso__caller **at = &callers;
    while (*at != caller)
        at = &(*at)->next;
    *at = caller->next;
    pthread_mutex_unlock(&callers_lock);
    give_back(caller, caller->count);
    iso__caller_of_thread = NULL;
    free(caller);
}

static void
make_exit_key(void)
{
    pthread_key_create(&exit_key, caller_end);
}

iso__caller *
iso__caller_new(void)
{
    pthread_once(&exit_key_once, make_exit_key);
    iso__caller *caller = iso__lines_new(sizeof *caller);
    if (caller == NULL)
        return NULL;
    if (pthread_setspecific(exit_key, caller) != 0) {
        free(caller);
        return NULL;
    }
    pthread_mutex_lock(&callers_lock);
    caller->next = callers;
    callers = caller;
    pthread_mutex_unlock(&callers_lock);
    iso__caller_of_thread = caller;
    return caller;
}

static bool
anybody_inside(const struct iso__queue *queue)
{
    bool found = false;
    pthread_mutex_lock(&callers_lock);
    for (iso__caller *caller = callers; caller != NULL && !found; caller = caller->next)
        found = atomic_load(&caller->inside) == queue;
    pthread_mutex_unlock(&callers_lock);
    return found;
}

void
iso__caller_wait_until_left(const struct iso__queue *queue)
{
    iso__barrier_everywhere();
    while (anybody_inside(queue))
        sched_yield();
}

/* The lines that the next call will write lie where a rank last read them: they are asked for now, so that
 * its locked operations need not wait for them. */
static void
warm(const iso_task *task)
{
    for (int line = 0; task != NULL && line < WARM_LINES; line++)
        iso__line_claim((const char *)task + line * ISO__LINE);
}

iso_task *
iso__caller_take(iso__caller *caller, iso__pool *pool)
{
    if (caller->pool != pool)
        give_back(caller, caller->count); /* of another engine */
    caller->pool = pool;
    if (caller->tasks == NULL)
        caller->tasks = iso__pool_take(pool, &caller->count);
    iso_task *task = caller->tasks;
    if (task != NULL) {
        caller->tasks = task->next;
        caller->count--;
        warm(task->next);
    }
    return task;
}

void
iso__caller_keep(iso__caller *caller, iso_task *task)
{
    if (caller == NULL || (caller->tasks != NULL && caller->pool != task->pool) || !iso__task_shrink(task)) {
        task->next = NULL;
        iso__pool_give(task, task, 1);
        return;
    }
    warm(task);
    caller->pool = task->pool;
    task->next = caller->tasks;
    caller->tasks = task;
    if (++caller->count > KEPT_MOST)
        give_back(caller, ISO__POOL_BUNDLE);
}
