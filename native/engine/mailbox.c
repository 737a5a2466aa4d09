/* mailbox.c: what others want of a rank, done on its own thread between two calls.
 *
 * Letters are pushed by any thread onto one list that the rank takes as a whole. A sender that stops
 * waiting leaves its letter to the rank; whoever of the two is last frees it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/mailbox.h"
#include "engine/park.h"
#include "engine/queue.h"
#include "engine/states.h"

#define LETTERS 64         /* looks at a rank that does not come to them are refused beyond */
#define SLICE_NS 100000000u /* how long a sender sleeps before it asks whether the engine closes */

int
iso__mail_open(iso_rank *rank, iso_error *err)
{
    if (rank->lane != NULL || rank->mail_fd >= 0)
        return 0;
    rank->mail_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (rank->mail_fd < 0)
        return iso__fail(err, ISO_EINTERP, "rank %d: no descriptor: %s", rank->number, strerror(errno));
    return 0;
}

void
iso__mail_wake(iso_rank *rank)
{
    if (rank->lane != NULL) {
        iso__queue_wake(rank->lane);
    } else if (rank->mail_fd >= 0) {
        iso__bell_ring(rank->mail_fd);
    }
}

void
iso__letter_drop(iso__letter *letter)
{
    if (atomic_fetch_sub(&letter->shares, 1) > 1)
        return;
    iso__text_fini(&letter->what);
    iso__text_fini(&letter->argument);
    iso__text_fini(&letter->answer);
    free(letter);
}

void
iso__mail_free(iso_rank *rank)
{
    if (rank->mail_fd >= 0)
        close(rank->mail_fd);
    if (rank->reload_letter != NULL)
        iso__letter_drop(rank->reload_letter);
}

static void
letter_answer(iso_rank *rank, iso__letter *letter)
{
    atomic_fetch_sub(&rank->letters, 1);
    atomic_store(&letter->round, 0);
    atomic_store(&letter->done, 1);
    iso__futex_wake(&letter->done, 1);
    iso__letter_drop(letter);
}

/* The next letter that was taken; NULL: none. */
static iso__letter *
take_letter(iso__link **taken)
{
    iso__letter *letter = ISO__PILED(*taken, iso__letter, link);
    if (letter != NULL)
        *taken = letter->link.next;
    return letter;
}

/* ---- the rank's side ---- */

/* look(what, argument) of rank_rules.py gives JSON as str, and the number of memory blocks. */
static void
look(iso_rank *rank, iso__letter *letter)
{
    if (atomic_load(&letter->shares) == 1)
        return; /* who asked has given up */
    if (rank->elsewhere != NULL) {
        iso__elsewhere_letter(rank, ISO__LETTER_LOOK, letter);
        return;
    }
    PyObject *function = iso__rank_rule(rank, "look");
    PyObject *result = function != NULL ? PyObject_CallFunction(function, "ss#O", letter->what.p,
                                                                letter->argument.p != NULL ? letter->argument.p : "",
                                                                (Py_ssize_t)letter->argument.n, rank->handler)
                                        : NULL;
    const char *json = NULL;
    Py_ssize_t n = 0;
    unsigned int blocks = 0;
    if (result != NULL && PyArg_ParseTuple(result, "s#I", &json, &n, &blocks)) {
        letter->code = iso__text_set(&letter->answer, json, (size_t)n);
        atomic_store(&rank->blocks, blocks);
    } else {
        letter->code = iso__failure_start(rank, &letter->err, ISO_EFUNCTION, "looking into the rank failed");
    }
    Py_XDECREF(result);
}

void
iso__mail_service(iso_rank *rank)
{
    atomic_fetch_and(&rank->attention, ~(uint32_t)ISO__ATTEND_MAIL); /* before the list: a later letter sets it again */
    iso__link *taken = iso__pile_take(&rank->mail);
    bool attached = rank->attached;
    if (taken == NULL)
        return;
    if (!attached)
        iso__rank_hold(rank);
    for (iso__letter *letter; (letter = take_letter(&taken)) != NULL;) {
        atomic_store(&letter->begun, true);
        letter->work(rank, letter);
        letter_answer(rank, letter);
    }
    if (rank->output_pending)
        iso__log_output_flush(rank);
    if (!attached)
        iso__rank_let_go(rank);
}

void
iso__letter_do(iso_rank *rank, int kind, iso__letter *letter)
{
    iso__rank_attach(rank);
    if (kind == ISO__LETTER_LOOK)
        look(rank, letter);
    else
        iso__reload_by_letter(rank, letter);
    if (rank->output_pending)
        iso__log_output_flush(rank);
    iso__rank_detach(rank);
}

void
iso__mail_refuse(iso_rank *rank)
{
    iso__link *taken = iso__pile_take(&rank->mail);
    for (iso__letter *letter; (letter = take_letter(&taken)) != NULL;) {
        letter->code = iso__fail(&letter->err, ISO_ESTATE, "rank %d has ended", rank->number);
        letter_answer(rank, letter);
    }
}

