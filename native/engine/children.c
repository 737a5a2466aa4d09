/* children.c: the thread that looks after the processes of an engine's ranks: it starts them, reads what they
 * write while nobody waits for them, sees their end and starts others, ends those that are stuck, and stops them.
 *
 * One thread for all of them, that lives as long as the engine; it sleeps until a process or a rank rings. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/elsewhere.h"
#include "engine/settings.h"
#include "engine/thread.h"
#include "engine/units.h"

#define STACK (256u << 10)
#define SHORT_LIFE_NS ISO__SECOND          /* who ends sooner after its start is started again after a pause */
#define SERVED_DELAY_MOST (ISO__SECOND / 2) /* of who served before: back within a second, however often calls end it */
#define FAILED_DELAY_MOST (30 * ISO__SECOND) /* of who could not start */
#define LATE_LOOK_NS ISO__MS /* how often a call that nobody waits for is looked at */
#define STUCK_LOOK_NS (20 * ISO__MS)
#define END_NS (500 * ISO__MS) /* what Python has for its own end, besides the grace time */
#define NO_PIDFD_MS 50 /* before Linux 5.3 the end of a process has to be asked for */

typedef struct iso__children {
    iso_engine *engine;
    pid_t owner; /* the process that made it: a fork of it has no children */
    pthread_mutex_t lock; /* guards first and running */
    iso__elsewhere *first;
    pthread_t thread;
    bool running;
    _Atomic int stopping;
    int bell;
    char **command; /* program and options of a process */
    struct pollfd *polled; /* the thread's */
    size_t polled_room;
} iso__children;

static void
due_at(uint64_t at, uint64_t *next)
{
    *next = at < *next ? at : *next;
}

/* ---- start ---- */

/* lived: how long the process served, 0 if it never did. */
static void
plan_start(iso__elsewhere *e, uint64_t now, uint64_t lived)
{
    int limit = e->rank->settings.restart_limit;
    if (limit > 0 && atomic_load(&e->restarts) + e->failed_starts >= (uint32_t)limit) {
        e->given_up = true;
        iso__log(e->rank->engine, ISO_LOG_CRIT, e->rank->number,
                 "its process is not started again: it was %d times (setting restart_limit)", limit);
        return;
    }
    int64_t least = e->rank->settings.restart_delay, most = lived > 0 ? SERVED_DELAY_MOST : FAILED_DELAY_MOST;
    if (most < least)
        most = least;
    if (lived >= SHORT_LIFE_NS)
        e->delay = 0;
    else
        e->delay = e->delay == 0 ? least : e->delay < most / 2 ? e->delay * 2 : most;
    e->start_at = now + (uint64_t)e->delay;
}

/* The first start, or a later one, has failed; e->error says why. */
static void
start_failed(iso__elsewhere *e, uint64_t now)
{
    if (e->wanted == ISO__WANT_FIRST) {
        e->wanted = ISO__WANT_NONE;
        return;
    }
    iso__log(e->rank->engine, ISO_LOG_CRIT, e->rank->number, "its process could not be started again: %s",
             e->error.message);
    e->failed_starts++;
    plan_start(e, now, 0);
}

static void
start(iso__children *children, iso__elsewhere *e, uint64_t now)
{
    e->error = (iso_error){0};
    if (iso__process_start(e->rank, children->command, &e->process, &e->error) < 0) {
        e->process = NULL;
        start_failed(e, now);
    }
}

/* The process has loaded the script, or could not. */
static void
take_started(iso__elsewhere *e, uint64_t now)
{
    iso__process *process = e->process;
    iso__said said;
    if (!iso__post_arrived(&process->region->up, process->seen))
        return;
    if (iso__said_read(process, &said) < 0 || said.kind != ISO__UP_STARTED || said.code > 0) {
        iso__process_kill(process, "what it said at its start makes no sense");
    } else if (said.code < 0) {
        iso__said_error(&said, &e->error);
        e->error.code = said.code; /* it ends by itself now */
        process->kill_at = now + (uint64_t)(e->rank->settings.grace + END_NS);
    } else {
        process->ready = true;
        process->ready_at = now;
        atomic_store(&e->pid, process->pid);
        atomic_store(&e->rank->opened_ns, now);
        if (e->wanted == ISO__WANT_FIRST) {
            e->wanted = ISO__WANT_ALIVE;
        } else {
            uint32_t count = atomic_fetch_add(&e->restarts, 1) + 1;
            iso__log(e->rank->engine, ISO_LOG_NOTICE, e->rank->number,
                     "its process was started again (pid %d, %u so far)", process->pid, (unsigned)count);
            iso__event(e->rank->engine, ISO_EVENT_RESTARTED, e->rank->number);
        }
    }
}

