/* wanted.h: a header name that is looked for, with its other form. */
#ifndef ISO_SIP_WANTED_H
#define ISO_SIP_WANTED_H

#include "sip/text.h"

typedef struct iso__wanted {
    iso_str name;   /* the long form where there is one */
    size_t other_n; /* length of the other form, or of the name again */
    char letter;    /* lower case; the compact form if the name has any, 0 if certainly none */
} iso__wanted;

void iso__wanted_init(iso__wanted *wanted, iso_str name);
/* Whether the letter is the compact form of the name: asked only where a row has that letter as name. */
int iso__wanted_is_compact(const iso__wanted *wanted);

static inline int
iso__wanted_is(const iso__wanted *wanted, iso_str name)
{
    if (name.n == wanted->name.n)
        return iso__same(name.p, wanted->name.p, name.n);
    return name.n == wanted->other_n && (name.p[0] | 0x20) == wanted->letter && iso__wanted_is_compact(wanted);
}

#endif
