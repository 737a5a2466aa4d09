/* reload_signal.c: a signal of the process that reloads an engine (setting reload_signal).
 *
 * The handler may run on any thread of the host at any moment: it posts a semaphore and nothing else. A thread
 * of the engine does the work. */
#define _GNU_SOURCE
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "engine/clock.h"
#include "engine/engine.h"
#include "engine/thread.h"

#define TIMEOUT_MS 60000 /* for all ranks; one that is busy for longer reloads before its next call */
#define STACK (256u << 10)

/* What an engine listens with. Once made it stays in the list, as a handler may be walking it, and serves
 * another engine later. */
typedef struct iso__reload_signal {
    struct iso__reload_signal *next;
    _Atomic int number; /* the signal; 0: no engine has it */
    sem_t rung;
    pthread_t thread;
    _Atomic bool stopping;
    iso_engine *engine;
} iso__reload_signal;

static _Atomic(iso__reload_signal *) all;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows; the handler reads only `all` */
static int users[NSIG];                                  /* engines by signal */
static struct sigaction before[NSIG];                    /* the host's, to be put back */

static void
ring(int number)
{
    int saved = errno;
    for (iso__reload_signal *each = atomic_load(&all); each != NULL; each = each->next) {
        if (atomic_load(&each->number) == number)
            sem_post(&each->rung);
    }
    errno = saved;
}

static void
reload_and_tell(iso_engine *engine, int number)
{
    iso_error err = {0};
    uint64_t began = iso__clock_monotonic_ns();
    int code = iso_engine_reload(engine, TIMEOUT_MS, &err);
    if (code == 0)
        iso__log(engine, ISO_LOG_NOTICE, 0, "reloaded on signal %d (%s) in %llu ms", number, strsignal(number),
                 (unsigned long long)((iso__clock_monotonic_ns() - began) / 1000000u));
    else
        iso__log(engine, ISO_LOG_ERR, 0, "reload on signal %d (%s): %s", number, strsignal(number), err.message);
}

static void *
listen_for_signal(void *argument)
{
    iso__reload_signal *own = argument;
    int number = atomic_load(&own->number);
    for (;;) {
        while (sem_wait(&own->rung) != 0) /* a signal, or a debugger, may interrupt it */
            ;
        while (sem_trywait(&own->rung) == 0) /* some that came together are one */
            ;
        if (atomic_load(&own->stopping))
            return NULL;
        reload_and_tell(own->engine, number);
    }
}

/* One that no engine has, or a new one; NULL: no memory. Under the lock. */
static iso__reload_signal *
take_free(void)
{
    iso__reload_signal *own = atomic_load(&all);
    while (own != NULL && atomic_load(&own->number) != 0)
        own = own->next;
    if (own != NULL || (own = calloc(1, sizeof *own)) == NULL)
        return own;
    sem_init(&own->rung, 0, 0);
    own->next = atomic_load(&all);
    atomic_store(&all, own);
    return own;
}

/* Under the lock. */
static void
add_user(int number)
{
    struct sigaction ours = {.sa_handler = ring, .sa_flags = SA_RESTART};
    sigemptyset(&ours.sa_mask);
    if (users[number]++ == 0)
        sigaction(number, &ours, &before[number]);
}

/* Puts the host's way back, unless the host has put something there itself meanwhile. Under the lock. */
static void
remove_user(int number)
{
    struct sigaction now;
    if (--users[number] == 0 && sigaction(number, NULL, &now) == 0 && now.sa_handler == ring)
        sigaction(number, &before[number], NULL);
}

int
iso__reload_signal_start(iso_engine *engine, iso_error *err)
{
    int number = engine->config.reload_signal;
    if (number == 0)
        return 0;
    pthread_mutex_lock(&lock);
    iso__reload_signal *own = take_free();
    int failed = own == NULL ? ENOMEM : 0;
    if (!failed) {
        while (sem_trywait(&own->rung) == 0) /* of the engine that had it before */
            ;
        own->engine = engine;
        atomic_store(&own->stopping, false);
        atomic_store(&own->number, number);
        failed = iso__thread_start(&own->thread, STACK, listen_for_signal, own);
        if (failed)
            atomic_store(&own->number, 0);
        else
            add_user(number);
    }
    pthread_mutex_unlock(&lock);
    if (failed)
        return iso__fail(err, ISO_EINTERP, "no thread for the signal that reloads: %s", strerror(failed));
    engine->reload_signal = own;
    return 0;
}

void
iso__reload_signal_stop(iso_engine *engine)
{
    iso__reload_signal *own = engine->reload_signal;
    if (own == NULL)
        return;
    pthread_mutex_lock(&lock);
    remove_user(atomic_load(&own->number));
    pthread_mutex_unlock(&lock);
    atomic_store(&own->stopping, true);
    sem_post(&own->rung);
    pthread_join(own->thread, NULL);
    atomic_store(&own->number, 0); /* free for another engine */
    engine->reload_signal = NULL;
}
