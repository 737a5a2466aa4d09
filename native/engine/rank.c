/* rank.c: the life of a rank: opened, closed and ended on its own thread. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/clock.h"
#include "engine/methods.h"
#include "engine/queue.h"
#include "engine/settings.h"
#include "engine/states.h"

/* With less, the scaled recursion of 3.12 and 3.13 (states.c) has no room for imports; creation needs 48 KiB. */
#if PY_VERSION_HEX < 0x030E0000
#define STACK_LEAST (512u << 10)
#else
#define STACK_LEAST (128u << 10)
#endif

/* Octets between here and the end of the calling thread's stack. */
size_t
iso__stack_left(void)
{
    pthread_attr_t attributes;
    void *lowest;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return 8u << 20;
    pthread_attr_getstack(&attributes, &lowest, &size);
    pthread_attr_destroy(&attributes);
    return (size_t)((char *)__builtin_frame_address(0) - (char *)lowest);
}

/* ---- a thread that ends with a rank open leaves it to the engine */

static pthread_key_t owner_key;
static pthread_once_t owner_once = PTHREAD_ONCE_INIT;

/* The ranks of a thread are a list whose head is the key's value; only that thread touches it. */
static void
owner_gone(void *value)
{
    for (iso_rank *rank = value, *next; rank != NULL; rank = next) {
        iso_engine *engine = rank->engine;
        next = rank->next_of_thread;
        pthread_mutex_lock(&engine->lock);
        atomic_store(&rank->thread_gone, 1);
        pthread_cond_broadcast(&engine->changed);
        pthread_mutex_unlock(&engine->lock);
    }
}

static void
owner_key_make(void)
{
    pthread_key_create(&owner_key, owner_gone);
}

static void
owner_add(iso_rank *rank)
{
    pthread_once(&owner_once, owner_key_make);
    rank->next_of_thread = pthread_getspecific(owner_key);
    pthread_setspecific(owner_key, rank);
}

static void
owner_remove(iso_rank *rank)
{
    iso_rank *head = pthread_getspecific(owner_key);
    if (head == rank) {
        pthread_setspecific(owner_key, rank->next_of_thread);
        return;
    }
    for (; head != NULL; head = head->next_of_thread) {
        if (head->next_of_thread == rank)
            head->next_of_thread = rank->next_of_thread;
    }
}

/* From inside a host function that keeps its rank attached. */
iso_rank *
iso__main_let_go(void)
{
    pthread_once(&owner_once, owner_key_make);
    iso_rank *rank = pthread_getspecific(owner_key);
    while (rank != NULL && !(rank->attached && iso__rank_in_main(rank)))
        rank = rank->next_of_thread;
    if (rank != NULL)
        iso__rank_detach(rank);
    return rank;
}

/* ---- open */

static void
set_state(iso_rank *rank, int state)
{
    pthread_mutex_lock(&rank->engine->lock);
    atomic_store(&rank->state, state);
    pthread_cond_broadcast(&rank->engine->changed);
    pthread_mutex_unlock(&rank->engine->lock);
}

void
iso__rank_abandon(iso_rank *rank)
{
    iso__runtime_abandoned(1);
    set_state(rank, ISO__RANK_ABANDONED);
}

/* Reserves the number for this thread. */
static int
reserve(iso_engine *engine, iso_rank *rank, iso_error *err)
{
    int code = 0;
    pthread_mutex_lock(&engine->lock);
    int state = atomic_load(&rank->state);
    if (engine->closing)
        code = iso__fail(err, ISO_ESTATE, "rank %d: the engine is closing", rank->number);
    else if (state == ISO__RANK_ABANDONED)
        code = iso__fail(err, ISO_ESTATE, "rank %d was abandoned: its interpreter could not be ended", rank->number);
    else if (state != ISO__RANK_CLOSED)
        code = iso__fail(err, ISO_ESTATE, "rank %d is open already", rank->number);
    else
        atomic_store(&rank->state, ISO__RANK_OPENING);
    pthread_mutex_unlock(&engine->lock);
    return code;
}

