/* elsewhere.h: the engine's side of a rank with isolation process.
 *
 * An iso__process is one process from its start to its end. An iso__elsewhere is what a rank has for life: the
 * process that serves it now, and how the next one is started.
 *
 * Threads. One thread of the engine, the children thread (children.c), starts processes, reads what they write
 * while nobody waits for them, and sees their end. The conversation with a process (region.h) belongs to the
 * rank's thread, but to the children thread before the process is ready, while it is `late`, and at its end.
 * The lock of an iso__elsewhere guards what both threads touch; it is innermost but for the log callback of the
 * host, and never waited for with a thread state attached. */
#ifndef ISO_ELSEWHERE_H
#define ISO_ELSEWHERE_H

#include "engine/region.h"

typedef struct iso__process {
    iso__region *region;
    int pid;
    int pidfd;    /* readable when it has ended; -1: the kernel has none */
    int output;   /* what it writes to descriptors 1 and 2 */
    int lifeline; /* it ends when this is closed */
    int bell;     /* rung by it: there are lines in the ring, or it is ready */
    _Atomic int shares;       /* the children thread, the rank's thread */
    _Atomic uint32_t ended;   /* 1: it has, and `end` says how */
    _Atomic uint32_t late;    /* 1: nobody waits for its answer any more */
    char end[160];            /* "was ended by SIGSEGV" */
    iso__text tail;           /* the last that it wrote to its descriptors */
    uint32_t seen;            /* turn of region->up */
    int inside;               /* calls that it has not answered */
    iso__text inbox;          /* copy of the parts of the last post from it */
    bool large;               /* the area `down` has more than is kept */
    _Atomic(const char *) killed_for; /* why the engine killed it, NULL: it did not */
    bool ready;               /* its script is loaded; this and all below is the children thread's, under the lock */
    bool stop_sent;
    bool stuck;
    bool output_ended;        /* nobody can write to `output` any more */
    bool nonsense;            /* the log makes no sense any more */
    uint64_t log_tail, log_lost;
    uint64_t late_at, kill_at; /* monotonic ns; 0: no such time */
    uint64_t ready_at;
    iso__text line;           /* the last line of the ring */
    iso__text output_line;    /* what it wrote since the last line end */
} iso__process;

enum iso__wanted {
    ISO__WANT_NONE,  /* no process, or its end is awaited */
    ISO__WANT_FIRST, /* the rank opens: a failure is told to who opens it */
    ISO__WANT_ALIVE, /* one that ends is started again */
    ISO__WANT_STOP,
};

typedef struct iso__elsewhere {
    iso_rank *rank;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum iso__wanted wanted;   /* these under the lock */
    iso__process *process;     /* that is there, or NULL; the children thread's share */
    uint64_t start_at;         /* monotonic ns: when the next is started */
    int64_t delay;             /* pause before the next start, 0 after a long life */
    bool given_up;             /* restart_limit is reached */
    iso_error error;           /* of the last start */
    uint32_t failed_starts;
    _Atomic int pid;
    _Atomic uint32_t restarts;
    struct iso__elsewhere *next; /* in the list of the engine's children, under its lock */

    iso__process *used; /* the rank thread's share; from here on its own */
    iso__spin spin;
    uint64_t until;     /* monotonic ns: when the outermost call is answered without its process */
    bool abandoned;     /* the running outermost call: nobody listens to the process any more */
    struct iso__asked *asked; /* the host function that runs, innermost; NULL: none */
    uint64_t top;       /* octets of the area `down` that running calls hold */
} iso__elsewhere;

/* A post from a process, copied and in bounds. */
typedef struct iso__said {
    uint32_t kind, number, depth, count;
    int code;
    iso_str parts[ISO__PARTS]; /* in the inbox */
} iso__said;

/* process.c */
/* Starts one with the program and options of `command`. The children thread's. */
int iso__process_start(iso_rank *rank, char *const command[], iso__process **out, iso_error *err);
void iso__process_drop(iso__process *process); /* a share */
void iso__process_kill(iso__process *process, const char *why); /* and what it started in its group */
bool iso__process_reap(iso__process *process); /* whether it has ended; once */
void iso__process_close(iso__process *process); /* its descriptors, after that */
bool iso__process_is_stopped(const iso__process *process); /* by a signal such as SIGSTOP */

/* process_output.c: what it wrote and logged goes into the host's log. Under the lock of its rank. */
bool iso__process_read_log(iso_rank *rank, iso__process *process); /* whether there is more by now */
void iso__process_read_output(iso_rank *rank, iso__process *process);
void iso__process_flush_output(iso_rank *rank, iso__process *process); /* it has ended: the last line may have no end */

/* answers.c: what a process said, which may be anything */
int iso__said_read(iso__process *process, iso__said *out); /* 0, or -1: it makes no sense */
int iso__said_edits(const iso__said *said, iso_edits *edits);
int iso__said_values(const iso__said *said, const iso_function *function, iso_value argv[]);
void iso__said_error(const iso__said *said, iso_error *err);

/* post.c: what is said to a process; by who has the conversation */
typedef struct iso__part {
    const void *p;
    size_t n;
} iso__part;
/* Writes a post with its parts behind `top` and sends it. Returns the octets that it took, or -1 if it is
 * too large. */
int64_t iso__say(iso__process *process, uint64_t top, int kind, const iso__part *parts, int count);

/* children.c */
int iso__children_add(iso_rank *rank, iso_error *err); /* makes rank->elsewhere, if there is none */
void iso__children_ring(iso_engine *engine); /* something changed */

#endif
