#include "engine/states.h"

pthread_mutex_t iso__creation_lock = PTHREAD_MUTEX_INITIALIZER;

/* C recursion on 3.12 and 3.13 is counted, not measured: CPython's count fits a stack of 8 MiB, and on a
 * smaller one deep recursion ends in SIGSEGV. The dearest level found, sorted(key=f) that sorts again, takes
 * 5 KiB; from 6 MiB on CPython's own count holds. From 3.14 on CPython measures the stack. */
static void
scale_recursion(PyThreadState *state)
{
#if PY_VERSION_HEX < 0x030E0000
    size_t left = iso__stack_left() / 1024;
    int levels = left < 6 * 1024 ? (int)(left / 5) : state->c_recursion_remaining;
    if (levels < state->c_recursion_remaining)
        state->c_recursion_remaining = levels;
#else
    (void)state;
#endif
}

/* A rank in the main interpreter: a thread state of its own, never that of a Python host's thread, which is
 * detached meanwhile. */
static int
main_state_new(iso_rank *rank, iso_error *err)
{
    rank->py = PyThreadState_New(PyInterpreterState_Main());
    if (rank->py == NULL)
        return iso__fail(err, ISO_ENOMEM, "no memory for a thread state");
    scale_recursion(rank->py);
    return 0;
}

static pthread_once_t hooks_once = PTHREAD_ONCE_INIT;
static bool allocators_are_hooked;

/* Before the first interpreter is made, while nobody swaps them. */
static void
look_for_hooks(void)
{
    PyMemAllocatorEx raw;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &raw);
    allocators_are_hooked = raw.ctx != NULL; /* CPython's own has none */
}

bool
iso__start_begin(const iso_rank *rank)
{
    bool alone = PY_VERSION_HEX < 0x030D0000 && allocators_are_hooked && !iso__rank_in_main(rank);
    if (alone)
        pthread_mutex_lock(&iso__creation_lock);
    return alone;
}

void
iso__start_end(bool alone)
{
    if (alone)
        pthread_mutex_unlock(&iso__creation_lock);
}

int
iso__interpreter_new(iso_rank *rank, iso_error *err)
{
    if (iso__rank_in_main(rank))
        return main_state_new(rank, err);
    /* The only combination that is right for an own GIL: CPython 3.13+ accepts main's allocator here
     * too, which corrupts memory. */
    PyInterpreterConfig config = {
        .use_main_obmalloc = 0,
        .allow_fork = 0,
        .allow_exec = 0,
        .allow_threads = rank->settings.allow_threads,
        .allow_daemon_threads = rank->settings.allow_daemon_threads,
        .check_multi_interp_extensions = 1,
        .gil = PyInterpreterConfig_OWN_GIL,
    };
    pthread_once(&hooks_once, look_for_hooks);
    pthread_mutex_lock(&iso__creation_lock);
    PyThreadState *main_state = iso__main_enter();
    if (main_state == NULL) {
        pthread_mutex_unlock(&iso__creation_lock);
        return iso__fail(err, ISO_ENOMEM, "no memory for a thread state");
    }
    PyThreadState *state = NULL;
    PyStatus status = Py_NewInterpreterFromConfig(&state, &config);
    bool failed = PyStatus_Exception(status) || state == NULL;
    if (!failed) {
        scale_recursion(state);
        PyThreadState_Swap(main_state);
    }
    iso__main_leave(main_state);
    pthread_mutex_unlock(&iso__creation_lock);
    if (failed)
        return iso__fail(err, ISO_EINTERP, "CPython could not make an interpreter: %s",
                         status.err_msg != NULL ? status.err_msg : "no reason given");
    rank->py = state;
    iso__runtime_live_ranks(1);
    return 0;
}

void
iso__interpreter_end(iso_rank *rank)
{
    if (iso__rank_in_main(rank)) {
        iso__main_leave(rank->py);
        rank->py = NULL;
        rank->attached = false;
        return;
    }
    iso__rank_detach(rank);
    pthread_mutex_lock(&iso__creation_lock);
    iso__rank_attach(rank);
    Py_EndInterpreter(rank->py);
    rank->py = NULL;
    rank->attached = false;
    pthread_mutex_unlock(&iso__creation_lock);
    iso__runtime_live_ranks(-1);
}

/* CPython looks a state up by its thread, and in the main interpreter a thread may have several: a Python host's
 * own, those of other ranks. For the moment the rank's has an id that no thread has. */
void
iso__rank_set_async(iso_rank *rank, PyObject *exception)
{
    unsigned long thread = rank->py->thread_id;
    rank->py->thread_id = (unsigned long)(uintptr_t)rank;
    PyThreadState_SetAsyncExc(rank->py->thread_id, exception);
    rank->py->thread_id = thread;
}

PyThreadState *
iso__main_for_rank(iso_rank *rank)
{
    if (rank->caller != NULL && rank->caller != rank->py)
        return rank->caller;
    /* Also for a rank in the main interpreter: on its own state, a deadline would be raised in the host's code. */
    if (rank->main_own == NULL)
        rank->main_own = PyThreadState_New(PyInterpreterState_Main());
    return rank->main_own;
}

void
iso__main_of_rank_drop(iso_rank *rank)
{
    if (rank->main_own == NULL)
        return;
    iso__main_attach(rank->main_own);
    iso__main_leave(rank->main_own);
    rank->main_own = NULL;
}
