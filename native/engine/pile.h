/* pile.h: a list that any thread pushes onto and one takes as a whole, without locks. */
#ifndef ISO_PILE_H
#define ISO_PILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* A member of what is listed. */
typedef struct iso__link {
    struct iso__link *next;
} iso__link;

typedef _Atomic(iso__link *) iso__pile; /* newest first */

/* What a link is a member of; NULL of NULL. */
#define ISO__PILED(link, type, member)                                                                                 \
    ((link) != NULL ? (type *)(void *)((char *)(link) - offsetof(type, member)) : NULL)

/* true if it was empty. The link is the taker's by then. */
static inline bool
iso__pile_push(iso__pile *pile, iso__link *link)
{
    iso__link *before = atomic_load_explicit(pile, memory_order_relaxed);
    do
        link->next = before;
    while (!atomic_compare_exchange_weak(pile, &before, link));
    return before == NULL;
}

/* All of it, oldest first. */
static inline iso__link *
iso__pile_take(iso__pile *pile)
{
    iso__link *newest = atomic_exchange(pile, NULL), *oldest = NULL;
    while (newest != NULL) {
        iso__link *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

#endif
