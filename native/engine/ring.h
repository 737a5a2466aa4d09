/* ring.h: a bounded queue of pointers for many producers and many consumers, without locks.
 *
 * Each cell carries the number of the turn at which it was written. Producers agree by one compare-and-swap on the
 * tail and consumers by one on the head; consumers write no cell, so that its line of the cache moves one way only, and
 * what a consumer read is its own if the head was still there when it took it: a cell is written again only by a
 * producer that has seen the head pass. Taking a turn is a full barrier, publishing the cell is none (it would wait
 * for the lines of the message): a producer that looks, after its push, whether a consumer sleeps sees that it
 * does, or the consumer sees that the ring is not empty. It is so from the turn on, a moment before the value
 * is there. */
#ifndef ISO_RING_H
#define ISO_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "engine/line.h"

#define ISO__RING_VALUE (UINT64_C(1) << 63)

/* What is queued: a pointer, and up to 31 bits about what it points to, which come with the cell. */
typedef struct iso__entry {
    _Atomic(void *) value;
    uint32_t bits;
} iso__entry;

static inline void
iso__entry_set(iso__entry *entry, void *value, uint32_t bits)
{
    entry->bits = bits;
    atomic_store_explicit(&entry->value, value, memory_order_relaxed);
}

typedef struct iso__cell {
    _Atomic uint64_t word; /* from the top: 1 if there is a value, its bits, 32 bits of the turn: a ring is shorter */
    _Atomic(void *) value; /* whose turn it is writes it, but who looks ahead may read it at any time */
} iso__cell;

typedef struct iso__ring {
    /* 128, not 64: processors fetch lines of the cache in pairs. */
    _Alignas(128) _Atomic size_t tail; /* next turn to write */
    _Atomic size_t head_seen;          /* by the producers: `head` is on the consumers' line */
    _Alignas(128) _Atomic size_t head; /* next turn to read */
    _Alignas(128) _Atomic size_t passed; /* where the head was lately: producers that wait look here, not at the head */
    _Alignas(128) size_t mask;
    iso__cell *cells;
    _Atomic uint32_t sleepers; /* producers that sleep because the ring was full */
    _Atomic uint32_t room; /* their futex word: changes when there is room again */
} iso__ring;

/* Room for at least `size` pointers (rounded up to a power of 2). false: no memory. */
static inline bool
iso__ring_init(iso__ring *ring, size_t size)
{
    size_t room = 2;
    while (room < size)
        room *= 2;
    ring->cells = iso__lines_new(room * sizeof *ring->cells);
    ring->mask = room - 1;
    atomic_store(&ring->head, 0);
    atomic_store(&ring->tail, 0);
    atomic_store(&ring->head_seen, 0);
    atomic_store(&ring->passed, 0);
    return ring->cells != NULL;
}

static inline void
iso__ring_fini(iso__ring *ring)
{
    free(ring->cells);
    ring->cells = NULL;
}

/* Whether the cell of a turn may be written: who had it before has been read. */
static inline bool
iso__ring_is_free(iso__ring *ring, size_t turn)
{
    if ((intptr_t)(turn - atomic_load_explicit(&ring->head_seen, memory_order_acquire)) <= (intptr_t)ring->mask)
        return true;
    size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    atomic_store_explicit(&ring->head_seen, head, memory_order_release);
    return (intptr_t)(turn - head) <= (intptr_t)ring->mask;
}

/* false: the ring is full. */
static inline bool
iso__ring_push(iso__ring *ring, void *value, uint32_t bits)
{
    size_t turn = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    /* Once more: a consumer that looks for this call has had the line back since fetch_free. */
    iso__line_claim(&ring->cells[turn & ring->mask]);
    do {
        if (!iso__ring_is_free(ring, turn))
            return false;
    } while (!atomic_compare_exchange_weak(&ring->tail, &turn, turn + 1));
    iso__cell *cell = &ring->cells[turn & ring->mask];
    atomic_store_explicit(&cell->value, value, memory_order_relaxed);
    atomic_store_explicit(&cell->word, ISO__RING_VALUE | (uint64_t)bits << 32 | (uint32_t)(turn + 1),
                          memory_order_release);
    return true;
}

static inline uint32_t
iso__ring_bits(uint64_t word)
{
    return (uint32_t)((word & ~ISO__RING_VALUE) >> 32);
}

/* The word of the cell for a turn if it can be read, else 0. */
static inline uint64_t
iso__ring_word(const iso__ring *ring, size_t turn)
{
    uint64_t word = atomic_load_explicit(&ring->cells[turn & ring->mask].word, memory_order_acquire);
    return (uint32_t)word == (uint32_t)(turn + 1) ? word : 0;
}

