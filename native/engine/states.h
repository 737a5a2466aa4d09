/* states.h: the only file that attaches, detaches, makes and ends thread states and interpreters.
 *
 * A rank keeps one thread state for life: making one per call costs 7 us. Attach and detach are 40 ns
 * together. The creation lock is taken before any GIL and never waited for while attached: creation on
 * CPython 3.13+ needs the main GIL inside (gh-130501), and 3.12 and 3.13 race on static tables
 * without it (gh-123134). */
#ifndef ISO_STATES_H
#define ISO_STATES_H

#include "engine/engine.h"

extern pthread_mutex_t iso__creation_lock;

/* ---- a rank's own state: on the rank's thread, or on the one that ends an ownerless rank */

static inline void
iso__rank_attach(iso_rank *rank)
{
    PyEval_RestoreThread(rank->py);
    rank->attached = true;
}

static inline void
iso__rank_detach(iso_rank *rank)
{
    rank->attached = false;
    PyEval_SaveThread();
}

/* The same for a burst of calls: of a rank that runs elsewhere there is nothing to attach. */
static inline void
iso__rank_hold(iso_rank *rank)
{
    if (rank->elsewhere != NULL)
        rank->attached = true;
    else
        iso__rank_attach(rank);
}

static inline void
iso__rank_let_go(iso_rank *rank)
{
    if (rank->elsewhere != NULL)
        rank->attached = false;
    else
        iso__rank_detach(rank);
}

/* Whether its interpreter has no other thread state: nobody waits for its GIL. Under that GIL, which who ends a state holds
 * too; one that is made meanwhile may be missed. */
static inline bool
iso__rank_is_alone(const iso_rank *rank)
{
    if (rank->elsewhere != NULL)
        return true;
    PyThreadState *newest = PyInterpreterState_ThreadHead(PyThreadState_GetInterpreter(rank->py));
    return newest == rank->py && PyThreadState_Next(newest) == NULL;
}

/* The asynchronous exception of the rank's own state, NULL for none. Under its GIL. */
void iso__rank_set_async(iso_rank *rank, PyObject *exception);

/* ---- the main interpreter */

/* Attaches a throw-away state of the main interpreter to a thread that has none attached. */
static inline PyThreadState *
iso__main_enter(void)
{
    PyThreadState *state = PyThreadState_New(PyInterpreterState_Main());
    if (state != NULL)
        PyEval_RestoreThread(state);
    return state;
}

static inline void
iso__main_leave(PyThreadState *state)
{
    PyThreadState_Clear(state);
    PyThreadState_DeleteCurrent();
}

static inline void
iso__main_attach(PyThreadState *state)
{
    PyEval_RestoreThread(state);
}

static inline PyThreadState *
iso__main_detach(void)
{
    return PyEval_SaveThread();
}

/* The main state with which a Python host's thread came in, or NULL. Detached: the thread's last
 * attached state is the one that PyGILState remembers. */
static inline PyThreadState *
iso__main_of_caller(void)
{
    PyThreadState *state = PyGILState_GetThisThreadState();
    return state != NULL && PyThreadState_GetInterpreter(state) == PyInterpreterState_Main() ? state : NULL;
}

/* The main state for Python host functions on this rank's thread: the caller's own, else one that the
 * rank keeps. PyGILState_Ensure would give the rank's interpreter here. NULL: out of memory. */
PyThreadState *iso__main_for_rank(iso_rank *rank);
void iso__main_of_rank_drop(iso_rank *rank);

/* ---- interpreters */

/* Makes the rank's interpreter on this thread, with its own GIL, or its thread state in the main one; leaves it
 * detached. ISO_EINTERP, ISO_ENOMEM. Waits for the creation lock. */
int iso__interpreter_new(iso_rank *rank, iso_error *err);
/* Ends what new made: attached on entry (its threads are joined by then), nothing attached on return. */
void iso__interpreter_end(iso_rank *rank);
/* Around the start of a rank in its new interpreter. 3.12 swaps the raw allocator of the whole process while an interpreter
 * is made or ended (_PyMem_SetDefaultAllocator): with hooks over it (-X dev, PYTHONMALLOC=debug), what a rank that
 * imports meanwhile allocates is freed by the wrong one. There the ranks start one after the other. */
bool iso__start_begin(const iso_rank *rank);
void iso__start_end(bool alone);

#endif
