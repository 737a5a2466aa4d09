/* runtime.c: the one Python of the process: who starts it, the main-Python thread, the engines.
 *
 * A C host has no Python: the first engine makes one thread that initialises it, keeps its main thread
 * state, runs what must run in the main interpreter, and is never ended, as Python is never finalised.
 * A Python host has one: work for the main interpreter runs on the thread that asks. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "engine/clock.h"
#include "engine/states.h"
#include "engine/thread.h"

#define MAIN_STACK (8u << 20)

typedef struct job {
    int (*function)(void *argument);
    void *argument;
    int result;
    bool done;
    struct job *next;
} job;

static struct {
    pthread_mutex_t lock; /* guards started, ours, engines */
    bool started;
    bool ours;
    iso_engine *engines;

    pthread_mutex_t job_lock; /* guards the queue and each job's done */
    pthread_cond_t job_added;
    pthread_cond_t job_done;
    job *first;
    job **last;
    _Atomic int live_ranks;
    _Atomic int abandoned; /* ranks of the process whose interpreters stay */
} runtime = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .job_lock = PTHREAD_MUTEX_INITIALIZER,
    .job_added = PTHREAD_COND_INITIALIZER,
    .job_done = PTHREAD_COND_INITIALIZER,
    .last = &runtime.first,
};

typedef struct start {
    const iso_config *config;
    iso_error *err;
} start;

static int
start_python(void *argument)
{
    start *s = argument;
    int failed = Py_IsInitialized() ? 0 : iso__python_initialize(s->config, s->err);
    return failed ? failed : iso__main_rules_install(s->config, false, s->err);
}

static int
adopt_python(void *argument)
{
    start *s = argument;
    return iso__main_rules_install(s->config, true, s->err);
}

static job *
next_job(void)
{
    pthread_mutex_lock(&runtime.job_lock);
    while (runtime.first == NULL)
        pthread_cond_wait(&runtime.job_added, &runtime.job_lock);
    job *work = runtime.first;
    runtime.first = work->next;
    if (runtime.first == NULL)
        runtime.last = &runtime.first;
    pthread_mutex_unlock(&runtime.job_lock);
    return work;
}

static void
finish_job(job *work, int result)
{
    pthread_mutex_lock(&runtime.job_lock);
    work->result = result;
    work->done = true;
    pthread_cond_broadcast(&runtime.job_done);
    pthread_mutex_unlock(&runtime.job_lock);
}

/* The first job starts Python, so that a failed start is reported and tried again by the next engine. */
static void *
main_python_thread(void *unused)
{
    PyThreadState *state = NULL;
    for (;;) {
        job *work = next_job();
        if (state != NULL)
            iso__main_attach(state);
        int result = work->function(work->argument);
        if (Py_IsInitialized())
            state = iso__main_detach();
        finish_job(work, result);
    }
    return unused;
}

static int
run_job(int (*function)(void *), void *argument)
{
    job work = {.function = function, .argument = argument};
    pthread_mutex_lock(&runtime.job_lock);
    *runtime.last = &work;
    runtime.last = &work.next;
    pthread_cond_signal(&runtime.job_added);
    while (!work.done)
        pthread_cond_wait(&runtime.job_done, &runtime.job_lock);
    pthread_mutex_unlock(&runtime.job_lock);
    return work.result;
}

static int
spawn_main_thread(iso_error *err)
{
    static bool spawned; /* under the runtime lock */
    if (spawned)
        return 0;
    pthread_t thread;
    int failed = iso__thread_start(&thread, MAIN_STACK, main_python_thread, NULL);
    if (failed)
        return iso__fail(err, ISO_EINTERP, "the main-Python thread could not be started: %s", strerror(failed));
    pthread_detach(thread);
    spawned = true;
    return 0;
}

/* A script's write to a closed socket must not end a C host; a host that handles SIGPIPE keeps its way. */
static void
ignore_sigpipe(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL && (now.sa_flags & SA_SIGINFO) == 0)
        signal(SIGPIPE, SIG_IGN);
}

static int
start_runtime(const iso_config *config, iso_error *err)
{
    start s = {config, err};
    int failed = iso__python_version_check(err);
    if (failed)
        return failed;
    iso__clock_calibrate_begin();
    runtime.ours = !Py_IsInitialized() || runtime.ours;
    if (runtime.ours) {
        failed = spawn_main_thread(err);
        if (!failed)
            failed = run_job(start_python, &s);
    } else {
        failed = iso__runtime_main(adopt_python, &s);
    }
    iso__clock_calibrate_end();
    if (!failed)
        ignore_sigpipe();
    return failed;
}

int
iso__runtime_start(const iso_config *config, iso_error *err)
{
    pthread_mutex_lock(&runtime.lock);
    int failed = runtime.started ? 0 : start_runtime(config, err);
    if (!failed)
        runtime.started = true;
    pthread_mutex_unlock(&runtime.lock);
    return failed;
}

int
iso__runtime_main(int (*function)(void *argument), void *argument)
{
    if (runtime.ours)
        return run_job(function, argument);
    PyThreadState *state = iso__main_enter();
    if (state == NULL)
        return ISO_ENOMEM;
    int result = function(argument);
    iso__main_leave(state);
    return result;
}

int
iso__runtime_live_ranks(int by)
{
    return atomic_fetch_add(&runtime.live_ranks, by) + by;
}

int
iso__runtime_abandoned(int by)
{
    return atomic_fetch_add(&runtime.abandoned, by) + by;
}

void
iso__runtime_add(iso_engine *engine)
{
    pthread_mutex_lock(&runtime.lock);
    engine->next = runtime.engines;
    runtime.engines = engine;
    pthread_mutex_unlock(&runtime.lock);
}

void
iso__runtime_remove(iso_engine *engine)
{
    pthread_mutex_lock(&runtime.lock);
    for (iso_engine **at = &runtime.engines; *at != NULL; at = &(*at)->next) {
        if (*at == engine) {
            *at = engine->next;
            break;
        }
    }
    pthread_mutex_unlock(&runtime.lock);
}

/* The process is ending and only this thread makes or frees engines; the structs stay, for objects of
 * the host that still point to them. */
void
iso__runtime_close_all(void)
{
    pthread_mutex_lock(&runtime.lock);
    for (iso_engine *engine = runtime.engines; engine != NULL; engine = engine->next)
        iso__engine_close(engine);
    pthread_mutex_unlock(&runtime.lock);
}