static int
install_script_module(iso_rank *rank, iso_error *err)
{
    rank->script_module = script_module_new(&rank->host);
    if (rank->script_module == NULL || iso__methods_install(rank) < 0)
        return iso__failure_start(rank, err, ISO_EINTERP, "the OpenSIPS module could not be made");
    rank->script = script_module_state(rank->script_module);
    if (iso__rank_in_main(rank))
        return 0; /* main_rank.py puts it into the rank's table */
    if (PyDict_SetItemString(PyImport_GetModuleDict(), "OpenSIPS", rank->script_module) < 0)
        return iso__failure_start(rank, err, ISO_EINTERP, "the OpenSIPS module could not be made");
    PyObject *inside = PyDict_GetItemString(PyImport_GetModuleDict(), "_isoexec_rank");
    PyObject *exception = PyObject_GetAttrString(rank->script_module, "DeadlineExceeded");
    int failed =
        inside == NULL || exception == NULL || PyObject_SetAttrString(inside, "DeadlineExceeded", exception) < 0;
    Py_XDECREF(exception);
    return failed ? iso__failure_start(rank, err, ISO_EINTERP, "the module of the rank could not be made") : 0;
}

static int
check_main(void *err)
{
    return iso__main_rules_check(err);
}

/* Attached on entry and exit. */
static int
start_inside(iso_rank *rank, iso_error *err)
{
    int failed = iso__rank_rules_install(rank, err);
    if (!failed)
        failed = install_script_module(rank, err);
    if (!failed)
        failed = iso__own_modules_install(rank, err);
    if (!failed)
        failed = iso__script_load(rank, &rank->handler, err);
    if (rank->output_pending)
        iso__log_output_flush(rank);
    return failed ? failed : iso__watch_enter(rank, err);
}

static int
start(iso_rank *rank, iso_error *err)
{
    if (rank->settings.isolation == ISO_ISOLATION_PROCESS) {
        int code = iso__mail_open(rank, err);
        return code ? code : iso__elsewhere_open(rank, err);
    }
    if (iso__stack_left() < STACK_LEAST)
        return iso__fail(err, ISO_EINVAL,
                         "rank %d: this thread has %zu KiB of stack left, it needs %u: set a larger "
                         "stack (8 MiB is CPython's measure)",
                         rank->number, iso__stack_left() / 1024, STACK_LEAST / 1024);
    int failed = iso__rank_in_main(rank) ? 0 : iso__runtime_main(check_main, err);
    if (!failed)
        failed = iso__mail_open(rank, err);
    if (!failed)
        failed = iso__interpreter_new(rank, err);
    if (failed)
        return failed;
    bool alone = iso__start_begin(rank);
    iso__rank_attach(rank);
    failed = start_inside(rank, err);
    iso__rank_detach(rank);
    iso__start_end(alone);
    if (failed) {
        iso__rank_attach(rank);
        iso__rank_end_attached(rank);
    }
    return failed;
}

int
iso_rank_open(iso_engine *engine, int number, iso_rank **out, iso_error *err)
{
    if (engine == NULL || out == NULL)
        return iso__fail(err, ISO_EINVAL, "no engine, or nowhere to put the rank");
    if (number < 1 || number > engine->config.ranks)
        return iso__fail(err, ISO_EINVAL, "there is no rank %d: the setting ranks allows 1 to %d", number,
                         engine->config.ranks);
    iso_rank *rank = iso__rank_of(engine, number);
    if (rank->lane != NULL && rank->lane != iso__lane_here)
        return iso__fail(err, ISO_ESTATE,
                         "rank %d: its channel is queue, so the engine opens it on a thread of its own", number);
    int failed = reserve(engine, rank, err);
    if (failed)
        return failed;
    atomic_store(&rank->thread, iso__this_thread());
    atomic_store(&rank->thread_gone, 0);
    owner_add(rank);
    failed = start(rank, err);
    if (failed) {
        owner_remove(rank);
        if (atomic_load(&rank->state) != ISO__RANK_ABANDONED)
            set_state(rank, ISO__RANK_CLOSED);
        return failed;
    }
    atomic_store(&rank->opened_ns, iso__clock_monotonic_ns());
    set_state(rank, ISO__RANK_SERVING);
    *out = rank;
    return 0;
}

