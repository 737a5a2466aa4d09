/* pace.h: how fast a core is just now. A virtual core may be half of a real one, whose other half is somebody else's or
 * the other virtual core: then a thread takes twice as long for its work, and less for what it hands over. Nothing in
 * the guest counts that. */
#ifndef FLOOR_PACE_H
#define FLOOR_PACE_H

#include "worker.h"

#define FLOOR_PACE_STEADY 1.2 /* what differs by less is the same pace */

/* What a loop takes that keeps the core of the worker's thread busy, in ns a step; it runs for 8 to 15 us. */
double floor_pace_of(struct floor_worker *worker);

/* The least and the most that was seen, on two cores at once. */
struct floor_pace {
    double least, most; /* begin with zeroes */
};

/* Looks at both cores once: this thread's, and that of the other one. */
void floor_pace_note(struct floor_pace *pace, struct floor_worker *other);
/* 1 if both cores were as fast all the time. */
double floor_pace_spread(const struct floor_pace *pace);

#endif
