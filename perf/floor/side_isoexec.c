/* side_isoexec.c: the same cases through isoexec's public header, as a host would write them. */
#include "message.h"
#include "side.h"

#include <isoexec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char octets[FLOOR_BUFFER] = FLOOR_MESSAGE;

static _Noreturn void
fail(const char *what, iso_str detail)
{
    fprintf(stderr, "isoexec: %s: %.*s\n", what, (int)detail.n, detail.p ? detail.p : "no detail");
    fflush(NULL);
    _exit(2);
}

/* One call, checked as a host would: the method's own code. */
static inline void
call(iso_rank *rank, const char *method, iso_msg *msg, iso_str extra)
{
    iso_result result;

    msg->data = octets;
    msg->length = FLOOR_MESSAGE_LENGTH;
    if (iso_python_exec(rank, method, msg, extra, &result) || result.code != 1) {
        fail(method, result.error);
    }
}

static void
run(void *rank, enum floor_case which, long calls)
{
    static const char *const methods[FLOOR_CASE_COUNT] = {"route", "route", "reads", "route_extra", "raises", "route"};
    static const iso_str none, text = {"extra", 5};
    const char *method = methods[which];
    iso_str extra = which == FLOOR_EXTRA ? text : none;
    iso_msg msg;

    iso_msg_init(&msg, octets, FLOOR_MESSAGE_LENGTH);
    if (which == FLOOR_EXCEPTION) {
        for (long i = 0; i < calls; i++) {
            iso_result result;

            if (iso_python_exec(rank, method, &msg, extra, &result) || result.outcome != ISO_OUTCOME_RAISED) {
                fail("the method did not raise", result.error);
            }
        }
        return;
    }
    if (which == FLOOR_BATCH && iso_rank_begin(rank)) {
        fail("iso_rank_begin", none);
    }
    for (long i = 0; i < calls; i++) {
        call(rank, method, &msg, extra);
    }
    if (which == FLOOR_BATCH && iso_rank_end(rank)) {
        fail("iso_rank_end", none);
    }
}

static void *
open_rank(const struct floor_side *side, int number)
{
    iso_rank *rank = NULL;
    iso_error err = {0};

    if (iso_rank_open((iso_engine *)side->context, number, &rank, &err)) {
        fail(err.message, (iso_str){err.traceback, strlen(err.traceback)});
    }
    return rank;
}

static void
close_rank(void *rank)
{
    int rc = iso_rank_close(rank);

    if (rc) {
        const char *text = iso_strerror(rc);

        fail("iso_rank_close", (iso_str){text, strlen(text)});
    }
}

const struct floor_side floor_side_isoexec = {.name = "isoexec", .open = open_rank, .run = run, .close = close_rank};
