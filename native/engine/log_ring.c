/* log_ring.c: the ring of log lines in the shared memory: a level and a length, then the text. */
#include <string.h>
#include <time.h>

#include "engine/region.h"

#define LINE_MOST (ISO__LOG_SIZE / 4) /* octets of one line; what is longer is cut */
#define FULL_WAITS 100                /* milliseconds that a full ring is waited for */

typedef struct entry {
    int32_t level;
    uint32_t n;
} entry;

static void
copy_in(char *ring, uint64_t at, const void *from, size_t n)
{
    size_t place = at & (ISO__LOG_SIZE - 1), first = ISO__LOG_SIZE - place;
    first = n < first ? n : first;
    memcpy(ring + place, from, first);
    memcpy(ring, (const char *)from + first, n - first);
}

static void
copy_out(const char *ring, uint64_t at, void *to, size_t n)
{
    size_t place = at & (ISO__LOG_SIZE - 1), first = ISO__LOG_SIZE - place;
    first = n < first ? n : first;
    memcpy(to, ring + place, first);
    memcpy((char *)to + first, ring, n - first);
}

/* The engine takes lines all the time; one that does not come to it for so long must not hold the script. */
static bool
wait_for_room(iso__log_ring *log, uint64_t head, size_t needed)
{
    const struct timespec moment = {0, 1000000};
    for (int i = 0; i < FULL_WAITS; i++) {
        if (head + needed - atomic_load(&log->tail) <= ISO__LOG_SIZE)
            return true;
        nanosleep(&moment, NULL);
    }
    return false;
}

int
iso__log_ring_put(iso__region *region, int level, iso_str text)
{
    iso__log_ring *log = &region->log;
    entry head_of = {level, text.n < LINE_MOST ? (uint32_t)text.n : LINE_MOST};
    uint64_t head = atomic_load_explicit(&log->head, memory_order_relaxed);
    if (!wait_for_room(log, head, sizeof head_of + head_of.n)) {
        atomic_fetch_add(&log->lost, 1);
        return -1;
    }
    copy_in(iso__region_log(region), head, &head_of, sizeof head_of);
    copy_in(iso__region_log(region), head + sizeof head_of, text.p, head_of.n);
    atomic_store(&log->head, head + sizeof head_of + head_of.n);
    return atomic_load(&log->tail) == head;
}

int
iso__log_ring_take(iso__region *region, uint64_t *tail, int *level_out, iso__text *line)
{
    entry head_of;
    uint64_t there = atomic_load(&region->log.head) - *tail;
    if (there == 0)
        return 0;
    if (there < sizeof head_of || there > ISO__LOG_SIZE)
        return -1;
    copy_out(iso__region_log(region), *tail, &head_of, sizeof head_of);
    __asm__ volatile("" ::: "memory"); /* the copy is what is checked, not what the process may write later */
    if (head_of.n > LINE_MOST || head_of.n > there - sizeof head_of)
        return -1;
    line->n = 0;
    if (iso__text_reserve(line, head_of.n) < 0)
        return -1;
    copy_out(iso__region_log(region), *tail + sizeof head_of, line->p, head_of.n);
    line->n = head_of.n;
    line->p[line->n] = '\0';
    *level_out = head_of.level < ISO_LOG_ALERT ? ISO_LOG_ALERT
                 : head_of.level > ISO_LOG_DBG ? ISO_LOG_DBG
                                               : head_of.level;
    *tail += sizeof head_of + head_of.n;
    atomic_store(&region->log.tail, *tail);
    return 1;
}
