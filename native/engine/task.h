/* task.h: one call on the queue channel: its owned copies, its state, and the pool it comes from.
 *
 * Everything that submitter and rank have to agree on is one word: how far the call is, and who holds the
 * task. Each step of a task's life is one atomic operation on it, and whoever takes the last hold away puts
 * the task back into a pool. A call for one rank is that rank's from the start, and is never taken: its line
 * of the cache moves twice, with the call and with the answer. */
#ifndef ISO_TASK_H
#define ISO_TASK_H

#include "engine/engine.h"
#include "engine/line.h"
#include "engine/names.h"
#include "engine/pile.h"
#include "engine/pool.h"

struct iso__caller;

enum iso__task_state {
    /* How far it is. */
    ISO__TASK_QUEUED = 1, /* also while it runs, if it is for one rank */
    ISO__TASK_TAKEN,      /* for any rank, and one has it */
    ISO__TASK_REFUSING,   /* somebody else than its rank answers, and writes `refusal` */
    ISO__TASK_DONE,       /* there is a result, or with ISO__TASK_REFUSED a refusal */
    ISO__TASK_STEP = 0xf, /* mask of these */
    /* Who holds it. */
    ISO__HELD_BY_SUBMITTER = 0x10, /* wants the result */
    ISO__HELD_BY_QUEUE = 0x20,     /* a ring, or the rank that popped it */
    ISO__HELD_BY_WAITER = 0x40,    /* a rank that waited for it, and runs it itself: the ring holds it too */
    ISO__HELD_BY_LIST = 0x80,      /* the list of completions */
    ISO__HELD_BY_REFUSER = 0x100,
    ISO__HELD = 0x1f0, /* mask of these */
    /* And more. */
    ISO__TASK_SLEEPER = 0x1000, /* the submitter sleeps on the word */
    ISO__TASK_PATIENT = 0x2000, /* the same, not for long: a rank that has more to do may wake it later */
    ISO__TASK_REFUSED = 0x4000,
};

#define ISO__TASK_ROOM 1216 /* octets of method, extra and message that need no memory of their own */

/* In the order of the lines of the cache. A call that succeeds without edits moves the first (with the call,
 * and back with the answer), and if it reads the message the third and what it reads of the octets; not the second. */
struct iso_task {
    _Alignas(ISO__LINE) uint8_t flags; /* ISO_SUBMIT_... */
    uint8_t recent;     /* its place in caller.h's list of those that were submitted last */
    iso__usual usual;   /* the start line, which the submitter has at hand: the rank need not wait for the octets */
    int target;         /* the rank that it was handed to, or ISO_ANY_RANK */
    const char *method; /* kept (names.h), or in octets */
    iso_str extra;      /* in octets */
    iso_engine *engine;
    _Atomic uint32_t state;
    _Atomic int rank;    /* that took it, 0 until one did or, for one rank, until it is done */
    iso_result result;   /* the rank's until the task is done; what a call need not have is absent before */
    void *user;
    iso_msg msg; /* its data in octets */
    char small[ISO__TASK_ROOM];
    char *octets; /* `small`, or memory of its own */
    size_t capacity;
    struct iso__pool *pool;
    iso_edits edits;    /* what result.edits points to */
    iso__text error;    /* what result.error points to */
    iso_result refusal; /* the refuser's, as its text */
    iso__text refusal_text;
    iso__link completed;    /* in the pile of the queue */
};
_Static_assert(offsetof(struct iso_task, result.new_uri) == ISO__LINE, "a plain answer is on the first line");
_Static_assert(offsetof(struct iso_task, msg) == 2 * ISO__LINE, "the message is on the third line");

/* What goes through the ring with a task, in the line of the cache that says that it is there: nearly every call can begin
 * before the task's own line has come from the submitter's cache (90 ns where cores share none). */
enum iso__task_bits {
    ISO__TASK_USUAL = 0xffff,  /* iso__usual */
    ISO__TASK_METHOD = 16,     /* from this bit on 6 bits: the number of its kept name */
    ISO__TASK_FORGET = 1 << 22, /* ISO_SUBMIT_FORGET */
    ISO__TASK_SMALL = 1 << 23, /* its octets are in `small`, and no line after it need be looked at */
    ISO__TASK_ANY = 1 << 24,   /* for any rank */
    ISO__TASK_PLAIN = 1 << 25, /* it has a kept name and no extra: the task need not be asked */
};
_Static_assert(ISO__NAMES <= 64, "6 bits");

static inline uint32_t
iso__task_bits(const iso_task *task)
{
    size_t name = iso__name_number(task->method);
    bool plain = name < ISO__NAMES && task->extra.p == NULL;
    return task->usual | (plain ? (uint32_t)name << ISO__TASK_METHOD | ISO__TASK_PLAIN : 0) |
           (task->flags & ISO_SUBMIT_FORGET ? ISO__TASK_FORGET : 0) |
           (task->octets == task->small ? ISO__TASK_SMALL : 0) | (task->target == ISO_ANY_RANK ? ISO__TASK_ANY : 0);
}

/* Copies the arguments into a task and makes it QUEUED, held by the queue and, unless it is to be forgotten,
 * by the submitter. NULL: out of memory. */
iso_task *iso__task_new(struct iso__caller *caller, iso_engine *engine, const char *method, const iso_msg *msg,
                        iso_str extra, void *user, unsigned flags, int target);
/* Of a rank that popped it (`for_any`: as one for any rank): whether it is to be run. false: it is none of the rank's
 * business any more. One for one rank only need not be asked while pool.h's let_go is 0 and the engine is not closing. */
bool iso__task_claim(iso_task *task, bool for_any);
/* Of a rank that waits for it, and finds that no rank can take it. The ring still has it. */
bool iso__task_take_back(iso_task *task);
/* Gives a hold up, as `holder` that ran the call: the result is published if the submitter still wants it
 * and nobody has refused it meanwhile. The task is not the caller's any more. true: its submitter sleeps on
 * the word patiently, and is still to be woken. */
bool iso__task_publish(iso_task *task, uint32_t holder);
/* Takes one hold away; what is left of the word. */
uint32_t iso__task_drop(iso_task *task, uint32_t holder);
/* Takes the right to answer from a rank that will not, or not soon; the answer goes into `refusal`. false:
 * there is an answer, or nobody wants one. */
bool iso__task_refusal_begin(iso_task *task);
void iso__task_refusal_end(iso_task *task);
/* Both, with outcome refused: the engine closes. */
void iso__task_refuse(iso_task *task);
/* Refuses a task that was popped from a ring, and gives it up. */
void iso__task_end_refused(iso_task *task);

#endif
