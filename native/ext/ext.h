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

#include <pthread.h>

#include "isoexec.h"

#ifdef Py_GIL_DISABLED
#error "isoexec needs a CPython build with a GIL (python3.X, not python3.Xt)"
#endif

#define EXT_FREE_OBJECTS 64 /* dead ones of a hot type that wait to be used again */
#define EXT_EDIT_KINDS 8

/* Parameters of a call. An inline rank takes those before EXT_RANK. */
enum {
    EXT_METHOD,
    EXT_MESSAGE,
    EXT_EXTRA,
    EXT_ROUTE,
    EXT_SOURCE,
    EXT_DESTINATION,
    EXT_RANK,
    EXT_TIMEOUT,
    EXT_USER,
    EXT_KEYWORDS
};

typedef struct ext_engine ext_engine;
typedef struct ext_rank ext_rank;
typedef struct ext_result ext_result;
typedef struct ext_task ext_task;
typedef struct ext_log_queue ext_log_queue;
typedef struct ext_function ext_function;

/* Dead objects of a hot type, to be used again: making one costs half of a short call. Each such type
 * starts with an ext_reused. */
typedef struct ext_reused {
    PyObject_HEAD
    struct ext_reused *next; /* while it is on the free list */
} ext_reused;
typedef struct ext_free_list {
    ext_reused *first;
    int count;
} ext_free_list;

/* Module state. The types keep the module alive, so objects may hold a plain pointer to it. */
typedef struct ext_state {
    PyTypeObject *engine_type, *rank_type, *result_type, *task_type, *call_type, *log_queue_type, *edit_type;
    PyObject *make_error;                  /* isoexec.errors.error_from_code */
    PyObject *closed_error;                /* isoexec.errors.EngineClosedError */
    PyObject *format_exception;            /* traceback.format_exception */
    PyObject *script_module;               /* iso_script_module() of the main interpreter, NULL until asked for */
    PyObject *keywords[EXT_KEYWORDS];      /* interned: names of python_exec's parameters */
    PyObject *messages;                    /* interned: what batch() calls its second one */
    PyObject *routes[ISO_ROUTE_BRANCH + 1];
    PyObject *outcomes[ISO_OUTCOME_COUNT];
    PyObject *edit_kinds[EXT_EDIT_KINDS];
    ext_free_list free_results, free_tasks;
} ext_state;

