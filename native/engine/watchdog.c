/* watchdog.c: the thread that looks whether calls keep to their deadlines, one for an engine that has any.
 *
 * It sleeps until the earliest deadline of the calls that run, at most the shortest deadline of all ranks: a
 * call that begins meanwhile can not be due before. After a second without calls it sleeps until a call rings. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "engine/barrier.h"
#include "engine/clock.h"
#include "engine/park.h"
#include "engine/queue.h"
#include "engine/settings.h"
#include "engine/states.h"
#include "engine/thread.h"

#define QUICK_NS (400 * ISO__US)   /* from shot to shot at first: an exception that was swallowed is followed up */
#define MISSED_NS (100 * ISO__US)  /* the same, when the last one has missed */
#define QUICK_FOR_NS (2 * ISO__CLEAN_UP_NS) /* the shot that ends a handler of the first one must not be a slow one */
#define SLOW_NS (10 * ISO__MS)     /* from shot to shot later */
#define ANSWER_NS (1500 * ISO__US) /* what a handler has to unwind before its submitter is answered without it */
#define IDLE_NS ISO__SECOND
#define STACK (256u << 10)
#define ORIGIN 256

static uint64_t
ticks_of(int64_t ns)
{
    return ns > 0 ? (uint64_t)((double)ns / iso__clock_ns_per_tick) : 0;
}

/* ---- the meeting with a call ---- */

/* Whether the call still runs; then it ends only after let_go. */
static bool
hold(iso__watch *watch, uint64_t began)
{
    atomic_fetch_or(&watch->held, ISO__HELD_LOOK);
    iso__barrier_everywhere();
    if (atomic_load(&watch->began) == began)
        return true;
    atomic_fetch_and(&watch->held, ~(uint32_t)ISO__HELD_LOOK);
    return false;
}

static void
let_go(iso__watch *watch)
{
    atomic_fetch_and(&watch->held, ~(uint32_t)ISO__HELD_LOOK);
}

void
iso__watch_settle(iso__watch *watch)
{
    if (watch->fired)
        iso__rank_set_async(watch->rank, NULL);
    if (atomic_load_explicit(&watch->began, memory_order_relaxed) != 0)
        return; /* of a nested call: the outer one goes on */
    watch->fired = false;
    while (atomic_load(&watch->held) & ISO__HELD_LOOK)
        sched_yield(); /* some microseconds */
    if (atomic_fetch_and(&watch->held, ~(uint32_t)ISO__HELD_STUCK) & ISO__HELD_STUCK) {
        atomic_store(&watch->stuck, 0);
        atomic_store(&watch->freed, 1);
        iso__watchdog_ring(watch->dog);
    }
}

void
iso__watchdog_ring(iso__watchdog *dog)
{
    atomic_fetch_add(&dog->word, 1);
    iso__futex_wake(&dog->word, 1);
}

void
iso__watch_wake(iso__watch *watch)
{
    atomic_store(&watch->asleep, 0);
    iso__watchdog_ring(watch->dog);
}

/* ---- what the watchdog does to a call, on its thread, without its lock ---- */

static void
answer(iso__watch *watch)
{
    iso_rank *rank = watch->rank;
    watch->answer_done = true;
    if (!hold(watch, watch->seen))
        return;
    iso_task *task = atomic_load(&rank->lane->running);
    if (task != NULL && iso__task_refusal_begin(task)) {
        char text[ISO__DEADLINE_TEXT];
        iso__text *reason = &task->refusal_text;
        iso__failure_deadline(rank, text);
        reason->n = 0;
        iso__failure_origin(rank->number, task->method, &task->msg, reason);
        iso__text_add(reason, text, strlen(text));
        iso__text_add(reason, "; the handler still runs", 24);
        task->refusal = (iso_result){.code = -1, .outcome = ISO_OUTCOME_DEADLINE};
        task->refusal.error = (iso_str){reason->p, reason->n};
        atomic_store(&watch->answered, 1);
        iso__task_refusal_end(task);
    }
    let_go(watch);
}

static const char *
stuck_advice(const iso_rank *rank, bool replaced)
{
    if (replaced)
        return "A new rank takes over its number; this one's interpreter and thread stay until the call ends";
    return rank->lane != NULL ? "Calls for this rank wait until it ends"
                              : "The thread that called is held until it ends";
}

static void
count_as_stuck(iso__watch *watch)
{
    iso_rank *rank = watch->rank;
    iso__text origin = {0};
    char text[ISO__DEADLINE_TEXT];
    watch->stuck_done = true;
    if (!hold(watch, watch->seen))
        return;
    iso__failure_origin(rank->number, rank->frames[0].method, rank->frames[0].msg, &origin);
    double seconds = (double)(iso__clock_ticks() - watch->seen) * iso__clock_ns_per_tick / 1e9;
    bool replaced = rank->lane != NULL && rank->settings.on_stuck == ISO_STUCK_REPLACE && iso__rank_replace(rank);
    atomic_store(&watch->stuck, 1);
    atomic_fetch_or(&watch->held, ISO__HELD_STUCK);
    let_go(watch);
    iso__failure_deadline(rank, text);
    iso__log(rank->engine, ISO_LOG_CRIT, rank->number,
             "%.*sstuck: %s, and still runs after %.3f s. It is in C code that does not come back, or swallows "
             "DeadlineExceeded. %s. Give what blocks a timeout of its own, or the rank isolation \"process\"",
             (int)origin.n, origin.p != NULL ? origin.p : "", text, seconds, stuck_advice(rank, replaced));
    iso__text_fini(&origin);
    iso__event(rank->engine, ISO_EVENT_STUCK, rank->number);
}

