/* pace.h: whether all sides of a comparison had the same cores. A virtual core may be half of a real one, whose other half is
 * somebody else's or the other virtual core: then a thread takes twice as long for its work, and less for what it hands
 * over. Nothing in the guest counts that. */
#ifndef HANDOFF_PACE_H
#define HANDOFF_PACE_H

#include "../floor/worker.h"

/* What a loop took that keeps a core busy, in ns a step: the least and the most that was seen, on two cores at once. */
struct pace {
    double least, most; /* begin with zeroes */
};

/* Looks at both cores once, which takes 15 us: this thread's, and that of the other one. */
void pace_note(struct pace *pace, struct floor_worker *other);
/* 1 if both cores were as fast all the time. */
double pace_spread(const struct pace *pace);

#define PACE_STEADY 1.2 /* a spread that is none */

#endif
