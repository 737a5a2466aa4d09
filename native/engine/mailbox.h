/* mailbox.h: letters to a rank: what it does for others, on its own thread, between two calls. */
#ifndef ISO_MAILBOX_H
#define ISO_MAILBOX_H

#include "engine/engine.h"

typedef struct iso__letter {
    iso__link link;
    /* What it asks for; with the rank attached. Sets code and err. */
    void (*work)(iso_rank *rank, struct iso__letter *letter);
    _Atomic uint32_t done; /* futex word: 1 when answered */
    _Atomic int shares;    /* sender, rank */
    _Atomic bool begun;    /* the rank is at it, or has answered */
    int code;              /* of the answer: 0 or ISO_E... */
    iso_error err;
    iso__text what, argument, answer; /* of a look */
    _Atomic uint64_t round;    /* of a reload: which one it asks for; 0 once the rank is at it, or answers */
    _Atomic uint32_t limit_ms; /* of a reload: how long the new code may load, 0: no limit */
} iso__letter;

enum iso__letter_kind { ISO__LETTER_LOOK, ISO__LETTER_RELOAD };

/* What the process of a rank does with a letter that the engine got: detached. */
void iso__letter_do(iso_rank *rank, int kind, iso__letter *letter);
/* elsewhere.c: has the rank's process do it. Sets code, err and answer. */
void iso__elsewhere_letter(iso_rank *rank, int kind, iso__letter *letter);
/* reload.c: a letter's work */
void iso__reload_by_letter(iso_rank *rank, iso__letter *letter);

iso__letter *iso__letter_new(void (*work)(iso_rank *rank, iso__letter *letter)); /* NULL: no memory */
/* Hands it over; on the rank's own thread it is done at once. */
void iso__letter_send(iso_rank *rank, iso__letter *letter);
/* Waits for the answer: 0 if there is one, ISO_ETIMEDOUT at the monotonic time, ISO_ESTATE if the engine closes. */
int iso__letter_wait(iso_rank *rank, iso__letter *letter, uint64_t end_ns);
void iso__letter_drop(iso__letter *letter); /* whoever of sender and rank is last frees it */

#endif
