/* test_ring.c: the queue of many producers and consumers: order, a full and an empty ring, nothing lost and nothing
 * twice under threads, all of it where the 32 bits of a turn that a cell has start anew. */
#include <pthread.h>
#include <sched.h>

#include "engine/ring.h"
#include "test.h"

enum { ROOM = 16, PRODUCERS = 3, CONSUMERS = 2, EACH = 40000, BITS = 0x7fffffff };

static iso__ring ring;
static char values[PRODUCERS * EACH];
static _Atomic int seen[PRODUCERS * EACH], left, wrong_bits, out_of_order;

/* As if so many calls had gone through it. */
static void
begin_at(size_t turn)
{
    CHECK(iso__ring_init(&ring, ROOM));
    atomic_store(&ring.head, turn);
    atomic_store(&ring.head_seen, turn);
    atomic_store(&ring.passed, turn);
    atomic_store(&ring.tail, turn);
    for (size_t i = turn; i < turn + ROOM; i++)
        atomic_store(&ring.cells[i & ring.mask].word,
                     ISO__RING_VALUE | (uint32_t)(i - ROOM + 1)); /* of the lap before */
}

static const size_t begins[] = {
    0, 1, (size_t)UINT32_MAX - 40, (size_t)UINT32_MAX, (size_t)1 << 32, ((size_t)1 << 32) * 7 - 3};
enum { BEGINS = sizeof begins / sizeof begins[0] };

static uint32_t
bits_of(size_t i)
{
    return (uint32_t)(i * 2654435761u) & BITS;
}

static void
test_full_and_empty(void)
{
    iso__entry entries[ROOM + 1], next;
    for (int b = 0; b < BEGINS; b++) {
        begin_at(begins[b]);
        for (size_t round = 0; round < 100; round++) {
            size_t count = round % (ROOM + 1);
            CHECK(iso__ring_empty(&ring) && !iso__ring_has_value(&ring) && iso__ring_pop(&ring) == NULL);
            for (size_t i = 0; i < count; i++)
                CHECK(iso__ring_push(&ring, &values[i], bits_of(round + i)));
            CHECK(count < ROOM || !iso__ring_push(&ring, &values[0], 0));
            CHECK_INT(iso__ring_count(&ring), count);
            CHECK_INT(iso__ring_has_value(&ring), count > 0);
            CHECK_INT(iso__ring_has_much_room(&ring), count <= ROOM - ROOM / 8);
            for (size_t i = 0; i < count; i++)
                CHECK(iso__ring_peek(&ring, i, &next) && next.value == &values[i] && next.bits == bits_of(round + i));
            CHECK(count == ROOM || !iso__ring_peek(&ring, count, &next));
            CHECK_INT(iso__ring_pop_some(&ring, entries, ROOM + 1), count);
            for (size_t i = 0; i < count; i++)
                CHECK(entries[i].value == &values[i] && entries[i].bits == bits_of(round + i));
        }
        iso__ring_fini(&ring);
    }
}

static void *
produce(void *first)
{
    char *value = first;
    for (int i = 0; i < EACH; i++) {
        while (!iso__ring_push(&ring, value + i, bits_of((size_t)(value + i - values))))
            sched_yield();
    }
    return NULL;
}

/* Of one producer a consumer sees what it takes in order. */
static void *
consume(void *unused)
{
    iso__entry entries[5];
    ptrdiff_t last[PRODUCERS] = {-1, -1, -1};
    (void)unused;
    while (atomic_load(&left) > 0) {
        size_t n = iso__ring_pop_some(&ring, entries, 1 + (size_t)atomic_load(&left) % 5);
        for (size_t i = 0; i < n; i++) {
            ptrdiff_t at = (char *)atomic_load(&entries[i].value) - values;
            atomic_fetch_add(&seen[at], 1);
            atomic_fetch_add(&wrong_bits, entries[i].bits != bits_of((size_t)at));
            atomic_fetch_add(&out_of_order, at <= last[at / EACH]);
            last[at / EACH] = at;
        }
        atomic_fetch_sub(&left, (int)n);
        if (n == 0)
            sched_yield();
    }
    return NULL;
}

static void
test_threads(void)
{
    for (int b = 0; b < BEGINS; b++) {
        pthread_t threads[PRODUCERS + CONSUMERS];
        int wrong = 0;
        begin_at(begins[b]);
        memset((void *)seen, 0, sizeof seen);
        atomic_store(&left, PRODUCERS * EACH);
        for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
            CHECK_INT(pthread_create(&threads[i], NULL, i < PRODUCERS ? produce : consume,
                                     i < PRODUCERS ? &values[i * EACH] : NULL),
                      0);
        for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < PRODUCERS * EACH; i++)
            wrong += atomic_load(&seen[i]) != 1;
        CHECK_INT(wrong, 0);
        CHECK_INT(atomic_load(&wrong_bits), 0);
        CHECK_INT(atomic_load(&out_of_order), 0);
        CHECK(iso__ring_empty(&ring));
        iso__ring_fini(&ring);
    }
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_full_and_empty), TEST(test_threads));
}