struct ext_engine {
    PyObject_HEAD
    ext_state *state;
    iso_engine *handle;      /* NULL when closed */
    ext_log_queue *queue;    /* strong */
    ext_function *functions; /* rows that the engine points to */
    Py_ssize_t function_count;
    ext_rank *ranks;         /* open ones, borrowed, linked */
    int rank_count;          /* setting ranks */
    unsigned char *channels; /* owned: ISO_CHANNEL_... of each rank, by its number - 1 */
    int channel;             /* ISO_CHANNEL_... of the engine as a whole */
    int queue_ranks;         /* how many have the channel queue */
    int reject;              /* setting on_overload: a full queue is an error */
    int closing;
    int inside;              /* threads that use the handle with the GIL released */
    ext_task *in_flight;     /* tasks whose completion is to come; strong, linked */
    int placeless;           /* threads that wait for a place in a full queue */
    pthread_mutex_t place_lock; /* guards places; taken with and without the GIL, never waits for it */
    pthread_cond_t place_free;
    int places;              /* calls that ended since, not more than there were waiting threads */
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

/* The answer of one call. Its parts are C memory until someone reads them, so that a plain call makes no
 * Python object but this one, and so that batch() can fill it without the GIL. That memory is its own copy
 * of what an inline rank lent, or the task of a queue call, which it took over. */
struct ext_result {
    PyObject_HEAD
    ext_reused *next;
    ext_state *state;
    PyObject *message;   /* bytes, strong */
    iso_result value;
    int rank;            /* that ran the call, 0 if none did */
    iso_task *task;      /* owned: what value points into, or NULL */
    iso_edits *edits;    /* owned: value.edits, unless the task owns them; NULL for none */
    char *text;          /* owned: the texts of value, one after another, unless the task owns them */
};

/* One call on the queue channel. */
struct ext_task {
    PyObject_HEAD
    ext_reused *next;
    ext_state *state;
    iso_task *handle;    /* NULL when the Result took it over, or when it was cancelled */
    int cancelled;
    int waiting;         /* threads that wait for it without the GIL */
    PyObject *message;   /* bytes, strong */
    PyObject *result;    /* NULL until somebody asks for it */
    PyObject *user;      /* strong, NULL for None */
    ext_engine *engine;  /* strong */
    ext_task **link;     /* what points to it in engine->in_flight, NULL when it is not there */
    ext_task *following; /* in engine->in_flight */
};

struct ext_function {
    ext_engine *engine;   /* borrowed: it owns the row */
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

PyObject *ext_raise_closed(ext_state *state);                                               /* NULL */
/* What a refused call says. NULL */
PyObject *ext_raise_refused(ext_state *state, int code, const iso_result *result);

/* reused.c */
void *ext_reused_take(ext_free_list *list, PyTypeObject *type); /* NULL: there is none */
int ext_reused_give(ext_free_list *list, void *object);         /* 0: it is full, the caller frees */
void ext_reused_clear(ext_free_list *list, PyTypeObject *type); /* for good: takes none any more */

/* result_type.c */
ext_result *ext_result_new(ext_state *state, PyObject *message, int rank);
/* Copies what an inline rank lent. Needs no thread state. 0 or ISO_ENOMEM. */
int ext_result_take(ext_result *self, const iso_result *result);
/* The Result of an ended task, whose owner it becomes. NULL: the call was refused; the task stays the caller's. */
PyObject *ext_result_from_task(ext_engine *engine, iso_task *task, PyObject *message);
extern PyType_Spec ext_result_spec;

/* task_type.c */
/* A task without a handle. */
ext_task *ext_task_new(ext_engine *engine, PyObject *message, PyObject *user);
void ext_task_fly(ext_task *self);            /* puts it into engine->in_flight, which holds it */
PyObject *ext_task_land(ext_task *self);      /* takes it out; the reference goes to the caller */
extern PyType_Spec ext_task_spec;

/* queue_calls.c: what an Engine does on the queue channel */
#define EXT_SLICE_NS 50000000 /* how long a wait goes on before Ctrl-C is looked at */
/* Waits until the task ended: 0, ISO_ETIMEDOUT or ISO_ECYCLE; or 1 with an exception set. */
int ext_wait(iso_task *task, int64_t timeout_ns);
void ext_place_freed(ext_engine *engine, int count); /* calls ended */
PyObject *ext_engine_start(ext_engine *self, PyObject *ignored);
PyObject *ext_engine_exec(ext_engine *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *ext_engine_submit(ext_engine *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *ext_engine_completions(ext_engine *self, PyObject *max);
PyObject *ext_engine_fileno(ext_engine *self, PyObject *ignored);
PyObject *ext_engine_reload(ext_engine *self, PyObject *seconds);
PyObject *ext_engine_look(ext_engine *self, PyObject *args);

/* rank_type.c */
PyObject *ext_rank_open(ext_engine *engine, int number);
int ext_rank_close(ext_rank *self); /* 0 or a negative code; no Python error */
extern PyType_Spec ext_rank_spec;

/* arguments.c: what python_exec, batch and submit are called with. */
typedef struct ext_arguments {
    PyObject *values[EXT_KEYWORDS]; /* borrowed from the caller's stack */
    const char *method;
    PyObject *extra_owner; /* strong or NULL: freed by ext_arguments_fini */
    iso_str extra;
    iso_msg msg;        /* without data */
    int rank;           /* ISO_ANY_RANK for None */
    int64_t timeout_ns; /* negative: no limit */
} ext_arguments;
/* `names`: how many of the parameters there are; `second_name`: what the message is called. */
int ext_arguments_init(ext_arguments *out, ext_state *state, int names, PyObject *second_name, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *kwnames);
/* Seconds, or None (also NULL) for no limit. */
int ext_timeout(PyObject *value, int64_t *ns_out);
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
typedef struct ext_config {
    iso_config config;
    iso_override *overrides; /* owned */
    PyObject *keep;          /* strong: a list of what the texts point into */
} ext_config;
/* From a dict of texts by name and a tuple of (first, last, name, text). -1: raised, and nothing is to be freed. */
int ext_config_init(ext_config *self, ext_state *state, PyObject *values, PyObject *rows);
void ext_config_fini(ext_config *self);
PyObject *ext_check_setting(PyObject *module, PyObject *args);
PyObject *ext_check_config(PyObject *module, PyObject *args);
PyObject *ext_settings_of_rank(PyObject *module, PyObject *args);

/* functions.c */
int ext_functions_init(ext_engine *engine, PyObject *rows);
void ext_functions_fini(ext_engine *engine);
/* The array for iso_config, to be freed with PyMem_Free; NULL with an error set. */
iso_function *ext_functions_table(const ext_engine *engine);
extern PyType_Spec ext_call_spec;
PyObject *ext_call_new(ext_state *state, const iso_call *call);
void ext_call_end(PyObject *call); /* reads of it raise from now on */
int ext_functions_running(const ext_engine *engine); /* this thread runs a host function of it */

/* log_queue.c */
extern PyType_Spec ext_log_queue_spec;
void ext_log_put(void *queue, int level, int rank, const char *text); /* an iso_log_fn: any thread */
#define EXT_EVENT 100 /* instead of a level: the text is an event's name */
void ext_event_put(void *queue, int event, int rank); /* an iso_event_fn: comes in order with the lines */
void ext_log_close(ext_log_queue *queue);

/* tables.c */
extern PyMethodDef ext_table_methods[];

#endif
