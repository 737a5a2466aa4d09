#include "directory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 8 };

typedef struct line {
    _Alignas(64) _Atomic uint64_t words[WAYS];
} line;

struct proxy_directory {
    size_t mask;
    line lines[];
};

proxy_directory *
proxy_directory_new(size_t entries)
{
    size_t lines = 64;
    while (lines * WAYS < entries * 2)
        lines *= 2;
    size_t size = sizeof(proxy_directory) + lines * sizeof(line);
    proxy_directory *directory = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (directory == NULL)
        return NULL;
    memset(directory, 0, size);
    directory->mask = lines - 1;
    return directory;
}

void
proxy_directory_free(proxy_directory *directory)
{
    free(directory);
}

static uint64_t
word_of(uint64_t key, int worker)
{
    return (key & ~UINT64_C(0xff)) | (uint64_t)worker;
}

/* Relaxed throughout: a word stands for itself, nothing else is published by it. */
void
proxy_directory_add(proxy_directory *directory, uint64_t key, int worker)
{
    if (directory == NULL)
        return;
    line *at = &directory->lines[key >> 8 & directory->mask];
    for (int i = 0; i < WAYS; i++) {
        uint64_t empty = 0;
        if (atomic_load_explicit(&at->words[i], memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong_explicit(&at->words[i], &empty, word_of(key, worker), memory_order_relaxed,
                                                    memory_order_relaxed))
            return;
    }
    atomic_store_explicit(&at->words[key >> 61], word_of(key, worker), memory_order_relaxed);
}

void
proxy_directory_remove(proxy_directory *directory, uint64_t key, int worker)
{
    if (directory == NULL)
        return;
    line *at = &directory->lines[key >> 8 & directory->mask];
    for (int i = 0; i < WAYS; i++) {
        uint64_t own = word_of(key, worker);
        if (atomic_load_explicit(&at->words[i], memory_order_relaxed) == own &&
            atomic_compare_exchange_strong_explicit(&at->words[i], &own, 0, memory_order_relaxed, memory_order_relaxed))
            return;
    }
}

int
proxy_directory_find(const proxy_directory *directory, uint64_t key)
{
    if (directory == NULL)
        return 0;
    const line *at = &directory->lines[key >> 8 & directory->mask];
    for (int i = 0; i < WAYS; i++) {
        uint64_t word = atomic_load_explicit(&at->words[i], memory_order_relaxed);
        if (word != 0 && ((word ^ key) & ~UINT64_C(0xff)) == 0)
            return (int)(word & 0xff);
    }
    return 0;
}