static void
say_freed(iso_rank *rank)
{
    if (atomic_load(&rank->state) != ISO__RANK_SERVING)
        return; /* a replaced one: its thread says what comes of it */
    iso__log(rank->engine, ISO_LOG_NOTICE, rank->number, "its stuck call has ended: the rank serves again");
    iso__event(rank->engine, ISO_EVENT_FREED, rank->number);
}

/* ---- looking ---- */

typedef void work(iso__watch *watch);

static void
due_at(uint64_t at, uint64_t *next)
{
    *next = at < *next ? at : *next;
}

static uint64_t
pause_after(bool missed, uint64_t late)
{
    if (missed)
        return ticks_of(MISSED_NS);
    return ticks_of(late < ticks_of(QUICK_FOR_NS) ? QUICK_NS : SLOW_NS);
}

/* Fires at a call that is past its deadline. Returns what else is due, and notes when the next thing is. */
static work *
look_past_deadline(iso__watch *watch, uint64_t now, uint64_t *next)
{
    uint64_t deadline = watch->seen + watch->hard;
    uint64_t answer_at = deadline + ticks_of(ANSWER_NS), stuck_at = deadline + watch->grace;
    if (watch->rank->lane != NULL && !watch->answer_done && now >= answer_at)
        return answer; /* first: on a busy machine both may be due, and a replaced rank can not answer any more */
    if (!watch->stuck_done && now >= stuck_at)
        return count_as_stuck;
    if (now >= watch->next_shot) {
        bool missed = iso__shot_missed(watch->shot);
        iso__shot_hard(watch->shot, watch->seen);
        watch->next_shot = now + pause_after(missed, now - deadline);
    }
    due_at(watch->next_shot, next);
    due_at(stuck_at, next);
    if (watch->rank->lane != NULL && !watch->answer_done)
        due_at(answer_at, next);
    return NULL;
}

static work *
look(iso__watch *watch, uint64_t now, uint64_t *next)
{
    uint64_t began = atomic_load_explicit(&watch->began, memory_order_acquire);
    if (began != watch->seen) {
        watch->seen = began;
        watch->next_shot = 0;
        watch->soft_done = watch->answer_done = watch->stuck_done = false;
    }
    if (began == 0 || watch->stuck_done)
        return NULL;
    watch->dog->active_at = now;
    if (watch->soft > 0 && !watch->soft_done) {
        if (now - began >= watch->soft && now > began) {
            iso__shot_soft(watch->shot, began);
            watch->soft_done = true;
        } else {
            due_at(began + watch->soft, next);
        }
    }
    if (watch->hard == 0)
        return NULL;
    if (now > began && now - began >= watch->hard)
        return look_past_deadline(watch, now, next);
    due_at(began + watch->hard, next);
    return NULL;
}

static uint64_t
shortest(const iso__watchdog *dog)
{
    uint64_t ticks = UINT64_MAX;
    for (const iso__watch *watch = dog->first; watch != NULL; watch = watch->next) {
        if (watch->soft > 0)
            due_at(watch->soft, &ticks);
        if (watch->hard > 0)
            due_at(watch->hard, &ticks);
    }
    return ticks;
}

/* Looks at every rank until there is no work that needs the lock let go. Returns when to look again. */
static uint64_t
look_at_all(iso__watchdog *dog)
{
    for (;;) {
        work *needed = NULL;
        iso__watch *of = NULL;
        uint64_t now = iso__clock_ticks(), next = UINT64_MAX;
        pthread_mutex_lock(&dog->lock);
        for (iso__watch *watch = dog->first; watch != NULL && of == NULL; watch = watch->next) {
            uint64_t calls = atomic_load_explicit(&watch->rank->counters.calls, memory_order_relaxed);
            if (calls != watch->calls)
                dog->active_at = now;
            watch->calls = calls;
            needed = look(watch, now, &next);
            if (needed != NULL || atomic_exchange(&watch->freed, 0))
                of = watch;
        }
        uint64_t most = shortest(dog);
        due_at(most < UINT64_MAX - now ? now + most : UINT64_MAX, &next);
        pthread_mutex_unlock(&dog->lock);
        if (of == NULL)
            return next;
        if (needed != NULL)
            needed(of);
        else
            say_freed(of->rank);
    }
}

