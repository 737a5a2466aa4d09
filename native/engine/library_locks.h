/* library_locks.h: moments at which an exception from outside would leave a lock of the library held.
 *
 * Such an exception comes between two instructions of whatever runs, so also in a function that has just called
 * acquire() and is about to enter the `try` whose `finally` releases. importlib's, threading's or logging's lock would
 * be held for ever, and stop every other thread of the interpreter; with isolation main, every other rank. */
#ifndef ISO_LIBRARY_LOCKS_H
#define ISO_LIBRARY_LOCKS_H

#include "engine/engine.h"

/* Whether the innermost frame of the thread is of such code, or of the engine's own Python. Under the GIL. */
bool iso__may_hold_library_lock(PyThreadState *state);

/* Who wants to raise in a thread, and was let in on another one, waits so long for that thread's own turn before it sets an
 * asynchronous exception: from CPython 3.13 on one that is set while its thread waits for the GIL comes one check later,
 * which may be the first one of a lock's __exit__. A thread whose turn has not come by then waits in C. */
#define ISO__TURN_NS 20000000

#endif
