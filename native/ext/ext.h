/* ext.h: isoexec._native, the host that lets Python programs use the engine.
 *
 * It stands on the public header alone, like any other host, which proves that the header is enough.
 * Everything here runs in the main interpreter with its thread state attached, so the main GIL is the
 * lock of all objects below; each call into the engine gives that state up first (isoexec.h, Threads).
 * The log queue is the exception: rank threads write to it, and it has a mutex of its own. */
#ifndef ISO_EXT_H
#define ISO_EXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "isoexec.h"

#ifdef Py_GIL_DISABLED
#error "isoexec needs a CPython build with a GIL (python3.X, not python3.Xt)"
#endif

#define EXT_FREE_RESULTS 64
#define EXT_EDIT_KINDS 8

enum { EXT_METHOD, EXT_MESSAGE, EXT_EXTRA, EXT_ROUTE, EXT_SOURCE, EXT_DESTINATION, EXT_KEYWORDS };

typedef struct ext_engine ext_engine;
typedef struct ext_rank ext_rank;
typedef struct ext_result ext_result;
typedef struct ext_log_queue ext_log_queue;
typedef struct ext_function ext_function;

/* Module state. The types keep the module alive, so objects may hold a plain pointer to it. */
typedef struct ext_state {
    PyTypeObject *engine_type, *rank_type, *result_type, *call_type, *log_queue_type, *edit_type;
    PyObject *make_error;                  /* isoexec.errors.error_from_code */
    PyObject *format_exception;            /* traceback.format_exception */
    PyObject *script_module;               /* iso_script_module() of the main interpreter, NULL until asked for */
    PyObject *keywords[EXT_KEYWORDS];      /* interned: names of python_exec's parameters */
    PyObject *messages;                    /* interned: what batch() calls its second one */
    PyObject *routes[ISO_ROUTE_BRANCH + 1];
    PyObject *outcomes[ISO_OUTCOME_COUNT];
    PyObject *edit_kinds[EXT_EDIT_KINDS];
    ext_result *free_results;              /* Result objects to use again, linked */
    int free_count;
} ext_state;

struct ext_engine {
    PyObject_HEAD
    ext_state *state;
    iso_engine *handle;      /* NULL when closed */
    ext_log_queue *queue;    /* strong */
    ext_function *functions; /* rows that the engine points to */
    Py_ssize_t function_count;
    ext_rank *ranks;         /* open ones, borrowed, linked */
    int closing;
};

struct ext_rank {
    PyObject_HEAD
    ext_state *state;
    iso_rank *handle;    /* NULL when closed */
    ext_engine *engine;  /* strong: the engine outlives its ranks */
    ext_rank *next;      /* in engine->ranks */
    unsigned long thread;
    int number;
};

/* The answer of one call. Parts are C memory until someone reads them, so that a plain call makes no
 * Python object but this one, and so that batch() can fill it without the GIL. */
struct ext_result {
    PyObject_HEAD
    ext_state *state;
    ext_result *next;    /* while it is on the free list */
    PyObject *message;   /* bytes, strong */
    iso_edits *edits;    /* owned, NULL for none */
    char *text;          /* owned: new_uri, dst_uri and error one after another, NULL for none */
    iso_str new_uri, dst_uri, error; /* into text */
    uint64_t elapsed_ns;
    int code;
    int outcome;
};

struct ext_function {
    ext_state *state;
    ext_log_queue *queue; /* borrowed from the engine */
    char *name, *signature; /* owned; signature may be NULL */
    PyObject *callable;   /* strong */
};

/* values.c */
PyObject *ext_text(iso_str value);          /* str with surrogateescape; None if absent */
int ext_octets(PyObject *text, iso_str *out,
               PyObject **owner_out); /* borrowed octets; *owner_out is freed by the caller */
int ext_address(PyObject *value, const char *what, iso_address *out);
PyObject *ext_address_pair(const iso_address *address); /* (ip, port), or None */
PyObject *ext_edits_tuple(ext_state *state, const iso_edits *edits);
PyObject *ext_raise(ext_state *state, int code, const char *message, const char *traceback); /* NULL */
PyObject *ext_raise_error(ext_state *state, const iso_error *err);                          /* NULL */
int ext_values_init(ext_state *state, PyObject *module);

/* result_type.c */
ext_result *ext_result_new(ext_state *state, PyObject *message);
/* Copies what the engine lent. Needs no thread state. 0 or ISO_ENOMEM. */
int ext_result_take(ext_result *self, const iso_result *result);
void ext_results_clear(ext_state *state);
extern PyType_Spec ext_result_spec;

/* rank_type.c */
PyObject *ext_rank_open(ext_engine *engine, int number);
int ext_rank_close(ext_rank *self); /* 0 or a negative code; no Python error */
extern PyType_Spec ext_rank_spec;

/* arguments.c: what python_exec and batch are called with. */
typedef struct ext_arguments {
    PyObject *values[EXT_KEYWORDS]; /* borrowed from the caller's stack */
    const char *method;
    PyObject *extra_owner; /* strong or NULL: freed by ext_arguments_fini */
    iso_str extra;
    iso_msg msg; /* without data */
} ext_arguments;
int ext_arguments_init(ext_arguments *out, ext_state *state, PyObject *second_name, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *kwnames);
static inline void
ext_arguments_fini(ext_arguments *arguments)
{
    Py_XDECREF(arguments->extra_owner);
}
/* The message as bytes: new reference. Other buffers are copied, since they could change during the call. */
PyObject *ext_message_bytes(PyObject *value);
int ext_message_set(iso_msg *msg, PyObject *bytes);

/* engine_type.c */
extern PyType_Spec ext_engine_spec;

/* config.c */
/* Sets what the dict `values` names. The texts that the config borrows are put into the list `keep`. -1: raised,
 * with every problem in one exception. */
int ext_config_fill(ext_state *state, iso_config *config, PyObject *values, PyObject *keep);

/* functions.c */
int ext_functions_init(ext_engine *engine, PyObject *rows);
void ext_functions_fini(ext_engine *engine);
/* The array for iso_config, to be freed with PyMem_Free; NULL with an error set. */
iso_function *ext_functions_table(const ext_engine *engine);
extern PyType_Spec ext_call_spec;
PyObject *ext_call_new(ext_state *state, const iso_call *call);
void ext_call_end(PyObject *call); /* reads of it raise from now on */

/* log_queue.c */
extern PyType_Spec ext_log_queue_spec;
void ext_log_put(void *queue, int level, int rank, const char *text); /* an iso_log_fn: any thread */
void ext_log_close(ext_log_queue *queue);

/* tables.c */
extern PyMethodDef ext_table_methods[];

#endif
