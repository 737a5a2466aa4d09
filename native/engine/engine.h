/* engine.h: the private side of engine/.
 *
 * Locks, in the order in which they may be taken; none is waited for while a thread state is attached
 * (CPython 3.13+ needs the main GIL inside imports and interpreter creation, gh-130501):
 *   1. runtime lock    (runtime.c)   who starts Python, the list of engines
 *   2. engine lock     (engine.c)    the table of ranks of one engine
 *   3. creation lock   (states.h)    one interpreter is made or ended at a time
 *   4. job lock        (runtime.c)   the main-Python thread's work
 *   5. any GIL
 * Everything else of a rank belongs to its thread; what other threads read of it is atomic. */
#ifndef ISO_ENGINE_H
#define ISO_ENGINE_H

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine/names.h"
#include "engine/pile.h"
#include "engine/watch.h"
#include "isoexec.h"
#include "script/script.h"
#include "sip/sip.h"

/* A variable of each thread, in the space that the loader keeps for such (a pointer each, no more): one load
 * where the usual way costs a call. */
#define ISO__THREAD _Thread_local __attribute__((tls_model("initial-exec")))

#define ISO__METHOD_MEMOS 8  /* power of 2 */
#define ISO__METHOD_TABLE 64 /* methods remembered per rank; more work too, but are looked up each time */
#define ISO__SAMPLE_EVERY 16 /* calls per sample of the histogram; power of 2 */

/* Names the calling thread, as pthread_self does, without the call. */
static inline uintptr_t
iso__this_thread(void)
{
    return (uintptr_t)__builtin_thread_pointer();
}

/* One method of the handler, as it was last resolved (methods.c). */
typedef struct iso__method {
    char name[ISO__METHOD_NAME];
    PyObject *str;            /* interned name */
    PyTypeObject *type;       /* of the handler when `function` was found; borrowed, compared only; NULL: look up */
    unsigned int version;     /* type->tp_version_tag then */
    PyObject *function;       /* plain function of the type; owned */
} iso__method;

/* Memory that grows and stays: texts that a result lends out until the next call. */
typedef struct iso__text {
    char *p;
    size_t n;
    size_t capacity;
} iso__text;

/* One nesting depth of a rank. */
typedef struct iso__frame {
    const iso_msg *msg;      /* of the running call */
    const char *method;
    iso_edits *edits;        /* where the running call records: own_edits, or the outer call's */
    iso__edits_mark savepoint; /* of the outer call's edits: what a nested call that raises goes back to */
    iso_edits own_edits;
    iso__text error;         /* lent out in iso_result.error */
    script_slot slot;
} iso__frame;

/* What other threads may read while the rank runs; one writer. `calls` grows when a call begins, the rest by release as it
 * ends: who reads `calls` last sees no more of anything than calls. */
typedef struct iso__counters {
    _Atomic uint64_t calls;
    _Atomic uint64_t failures[ISO_OUTCOME_COUNT]; /* [RETURNED] stays 0: it is what calls leaves */
    _Atomic uint64_t edits;
    _Atomic uint64_t log_lines;
    _Atomic uint64_t histogram[ISO_HISTOGRAM_BUCKETS];
} iso__counters;

static inline void
iso__count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_release);
}

enum iso__rank_state {
    ISO__RANK_CLOSED,
    ISO__RANK_OPENING,
    ISO__RANK_SERVING,
    ISO__RANK_CLOSING,
    ISO__RANK_REPLACED,  /* stuck, and its number is another's; its thread ends it when the call ends */
    ISO__RANK_ABANDONED, /* its interpreter could not be ended and is never touched again; for good */
};

/* Bits of iso_rank.attention. */
enum {
    ISO__ATTEND_MAIL = 1,      /* letters wait */
    ISO__ATTEND_ELSEWHERE = 2, /* calls run in another process */
};

/* A rank lives until its engine is destroyed, in the table or among the replaced ones, so that a call after
 * close finds a rank that says no. */