/* Copies what can be read from `turn` on, at most `most`; how many. Others may take it meanwhile. */
static inline size_t
iso__ring_read(const iso__ring *ring, size_t turn, iso__entry *entries, size_t most)
{
    size_t n = 0;
    for (uint64_t word; n < most && (word = iso__ring_word(ring, turn + n)) != 0; n++) {
        const iso__cell *cell = &ring->cells[(turn + n) & ring->mask];
        iso__entry_set(&entries[n], atomic_load_explicit(&cell->value, memory_order_relaxed), iso__ring_bits(word));
    }
    return n;
}

/* Up to `most` entries, oldest first; 0: the ring is empty. Together they cost one look at the producers' lines
 * of the cache; one at a time, a consumer that keeps up with a producer would fight for each cell. */
static inline size_t
iso__ring_pop_some(iso__ring *ring, iso__entry *entries, size_t most)
{
    size_t turn = atomic_load_explicit(&ring->head, memory_order_relaxed);
    for (;;) {
        size_t n = iso__ring_read(ring, turn, entries, most);
        if (n > 0 && atomic_compare_exchange_strong_explicit(&ring->head, &turn, turn + n, memory_order_release,
                                                             memory_order_relaxed)) {
            atomic_store_explicit(&ring->passed, turn + n, memory_order_relaxed);
            return n;
        }
        size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
        if (n == 0 && head == turn)
            return 0;
        turn = head; /* another consumer was here */
    }
}

/* NULL: the ring is empty. */
static inline void *
iso__ring_pop(iso__ring *ring)
{
    iso__entry entry;
    return iso__ring_pop_some(ring, &entry, 1) > 0 ? atomic_load_explicit(&entry.value, memory_order_relaxed) : NULL;
}

/* Asks for the cell that the next push writes, and for those after its line, which have the time to come. */
static inline void
iso__ring_fetch_free(const iso__ring *ring)
{
    size_t of_line = ISO__LINE / sizeof(iso__cell), turn = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    iso__line_claim(&ring->cells[turn & ring->mask]);
    if (turn % of_line == 0)
        iso__line_claim(&ring->cells[(turn + of_line) & ring->mask]);
}

/* Asks for the cells that a pop of so many reads. */
static inline void
iso__ring_fetch(iso__ring *ring, size_t n)
{
    size_t turn = atomic_load_explicit(&ring->head, memory_order_relaxed), of_line = ISO__LINE / sizeof(iso__cell);
    for (size_t i = 0; i < n + of_line; i += of_line)
        iso__line_fetch(&ring->cells[(turn + i) & ring->mask]);
}

/* What a pop gives after `n` others, to be fetched and no more. false: nothing. */
static inline bool
iso__ring_peek(const iso__ring *ring, size_t n, iso__entry *out)
{
    size_t turn = atomic_load_explicit(&ring->head, memory_order_relaxed) + n;
    uint64_t word = iso__ring_word(ring, turn);
    const iso__cell *cell = &ring->cells[turn & ring->mask];
    iso__entry_set(out, atomic_load_explicit(&cell->value, memory_order_relaxed), iso__ring_bits(word));
    return word != 0;
}

/* How many wait, roughly while others push and pop. Sequentially consistent: 0 is true at some moment after what the caller
 * did before. Not for who looks again and again: it takes the producers' line from them. */
static inline size_t
iso__ring_count(const iso__ring *ring)
{
    size_t tail = atomic_load(&ring->tail), head = atomic_load(&ring->head);
    return (intptr_t)(tail - head) > 0 ? tail - head : 0;
}

static inline bool
iso__ring_empty(const iso__ring *ring)
{
    return iso__ring_count(ring) == 0;
}

/* Whether a pop would give something now: for who looks again and again. */
static inline bool
iso__ring_has_value(const iso__ring *ring)
{
    return iso__ring_word(ring, atomic_load_explicit(&ring->head, memory_order_relaxed)) != 0;
}

/* Whether an eighth of the places was free lately: for a producer that looks again and again until there is room. With one
 * place only, each would be fought for with the consumer that makes it. */
static inline bool
iso__ring_has_much_room(const iso__ring *ring)
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    size_t passed = atomic_load_explicit(&ring->passed, memory_order_relaxed);
    return (intptr_t)(tail - passed) <= (intptr_t)(ring->mask - ring->mask / 8);
}

#endif
