/* distance.h: how alike two names are, for errors that name the nearest one. No Python. */
#ifndef ISO_SCRIPT_DISTANCE_H
#define ISO_SCRIPT_DISTANCE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* How many letters have to be changed, added or removed to get from one name to the other
 * (Levenshtein). SIZE_MAX if `b` has 64 letters or more. */
static inline size_t
script_distance(const char *a, const char *b)
{
    size_t costs[64], n = strlen(b);
    if (n >= sizeof costs / sizeof costs[0])
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        costs[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = costs[0];
        costs[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = costs[j];
            size_t shifted = (costs[j] < costs[j - 1] ? costs[j] : costs[j - 1]) + 1;
            costs[j] = changed < shifted ? changed : shifted;
        }
    }
    return costs[n];
}

#endif