/* Whether a call runs that is not known to be stuck, now that every call would see `asleep`. */
static bool
any_runs(iso__watchdog *dog)
{
    bool runs = false;
    pthread_mutex_lock(&dog->lock);
    for (iso__watch *watch = dog->first; watch != NULL; watch = watch->next) {
        uint64_t began = atomic_load(&watch->began);
        runs = runs || (began != 0 && !(began == watch->seen && watch->stuck_done));
    }
    pthread_mutex_unlock(&dog->lock);
    return runs;
}

static void
set_asleep(iso__watchdog *dog, uint32_t asleep)
{
    pthread_mutex_lock(&dog->lock);
    for (iso__watch *watch = dog->first; watch != NULL; watch = watch->next)
        atomic_store(&watch->asleep, asleep);
    pthread_mutex_unlock(&dog->lock);
}

static void
sleep_until_ring(iso__watchdog *dog, uint32_t seen)
{
    set_asleep(dog, 1);
    iso__barrier_everywhere();
    if (!any_runs(dog))
        iso__futex_wait(&dog->word, seen, -1);
    set_asleep(dog, 0);
    dog->active_at = iso__clock_ticks();
}

static void
sleep_until(iso__watchdog *dog, uint32_t seen, uint64_t ticks)
{
    uint64_t now = iso__clock_ticks();
    if (ticks <= now)
        return;
    uint64_t ns = iso__clock_monotonic_ns() + iso__clock_ns(ticks - now);
    struct timespec at = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    syscall(SYS_futex, &dog->word, FUTEX_WAIT_BITSET_PRIVATE, seen, &at, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void *
dog_main(void *argument)
{
    iso__watchdog *dog = argument;
    prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0); /* else a sleep may end 50 us late */
    dog->active_at = iso__clock_ticks();
    while (!atomic_load(&dog->stopping)) {
        uint32_t seen = atomic_load(&dog->word); /* before looking: a later ring ends the sleep at once */
        uint64_t next = look_at_all(dog);
        if (iso__clock_ticks() - dog->active_at > ticks_of(IDLE_NS))
            sleep_until_ring(dog, seen);
        else
            sleep_until(dog, seen, next);
    }
    return NULL;
}

/* ---- the life of the thread, and its list ---- */

void
iso__watchdog_init(iso__watchdog *dog, iso_engine *engine)
{
    dog->engine = engine;
    pthread_mutex_init(&dog->lock, NULL);
}

void
iso__watchdog_fini(iso__watchdog *dog)
{
    pthread_mutex_destroy(&dog->lock);
}

/* Under the lock. */
static int
start_thread(iso__watchdog *dog)
{
    iso__barrier_setup();
    int failed = iso__thread_start(&dog->thread, STACK, dog_main, dog);
    dog->running = failed == 0;
    return failed;
}

void
iso__watchdog_stop(iso__watchdog *dog)
{
    pthread_mutex_lock(&dog->lock);
    bool running = dog->running;
    dog->running = false;
    pthread_mutex_unlock(&dog->lock);
    if (!running)
        return;
    atomic_store(&dog->stopping, 1);
    iso__watchdog_ring(dog);
    pthread_join(dog->thread, NULL);
}

int
iso__watch_enter(iso_rank *rank, iso_error *err)
{
    iso__watch *watch = &rank->watch;
    iso__watchdog *dog = &rank->engine->watchdog;
    if (rank->settings.deadline == 0 && rank->settings.soft_deadline == 0)
        return 0;
    watch->exception = PyObject_GetAttrString(rank->script_module, "DeadlineExceeded");
    watch->shot = iso__shot_new(rank);
    if (watch->exception == NULL || watch->shot == NULL)
        return iso__failure_start(rank, err, ISO_ENOMEM, "the rank's deadlines could not be set up");
    watch->dog = dog;
    watch->rank = rank;
    watch->soft = ticks_of(rank->settings.soft_deadline);
    watch->hard = ticks_of(rank->settings.deadline);
    /* A process of its own is not told that it is stuck, but killed from outside (children.c). */
    watch->grace = rank->whole ? UINT64_MAX / 4 : ticks_of(rank->settings.grace);
    pthread_mutex_lock(&dog->lock);
    int failed = dog->running ? 0 : start_thread(dog);
    if (!failed) {
        watch->next = dog->first;
        dog->first = watch;
        rank->watched = true;
    }
    pthread_mutex_unlock(&dog->lock);
    iso__watchdog_ring(dog); /* its deadline may be the shortest */
    return failed ? iso__fail(err, ISO_EINTERP, "no thread for the deadlines: %s", strerror(failed)) : 0;
}

void
iso__watch_leave(iso_rank *rank)
{
    iso__watch *watch = &rank->watch;
    pthread_mutex_lock(&rank->engine->watchdog.lock);
    for (iso__watch **at = &rank->engine->watchdog.first; *at != NULL; at = &(*at)->next) {
        if (*at == watch) {
            *at = watch->next;
            break;
        }
    }
    pthread_mutex_unlock(&rank->engine->watchdog.lock);
    rank->watched = false;
    Py_CLEAR(watch->exception);
    if (watch->shot != NULL)
        iso__shot_drop(watch->shot);
    watch->shot = NULL;
}