int
iso_rank_fd(const iso_rank *rank)
{
    return rank->mail_fd >= 0 ? rank->mail_fd : ISO_ESTATE;
}

int
iso_rank_service(iso_rank *rank)
{
    int code = iso__rank_is_ours(rank);
    if (code != 0)
        return code;
    if (rank->mail_fd >= 0)
        iso__bell_clear(rank->mail_fd);
    iso__mail_service(rank);
    return rank->engine->closing;
}

/* ---- the sender's side ---- */

iso__letter *
iso__letter_new(void (*work)(iso_rank *rank, iso__letter *letter))
{
    iso__letter *letter = calloc(1, sizeof *letter);
    if (letter == NULL)
        return NULL;
    letter->work = work;
    atomic_store(&letter->shares, 2);
    return letter;
}

void
iso__letter_send(iso_rank *rank, iso__letter *letter)
{
    atomic_fetch_add(&rank->letters, 1);
    iso__pile_push(&rank->mail, &letter->link);
    atomic_fetch_or(&rank->attention, ISO__ATTEND_MAIL);
    iso__mail_wake(rank);
    if (atomic_load(&rank->state) != ISO__RANK_SERVING)
        iso__mail_refuse(rank); /* it ended meanwhile, and may not have seen the letter */
    else if (atomic_load(&rank->thread) == iso__this_thread() && rank->depth == 0)
        iso__mail_service(rank);
}

static int
letter_wait(iso_rank *rank, iso__letter *letter, uint64_t end_ns)
{
    while (!atomic_load(&letter->done)) {
        uint64_t now = iso__clock_monotonic_ns();
        if (atomic_load(&rank->engine->closing))
            return ISO_ESTATE;
        if (now >= end_ns)
            return ISO_ETIMEDOUT;
        iso__futex_wait(&letter->done, 0, (int64_t)(end_ns - now < SLICE_NS ? end_ns - now : SLICE_NS));
    }
    return 0;
}

int
iso__letter_wait(iso_rank *rank, iso__letter *letter, uint64_t end_ns)
{
    iso_rank *held = iso__main_let_go();
    int code = letter_wait(rank, letter, end_ns);
    if (held != NULL)
        iso__rank_attach(held);
    return code;
}

static int64_t
copy_answer(const iso__letter *letter, char *to, size_t size, iso_error *err)
{
    if (letter->code != 0) {
        if (err != NULL)
            *err = letter->err;
        return letter->code;
    }
    size_t n = letter->answer.n < size ? letter->answer.n : size - 1;
    memcpy(to, letter->answer.p, n);
    to[n] = '\0';
    return (int64_t)letter->answer.n;
}

static bool
is_known(const char *what)
{
    static const char *const known[] = {"versions", "modules", "memory", "threads", "run"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(what, known[i]) == 0)
            return true;
    }
    return false;
}

int64_t
iso_engine_look(iso_engine *engine, int number, const char *what, iso_str argument, int timeout_ms, char *to,
                size_t size, iso_error *err)
{
    if (engine == NULL || what == NULL || to == NULL || size == 0 || timeout_ms < 0 || number < 1 ||
        number > engine->config.ranks)
        return iso__fail(err, ISO_EINVAL, "no such rank, or no room for the answer");
    if (!is_known(what))
        return iso__fail(err, ISO_EINVAL, "there is no \"%.32s\" to look at: versions, modules, memory, threads or run",
                         what);
    if (strcmp(what, "run") == 0 && !engine->config.allow_look)
        return iso__fail(err, ISO_ESTATE, "code may not be run in ranks (setting allow_look)");
    iso_rank *rank = iso__rank_of(engine, number);
    if (atomic_load(&rank->state) != ISO__RANK_SERVING)
        return iso__fail(err, ISO_ESTATE, "rank %d does not serve", number);
    if (atomic_load(&rank->letters) >= LETTERS)
        return iso__fail(err, ISO_EOVERLOAD, "rank %d has not come to the last %d questions yet", number, LETTERS);
    iso__letter *letter = iso__letter_new(look);
    if (letter == NULL)
        return iso__fail(err, ISO_ENOMEM, "no memory for the question");
    int64_t result = iso__text_set(&letter->what, what, strlen(what));
    if (result == 0 && argument.p != NULL)
        result = iso__text_set(&letter->argument, argument.p, argument.n);
    if (result != 0) {
        iso__letter_drop(letter); /* the rank's share: it never gets it */
    } else {
        iso__letter_send(rank, letter);
        result = iso__letter_wait(rank, letter, iso__clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000u);
        if (result == 0)
            result = copy_answer(letter, to, size, err);
        else if (result == ISO_ESTATE)
            iso__fail(err, ISO_ESTATE, "the engine is closing");
        else
            iso__fail(err, ISO_ETIMEDOUT, "rank %d did not answer within %d ms", number, timeout_ms);
    }
    iso__letter_drop(letter);
    return result;
}
