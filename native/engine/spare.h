/* spare.h: calls for any rank that one took out of their ring together with the one that it runs.
 *
 * While more threads want a core than there are, nearly every call for any rank is popped on another core than the one
 * before, and the lines of the ring that move for it cost as much as all else that the channel does for the call. So
 * a rank whose calls are short takes some at once. They stay everybody's: whoever exchanges a place for NULL has the call.
 * That is this rank in its turn; one that has nothing else to do; and once in a while one that has, so that none waits
 * for long behind a call that turns out to be slow. */
#ifndef ISO_SPARE_H
#define ISO_SPARE_H

#include "engine/clock.h"
#include "engine/line.h"
#include "engine/ring.h"
#include "isoexec.h"

struct iso__lane;
struct iso__queue;

#define ISO__TOGETHER 8 /* calls taken at once, the one that runs first among them */
#define ISO__SPARES (ISO__TOGETHER - 1)

typedef struct iso__spare {
    _Alignas(ISO__LINE) _Atomic(iso_task *) tasks[ISO__SPARES]; /* oldest first; NULL: somebody has it */
    /* The rest is the rank's thread's. */
    int next;
    int count;
    uint32_t bits[ISO__SPARES]; /* iso__task_bits */
    int taken;                  /* calls that it took last; 0: there were none */
    uint64_t since;             /* ticks; when that was, 0 if it has rested since */
    uint64_t call_ns;           /* what a call took lately, 0 if that is not known */
} iso__spare;

static inline bool
iso__spare_any(const iso__spare *spare)
{
    return spare->next < spare->count;
}

/* ---- on the rank's thread ---- */

/* Notes what the last ones took, each. Calls for this rank only that ran in between count too: then fewer are taken. */
static inline void
iso__spare_measure(iso__spare *spare, uint64_t now)
{
    if (spare->since != 0 && spare->taken > 0)
        spare->call_ns = iso__clock_ns(now - spare->since) / (uint64_t)spare->taken + 1;
}

/* How many calls to take, 1 or more, of so many that wait. */
size_t iso__spare_share(struct iso__lane *lane, size_t waiting);
/* Notes that the rank rests from here on: that takes no call's time. */
void iso__spare_rest(struct iso__lane *lane);
/* Keeps what was taken beyond the first; 0 to ISO__SPARES. */
void iso__spare_keep(struct iso__lane *lane, const iso__entry *entries, size_t count);
/* The oldest that nobody else has taken. false: there is none. */
bool iso__spare_next(struct iso__lane *lane, iso__entry *out);
/* One of another rank. false: no rank has any. */
bool iso__spare_of_others(struct iso__lane *lane, iso__entry *out);
/* One of a rank that is another one each time. false: it has none. */
bool iso__spare_of_another(struct iso__lane *lane, iso__entry *out);

/* ---- on any thread ---- */

/* Whether a rank may have some; sequentially consistent, for a rank that has said that it sleeps. */
bool iso__spare_left(struct iso__queue *queue);
size_t iso__spare_count(const iso__spare *spare);
void iso__spare_refuse(struct iso__lane *lane); /* ends them all: the engine closes */

#endif
