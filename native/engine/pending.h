/* pending.h: calls that an interpreter makes as soon as one of its threads runs Python, under its GIL. */
#ifndef ISO_PENDING_H
#define ISO_PENDING_H

#include "engine/engine.h"

/* Private, but exported by every CPython from 3.12.0 to 3.15: from any thread, without a GIL. The last argument
 * is `int mainthreadonly` on 3.12 and `int flags` from 3.13 on, where bit 0 says the same; 0 is "any thread of
 * the interpreter" on both. The result is int on 3.12, and from 3.13 on a typedef of int: 0, or -1 when the
 * queue (32 on 3.12, 300 later) is full. */
extern int _PyEval_AddPendingCall(PyInterpreterState *interp, int (*func)(void *), void *arg, int flags);

/* From any thread, without a GIL, while the interpreter is there. false: its queue is full. */
static inline bool
iso__pending_add(PyInterpreterState *interp, int (*call)(void *), void *argument)
{
    return _PyEval_AddPendingCall(interp, call, argument, 0) == 0;
}

#endif
