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

#endif
