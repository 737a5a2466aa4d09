/* isoexec.h: run Python handlers in parallel inside a multi-threaded proxy.
 *
 * The model. A host (your proxy) makes one engine for a handler script. Each worker thread of the
 * host opens one rank: a CPython sub-interpreter with its own GIL, made on that thread, used only on
 * that thread, closed on that thread. iso_python_exec() crosses into it with one SIP message and
 * runs one method of the object that the script's mod_init() returned. Ranks run in parallel.
 *
 * Threads. A rank belongs to the thread that opened it; using it elsewhere fails with ISO_ETHREAD.
 * Call every function here with no Python thread state attached (a C host never has one; a Python
 * extension releases its own first), except the functions of the section "Python objects".
 * Functions that take no rank may be called from any thread.
 *
 * Memory. The caller owns what it passes in and the structs it hands over; strings are copied when
 * they must outlive the call. What a function returns inside a struct is borrowed, and the comment
 * says until when. No function keeps a message after it returned.
 *
 * Python. If the process has no Python yet, the first engine starts it on a thread of its own and
 * it stays until the process ends. If Python runs already, it is used and never finalised.
 *
 * Failures. Functions that can fail return 0 (or a count) on success and a negative ISO_E... code;
 * `iso_error *err` may be NULL, else it gets the code, one sentence, and a traceback if Python raised.
 */
#ifndef ISOEXEC_H
#define ISOEXEC_H

#include "isoexec_sip.h" /* errors, values, the message, edits */

