/* script.h: what a script sees (SIPMsg, the OpenSIPS module), as the engine drives it.
 *
 * One module object per interpreter, made by script_module_new and put into sys.modules by the
 * engine. Everything here runs with a thread state of that interpreter attached, so its GIL is the
 * lock of all of it. script/ does not know engine/: what it needs from a host is in script_host. */
#ifndef ISO_SCRIPT_H
#define ISO_SCRIPT_H

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

#include <stdbool.h>

#include "isoexec.h"
#include "sip/sip.h"
#include "sip/start_line.h"

/* A text that a host function gives besides its int; malloc'ed, p == NULL: none. */
typedef struct script_answer {
    char *p;
    size_t n;
} script_answer;

#define SCRIPT_MAX_ARGUMENTS 16 /* of a host function */

/* signature.c: the letter of parameter i (from 0), or 0 if the signature has no such parameter. */
char script_parameter(const char *signature, int i, bool *optional_out);
/* Whether values that a script is said to have given are as many as the signature takes, and of its kinds. */
bool script_signature_allows(const char *signature, const iso_value *argv, int argc);

/* What the engine gives to the script's side. Owned by the rank, outlives the module's use. In the
 * main interpreter of a Python host there is none: logs go to sys.stderr, call_function raises. */
typedef struct script_host {
    void *owner;
    const iso_function *functions; /* the host's; engine-provided ones are script/'s own */
    size_t function_count;
    /* Runs a host function whose arguments are checked; detaches around it where its flags say so.
     * Returns its int; with err->code != 0 the script gets RuntimeError(err->message). */
    int (*run)(void *owner, const iso_function *function, const iso_msg *msg, iso_edits *edits, const iso_value *argv,
               int argc, script_answer *answer, iso_error *err);
    /* One log call of the script: exactly this text. May be many lines. */
    void (*log)(void *owner, int level, iso_str text);
} script_host;

typedef struct script_kept script_kept; /* an owned, counted copy of a message: header, octets, index */

/* The object that a method receives. Two types with one base, SIPRequest and SIPReply, so that Method
 * of a request is a plain member (LOAD_ATTR_SLOT) and of a reply a getter that raises. Not a GC type:
 * it refers to strings only. */
typedef struct script_msg {
    PyObject_HEAD
    PyObject *type;          /* "SIP_REQUEST" or "SIP_REPLY" */
    PyObject *method;        /* str of a request, NULL of a reply */
    PyObject *ruri;          /* cache of RURI, NULL until read */
    const iso_msg *msg;      /* the host's during the call, kept->msg afterwards, NULL when keeping failed */
    const iso_index *index;  /* complete index, NULL until the first read that needs one */
    iso_index *storage;      /* where to build it; its start line is filled. NULL if the host gave an index */
    iso_edits *edits;        /* of the running call; `own` of a copy; NULL of a kept message: read-only */
    script_kept *kept;       /* shared with copies; NULL as long as the octets are the host's alone */
    iso_edits *own;          /* edits that this object frees: of a copy, of the constructor, of a kept message */
    struct script_msg *origin; /* of a copy: the object of the call it came with, where call_function acts */
    struct script_state *state; /* of the module; the type keeps the module alive */
} script_msg;

/* Module state. */
typedef struct script_state {
    script_host *host; /* NULL outside ranks */
    PyTypeObject *base, *request, *reply;
    PyObject *type_request, *type_reply; /* "SIP_REQUEST", "SIP_REPLY" */
    PyObject *methods[ISO_METHOD_COUNT]; /* interned; NULL of ISO_METHOD_OTHER */
    PyObject *deadline_exceeded;
    PyObject *functions; /* dict: name -> number, the host's from 0, then the engine-provided ones */
} script_state;

/* A new OpenSIPS module for the current interpreter; new reference or NULL with an error set. */
PyObject *script_module_new(script_host *host);
script_state *script_module_state(PyObject *module);

/* Per nesting depth of a rank: the two objects that are used again for each message as long as no one
 * keeps them, and the index of the running message. Zeroed at start. */
typedef struct script_slot {
    script_msg *request, *reply; /* one reference each, or NULL */
    const iso__line_start *last; /* of the method that `request` has; stale while that is NULL */
    iso_index index;
} script_slot;

/* Puts the slot's object over a message. `usual` is its start line, if somebody looked at it before, or 0: then
 * msg->index is NULL. Returns it borrowed, or NULL: without an error set the
 * octets are not SIP (start line), with one set it is MemoryError. */
static inline script_msg *script_slot_enter(script_state *state, script_slot *slot, const iso_msg *msg,
                                            iso__usual usual, iso_edits *edits);
/* The call ended: if the method kept the object, it gets its own copy of the message and becomes
 * read-only, and the slot lets go of it; else it is made ready for the next one. Never fails; if there
 * is no memory for the copy, reads of the kept object raise RuntimeError. */
static inline void script_slot_leave(script_slot *slot, script_msg *object);
void script_slot_clear(script_slot *slot); /* drops both objects: before the interpreter ends */

#include "script/slot.h"

#endif
