/* rank.h: the floor's own rank and message object, a throw-away prototype of the cheapest crossing.
 *
 * It has no checks, no edits, no faults and no statistics, so nothing that does the whole job can be
 * faster. A rank is used on the thread that made it; its interpreter is never ended, the process
 * leaves by _exit. Everything but floor_rank_open runs with the rank's thread state attached. */
#ifndef FLOOR_RANK_H
#define FLOOR_RANK_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "index.h"

enum floor_method { FLOOR_ROUTE, FLOOR_ROUTE_EXTRA, FLOOR_READS, FLOOR_RAISES, FLOOR_METHOD_COUNT };
extern const char *const floor_method_names[FLOOR_METHOD_COUNT];

struct floor_rank;

/* Refers to the caller's octets. Not a GC type: it holds strings only. */
struct floor_message {
    PyObject_HEAD
    const char *data; /* NULL after the call */
    unsigned length;
    struct floor_rank *rank;
    PyObject *method;                /* borrowed from rank->invite; a member slot, which LOAD_ATTR specialises */
    PyObject *ruri;                  /* made on first read */
    const struct floor_index *index; /* NULL until a read needs it */
};

struct floor_rank {
    PyThreadState *thread; /* kept for life */
    PyTypeObject *type;
    PyObject *handler;
    PyObject *functions[FLOOR_METHOD_COUNT]; /* not bound: vectorcalled with the handler as first argument */
    PyObject *invite, *extra;
    struct floor_message *message; /* used again while nobody keeps it */
    floor_index_fn indexer;
    struct floor_index index;
};

/* Makes a rank with an own GIL from a thread that has no thread state; returns detached. Exits on failure. */
void floor_rank_open(struct floor_rank *rank, const char *script);
/* The same in the main interpreter: a thread state of its own there. */
void floor_rank_open_in_main(struct floor_rank *rank, const char *script);
/* The first from an attached thread state of the main interpreter; returns with the rank's attached. */
void floor_rank_start(struct floor_rank *rank, const char *script);
/* A new object for the rank's slot; lets go of one that was kept. Exits without memory. */
struct floor_message *floor_message_renew(struct floor_rank *rank);
/* Both end the process with a sentence; the second prints the pending Python error first. */
_Noreturn void floor_die(const char *what);
_Noreturn void floor_die_raised(const char *what);

static inline struct floor_message *
floor_enter(struct floor_rank *rank, const char *data, unsigned length)
{
    struct floor_message *message = rank->message;

    if (!message) {
        message = floor_message_renew(rank);
    }
    message->data = data;
    message->length = length;
    return message;
}

/* A message that the handler kept is made unusable; a real engine copies it. */
static inline void
floor_leave(struct floor_rank *rank, struct floor_message *message)
{
    message->data = NULL;
    message->method = NULL;
    message->index = NULL;
    if (message->ruri) {
        Py_CLEAR(message->ruri);
    }
    if (Py_REFCNT(message) != 1) {
        rank->message = NULL;
        Py_DECREF(message);
    }
}

#endif