/* ---- end ---- */

/* Why a process ended that never was ready, unless it said so itself. */
static void
explain_start(iso__elsewhere *e, const iso__process *process)
{
    if (e->error.code != 0)
        return;
    bool in_script = atomic_load(&process->region->stage) != 0;
    iso__fail(&e->error, in_script ? ISO_EINIT : ISO_EINTERP, "rank %d: its process %s%s", e->rank->number,
              process->end, in_script ? " while it loaded the script" : " before it could load the script");
    if (process->tail.n == 0)
        return;
    iso__error_traceback(&e->error, (iso_str){process->tail.p, process->tail.n});
    size_t used = strlen(e->error.message), line = strcspn(process->tail.p, "\n");
    if (!in_script) /* one line, of child_boot.py */
        snprintf(e->error.message + used, sizeof e->error.message - used, ": %.*s", (int)line, process->tail.p);
}

static void
take_end(iso__elsewhere *e, uint64_t now)
{
    iso__process *process = e->process;
    iso_rank *rank = e->rank;
    iso__process_read_output(rank, process);
    iso__process_flush_output(rank, process);
    iso__process_read_log(rank, process);
    iso__process_close(process);
    e->process = NULL;
    atomic_store(&e->pid, 0);
    atomic_store(&rank->watch.stuck, 0);
    if (e->wanted == ISO__WANT_STOP) {
        e->wanted = ISO__WANT_NONE;
    } else if (!process->ready) {
        explain_start(e, process);
        start_failed(e, now);
    } else {
        iso__log(rank->engine, ISO_LOG_ERR, rank->number, "its process (pid %d) %s", process->pid, process->end);
        if (!process->stuck)
            iso__event(rank->engine, ISO_EVENT_CRASHED, rank->number);
        plan_start(e, now, now - process->ready_at);
    }
    atomic_store(&process->ended, 1);
    iso__futex_wake_shared(&process->region->up.turn);
    iso__process_drop(process);
}

/* ---- a call that nobody waits for any more ---- */

static void
count_as_stuck(iso__elsewhere *e, iso__process *process)
{
    iso_rank *rank = e->rank;
    char limit[ISO__UNIT_TEXT];
    bool replace = rank->settings.on_stuck == ISO_STUCK_REPLACE;
    iso__unit_format(ISO__UNIT_TIME, rank->settings.deadline, limit);
    process->stuck = true;
    atomic_store(&rank->watch.stuck, 1);
    iso__log(rank->engine, ISO_LOG_CRIT, rank->number,
             "stuck: its call took longer than its deadline of %s, and still runs after the grace time. %s", limit,
             replace ? "Its process is killed and started again" : "Calls for this rank wait until it ends");
    iso__event(rank->engine, ISO_EVENT_STUCK, rank->number);
    if (replace)
        iso__process_kill(process, "its call went on for the grace time after the deadline");
}

static void
end_late(iso__elsewhere *e, iso__process *process)
{
    if (process->stuck) {
        process->stuck = false;
        atomic_store(&e->rank->watch.stuck, 0);
        iso__log(e->rank->engine, ISO_LOG_NOTICE, e->rank->number, "its stuck call has ended: the rank serves again");
        iso__event(e->rank->engine, ISO_EVENT_FREED, e->rank->number);
    }
    atomic_store(&process->late, 0);
}

/* Lets the process come out of its calls: what it asks of the host fails, what it answers is dropped. */
static void
look_at_late(iso__elsewhere *e, uint64_t now, uint64_t *next)
{
    iso__process *process = e->process;
    while (process->inside > 0 && iso__post_arrived(&process->region->up, process->seen)) {
        iso__said said;
        bool sense = iso__said_read(process, &said) == 0;
        if (sense && said.kind == ISO__UP_ANSWER) {
            process->inside--;
        } else if (!sense || said.kind != ISO__UP_FUNCTION) {
            iso__process_kill(process, "what it answered makes no sense");
            return;
        }
        if (process->inside > 0)
            iso__say(process, 0, ISO__DOWN_GONE, NULL, 0);
    }
    if (process->inside == 0) {
        end_late(e, process);
        return;
    }
    if (!process->stuck && now - process->late_at >= (uint64_t)e->rank->settings.grace)
        count_as_stuck(e, process);
    due_at(now + (process->stuck ? STUCK_LOOK_NS : LATE_LOOK_NS), next);
}

/* ---- stop ---- */

