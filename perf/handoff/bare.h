/* bare.h: the hand-off to another thread with nothing around it, on the floor's own rank: a futex with a
 * spin for the round trip, a ring that is drained under one attach for messages one way. No task, no second
 * producer, no cancellation; and no copy, except where `copy` asks for the one that a queue must make, because
 * the octets are the submitter's again when it returns. */
#ifndef HANDOFF_BARE_H
#define HANDOFF_BARE_H

#include "../floor/worker.h"

/* A rank on its own thread that serves rounds from one caller. `spin_us` is that of isoexec's queue. */
void bare_open(struct floor_worker *worker, const char *script, int spin_us);
/* Median over the calls, in ns, of a round trip: post, call of `route` attached, post back. */
double bare_round_trip(struct floor_worker *worker, long calls, int copy);
/* ns per message of `count` messages, from the first push until the last was handled. */
double bare_drain(struct floor_worker *worker, long count, int copy);

#endif
