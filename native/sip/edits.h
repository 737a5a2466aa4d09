/* edits.h: the action list behind iso_edits. Only the rank that records into it touches it.
 *
 * Entries and their text lie in two growing arrays, so that a list that is cleared and filled again
 * for each message allocates nothing once it is warm, and a savepoint is four numbers. */
#ifndef ISO_SIP_EDITS_H
#define ISO_SIP_EDITS_H

#include "isoexec_sip.h"

typedef struct iso__edit_entry {
    uint32_t kind;
    uint32_t name;     /* offset into text */
    uint32_t name_n;
    uint32_t value;
    uint32_t value_n;
    uint32_t flags;    /* 1: the name is present (it may be empty) */
} iso__edit_entry;

struct iso_edits {
    uint32_t count;
    uint32_t capacity;
    uint32_t text_n;
    uint32_t text_capacity;
    uint32_t ruri;     /* number (from 1) of the last SET_RURI, 0 for none */
    uint32_t dst_uri;  /* the same for SET_DST_URI */
    iso__edit_entry *entries;
    char *text;
};

/* A savepoint: what a nested call goes back to when it raises. */
typedef struct iso__edits_mark {
    uint32_t count, text_n, ruri, dst_uri;
} iso__edits_mark;

void iso__edits_fini(iso_edits *edits); /* frees the arrays; a zeroed struct is an empty list */

static inline void
iso__edits_clear(iso_edits *edits)
{
    edits->count = edits->text_n = edits->ruri = edits->dst_uri = 0;
}

static inline iso__edits_mark
iso__edits_save(const iso_edits *edits)
{
    return (iso__edits_mark){edits->count, edits->text_n, edits->ruri, edits->dst_uri};
}

static inline void
iso__edits_restore(iso_edits *edits, iso__edits_mark mark)
{
    edits->count = mark.count;
    edits->text_n = mark.text_n;
    edits->ruri = mark.ruri;
    edits->dst_uri = mark.dst_uri;
}

/* Appends an entry; name and value are copied. 0 or ISO_ENOMEM (the list is then unchanged). The
 * texts are checked by the caller (iso__edit_check). */
int iso__edits_add(iso_edits *edits, int kind, iso_str name, iso_str value);
/* Appends every entry of `from`. */
int iso__edits_add_all(iso_edits *edits, const iso_edits *from);

/* What the edits say of the R-URI (kind ISO_EDIT_SET_RURI) or the destination: absent if never set or
 * set to "". Borrowed until the next change of the list. */
iso_str iso__edits_uri(const iso_edits *edits, int kind);

/* Whether an edit may go into a message: NULL if so, else what is wrong with it in one sentence.
 * No injected line ends (a fold is one too), no control characters or spaces in a R-URI, header
 * names that are tokens (RFC 3261 25.1). */
const char *iso__edit_check(int kind, iso_str name, iso_str value);

#endif