struct iso_rank {
    /* read by every call */
    _Atomic uintptr_t thread; /* iso__this_thread of the owner */
    _Atomic int state;        /* enum iso__rank_state */
    int depth;                /* running calls */
    int max_depth;
    bool attached;            /* the thread holds this rank's GIL: in a call or between begin and end */
    bool needs_main;          /* a host function is written in Python */
    bool watched;             /* a deadline is set, and the rank is open */
    bool output_pending;      /* sys.stdout or stderr holds a part of a line */
    _Atomic uint32_t attention; /* ISO__ATTEND_...: why the next call may not take the short way */
    uint64_t sample_mask;     /* calls whose number has none of these bits are timed: 0 all, all bits none */
    PyThreadState *py;        /* kept for life; of the rank's thread */
    PyObject *handler;
    script_state *script;
    iso__frame *frames;       /* max_depth of them */
    iso__method *memo[ISO__METHOD_MEMOS];
    PyObject **handler_dict_place; /* where the handler keeps its dict; NULL: it has none */
    PyObject *handler_dict;        /* the dict that is watched; borrowed, compared only */
    PyObject *extra;          /* str of the last extra argument, with its UTF-8 */
    iso_str extra_text;       /* borrowed from `extra` */
    iso__counters counters;
    iso__watch watch;

    iso_engine *engine;
    int number;
    iso_config settings; /* the engine's with this rank's overrides; strings are the engine's */
    iso__pile mail; /* what others want done between two calls */
    _Atomic int letters;               /* of these, and those that it is at */
    struct iso__letter *reload_letter; /* the last one, with a share of it; of the thread that reloads */
    script_host host;
    PyObject *script_module; /* OpenSIPS */
    PyObject *rules;         /* namespace of rank_rules.py */
    PyObject *own_modules;   /* OwnModules of own_modules.py */
    PyObject *capsule;       /* how functions of `rules` find the rank */
    iso__method *methods[ISO__METHOD_TABLE];
    int method_count;
    iso__method *named[ISO__NAMES]; /* of these, by the number of a kept name (names.h) */
    int watcher; /* id of the watch over the handler's dict, -1 if none; ranks of one interpreter share it */
    iso_rank *next_of_interpreter; /* under its GIL */
    iso__text output[2];     /* unfinished line of stdout, stderr */
    PyThreadState *caller;   /* main state with which a Python host came, for the running call */
    PyThreadState *main_own; /* main state that the engine keeps for this thread, NULL until needed */
    _Atomic int thread_gone; /* set by the thread's exit: nobody owns the rank any more */
    iso_rank *next_of_thread; /* the owner's other ranks */
    iso_rank *next_replaced;
    uint32_t restarts;        /* ranks that had the number before */
    struct iso__lane *lane;   /* its side of the queue channel, NULL if it has none */
    int mail_fd;              /* readable while letters wait for an inline rank */
    _Atomic uint64_t opened_ns; /* monotonic time since when it serves, 0 if it does not */
    _Atomic uint32_t reloads;
    _Atomic uint32_t blocks;  /* memory blocks of its interpreter, when last looked */
    struct iso__elsewhere *elsewhere; /* where its calls run, NULL: here */
    bool whole;               /* this process is the rank's alone (child.c), with its main interpreter */
};

struct iso_engine {
    iso_config config;      /* strings and arrays are the engine's copies; of ranks: iso_rank.settings */
    char *script_path;      /* absolute */
    char *script_module;    /* import name */
    _Atomic(iso_rank *) *ranks; /* config.ranks of them; number i at [i - 1] */
    iso_rank *replaced;         /* ranks that lost their number while stuck; under the engine lock */
    int replaced_live;          /* of these, whose interpreters are there; the same */
    iso__watchdog watchdog;
    struct iso__children *children; /* the processes of its ranks, NULL until there is one; under the engine lock */
    pthread_mutex_t lock;   /* guards state changes of ranks between threads */
    pthread_cond_t changed; /* a rank closed */
    _Atomic bool closing;   /* set under the lock */
    bool reloading;         /* a thread is in iso_engine_reload; under the lock */
    uint64_t reload_round;  /* of the last reload; that thread's */
    _Atomic uint64_t reload_failed; /* the last round that failed in a rank: others need not try it */
    struct iso__reload_signal *reload_signal; /* NULL: the engine takes none */
    struct iso__queue *queue; /* the queue channel, NULL if the engine has none */
    iso_engine *next;         /* runtime's list */
};

/* The rank that has the number now; any thread. */
static inline iso_rank *
iso__rank_of(const iso_engine *engine, int number)
{
    return atomic_load_explicit(&engine->ranks[number - 1], memory_order_acquire);
}

static inline bool
iso__rank_in_main(const iso_rank *rank)
{
    return rank->settings.isolation == ISO_ISOLATION_MAIN;
}

