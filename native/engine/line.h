/* line.h: lines of the cache: memory that shares none with that of others, and asking for them before they are
 * needed, for a thread that writes what another reads. */
#ifndef ISO_LINE_H
#define ISO_LINE_H

#include <stdlib.h>
#include <string.h>

#define ISO__LINE 64

/* Zeroed memory that shares no line with other memory, nor the one beside a line, which is fetched along. NULL: none. */
static inline void *
iso__lines_new(size_t size)
{
    size_t whole = (size + 2 * ISO__LINE - 1) / (2 * ISO__LINE) * (2 * ISO__LINE);
    void *memory = aligned_alloc(2 * ISO__LINE, whole);
    return memory != NULL ? memset(memory, 0, whole) : NULL;
}

/* To read it. */
static inline void
iso__line_fetch(const void *at)
{
    __builtin_prefetch(at);
}

/* To write it: away from whoever has it. gcc asks to read where it is not told that the processor has
 * prefetchw, which every x86-64 one accepts. */
static inline void
iso__line_claim(const void *at)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)at));
#else
    __builtin_prefetch(at, 1);
#endif
}

#endif
