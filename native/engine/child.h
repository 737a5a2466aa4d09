/* child.h: the side of the process that runs a rank with isolation process. The process is wholly the rank's, so
 * that it has one iso__child. */
#ifndef ISO_CHILD_H
#define ISO_CHILD_H

#include "engine/region.h"

typedef struct iso__child {
    iso__region *region;
    iso_engine *engine; /* with the settings of the rank, and it alone in its table */
    iso_rank *rank;
    uint32_t seen;      /* turn of region->down */
    uint64_t written;   /* octets of the post that is being made */
    iso__spin spin;
    pthread_mutex_t log_lock;
    bool forked; /* this is a copy that the script made by os.fork: it is not the rank */
} iso__child;

/* child_start.c: what the engine's first post says, attached. 0, or ISO_E... */
int iso__child_start(iso__child *child, iso_error *err);

/* child_log.c */
void iso__child_log(void *child, int level, int rank, const char *text); /* an iso_log_fn */
void iso__child_ring(void);                                             /* the engine's thread is to look */

/* child.c: an iso_function_fn. Asks the engine; `user` is the number of the function. */
int iso__child_ask(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err);
extern iso__child iso__child_self;

#endif