static void
stop(iso__elsewhere *e, uint64_t now)
{
    iso__process *process = e->process;
    if (process->kill_at == 0)
        process->kill_at = now + (uint64_t)(e->rank->settings.grace + END_NS);
    if (!process->ready) {
        iso__process_kill(process, "the rank is closed");
    } else if (process->inside == 0 && !atomic_load(&process->late) && !process->stop_sent) {
        process->stop_sent = true;
        iso__say(process, 0, ISO__DOWN_STOP, NULL, 0);
    }
}

/* One that is to end, and does not. */
static void
end_by_force(iso__elsewhere *e, uint64_t now, uint64_t *next)
{
    iso__process *process = e->process;
    if (now < process->kill_at) {
        due_at(process->kill_at, next);
        return;
    }
    if (atomic_load(&process->killed_for) == NULL)
        iso__log(e->rank->engine, ISO_LOG_ERR, e->rank->number,
                 "its process did not end within the grace time, and is killed: end what it waits for in child_exit");
    iso__process_kill(process, "it did not end within the grace time");
}

/* ---- looking ---- */

static void
look_at_process(iso__elsewhere *e, uint64_t now, uint64_t *next)
{
    iso__process *process = e->process;
    iso__bell_clear(process->bell); /* before the ring: a later line rings again */
    iso__process_read_output(e->rank, process);
    if (iso__process_read_log(e->rank, process))
        due_at(now, next);
    if (process->nonsense)
        iso__process_kill(process, "what it logged makes no sense");
    if (!process->ready && e->error.code == 0)
        take_started(e, now);
    if (iso__process_reap(process)) {
        take_end(e, now);
        return;
    }
    if (atomic_load(&process->late))
        look_at_late(e, now, next);
    if (e->wanted == ISO__WANT_STOP)
        stop(e, now);
    if (process->kill_at != 0)
        end_by_force(e, now, next);
    if (process->pidfd < 0)
        due_at(now + NO_PIDFD_MS * ISO__MS, next);
}

/* The rank wants a process, and has none. */
static void
start_if_due(iso__children *children, iso__elsewhere *e, uint64_t now, uint64_t *next)
{
    bool closing = atomic_load(&children->stopping) || (e->wanted == ISO__WANT_FIRST && e->given_up);
    if (closing) {
        iso__fail(&e->error, ISO_ESTATE, "rank %d: the engine is closing", e->rank->number);
        e->wanted = ISO__WANT_NONE;
        return;
    }
    if (!e->given_up && now >= e->start_at)
        start(children, e, now);
    if (e->process == NULL && e->wanted == ISO__WANT_ALIVE && !e->given_up)
        due_at(e->start_at, next);
}

/* Under its lock. */
static void
look(iso__children *children, iso__elsewhere *e, uint64_t now, uint64_t *next)
{
    if (e->process != NULL)
        look_at_process(e, now, next);
    if (e->process == NULL && e->wanted == ISO__WANT_STOP)
        e->wanted = ISO__WANT_NONE;
    if (e->process == NULL && e->wanted != ISO__WANT_NONE)
        start_if_due(children, e, now, next);
    if (e->process != NULL && atomic_load(&children->stopping))
        iso__process_kill(e->process, "the engine is closing");
    pthread_cond_broadcast(&e->changed);
}

static bool
poll_also(iso__children *children, size_t *count, int fd)
{
    if (fd < 0)
        return true;
    if (*count == children->polled_room) {
        size_t room = children->polled_room * 2 + 16;
        struct pollfd *grown = realloc(children->polled, room * sizeof *grown);
        if (grown == NULL)
            return false;
        children->polled = grown;
        children->polled_room = room;
    }
    children->polled[(*count)++] = (struct pollfd){.fd = fd, .events = POLLIN};
    return true;
}

/* Looks at every rank. Returns how many descriptors are to be polled, and when to look again. */
static size_t
look_at_all(iso__children *children, uint64_t *next, bool *any_out)
{
    size_t count = 0;
    uint64_t now = iso__clock_monotonic_ns();
    bool room = poll_also(children, &count, children->bell);
    *any_out = false;
    pthread_mutex_lock(&children->lock);
    iso__elsewhere *first = children->first; /* ranks are only added, in front */
    pthread_mutex_unlock(&children->lock);
    for (iso__elsewhere *e = first; e != NULL; e = e->next) {
        pthread_mutex_lock(&e->lock);
        look(children, e, now, next);
        const iso__process *process = e->process;
        if (process != NULL) {
            *any_out = true;
            room = poll_also(children, &count, process->pidfd) && poll_also(children, &count, process->bell) && room;
            /* Its end: nobody has it open any more. Other programs of the script may. */
            room = poll_also(children, &count, process->output_ended ? -1 : process->output) && room;
        }
        pthread_mutex_unlock(&e->lock);
    }
    if (!room)
        due_at(now + NO_PIDFD_MS * ISO__MS, next);
    return count;
}

