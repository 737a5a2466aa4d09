/* names.h: names of methods that stay where they are for the life of the process, so that they can be handed to another
 * thread without a copy, and compared by their place. */
#ifndef ISO_NAMES_H
#define ISO_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ISO__METHOD_NAME 64 /* longest method name that is remembered, with its NUL */
#define ISO__NAMES 64 /* hosts name a handful */

extern char iso__names[ISO__NAMES][ISO__METHOD_NAME]; /* read through the functions below */

/* The kept text of a name. NULL: it is too long, or there are too many. Any thread. */
const char *iso__name_keep(const char *name);

/* strcmp of short names: the calls of one place name one method, so each branch is foreseen, and a call of
 * the library's strcmp costs 3 ns more. */
static inline bool
iso__name_is(const char *a, const char *b)
{
    while (*a == *b) {
        if (*a == '\0')
            return true;
        a++;
        b++;
    }
    return false;
}

/* The number of a kept name, or ISO__NAMES of any other text. */
static inline size_t
iso__name_number(const char *name)
{
    size_t at = (uintptr_t)name - (uintptr_t)iso__names;
    return at < sizeof iso__names ? at / ISO__METHOD_NAME : ISO__NAMES;
}

#endif
