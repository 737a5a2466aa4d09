/* ring.h: a bounded queue of pointers for many producers and many consumers, without locks.
 *
 * Each cell carries the number of the turn at which it may be written or read next, so that producers
 * agree by one compare-and-swap on the tail, consumers by one on the head, and neither waits for the other
 * (D. Vyukov's bounded queue). Publishing a cell is a full barrier: the producer then looks whether a
 * consumer sleeps, as the consumer looks into the ring after it said that it sleeps. */
#ifndef ISO_RING_H
#define ISO_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct iso__cell {
    _Atomic size_t turn;
    _Atomic(void *) value; /* a peek may read it while it is written again, and then throws it away */
} iso__cell;

typedef struct iso__ring {
    _Alignas(64) _Atomic size_t tail; /* next turn to write */
    _Alignas(64) _Atomic size_t head; /* next turn to read */
    _Alignas(64) size_t mask;
    iso__cell *cells;
    _Atomic uint32_t sleepers; /* producers that sleep because the ring was full */
    _Atomic uint32_t room;     /* their futex word: changes when there is room again */
} iso__ring;

/* Room for at least `size` pointers (rounded up to a power of 2). false: no memory. */
static inline bool
iso__ring_init(iso__ring *ring, size_t size)
{
    size_t room = 2;
    while (room < size)
        room *= 2;
    ring->cells = calloc(room, sizeof *ring->cells);
    ring->mask = room - 1;
    atomic_store(&ring->head, 0);
    atomic_store(&ring->tail, 0);
    for (size_t i = 0; ring->cells != NULL && i < room; i++)
        atomic_store_explicit(&ring->cells[i].turn, i, memory_order_relaxed);
    return ring->cells != NULL;
}

static inline void
iso__ring_fini(iso__ring *ring)
{
    free(ring->cells);
    ring->cells = NULL;
}

/* false: the ring is full. */
static inline bool
iso__ring_push(iso__ring *ring, void *value)
{
    size_t turn = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    for (;;) {
        iso__cell *cell = &ring->cells[turn & ring->mask];
        size_t ready = atomic_load_explicit(&cell->turn, memory_order_acquire);
        if (ready == turn) {
            if (atomic_compare_exchange_weak_explicit(&ring->tail, &turn, turn + 1, memory_order_relaxed,
                                                      memory_order_relaxed)) {
                atomic_store_explicit(&cell->value, value, memory_order_relaxed);
                atomic_store(&cell->turn, turn + 1);
                return true;
            }
        } else if ((intptr_t)(ready - turn) < 0) {
            return false;
        } else {
            turn = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        }
    }
}

/* NULL: the ring is empty. */
static inline void *
iso__ring_pop(iso__ring *ring)
{
    size_t turn = atomic_load_explicit(&ring->head, memory_order_relaxed);
    for (;;) {
        iso__cell *cell = &ring->cells[turn & ring->mask];
        size_t ready = atomic_load_explicit(&cell->turn, memory_order_acquire);
        if (ready == turn + 1) {
            if (atomic_compare_exchange_weak_explicit(&ring->head, &turn, turn + 1, memory_order_relaxed,
                                                      memory_order_relaxed)) {
                void *value = atomic_load_explicit(&cell->value, memory_order_relaxed);
                atomic_store_explicit(&cell->turn, turn + ring->mask + 1, memory_order_release);
                return value;
            }
        } else if ((intptr_t)(ready - (turn + 1)) < 0) {
            return NULL;
        } else {
            turn = atomic_load_explicit(&ring->head, memory_order_relaxed);
        }
    }
}

/* The value that the next pop may give, for prefetching; NULL if there is none. Consumers' side only. */
static inline void *
iso__ring_peek(iso__ring *ring)
{
    size_t turn = atomic_load_explicit(&ring->head, memory_order_relaxed);
    iso__cell *cell = &ring->cells[turn & ring->mask];
    if (atomic_load_explicit(&cell->turn, memory_order_acquire) != turn + 1)
        return NULL;
    return atomic_load_explicit(&cell->value, memory_order_relaxed);
}

static inline bool
iso__ring_empty(iso__ring *ring)
{
    size_t turn = atomic_load(&ring->head);
    return atomic_load(&ring->cells[turn & ring->mask].turn) != turn + 1;
}

/* How many wait, roughly while others push and pop. */
static inline size_t
iso__ring_count(const iso__ring *ring)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    return tail > head ? tail - head : 0;
}

#endif
