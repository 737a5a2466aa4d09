/* task.h: one call on the queue channel: its owned copies, its state, and the pool it comes from. */
#ifndef ISO_TASK_H
#define ISO_TASK_H

#include "engine/engine.h"

/* States of a task, in its futex word. The submitter and the rank meet only here. */
enum iso__task_state {
    ISO__TASK_QUEUED = 1, /* and stays so if nobody wants its result (ISO_SUBMIT_FORGET) */
    ISO__TASK_RUNNING,
    ISO__TASK_FINISHING, /* somebody, and nobody else, writes the result */
    ISO__TASK_DONE,
    ISO__TASK_CANCELLED, /* the submitter has let go of it */
    ISO__TASK_SLEEPER = 0x100, /* flag: the submitter sleeps on the word */
};

#define ISO__TASK_SMALL 1216 /* octets of method, extra and message that need no memory of their own */

struct iso_task {
    _Atomic uint32_t state;
    _Atomic uint32_t shares; /* submitter, rank, list of completions */
    uint32_t flags;          /* ISO_SUBMIT_... */
    int target;              /* the rank that it was handed to, or ISO_ANY_RANK */
    _Atomic int rank;        /* that took it, 0 until one did */
    struct iso_task *next;   /* in the pool, or in the list of completions */
    struct iso__pool *pool;
    void *user;
    iso_engine *engine;
    const char *method; /* in octets */
    iso_str extra;      /* in octets */
    iso_msg msg;        /* its data in octets */
    iso_result result;
    iso_edits edits; /* what result.edits points to */
    iso__text error; /* what result.error points to */
    char *octets;    /* `small`, or memory of its own */
    size_t capacity;
    char small[ISO__TASK_SMALL];
};

/* Tasks that are used again. Outlives its engine while a submitter holds one of its tasks. */
typedef struct iso__pool {
    /* Guards ready and closed. A mutex, not a spin: with thousands of callers the holder loses its core. */
    pthread_mutex_t lock;
    bool closed;      /* the engine has gone: nothing is kept any more */
    uint32_t spin_us; /* the engine's setting, for who waits for a task */
    iso_task *ready;
    _Atomic size_t made; /* tasks that exist, plus 1 while the engine does; the last one frees the pool */
} iso__pool;

iso__pool *iso__pool_new(uint32_t spin_us);
void iso__pool_close(iso__pool *pool); /* the engine goes: frees what is not in use */

/* A task with copies of its arguments and `shares` shares. NULL: out of memory. */
iso_task *iso__task_new(iso__pool *pool, const char *method, const iso_msg *msg, iso_str extra);
void iso__task_drop(iso_task *task); /* gives one share back */

/* Puts tasks that nobody holds back into their pool: a list through next. */
void iso__pool_give(iso_task *first, iso_task *last);

/* The rank's side: whether it may run the task now (else the submitter has let go of it). */
bool iso__task_claim(iso_task *task);
/* Takes the right to write the result. false: somebody else has, or nobody wants it. */
bool iso__task_claim_end(iso_task *task);
/* Publishes the result: wakes the submitter or lists the completion. Only after a claim. */
void iso__task_publish(iso_task *task);
/* Ends a task that is not running any more, or never will, with outcome refused. */
void iso__task_refuse(iso_task *task, int code);

#endif
