/* forks.h: the floor's ranks in processes that were forked before Python started, one each: what ranks in one process
 * are held against. */
#ifndef FLOOR_FORKS_H
#define FLOOR_FORKS_H

#include <sys/types.h>

#include "rank.h"
#include "measure.h"

#define FLOOR_FORKS 2

struct floor_forks {
    pid_t pids[FLOOR_FORKS];
    int fds[FLOOR_FORKS];
};

/* Before any thread is made and Python is started. */
void floor_forks_start(struct floor_forks *forks, const struct floor_side *side);
/* `count` of them call for so long at once; wall time per call of all together, in ns. */
double floor_forks_race(const struct floor_forks *forks, int count, double seconds);
void floor_forks_end(struct floor_forks *forks);

#endif