#ifdef __cplusplus
extern "C" {
#endif

#define ISO_VERSION_MAJOR 0
#define ISO_VERSION_MINOR 1
#define ISO_VERSION_PATCH 0

/* "0.1.0": the version of the library that is loaded, which may differ from the header's. */
ISO_API const char *iso_version(void);

/* ---- host functions ----------------------------------------------------------------------- */
typedef struct iso_engine iso_engine;
typedef struct iso_rank iso_rank;

enum { ISO_VALUE_NONE, ISO_VALUE_STR, ISO_VALUE_INT };
typedef struct iso_value {
    int kind;    /* ISO_VALUE_... */
    iso_str str; /* of ISO_VALUE_STR: UTF-8, other octets as they were (surrogateescape) */
    int64_t num; /* of ISO_VALUE_INT */
} iso_value;

/* The call that a host function serves: who asks, about what. Borrowed, for the function's duration. */
typedef struct iso_call {
    iso_rank *rank;
    int rank_number;
    const char *method; /* of the script */
    const iso_msg *msg;
    const iso_edits *edits; /* so far; NULL if none */
    const char *function;   /* the name the script used */
    struct iso_call_state *state; /* the engine's */
} iso_call;

/* Runs on the rank's thread. The result goes to the script as an int. To raise RuntimeError in the
 * script instead, fill err->message and return ISO_EFUNCTION. May call iso_python_exec on the same
 * rank (a nested call). */
typedef int (*iso_function_fn)(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err);

/* Records an edit, as if the method had made it at this point: ISO_EINVAL with the reason if the text may not
 * go into a message, ISO_ENOMEM, ISO_ESTATE in a function that is flagged: the rank is let go around it, and the
 * edits are the script's. Own thread, while the function runs. */
ISO_API int iso_call_edit(const iso_call *call, int kind, iso_str name, iso_str value, iso_error *err);
/* Gives the call a text too, which is copied: msg.get_pseudoVar(format) runs the host function "get_pseudoVar" with
 * the format and returns that text, None without one; set_pseudoVar(name, value) runs "set_pseudoVar". ISO_ENOMEM. */
ISO_API int iso_call_answer(const iso_call *call, iso_str text);

enum {
    ISO_FUNCTION_BLOCKING = 1, /* may block: the GIL is released around it */
    ISO_FUNCTION_PYTHON = 2,   /* needs the main interpreter: its thread state is attached around it */
};

/* One host function. `signature`: one letter an argument, s text, i int, v either; after '|' the
 * optional ones, which may be left out or None; "*" at the end takes any number more. NULL: "*". */
typedef struct iso_function {
    const char *name;
    const char *signature;
    iso_function_fn function;
    void *user;
    unsigned flags; /* ISO_FUNCTION_... */
} iso_function;

/* ---- engine ------------------------------------------------------------------------------- */
/* Log levels, OpenSIPS' numbers. */
enum { ISO_LOG_ALERT = -3, ISO_LOG_CRIT, ISO_LOG_ERR, ISO_LOG_WARN = 1, ISO_LOG_NOTICE, ISO_LOG_INFO, ISO_LOG_DBG };

/* A line for the host's log, without line end. rank 0: the engine itself. Called from any thread, at
 * times with a rank attached: must not block, must not call isoexec or Python. */
typedef void (*iso_log_fn)(void *user, int level, int rank, const char *text);

/* The iso_log_fn of an engine that is given none: time, process, level, rank and text on standard error. Never waits for
 * its reader: lines without room are dropped, and the next that gets through is preceded by their number. */
ISO_API void iso_log_standard_error(void *user, int level, int rank, const char *text);

enum { ISO_TIMING_OFF, ISO_TIMING_SAMPLED, ISO_TIMING_FULL };

/* How calls reach the ranks of an engine: on the thread of the caller, which opened the rank, or from any
 * thread through a queue to threads that the engine makes. */
enum { ISO_CHANNEL_INLINE, ISO_CHANNEL_QUEUE };
enum { ISO_OVERLOAD_WAIT, ISO_OVERLOAD_REJECT };

/* How far a rank is kept apart. Calls, results, host functions, logs and faults are the same on each. */
enum {
    ISO_ISOLATION_OWN_GIL,    /* a sub-interpreter with its own GIL: parallel, cheapest */
    ISO_ISOLATION_SHARED_GIL, /* not there yet: refused */
    ISO_ISOLATION_MAIN,       /* the main interpreter: extensions that load once in a process */
    ISO_ISOLATION_PROCESS,    /* a process of its own over shared memory: a crash stays there */
};
enum { ISO_STUCK_REPLACE, ISO_STUCK_KEEP };

/* What happens to ranks, for a host that wants to know. Called from any thread, with none attached: must
 * not block, must not call isoexec or Python. */
enum {
    ISO_EVENT_STUCK = 1, /* a call went on for the grace time after its deadline */
    ISO_EVENT_FREED,     /* a stuck call ended after all: the rank serves again */
    ISO_EVENT_REPLACED,  /* a new rank took over the number of a stuck one */
    ISO_EVENT_CRASHED,   /* the process of a rank ended */
    ISO_EVENT_RESTARTED, /* it is there again */
    ISO_EVENT_RELOADED,  /* the rank runs the new code of the script */
};
typedef void (*iso_event_fn)(void *user, int event, int rank);

/* One setting of some ranks only, by its name and text: {3, 4, "isolation", "process"}. */
typedef struct iso_override {
    int first, last; /* ranks, both included */
    const char *name;
    const char *text;
} iso_override;

/* Settings of an engine. iso_config_init sets every default; strings and arrays are copied by create. The
 * table of native/engine/settings.h describes each for TOML, environment, CLI and docs. Times are in
 * nanoseconds and sizes in octets, 0 for none; lists are texts, their items parted by commas or, if there is
 * one, by line ends. */
typedef struct iso_config {
    size_t size;                   /* sizeof(iso_config), set by init */
    const char *script_name;       /* path of the .py or .pyc; required */
    const char *mod_init_function; /* "mod_init" */
    const char *child_init_method; /* "child_init" */
    const char *python_home;       /* NULL: where libpython says; only if the engine starts Python */
    const char *venv;              /* NULL: the venv that holds libisoexec; only if the engine starts Python */
    const char *preload;           /* list of modules more that the main interpreter loads first */
    int ranks;                     /* 4; the highest rank number that may be opened */
    int isolation;                 /* ISO_ISOLATION_OWN_GIL */
    int log_level;                 /* ISO_LOG_INFO; lines above it are dropped before formatting */
    int max_depth;                 /* 8; nested calls on one rank */
    int keep_edits_on_error;       /* 0; 1: edits of a method that raised are kept, as OpenSIPS does */
    int timing;                    /* ISO_TIMING_SAMPLED: one call in 16 goes into the histogram */
    int64_t deadline;              /* 0; a longer call gets DeadlineExceeded */
    int64_t soft_deadline;         /* 0; a longer call is logged with its stack */
    int64_t grace;                 /* 5 s; from the deadline to stuck; how long a stop waits */
    int on_stuck;                  /* ISO_STUCK_REPLACE */
    int allow_threads;             /* 1; scripts may start threads */
    int allow_daemon_threads;      /* 0; daemon threads make a clean stop impossible */
    int recursion_limit;           /* 0: CPython's; else sys.setrecursionlimit in each rank */
    int64_t switch_interval;       /* 500 us; how long a script's thread may keep a call waiting */
    const char *allow_imports;     /* NULL: all; else a list of modules */
    const char *deny_imports;      /* list of modules */
    const char *environment;       /* list of NAME=VALUE */
    const char *sys_path;          /* list of folders */
    const char *python_executable; /* NULL: the Python that runs; of process ranks */
    int64_t memory_limit;          /* 0; of process ranks */
    int restart_limit;             /* 0: always; of process ranks */
    int64_t restart_delay;         /* 100 ms; of process ranks */
    int channel;                   /* ISO_CHANNEL_INLINE */
    int queue_size;                /* 1024; calls that may wait for one rank, and for any of them */
    int on_overload;               /* ISO_OVERLOAD_WAIT: what a submit to a full queue does */
    int64_t spin;                  /* 50 us; the longest that a queue rank or a caller spins before it sleeps */
    int reload_signal;             /* 0; a signal number: the engine takes that signal and reloads */
    int allow_look;                /* 0; 1: iso_engine_look may run code in a rank */
    const iso_override *overrides; /* what some ranks have of their own; later rows win */
    size_t override_count;
    const iso_function *functions; /* host functions */
    size_t function_count;
    iso_log_fn log;                /* NULL: iso_log_standard_error */
    void *log_user;
    iso_event_fn event;            /* NULL: nobody wants to know */
    void *event_user;
} iso_config;

/* Every default, and the size. */
ISO_API void iso_config_init(iso_config *config);
/* Reads a time as settings take it, into ns: "20ms", "1.5s", "3m", "1h", a plain number of seconds, "none" as 0.
 * ISO_EINVAL on anything else. */
ISO_API int iso_time_parse(const char *text, int64_t *ns_out);
/* Sets one member by its name from text, checked against its range: for a host's config file. Times are
 * "20ms", "1.5s" (ns, us, ms, s, m, h; a plain number is seconds), sizes "64M" (K, M, G), "none" is 0;
 * of a list it is NULL, which is not the same as empty.
 * ISO_ECONFIG with a sentence that names the nearest setting. The text is borrowed by string members. */
ISO_API int iso_config_set(iso_config *config, const char *name, const char *text, iso_error *err);
/* Writes a member as the text that iso_config_set would take, with a NUL, at most size octets.
 * Returns the length it has, which may be more; ISO_ECONFIG if there is no such setting. */
ISO_API int64_t iso_config_get(const iso_config *config, const char *name, char *out, size_t size);
/* Checks everything that can be checked before anything starts: ISO_ECONFIG with every problem, in err->message
 * as far as they fit, in err->traceback one to a line. A line starts with "rank 3: " or "ranks 3-4: " if it is
 * about an override, then comes the setting's name. A value for all ranks acts on those that can have it, and is a
 * problem if none can. iso_engine_create does it too. */
ISO_API int iso_config_check(const iso_config *config, iso_error *err);
/* What rank `number` gets: a copy with its overrides applied and without the table of them, and with the
 * default of what can not act on its isolation; strings are borrowed. ISO_EINVAL if there is no such rank, ISO_ECONFIG if an override is wrong. */
ISO_API int iso_config_of_rank(const iso_config *config, int number, iso_config *out, iso_error *err);

/* One row of the settings table. */
typedef struct iso_setting {
    const char *name;
    const char *type;         /* "str", "list", "int", "bool", "choice", "time", "size" */
    const char *scope;        /* "engine", "rank", "interpreter" (not on isolation main), "process" (only there) */
    const char *choices;      /* "off=0|sampled=1|full=2" of a choice; of a list what an item is, "MODULE"; else "" */
    const char *default_text; /* "" for none */
    const char *range_text;   /* what may be given: "1 to 1024", "1ms to 1h", "off, sampled or full" */
    int64_t min, max;         /* of a number, in ns or octets */
    const char *doc;          /* one or two sentences */
} iso_setting;
/* The i-th row, or NULL past the end. Static memory. */
ISO_API const iso_setting *iso_setting_get(size_t i);

/* Makes an engine; starts Python if there is none, loads into the main interpreter what ranks must
 * find there, and starts no rank. Blocks (0.1 to 1 s the first time). Fails with ISO_ECONFIG,
 * ISO_EVERSION, ISO_EINTERP, ISO_ENOMEM; *out is then untouched and nothing is left running. */
ISO_API int iso_engine_create(iso_engine **out, const iso_config *config, iso_error *err);

/* Ends the engine: ranks that are still open are ended if their threads are gone, else the call
 * waits for the grace time and then abandons them with one log line (their interpreter is never
 * touched again). Blocks. NULL is a no-op. Returns the number of abandoned ranks; replaced ones whose stuck
 * calls still run count too. */
ISO_API int iso_engine_destroy(iso_engine *engine);
/* Tells that the end is near, as iso_engine_destroy does first: ranks are not opened and the engine is not looked
 * into or reloaded any more, and those that wait for it get ISO_ESTATE within 0.1 s. For a host that waits for
 * its threads before it destroys. Any thread, again and again; does not block. */
ISO_API void iso_engine_closing(iso_engine *engine);

/* ---- ranks -------------------------------------------------------------------------------- */
/* Makes the calling thread rank `number` (1 to config.ranks): a new interpreter, in which the script
 * is loaded and mod_init() and child_init(number) run. Blocks (10 to 100 ms). On failure nothing is
 * left running and err holds the traceback: ISO_ESCRIPT, ISO_EINIT, ISO_EINTERP, ISO_ESTATE (the
 * number is open, or the engine is closing), ISO_EINVAL (number, or the thread's stack is too small). */
ISO_API int iso_rank_open(iso_engine *engine, int number, iso_rank **out, iso_error *err);

/* Ends the rank on its own thread: joins the script's threads (grace time), runs the interpreter's
 * exit functions. ISO_ETHREAD elsewhere, ISO_ESTATE inside a call. 0 also when it had to be abandoned. */
ISO_API int iso_rank_close(iso_rank *rank);

/* The number it was opened with; any thread. */
ISO_API int iso_rank_number(const iso_rank *rank);

/* Keeps the rank attached over a burst of calls, about 40 ns cheaper each. Call end before the host
 * blocks: the script's threads run only while the rank is detached. ISO_ETHREAD, ISO_ESTATE. */
ISO_API int iso_rank_begin(iso_rank *rank);
ISO_API int iso_rank_end(iso_rank *rank);

/* How a call ended. */
enum {
    ISO_OUTCOME_RETURNED,  /* the method returned an int: `code` */
    ISO_OUTCOME_RAISED,    /* it raised */
    ISO_OUTCOME_EXIT,      /* it raised SystemExit or KeyboardInterrupt */
    ISO_OUTCOME_BAD_VALUE, /* it returned no int, or one that does not fit an int */
    ISO_OUTCOME_MISSING,   /* the handler has no such method, or it can not be called */
    ISO_OUTCOME_MALFORMED, /* the octets are not a SIP message; the method was not called */
    ISO_OUTCOME_REFUSED,   /* no call was made: wrong thread, closed rank, nesting too deep */
    ISO_OUTCOME_DEADLINE,  /* it took longer than its deadline */
    ISO_OUTCOME_CRASHED,   /* the process of the rank ended during the call */
    ISO_OUTCOME_COUNT
};
ISO_API const char *iso_outcome_name(int outcome); /* "returned", "raised", ... */

/* Borrowed parts live until the next call on this rank at this depth, or its close. */
typedef struct iso_result {
    int code;               /* > 0 true, 0 end the script, < 0 false; -1 for every failure */
    int outcome;            /* ISO_OUTCOME_... */
    uint64_t elapsed_ns;    /* 0 unless timing is full */
    iso_str new_uri;        /* what the method set, or absent */
    iso_str dst_uri;
    const iso_edits *edits; /* all edits in order, NULL if there are none */
    iso_str error;          /* reason or traceback, with rank, method and Call-ID; absent on success */
} iso_result;

/* Runs handler.method(msg) or, if extra.p != NULL, handler.method(msg, extra), on this thread.
 * Returns 0 if the result is a method's doing (also when it raised), or the negative code of why no
 * call was made; out is filled either way. A nested call from a host function is allowed on the same
 * rank. The error indicator of Python is clear before and after. */
ISO_API int iso_python_exec(iso_rank *rank, const char *method, const iso_msg *msg, iso_str extra, iso_result *out);

/* ---- the queue channel -------------------------------------------------------------------- */
/* Starts all ranks of an engine with channel=queue, each on a thread of its own (8 MiB stack). Blocks
 * until they serve. On failure (as iso_rank_open) none is left running. iso_engine_destroy ends them. */
ISO_API int iso_engine_start(iso_engine *engine, iso_error *err);

/* One call on the queue channel, with copies of its message, method and extra; the submitter's until
 * iso_task_free, which must come before iso_engine_destroy returns to be of use to anyone. */
typedef struct iso_task iso_task;

#define ISO_ANY_RANK 0
enum {
    ISO_SUBMIT_NOTIFY = 1,  /* iso_engine_completions hands the task out when it is done */
    ISO_SUBMIT_REJECT = 2,  /* a full queue is ISO_EOVERLOAD whatever on_overload says */
    ISO_SUBMIT_FORGET = 4,  /* nobody wants the result: no task is handed out, *out may be NULL */
};

/* Hands a call to rank `number`, or to whichever is idle first (ISO_ANY_RANK). From any thread; waits only
 * for a place in a full queue. On the thread of that very rank the call runs at once, nested. ISO_EINVAL,
 * ISO_ENOMEM, ISO_EOVERLOAD, ISO_ESTATE (not started, or closing); then nothing was queued. `user` comes
 * back from iso_task_user. */
ISO_API int iso_submit(iso_engine *engine, int number, const char *method, const iso_msg *msg, iso_str extra,
                       void *user, unsigned flags, iso_task **out);

/* Waits until the call ended: 0, or ISO_ETIMEDOUT after timeout_ns (negative: no limit), or ISO_ECYCLE if
 * its rank waits for this thread. Blocks; not with ISO_SUBMIT_NOTIFY tasks that another thread takes. */
ISO_API int iso_task_wait(iso_task *task, int64_t timeout_ns);
/* NULL until the call ended; borrowed until iso_task_free. Outcome refused: the engine was closed. */
ISO_API const iso_result *iso_task_result(const iso_task *task);
ISO_API int iso_task_rank(const iso_task *task); /* the rank that ran it, 0 if none did yet */
ISO_API void *iso_task_user(const iso_task *task);
/* Lets go of the task: a call that still waits is not made any more, one that runs ends unseen, its
 * completion is dropped. NULL is a no-op. From any thread, once. */
ISO_API void iso_task_free(iso_task *task);

/* One descriptor per engine, readable while completions wait, and now and then for one that was just taken; the engine's,
 * never closed by the host. ISO_ESTATE if not started. */
ISO_API int iso_engine_fd(const iso_engine *engine);
/* Takes up to `max` ended tasks that were submitted with ISO_SUBMIT_NOTIFY, oldest first, and clears the
 * descriptor when none is left. The tasks are the caller's to free. One thread at a time. */
ISO_API size_t iso_engine_completions(iso_engine *engine, iso_task **out, size_t max);

/* ---- the control mailbox ------------------------------------------------------------------ */
/* What others want of a rank is done on its own thread between two calls. An inline rank's descriptor is
 * readable when something waits; iso_rank_service does it (it is done before the next call in any case).
 * service returns 0, or 1 if the engine is closing and the host should close the rank. Own thread only. */
ISO_API int iso_rank_fd(const iso_rank *rank);
ISO_API int iso_rank_service(iso_rank *rank);

/* Looks into rank `number`: `what` is "versions", "modules", "memory", "threads", or "run" with a snippet of
 * Python in `argument` (setting allow_look), whose variable `result` is the answer. Waits for the rank at
 * most timeout_ms; what it has not begun by then is not done. Writes JSON, NUL-terminated, into `to`; returns its
 * length, cut if above size - 1, or ISO_ETIMEDOUT, ISO_EOVERLOAD (64 looks wait there), ISO_ESTATE, ISO_EINVAL,
 * ISO_EFUNCTION (the snippet raised: err). From any thread. */
ISO_API int64_t iso_engine_look(iso_engine *engine, int number, const char *what, iso_str argument, int timeout_ms,
                                char *to, size_t size, iso_error *err);

/* ---- reload ------------------------------------------------------------------------------- */
/* Has each rank load the script and its own modules (files below the script's folder) afresh, from source, in
 * its interpreter, beside the old ones: mod_init, child_init, then the new handler takes over between two calls
 * and child_exit and the exit functions of the old code run. One rank after another. If a rank can not, the
 * old code goes on there and in the ranks after it: ISO_ESCRIPT or ISO_EINIT with the traceback. So it does if the
 * new code takes longer than timeout_ms (0: no limit): DeadlineExceeded is raised in it. ISO_ETIMEDOUT if a rank did
 * not come to it within timeout_ms; it does so before its next call all the same, once however often it was asked.
 * ISO_ESTATE if the engine is closing, another reload runs, or this thread is in a call or a burst of a rank. From
 * any thread; blocks. Returns 0 if no rank is open. */
ISO_API int iso_engine_reload(iso_engine *engine, int timeout_ms, iso_error *err);

/* ---- statistics --------------------------------------------------------------------------- */
#define ISO_HISTOGRAM_BUCKETS 256 /* log-linear: 8 steps an octave from 1 ns, so at most 12.5 % wide */

typedef struct iso_rank_stats {
    int number;
    int open;                              /* 1: serving; 0: never opened or closed */
    int isolation;                         /* ISO_ISOLATION_... */
    int stuck;                             /* 1: its call went on for the grace time after the deadline */
    int pid;                               /* of its process; 0 on other levels */
    uint64_t calls;                        /* all, nested ones too */
    uint64_t outcomes[ISO_OUTCOME_COUNT];
    uint64_t edits;                        /* recorded in calls that kept them */
    uint64_t log_lines;
    uint64_t opened_ns;                    /* since it serves; 0 if it does not */
    uint32_t waiting;                      /* calls in its queue */
    uint32_t blocks;                       /* memory blocks that its interpreter held when last looked */
    uint32_t restarts;                     /* how often it was replaced, or its process started again */
    uint32_t reloads;                      /* how often it took new code */
    uint64_t sampled;                      /* calls in the histogram */
    uint64_t histogram[ISO_HISTOGRAM_BUCKETS];
} iso_rank_stats;

/* Reads the counters of rank `number`, from any thread, while it runs; never waits for a GIL. */
ISO_API int iso_engine_stats(const iso_engine *engine, int number, iso_rank_stats *out);
/* Lower bound of a bucket in ns, and the p-quantile (0 to 1) of a histogram in ns, 0 if empty. */
ISO_API uint64_t iso_histogram_floor(size_t bucket);
ISO_API uint64_t iso_histogram_quantile(const uint64_t histogram[ISO_HISTOGRAM_BUCKETS], double p);

/* ---- Python objects: call these with a Python thread state attached ------------------------- */
/* A new reference to the OpenSIPS module made for the current interpreter (SIPMsg, LM_... functions),
 * or NULL with a Python error set. For Python hosts and tests; ranks have it in sys.modules. */
struct _object;
ISO_API struct _object *iso_script_module(void);

#ifdef __cplusplus
}
#endif
#endif
