/* line.h: asking for lines of the cache before they are needed, for a thread that writes what another reads. */
#ifndef ISO_LINE_H
#define ISO_LINE_H

#define ISO__LINE 64

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