int
iso_rank_number(const iso_rank *rank)
{
    return rank->number;
}

/* ---- end */

/* Calls a function of rank_rules.py, logging what it raises. */
static PyObject *
call_logged(iso_rank *rank, PyObject *function, PyObject *argument, const char *what)
{
    PyObject *result = argument != NULL ? PyObject_CallOneArg(function, argument) : PyObject_CallNoArgs(function);
    if (result == NULL)
        iso__failure_start(rank, NULL, ISO_EINTERNAL, what);
    return result;
}

/* Thread states of the rank's interpreter besides its own: threads that threading knows, and those that it
 * does not (_thread.start_new_thread, C extensions). Under the rank's GIL nobody else changes the list. */
static int
other_threads(const iso_rank *rank)
{
    int count = 0;
    if (iso__rank_in_main(rank))
        return 0; /* they are the host's */
    PyThreadState *state = PyInterpreterState_ThreadHead(PyThreadState_GetInterpreter(rank->py));
    for (; state != NULL; state = PyThreadState_Next(state))
        count += state != rank->py;
    return count;
}

/* Waits for them until the time is over. */
static int
await_threads(iso_rank *rank, uint64_t end_ns)
{
    const struct timespec moment = {0, 1000000};
    int count;
    while ((count = other_threads(rank)) > 0 && iso__clock_monotonic_ns() < end_ns) {
        iso__rank_detach(rank);
        nanosleep(&moment, NULL);
        iso__rank_attach(rank);
    }
    return count;
}

/* Threads of a rank in the main interpreter do not keep it: they live on in the host's. */
static void
log_threads_left(iso_rank *rank, PyObject *names)
{
    PyObject *text = PyObject_Repr(names);
    iso__log(rank->engine, ISO_LOG_WARN, rank->number,
             "threads of the script go on after %lld ms (setting grace): %s. End them in child_exit",
             (long long)(rank->settings.grace / ISO__MS), text != NULL ? PyUnicode_AsUTF8(text) : "");
    Py_XDECREF(text);
    PyErr_Clear();
}

/* Ends the script's threads within the grace time. Returns 1 and logs their names if some go on. */
static int
threads_remain(iso_rank *rank, uint64_t end_ns)
{
    uint64_t now = iso__clock_monotonic_ns();
    PyObject *stop = iso__rank_rule(rank, "stop_threads");
    PyObject *grace = PyFloat_FromDouble(end_ns > now ? (double)(end_ns - now) / 1e9 : 0.0);
    PyObject *names = NULL;
    if (stop != NULL && grace != NULL)
        names = call_logged(rank, stop, grace, "waiting for the script's threads failed");
    PyErr_Clear();
    Py_XDECREF(grace);
    /* In a process of its own those that threading does not know, and daemon threads, may go on. */
    int count = !rank->whole ? await_threads(rank, end_ns) : names != NULL ? (int)PyObject_Size(names) : 0;
    if (iso__rank_in_main(rank) && names != NULL && PyObject_IsTrue(names) == 1)
        log_threads_left(rank, names);
    if (count > 0) {
        PyObject *text = names != NULL ? PyObject_Repr(names) : NULL;
        iso__log(rank->engine, ISO_LOG_ERR, rank->number,
                 "abandoned: %d threads of the script go on after %lld ms (setting grace), threading names %s. End "
                 "them in child_exit",
                 count, (long long)(rank->settings.grace / ISO__MS), text != NULL ? PyUnicode_AsUTF8(text) : "none");
        Py_XDECREF(text);
        PyErr_Clear();
    }
    Py_XDECREF(names);
    return count > 0;
}

static void
drop_objects(iso_rank *rank)
{
    for (int depth = 0; depth < rank->max_depth; depth++)
        script_slot_clear(&rank->frames[depth].slot);
    iso__methods_clear(rank);
    Py_CLEAR(rank->extra);
    Py_CLEAR(rank->handler);
    if (rank->script != NULL)
        rank->script->host = NULL;
    rank->script = NULL;
    Py_CLEAR(rank->script_module);
    Py_CLEAR(rank->own_modules);
    iso__rank_rules_end(rank);
    if (iso__rank_in_main(rank))
        PyGC_Collect(); /* what the script opened is closed now, not when the host happens to collect */
    PyErr_Clear();
}