/* error.c */
__attribute__((format(printf, 3, 4))) int iso__fail(iso_error *err, int code, const char *format, ...);
void iso__error_traceback(iso_error *err, iso_str text);
int iso__text_set(iso__text *text, const char *p, size_t n); /* 0 or ISO_ENOMEM */
int iso__text_add(iso__text *text, const char *p, size_t n);
int iso__text_reserve(iso__text *text, size_t n); /* room for n octets more, and a NUL */
void iso__text_fini(iso__text *text);

/* config.c */
int iso__config_copy(iso_config *to, const iso_config *from); /* 0 or ISO_ENOMEM; free either way */
void iso__config_free(iso_config *config);

/* exec.c: iso_python_exec of a caller that knows the start line; msg->index is NULL */
int iso__exec_usual(iso_rank *rank, const char *method, const iso_msg *msg, iso_str extra, iso__usual usual,
                    iso_result *out);

/* log.c */
void iso__log(const iso_engine *engine, int level, int rank, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void iso__log_lines(iso_rank *rank, int level, iso_str text);     /* one log line for each line of text */
void iso__log_script(void *rank, int level, iso_str text);        /* script_host.log */
void iso__log_output(iso_rank *rank, int stream, iso_str text);   /* of sys.stdout (1), sys.stderr (2), in pieces */
void iso__log_output_flush(iso_rank *rank);
void iso__event(const iso_engine *engine, int event, int rank); /* ISO_EVENT_...; nothing attached */

/* runtime.c: the one Python of the process */
int iso__runtime_start(const iso_config *config, iso_error *err); /* idempotent */
/* Runs a function with the main interpreter attached: on the main-Python thread, or on this one if
 * Python is the host. The caller is detached. Returns what it returned. */
int iso__runtime_main(int (*function)(void *argument), void *argument);
void iso__runtime_add(iso_engine *engine);
void iso__runtime_remove(iso_engine *engine);
int iso__runtime_live_ranks(int by); /* adds to and returns the number of live interpreters */
int iso__runtime_abandoned(int by);  /* the same for interpreters that could not be ended */
void iso__runtime_close_all(void);   /* at exit of a Python host: ends all ranks */

/* main_rules.c: what the main interpreter must do for ranks; called with it attached */
int iso__main_rules_install(const iso_config *config, bool python_host, iso_error *err);
int iso__main_rules_check(iso_error *err);           /* tracemalloc */
/* What failed goes to failed_out, "" if nothing did. */
void iso__main_load_extension(const char *name, const char *origin, char *failed_out, size_t size);

/* The program of this Python and the options that make another like it: texts in one block of memory, freed by
 * free(). ISO_EINTERP, ISO_ENOMEM. */
int iso__main_command(char ***out, iso_error *err);

/* pyconfig.c */
int iso__python_initialize(const iso_config *config, iso_error *err);
int iso__python_version_check(iso_error *err);

/* engine.c */
int iso__engine_new(iso_engine **out, const iso_config *config, iso_error *err); /* without ranks, in no list */
int iso__engine_close(iso_engine *engine); /* ends all ranks, keeps the structs; returns abandoned ones */
int iso__engine_close_ranks(iso_engine *engine); /* the part of it that waits for the ranks' owners */
int iso__rank_new(iso_engine *engine, int number, iso_rank **out, iso_error *err); /* closed, and in no table */
void iso__rank_free(iso_rank *rank); /* of NULL: nothing */

/* rank.c */
/* Ends a rank, on its thread or, if that is gone, on any. 0, or 1 if it had to be abandoned. */
int iso__rank_end(iso_rank *rank);
int iso__rank_end_attached(iso_rank *rank); /* the same from inside: attached on entry, detached on return */
/* The same for the process that is a rank's alone: attached on entry, and detached on return if it serves. */
int iso__rank_open_whole(iso_rank *rank, iso_error *err);
int iso__rank_end_whole(iso_rank *rank); /* detached on entry, attached on return; 1 if the script's threads go on */
void iso__rank_leave(iso_rank *rank); /* a replaced rank's call ended after all: ends its interpreter, if it can */
/* 0 if the rank serves, is this thread's and in no call; else ISO_ESTATE or ISO_ETHREAD. */
int iso__rank_is_ours(const iso_rank *rank);
void iso__rank_abandon(iso_rank *rank);
/* Before this thread waits for a rank: ranks in the main interpreter share a GIL, and one that keeps it can wait
 * for ever. The rank that was let go and is to be attached after the wait, or NULL. */
iso_rank *iso__main_let_go(void);
size_t iso__stack_left(void);

/* rules.c: in the rank, attached */
int iso__rank_rules_install(iso_rank *rank, iso_error *err);
void iso__rank_rules_end(iso_rank *rank); /* objects of the script that live on find no rank any more */
PyObject *iso__rank_rule(iso_rank *rank, const char *name); /* borrowed function of rank_rules.py */
PyObject *iso__run_embedded(const char *source, const char *name, PyObject *presets); /* new namespace */

/* load.c: attached */
int iso__script_path(iso_engine *engine, iso_error *err); /* detached, no Python */
/* The rank's OwnModules (own_modules.py) over a table of modules: new reference, or NULL with an error set. NULL
 * for `builtins`: the interpreter's. */
PyObject *iso__own_modules_new(iso_rank *rank, PyObject *table, PyObject *builtins);
int iso__own_modules_install(iso_rank *rank, iso_error *err); /* over sys.modules, or a table of the rank */
/* Loads the script afresh; mod_init, child_init. *handler_out is a new reference, set as soon as there is one,
 * also if child_init fails then. */
int iso__script_load(iso_rank *rank, PyObject **handler_out, iso_error *err);
void iso__child_exit(iso_rank *rank, PyObject *handler); /* if it has one; what it raises is logged */

/* failure.c: attached, with an error set */
/* Takes the error, logs it, keeps its text in the frame. Returns the outcome. The method is over. */
int iso__failure_take(iso_rank *rank, iso__frame *frame, int outcome);
/* The handler has no such method: clears the error, names the nearest one. */
void iso__failure_missing(iso_rank *rank, iso__frame *frame);
/* Keeps and logs a reason that is not an exception. */
void iso__failure_reason(iso_rank *rank, iso__frame *frame, int level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int iso__failure_start(iso_rank *rank, iso_error *err, int code, const char *what); /* for open */

/* "rank 2, python_exec("route"), Call-ID abc@host: ": what a call is. */
void iso__failure_origin(int number, const char *method, const iso_msg *msg, iso__text *to);
#define ISO__DEADLINE_TEXT 128
/* "took longer than its deadline of 20ms", with the rank's. */
void iso__failure_deadline(const iso_rank *rank, char text[ISO__DEADLINE_TEXT]);
/* What a rule makes of an object, into `to`, without raising anything. */
void iso__failure_text(iso_rank *rank, const char *rule, PyObject *object, iso__text *to);

/* stats.c */
void iso__stats_sample(iso_rank *rank, uint64_t elapsed_ns);

/* mailbox.c */
void iso__mail_service(iso_rank *rank); /* on its thread, between calls, attached or not */
void iso__mail_refuse(iso_rank *rank);  /* the rank has ended: nobody will answer any more */
void iso__mail_wake(iso_rank *rank);    /* from any thread */
void iso__mail_free(iso_rank *rank);    /* when nobody reloads any more */
int iso__mail_open(iso_rank *rank, iso_error *err);

/* reload.c */
void iso__reload_end(iso_engine *engine); /* of an engine that is closing: waits until nobody reloads it any more */

/* reload_signal.c */
int iso__reload_signal_start(iso_engine *engine, iso_error *err);
void iso__reload_signal_stop(iso_engine *engine);

/* elsewhere.c: a rank whose calls run in a process of its own */
int iso__elsewhere_open(iso_rank *rank, iso_error *err);
void iso__elsewhere_close(iso_rank *rank);
void iso__elsewhere_free(iso_rank *rank);
/* Runs the call of a frame, fills its edits and its error. 0, or the negative code of why no call was made. */
int iso__elsewhere_run(iso_rank *rank, iso__frame *frame, iso_str extra, int *code_out, int *outcome_out);

/* children.c */
void iso__children_kill(iso_engine *engine, iso_rank *rank); /* the process, if there is one: its calls end */
void iso__children_stop(iso_engine *engine); /* ends every process, and the thread that looks after them */
bool iso__children_are_ours(const iso_engine *engine); /* false in a process that the host has forked */
void iso__children_free(iso_engine *engine);
uint32_t iso__children_stats(const iso_rank *rank, int *pid_out); /* how often it was started again */

/* functions.c: runs the host's function on a thread with no state attached; main's is, if it asks for that. `edits`
 * is what it may record into, NULL for nothing; `call` is filled but for its state. */
int iso__function_call(iso_rank *rank, const iso_function *function, iso_call *call, iso_edits *edits,
                       const iso_value *argv, int argc, script_answer *answer, iso_error *err);
/* script_host.run */
int iso__function_run(void *rank, const iso_function *function, const iso_msg *msg, iso_edits *edits,
                      const iso_value *argv, int argc, script_answer *answer, iso_error *err);

#endif
