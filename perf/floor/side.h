/* side.h: the two sides of a comparison, floor and isoexec, driven alike. */
#ifndef FLOOR_SIDE_H
#define FLOOR_SIDE_H

/* What one call is. */
enum floor_case {
    FLOOR_BATCH,
    FLOOR_ATTACH,
    FLOOR_CASE_READS,
    FLOOR_EXTRA,
    FLOOR_EXCEPTION,
    FLOOR_MAIN, /* as FLOOR_ATTACH, on ranks in the main interpreter */
    FLOOR_CASE_COUNT
};
extern const char *const floor_case_names[FLOOR_CASE_COUNT];

/* A side makes ranks, each on the thread that calls open; run and close come from that same thread.
 * All three end the process on a failure or a wrong answer. */
struct floor_side {
    const char *name; /* as in the output */
    void *(*open)(const struct floor_side *side, int number);
    void (*run)(void *rank, enum floor_case which, long calls); /* the loop is inside: no call through here per call */
    void (*close)(void *rank); /* NULL: ranks are not ended */
    const void *context; /* script path (floor), iso_engine (isoexec) */
};

extern const struct floor_side floor_side_floor, floor_side_floor_main, floor_side_isoexec; /* without context */

#endif
