/* load_limit.h: an end for new code that loads and does not come to one: it would keep its rank from every call. */
#ifndef ISO_LOAD_LIMIT_H
#define ISO_LOAD_LIMIT_H

#include "engine/engine.h"

typedef struct iso__load_limit iso__load_limit;

/* From now on the rank's thread may load for so long; then DeadlineExceeded is raised in it, now and again. Attached.
 * NULL: 0 is no limit, or there is no memory or thread for one. */
iso__load_limit *iso__load_limit_begin(iso_rank *rank, uint32_t limit_ms);
/* The load is over; nothing is raised any more. Attached. Whether the time was over before. */
bool iso__load_limit_end(iso__load_limit *limit);

#endif
