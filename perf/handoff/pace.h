/* pace.h: whether both cores are as fast as they can be. A virtual core may be half of a real one, whose other half is
 * somebody else's or the other virtual core: then a thread takes twice as long for its work, and less for what it hands
 * over. Nothing in the guest counts that. */
#ifndef HANDOFF_PACE_H
#define HANDOFF_PACE_H

#include "../floor/worker.h"

/* A sample of `take`, and another one, `tries` at most, while a core was slow before or after; the least disturbed. */
double handoff_paced(struct floor_worker *other, int tries, double (*take)(void *), void *argument);

#endif
