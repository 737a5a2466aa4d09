#include "engine/caller.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "engine/line.h"

#define WARM_LINES 16 /* of a task that is written soon */

ISO__THREAD iso__caller *iso__caller_of_thread;

static pthread_mutex_t callers_lock = PTHREAD_MUTEX_INITIALIZER; /* guards callers; innermost */
static iso__caller *callers;
static pthread_key_t exit_key;
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

static void
free_caller(iso__caller *caller)
{
    free(caller->loaded);
    free(caller->other);
    free(caller);
}

static void
give_back(iso__caller *caller)
{
    caller->loaded = iso__pool_give(caller->loaded);
    caller->other = iso__pool_give(caller->other);
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
    give_back(caller);
    iso__caller_of_thread = NULL;
    free_caller(caller);
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
    caller->loaded = iso__bundle_new();
    caller->other = iso__bundle_new();
    if (caller->loaded == NULL || caller->other == NULL || pthread_setspecific(exit_key, caller) != 0) {
        free_caller(caller);
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

void
iso__caller_warm(const iso__caller *caller)
{
    const iso__bundle *next = caller->loaded->count > 0 ? caller->loaded : caller->other;
    if (next->count == 0)
        return;
    const iso_task *task = next->tasks[next->count - 1];
    for (int line = 0; line < WARM_LINES; line++)
        iso__line_claim((const char *)task + line * ISO__LINE);
}

static void
swap(iso__caller *caller)
{
    iso__bundle *loaded = caller->loaded;
    caller->loaded = caller->other;
    caller->other = loaded;
}

/* Two tasks at least, if there is memory. The next one is taken from `loaded`. */
static void
refill(iso__caller *caller, iso__pool *pool)
{
    if (caller->loaded->count == 0)
        swap(caller);
    if (caller->loaded->count + caller->other->count >= 2)
        return;
    caller->other = iso__pool_take(pool, caller->other); /* empty before */
    if (caller->loaded->count == 0)
        swap(caller);
    iso__bundle *loaded = caller->loaded;
    while (loaded->count + caller->other->count < 2 && (loaded->tasks[loaded->count] = iso__pool_make(pool)) != NULL)
        loaded->count++;
}

iso_task *
iso__caller_take(iso__caller *caller, iso__pool *pool)
{
    if (caller->pool != pool)
        give_back(caller); /* of another engine */
    caller->pool = pool;
    refill(caller, pool);
    if (caller->loaded->count == 0)
        return NULL;
    iso__bundle *loaded = caller->loaded;
    int place = --loaded->count;
    if (place % ISO__BUNDLE_LINE == 0 && place > 0)
        iso__line_claim(&loaded->tasks[place - 1]); /* a rank filled the bundle */
    return loaded->tasks[place];
}

void
iso__caller_keep(iso__caller *caller, iso_task *task)
{
    bool others = caller != NULL && caller->pool != task->pool && caller->loaded->count + caller->other->count > 0;
    if (caller == NULL || others || !iso__pool_accepts(task)) {
        iso__pool_give_one(task);
        return;
    }
    caller->pool = task->pool;
    if (caller->loaded->count == ISO__BUNDLE) {
        if (caller->other->count > 0)
            caller->other = iso__pool_give(caller->other);
        swap(caller);
    }
    iso__bundle *loaded = caller->loaded;
    int n = loaded->count++;
    loaded->tasks[n] = task;
    if (n > 0) { /* not the next one to be taken, but the one after, whose lines have the time to come (warm) */
        loaded->tasks[n] = loaded->tasks[n - 1];
        loaded->tasks[n - 1] = task;
    }
}