static void *
children_main(void *argument)
{
    iso__children *children = argument;
    for (;;) {
        uint64_t next = UINT64_MAX;
        bool any;
        iso__bell_clear(children->bell); /* before looking */
        size_t count = look_at_all(children, &next, &any);
        if (atomic_load(&children->stopping) && !any)
            return NULL;
        uint64_t now = iso__clock_monotonic_ns();
        int timeout = next == UINT64_MAX ? -1 : next <= now ? 0 : (int)((next - now) / 1000000u + 1);
        poll(children->polled, count, timeout);
    }
}

/* ---- from other threads ---- */

void
iso__children_ring(iso_engine *engine)
{
    iso__bell_ring(engine->children->bell);
}

bool
iso__children_are_ours(const iso_engine *engine)
{
    return engine->children->owner == getpid();
}

static int
start_thread(iso__children *children)
{
    int failed = iso__thread_start(&children->thread, STACK, children_main, children);
    children->running = failed == 0;
    return failed;
}

static void
free_children(iso__children *children)
{
    if (children->bell >= 0)
        close(children->bell);
    pthread_mutex_destroy(&children->lock);
    free(children->command);
    free(children->polled);
    free(children);
}

/* The engine's, made if it has none. Under the engine lock; takes the command or frees it. */
static iso__children *
children_of(iso_engine *engine, char **command, iso_error *err)
{
    iso__children *children = engine->children;
    if (children != NULL) {
        free(command);
        return children;
    }
    children = calloc(1, sizeof *children);
    if (children == NULL) {
        free(command);
        iso__fail(err, ISO_ENOMEM, "no memory for the processes of ranks");
        return NULL;
    }
    children->engine = engine;
    children->owner = getpid();
    children->command = command;
    children->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_mutex_init(&children->lock, NULL);
    int failed = children->bell < 0 ? errno : start_thread(children);
    if (failed) {
        free_children(children);
        iso__fail(err, ISO_EINTERP, "no thread for the processes of ranks: %s", strerror(failed));
        return NULL;
    }
    engine->children = children;
    return children;
}

int
iso__children_add(iso_rank *rank, iso_error *err)
{
    iso_engine *engine = rank->engine;
    char **command = NULL;
    if (rank->elsewhere != NULL)
        return 0;
    int failed = iso__main_command(&command, err);
    if (failed)
        return failed;
    iso__elsewhere *e = calloc(1, sizeof *e);
    pthread_condattr_t attributes;
    pthread_mutex_lock(&engine->lock);
    iso__children *children = children_of(engine, command, err);
    pthread_mutex_unlock(&engine->lock);
    if (children == NULL || e == NULL) {
        free(e);
        return children == NULL && err != NULL ? err->code : iso__fail(err, ISO_ENOMEM, "no memory for a process");
    }
    e->rank = rank;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&e->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&e->lock, NULL);
    pthread_mutex_lock(&children->lock);
    e->next = children->first;
    children->first = e;
    pthread_mutex_unlock(&children->lock);
    rank->elsewhere = e;
    return 0;
}

void
iso__children_kill(iso_engine *engine, iso_rank *rank)
{
    iso__elsewhere *e = rank->elsewhere;
    if (!iso__children_are_ours(engine))
        return;
    pthread_mutex_lock(&e->lock);
    e->given_up = true;
    if (e->process != NULL)
        iso__process_kill(e->process, "the engine is closing");
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    iso__children_ring(engine);
}

void
iso__children_stop(iso_engine *engine)
{
    iso__children *children = engine->children;
    if (children == NULL || !iso__children_are_ours(engine) || !children->running)
        return;
    atomic_store(&children->stopping, 1);
    iso__children_ring(engine);
    pthread_join(children->thread, NULL);
    children->running = false;
}

void
iso__children_free(iso_engine *engine)
{
    if (engine->children != NULL)
        free_children(engine->children);
    engine->children = NULL;
}

uint32_t
iso__children_stats(const iso_rank *rank, int *pid_out)
{
    const iso__elsewhere *e = rank->elsewhere;
    *pid_out = e != NULL ? atomic_load(&e->pid) : 0;
    return e != NULL ? atomic_load(&e->restarts) : 0;
}
