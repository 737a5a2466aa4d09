/* pool.h: tasks that are used again. They move between threads in bundles, and who gives a task back writes nothing into
 * it: its lines of the cache stay where the next call is written. */
#ifndef ISO_POOL_H
#define ISO_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/line.h"
#include "isoexec.h"

#define ISO__BUNDLE 128 /* tasks of a full bundle; each costs a lock that moves between cores (with 32: 6 ns a call) */

/* Belongs to one thread, or to a pool. Its tasks are of one pool. */
typedef struct iso__bundle {
    struct iso__bundle *next; /* in a pool */
    int count;
    _Alignas(ISO__LINE) iso_task *tasks[ISO__BUNDLE];
} iso__bundle;

#define ISO__BUNDLE_LINE ((int)(ISO__LINE / sizeof(iso_task *))) /* tasks whose pointers share a line of the cache */

/* Outlives its engine while anybody has one of its tasks. */
typedef struct iso__pool {
    /* Guards ready, empty and closed. A mutex, not a spin: with thousands of callers the holder loses its core. */
    pthread_mutex_t lock;
    iso__bundle *ready; /* with tasks in them */
    iso__bundle *empty;
    _Atomic size_t made; /* tasks that exist, plus 1 while the engine does; the last one frees the pool */
    _Alignas(128) _Atomic bool closed; /* the engine has gone: nothing is kept any more */
    /* Calls for one rank that their submitters let go of, and their ranks have not ended. As long as there is one, ranks
     * ask each task before they run it whether it is still wanted. */
    _Atomic uint32_t let_go;
    uint32_t spin_us; /* the engine's setting, for who waits for a task */
} iso__pool;

iso__pool *iso__pool_new(uint32_t spin_us); /* NULL: out of memory, as of the next two */
iso__bundle *iso__bundle_new(void);
iso_task *iso__pool_make(iso__pool *pool); /* a new task */
void iso__pool_close(iso__pool *pool); /* the engine goes: frees what is not in use */
/* A bundle with tasks for an empty one, or that back: there are none. */
iso__bundle *iso__pool_take(iso__pool *pool, iso__bundle *empty);
/* An empty bundle for one whose tasks nobody holds. */
iso__bundle *iso__pool_give(iso__bundle *bundle);
void iso__pool_give_one(iso_task *task);
/* Frees a large buffer of a task that nobody holds. false: its pool is closed, so it should not be kept. */
bool iso__pool_accepts(iso_task *task);

#endif