/* Runs what the script wants to run at the end, in the order of CPython. Each of it may start threads. 1 if
 * some remain, and the interpreter can not be ended. */
static int
wind_up(iso_rank *rank)
{
    uint64_t end_ns = iso__clock_monotonic_ns() + (uint64_t)rank->settings.grace;
    if (rank->handler != NULL)
        iso__child_exit(rank, rank->handler);
    if (threads_remain(rank, end_ns))
        return 1;
    PyObject *exits = iso__rank_rule(rank, "run_exit_functions");
    if (exits != NULL)
        Py_XDECREF(call_logged(rank, exits, NULL, "an exit function of the script raised"));
    if (threads_remain(rank, end_ns))
        return 1;
    if (rank->output_pending)
        iso__log_output_flush(rank);
    drop_objects(rank);
    return !rank->whole && await_threads(rank, end_ns) > 0;
}

/* Ends the interpreter; attached on entry, detached on return. 1 if it had to be abandoned. */
int
iso__rank_end_attached(iso_rank *rank)
{
    iso__watch_leave(rank);
    if (wind_up(rank)) {
        iso__rank_detach(rank);
        iso__rank_abandon(rank);
        return 1;
    }
    iso__interpreter_end(rank);
    iso__main_of_rank_drop(rank);
    return 0;
}

/* ---- a process of its own: the main interpreter is the rank's, and is there before and after it */

int
iso__rank_open_whole(iso_rank *rank, iso_error *err)
{
    rank->whole = true;
    rank->py = PyThreadState_Get();
    rank->attached = true;
    atomic_store(&rank->thread, iso__this_thread());
    int failed = start_inside(rank, err);
    if (failed)
        return failed;
    atomic_store(&rank->state, ISO__RANK_SERVING);
    iso__rank_detach(rank);
    return 0;
}

int
iso__rank_end_whole(iso_rank *rank)
{
    atomic_store(&rank->state, ISO__RANK_CLOSING);
    iso__rank_attach(rank);
    iso__watch_leave(rank);
    return wind_up(rank);
}

int
iso__rank_end(iso_rank *rank)
{
    if (atomic_load(&rank->thread) == iso__this_thread())
        owner_remove(rank);
    atomic_store(&rank->state, ISO__RANK_CLOSING);
    atomic_store(&rank->opened_ns, 0);
    iso__mail_refuse(rank);
    if (rank->elsewhere != NULL) {
        rank->attached = false;
        iso__elsewhere_close(rank);
        iso__main_of_rank_drop(rank);
        set_state(rank, ISO__RANK_CLOSED);
        return 0;
    }
    if (!rank->attached)
        iso__rank_attach(rank);
    if (iso__rank_end_attached(rank))
        return 1;
    set_state(rank, ISO__RANK_CLOSED);
    return 0;
}

/* On the thread of the rank, which others have given up: nobody calls it any more. */
void
iso__rank_leave(iso_rank *rank)
{
    iso_engine *engine = rank->engine;
    owner_remove(rank);
    iso__runtime_abandoned(-1);
    iso__rank_attach(rank);
    if (iso__rank_end_attached(rank))
        return;
    pthread_mutex_lock(&engine->lock);
    iso__log(engine, ISO_LOG_NOTICE, rank->number, "the stuck call of a rank that was replaced has ended after all");
    atomic_store(&rank->state, ISO__RANK_CLOSED);
    engine->replaced_live--;
    pthread_mutex_unlock(&engine->lock); /* the engine may be gone from here */
}

int
iso__rank_is_ours(const iso_rank *rank)
{
    if (rank == NULL || atomic_load(&rank->state) != ISO__RANK_SERVING)
        return ISO_ESTATE;
    if (atomic_load(&rank->thread) != iso__this_thread())
        return ISO_ETHREAD;
    return rank->depth > 0 ? ISO_ESTATE : 0;
}

int
iso_rank_close(iso_rank *rank)
{
    int code = iso__rank_is_ours(rank);
    if (code == 0)
        iso__rank_end(rank);
    return code;
}
