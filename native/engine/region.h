/* region.h: the memory that a rank of level process shares with its process, and how the two take turns.
 *
 * A sparse memfd of a fixed, sealed size, so that neither side can take pages away under the other: pages exist
 * once they were written. The engine's side writes `down` and the area of that name, the process writes `up`,
 * its area and the log; nobody changes what is the other's. Whatever the engine reads here may come from a
 * process that has crashed or is hostile, so it copies first and checks the copy (answers.c).
 *
 * The two talk in turns: a post is filled, then its turn is counted up, and the other side, which spins for a
 * moment and then sleeps on that word, reads it. Posts nest as calls do: call, function, nested call, answer,
 * result, answer. */
#ifndef ISO_REGION_H
#define ISO_REGION_H

#include "engine/engine.h"
#include "engine/park.h"

#define ISO__HEAD_SIZE (8u << 10)
#define ISO__LOG_SIZE (1u << 20) /* power of 2 */
#define ISO__UP_SIZE (64u << 20)
#define ISO__DOWN_SIZE (128u << 20)
#define ISO__REGION_SIZE ((size_t)ISO__HEAD_SIZE + ISO__LOG_SIZE + ISO__UP_SIZE + ISO__DOWN_SIZE)

#define ISO__AREA_KEPT (1u << 20) /* of an area; what a larger message took is given back */
#define ISO__PARTS 5
#define ISO__ABSENT UINT64_MAX /* size of a part that is not there, where an empty one means something else */

/* Descriptors that the process finds open; it closes every other. */
enum { ISO__FD_REGION = 3, ISO__FD_LIFELINE, ISO__FD_BELL, ISO__FD_OTHERS };

enum iso__down_kind {
    ISO__DOWN_START = 1, /* parts: iso__start, texts, functions */
    ISO__DOWN_CALL,      /* parts: method with NUL, extra or absent, message, edits; same_message */
    ISO__DOWN_RESULT,    /* of a host function: code; parts: text or absent, iso_error if it failed, nothing, edits */
    ISO__DOWN_GONE,      /* the same when nobody waits for the call any more */
    ISO__DOWN_LETTER,    /* number: what is to be done; count: ms that it may take; parts: what, argument or absent */
    ISO__DOWN_STOP,      /* ends the script and the process */
};

enum iso__up_kind {
    ISO__UP_STARTED = 1, /* code; part: iso_error */
    ISO__UP_ANSWER,      /* code, number: outcome; parts: error, edits */
    ISO__UP_FUNCTION, /* number: in the table; depth: whose message; count: of arguments; parts: texts, edits, values */
    ISO__UP_LETTER, /* code, count: memory blocks; parts: answer, iso_error */
};

/* Where the parts of posts from the process lie in sizes[]. Edits that host functions made go the other way, to the
 * message of the call at `depth`, in the last two parts of a call or result. */
enum { ISO__PART_NEW_ENTRIES = 3, ISO__PART_NEW_TEXT };
enum { ISO__PART_TEXT, ISO__PART_ENTRIES, ISO__PART_EDIT_TEXT, ISO__PART_MORE };

typedef struct iso__post {
    _Alignas(64) _Atomic uint32_t turn; /* futex word, changes with each post */
    uint32_t kind;
    int32_t code;
    uint32_t number;
    uint32_t depth;
    uint32_t count;
    uint64_t at; /* where the parts begin in the writer's area, one after another */
    uint64_t sizes[ISO__PARTS];
    _Alignas(64) _Atomic uint32_t asleep; /* the reader sleeps; the reader's */
} iso__post;

/* Lines for the host's log: written by the process, taken by the engine. Counts of octets, never wrapped. */
typedef struct iso__log_ring {
    _Alignas(64) _Atomic uint64_t head; /* the process's */
    _Atomic uint64_t lost; /* lines that found no room */
    _Alignas(64) _Atomic uint64_t tail; /* the engine's */
} iso__log_ring;

typedef struct iso__region {
    uint64_t layout; /* iso__region_layout of the engine's side */
    _Atomic uint32_t stage; /* the process's: 1 once the script is being loaded */
    iso__post down, up;
    iso_msg msg; /* of ISO__DOWN_CALL: all but its data */
    uint32_t same_message; /* of ISO__DOWN_CALL: it is the message of the call outside */
    iso__log_ring log;
} iso__region;

_Static_assert(sizeof(iso__region) <= ISO__HEAD_SIZE, "the head has no room for its struct");

/* First part of ISO__DOWN_START. The strings of `config` are in the part behind it, in the table's order, each
 * after an octet that says whether it is there; functions follow as flags, name and signature. */
typedef struct iso__start {
    int number; /* of the rank */
    double ns_per_tick;
    uint32_t function_count;
    iso_config config;
} iso__start;

/* An argument of a host function: the text's place is in ISO__PART_TEXT. */
typedef struct iso__value {
    int32_t kind; /* ISO_VALUE_... */
    uint32_t n;
    int64_t num; /* the number, or where the text begins */
} iso__value;

/* Both sides must have been built from one source: they load the same file, unless it was replaced meanwhile. */
static inline uint64_t
iso__region_layout(void)
{
    uint64_t sum = PY_VERSION_HEX >> 16;
    const uint64_t sizes[] = {sizeof(iso__region), sizeof(iso__start), sizeof(iso_config), sizeof(iso_error),
                              ISO_VERSION_MAJOR,   ISO_VERSION_MINOR,  ISO_VERSION_PATCH,  ISO__REGION_SIZE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        sum = sum * 1000003u + sizes[i];
    return sum;
}

static inline char *
iso__region_log(iso__region *region)
{
    return (char *)region + ISO__HEAD_SIZE;
}

static inline char *
iso__region_up(iso__region *region)
{
    return iso__region_log(region) + ISO__LOG_SIZE;
}

static inline char *
iso__region_down(iso__region *region)
{
    return iso__region_up(region) + ISO__UP_SIZE;
}

static inline void
iso__post_send(iso__post *post)
{
    atomic_fetch_add(&post->turn, 1);
    if (atomic_load(&post->asleep))
        iso__futex_wake_shared(&post->turn);
}

static inline bool
iso__post_arrived(const iso__post *post, uint32_t seen)
{
    return atomic_load_explicit((_Atomic uint32_t *)&post->turn, memory_order_acquire) != seen;
}

/* Sleeps until a post arrives, at most timeout_ns (negative: no limit). May wake for no reason. */
static inline void
iso__post_sleep(iso__post *post, uint32_t seen, int64_t timeout_ns)
{
    atomic_store(&post->asleep, 1);
    if (atomic_load(&post->turn) == seen)
        iso__futex_wait_shared(&post->turn, seen, timeout_ns);
    atomic_store(&post->asleep, 0);
}

/* log_ring.c */
/* The process's side, under its lock. Returns 1 if the ring was empty, 0 if not, -1 if the line was lost. */
int iso__log_ring_put(iso__region *region, int level, iso_str text);
/* The engine's side. 1 and a line, 0 if there is none, -1 if what is there makes no sense. */
int iso__log_ring_take(iso__region *region, uint64_t *tail, int *level_out, iso__text *line);

#endif
