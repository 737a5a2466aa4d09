/* bare.h: the hand-off to another thread with nothing around it, on the floor's own rank: a futex with a
 * spin for the round trip, a ring that is drained under one attach for messages one way. No task, no second
 * producer, no cancellation. */
#ifndef HANDOFF_BARE_H
#define HANDOFF_BARE_H

#include "../floor/worker.h"

enum bare_way {
    BARE_WAY_PLAIN,   /* no octet is copied, and the function is known */
    BARE_WAY_BY_NAME, /* the method is looked up by its name at each call, as by PyObject_CallMethod */
    BARE_WAY_COPY,    /* the octets are copied, as a queue must: they are the submitter's again when it returns */
};

/* A rank on its own thread that serves rounds from one caller. `spin_us` is that of isoexec's queue. */
void bare_open(struct floor_worker *worker, const char *script, int spin_us);
/* Median over the calls, in ns, of a round trip: post, call of `route` attached, post back. */
double bare_round_trip(struct floor_worker *worker, long calls, enum bare_way way);
/* ns per message of `count` messages, from the first push until the last was handled. */
double bare_drain(struct floor_worker *worker, long count, enum bare_way way);

#endif
