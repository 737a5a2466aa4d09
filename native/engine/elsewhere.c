/* elsewhere.c: a call of a rank with isolation process: on the rank's thread, which says the call to the process,
 * runs the host functions that it asks for, and takes its answer. */
#include "engine/elsewhere.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/clock.h"
#include "engine/mailbox.h"
#include "engine/settings.h"
#include "engine/units.h"

#define UNWIND_NS (5 * ISO__MS) /* what the process has after the deadline to end the call by itself */
#define SLICE_NS (20 * ISO__MS) /* how long the log of a running call may wait */

enum waited { SAID, ENDED, OVER };

/* A host function that runs. What it records, the process does not know yet: it goes along with the next post. */
typedef struct iso__asked {
    iso_edits *edits;  /* of the message that it is about */
    uint32_t depth;    /* of the call whose message that is */
    uint32_t count;    /* of edits that the process knows */
    uint32_t text_n;
    struct iso__asked *outer;
} iso__asked;

/* ---- waiting for the process ---- */

static bool
has_said(void *argument)
{
    iso__process *process = argument;
    return iso__post_arrived(&process->region->up, process->seen) || atomic_load(&process->ended);
}

/* Lines reach the host's log before the call returns. */
static void
take_log(iso__elsewhere *e, iso__process *process)
{
    iso__log_ring *log = &process->region->log;
    if (atomic_load(&log->head) == atomic_load_explicit(&log->tail, memory_order_relaxed))
        return;
    pthread_mutex_lock(&e->lock);
    bool more = iso__process_read_log(e->rank, process);
    pthread_mutex_unlock(&e->lock);
    if (more)
        iso__children_ring(e->rank->engine); /* a thread of the script goes on writing: that can not hold the call */
}

/* Only while it is there: its number may be another's later. */
static void
kill_process(iso__elsewhere *e, iso__process *process, const char *why)
{
    pthread_mutex_lock(&e->lock);
    if (e->process == process)
        iso__process_kill(process, why);
    pthread_mutex_unlock(&e->lock);
}

/* One that was stopped by a signal never answers. Looks once a second; `since` is kept from look to look. */
static void
end_if_stopped(iso__elsewhere *e, iso__process *process, uint64_t now, uint64_t *looked, uint64_t *since)
{
    if (now - *looked < (uint64_t)ISO__SECOND && *since == 0)
        return;
    *looked = now;
    if (!iso__process_is_stopped(process))
        *since = 0;
    else if (*since == 0)
        *since = now;
    else if (now - *since >= (uint64_t)e->rank->settings.grace)
        kill_process(e, process, "a signal had stopped it, and it did not go on within the grace time");
}

static enum waited
await(iso__elsewhere *e, iso__process *process)
{
    if (iso__spin_until(&e->spin, e->rank->lane != NULL, has_said, process))
        return iso__post_arrived(&process->region->up, process->seen) ? SAID : ENDED;
    uint64_t looked = iso__clock_monotonic_ns(), stopped = 0;
    for (;;) {
        if (iso__post_arrived(&process->region->up, process->seen))
            return SAID;
        if (atomic_load(&process->ended))
            return ENDED;
        uint64_t now = iso__clock_monotonic_ns();
        if (now >= e->until)
            return OVER;
        uint64_t left = e->until - now;
        iso__post_sleep(&process->region->up, process->seen, left < SLICE_NS ? (int64_t)left : SLICE_NS);
        take_log(e, process);
        end_if_stopped(e, process, now, &looked, &stopped);
    }
}

/* ---- the process that serves ---- */

static struct timespec
moment(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
}

/* Under the lock: takes a share of the process that serves now. */
static bool
take_process(iso__elsewhere *e)
{
    if (e->used != NULL && atomic_load(&e->used->ended)) {
        iso__process_drop(e->used);
        e->used = NULL;
    }
    if (e->used == NULL && e->process != NULL && e->process->ready) {
        atomic_fetch_add(&e->process->shares, 1);
        e->used = e->process;
    }
    return e->used != NULL && !atomic_load(&e->used->late);
}

/* For the outermost call: the process, once it has ended what it did before or is there again. NULL: not in time. */
static iso__process *
find_process(iso__elsewhere *e)
{
    iso__process *process = e->used;
    if (ISO__LIKELY(process != NULL && !atomic_load(&process->ended) && !atomic_load(&process->late)))
        return process;
    uint64_t most = iso__clock_monotonic_ns() + (uint64_t)e->rank->settings.grace;
    struct timespec until = moment(e->until < most ? e->until : most);
    bool found;
    pthread_mutex_lock(&e->lock);
    while (!(found = take_process(e)) && e->wanted == ISO__WANT_ALIVE && !e->given_up) {
        if (pthread_cond_timedwait(&e->changed, &e->lock, &until) == ETIMEDOUT) {
            found = take_process(e);
            break;
        }
    }
    pthread_mutex_unlock(&e->lock);
    return found ? e->used : NULL;
}

/* ---- how a call ends that the process did not end ---- */

/* Keeps the reason and logs it. */
static void
keep_reason(iso__elsewhere *e, iso__frame *frame, const char *reason, const iso__text *more)
{
    frame->error.n = 0;
    iso__failure_origin(e->rank->number, frame->method, frame->msg, &frame->error);
    iso__text_add(&frame->error, reason, strlen(reason));
    if (more != NULL && more->n > 0) {
        iso__text_add(&frame->error, "\n", 1);
        iso__text_add(&frame->error, more->p, more->n - (more->p[more->n - 1] == '\n'));
    }
    if (frame->error.p == NULL)
        return;
    pthread_mutex_lock(&e->lock);
    iso__log_lines(e->rank, ISO_LOG_ERR, (iso_str){frame->error.p, strcspn(frame->error.p, "\n")});
    pthread_mutex_unlock(&e->lock); /* the rest stands in the log already, from the process itself */
}

static int
end_crashed(iso__elsewhere *e, iso__frame *frame, iso__process *process)
{
    char text[256];
    snprintf(text, sizeof text, "the process of the rank (pid %d) %s", process->pid, process->end);
    e->abandoned = true;
    keep_reason(e, frame, text, &process->tail);
    return ISO_OUTCOME_CRASHED;
}

static int
end_nonsense(iso__elsewhere *e, iso__frame *frame, iso__process *process)
{
    e->abandoned = true;
    kill_process(e, process, "what it answered makes no sense");
    keep_reason(e, frame, "the process of the rank answered what makes no sense, and is started again", NULL);
    return ISO_OUTCOME_CRASHED;
}

/* The deadline has passed. The process may still end the call: the children thread keeps the conversation. */
static int
end_late(iso__elsewhere *e, iso__frame *frame, iso__process *process)
{
    char text[160], limit[ISO__UNIT_TEXT];
    iso__unit_format(ISO__UNIT_TIME, e->rank->settings.deadline, limit);
    snprintf(text, sizeof text, "took longer than its deadline of %s; its process still runs the handler", limit);
    pthread_mutex_lock(&e->lock);
    if (!e->abandoned) {
        process->late_at = iso__clock_monotonic_ns();
        atomic_store(&process->late, 1);
    }
    pthread_mutex_unlock(&e->lock);
    e->abandoned = true;
    iso__children_ring(e->rank->engine);
    keep_reason(e, frame, text, NULL);
    return ISO_OUTCOME_DEADLINE;
}

static int
end_absent(iso__elsewhere *e, iso__frame *frame)
{
    if (e->used != NULL && atomic_load(&e->used->late)) {
        keep_reason(e, frame, "the rank's process still runs the call before, whose deadline has passed", NULL);
        return ISO_OUTCOME_DEADLINE;
    }
    keep_reason(e, frame,
                e->given_up ? "the process of the rank ended too often (setting restart_limit): the rank serves no more"
                            : "the process of the rank has ended and is not there again yet",
                NULL);
    return ISO_OUTCOME_CRASHED;
}

/* ---- what the process says during a call ---- */

/* The process of a call that nobody listens to any more. */
static int
end_abandoned(iso__elsewhere *e, iso__frame *frame, iso__process *process)
{
    return atomic_load(&process->ended) ? end_crashed(e, frame, process) : end_late(e, frame, process);
}

/* 0, or -1: it makes no sense. */
static int
take_answer(iso__process *process, iso__frame *frame, const iso__said *said, int *code_out, int *outcome_out)
{
    iso_str error = said->parts[ISO__PART_TEXT];
    if (said->number >= ISO_OUTCOME_COUNT || said->number == ISO_OUTCOME_REFUSED ||
        said->number == ISO_OUTCOME_CRASHED || iso__said_edits(said, frame->edits) < 0 ||
        iso__text_set(&frame->error, error.p, error.n) < 0)
        return -1;
    process->inside--;
    *outcome_out = (int)said->number;
    *code_out = *outcome_out == ISO_OUTCOME_RETURNED ? said->code : -1;
    return 0;
}

/* Adds what the process does not know yet as the two last of five parts. */
static void
add_new_edits(iso__asked *asked, iso__process *process, iso__part parts[ISO__PARTS])
{
    const iso_edits *edits = asked->edits;
    process->region->down.depth = asked->depth;
    parts[ISO__PART_NEW_ENTRIES] = parts[ISO__PART_NEW_TEXT] = (iso__part){"", 0};
    if (edits->count == asked->count)
        return;
    parts[ISO__PART_NEW_ENTRIES] =
        (iso__part){edits->entries + asked->count, (edits->count - asked->count) * sizeof *edits->entries};
    parts[ISO__PART_NEW_TEXT] = (iso__part){edits->text + asked->text_n, edits->text_n - asked->text_n};
}

static void
all_known(iso__asked *asked)
{
    asked->count = asked->edits->count;
    asked->text_n = asked->edits->text_n;
}

static void
say_result(iso__elsewhere *e, iso__process *process, int code, const script_answer *answer, const iso_error *err)
{
    iso__part parts[ISO__PARTS] = {{answer->p, answer->n}, {err, err->code != 0 ? sizeof *err : 0}, {"", 0}};
    add_new_edits(e->asked, process, parts);
    process->region->down.code = code;
    if (iso__say(process, e->top, ISO__DOWN_RESULT, parts, ISO__PARTS) < 0)
        iso__say(process, 0, ISO__DOWN_GONE, NULL, 0); /* the calls fill the area */
}

/* Runs the function with a copy of what was asked, as nested calls fill the inbox again. */
static void
run_asked(iso__elsewhere *e, iso__process *process, const iso_function *function, iso_call *call, const iso_value *argv,
          int argc)
{
    script_answer answer = {NULL, 0};
    iso_error err;
    iso__text inbox = process->inbox;
    process->inbox = (iso__text){0};
    err.code = 0;
    err.message[0] = err.traceback[0] = '\0';
    iso_edits *edits = function->flags == 0 ? e->asked->edits : NULL; /* functions.c: as on other levels */
    int code = iso__function_call(e->rank, function, call, edits, argv, argc, &answer, &err);
    if (process->inbox.p == NULL)
        process->inbox = inbox;
    else
        iso__text_fini(&inbox);
    if (!e->abandoned && !atomic_load(&process->ended)) {
        uint64_t least = iso__clock_monotonic_ns() + UNWIND_NS;
        e->until = e->until > least ? e->until : least;
        say_result(e, process, code, &answer, &err);
    }
    free(answer.p);
}

/* Runs a host function and says its result. 0, or -1: what was asked makes no sense. */
static int
run_function(iso__elsewhere *e, iso__process *process, const iso__said *said)
{
    iso_rank *rank = e->rank;
    const iso_config *config = &rank->engine->config;
    iso_value argv[SCRIPT_MAX_ARGUMENTS];
    if (said->number >= config->function_count || said->depth < 1 || said->depth > (uint32_t)rank->depth)
        return -1;
    const iso_function *function = &config->functions[said->number];
    iso__frame *frame = &rank->frames[said->depth - 1];
    if (iso__said_edits(said, frame->edits) < 0 || iso__said_values(said, function, argv) < 0)
        return -1;
    iso__asked asked = {.edits = frame->edits, .depth = said->depth, .outer = e->asked};
    all_known(&asked);
    iso_call call = {
        .rank = rank,
        .rank_number = rank->number,
        .method = rank->frames[rank->depth - 1].method,
        .msg = frame->msg,
        .edits = function->flags == 0 || frame->edits->count > 0 ? frame->edits : NULL,
        .function = function->name,
    };
    e->asked = &asked;
    run_asked(e, process, function, &call, argv, (int)said->count);
    e->asked = asked.outer;
    return 0;
}

/* Until the process has answered the call that was just said. Returns the outcome. */
static int
converse(iso__elsewhere *e, iso__process *process, iso__frame *frame, int *code_out)
{
    for (;;) {
        iso__said said;
        int outcome, bad = 0;
        if (e->abandoned)
            return end_abandoned(e, frame, process);
        enum waited what = await(e, process);
        take_log(e, process);
        if (what == ENDED)
            return end_crashed(e, frame, process);
        if (what == OVER)
            return end_late(e, frame, process);
        bad = iso__said_read(process, &said);
        if (bad == 0 && said.kind == ISO__UP_ANSWER) {
            if (take_answer(process, frame, &said, code_out, &outcome) == 0)
                return outcome;
            bad = -1;
        } else if (bad == 0) {
            bad = said.kind == ISO__UP_FUNCTION ? run_function(e, process, &said) : -1;
        }
        if (bad < 0)
            return end_nonsense(e, frame, process);
    }
}

/* ---- a call ---- */

/* 0, or ISO_ESPACE. */
static int
say_call(iso__elsewhere *e, iso__process *process, const iso__frame *frame, iso_str extra, uint64_t *taken_out)
{
    iso__region *region = process->region;
    const iso_msg *msg = frame->msg;
    bool same = frame->edits != &frame->own_edits; /* exec.c: a nested call on the message of the outer one */
    region->msg = *msg;
    region->msg.data = NULL;
    region->msg.index = NULL;
    region->same_message = same;
    iso__part parts[ISO__PARTS] = {
        {frame->method, strlen(frame->method) + 1}, {extra.p, extra.n}, {msg->data, same ? 0 : msg->length}};
    if (e->asked != NULL)
        add_new_edits(e->asked, process, parts);
    int64_t taken = iso__say(process, e->top, ISO__DOWN_CALL, parts, e->asked != NULL ? ISO__PARTS : 3);
    if (taken < 0)
        return ISO_ESPACE;
    *taken_out = (uint64_t)taken;
    process->inside++;
    return 0;
}

int
iso__elsewhere_run(iso_rank *rank, iso__frame *frame, iso_str extra, int *code_out, int *outcome_out)
{
    iso__elsewhere *e = rank->elsewhere;
    iso__process *process = e->used;
    uint64_t taken;
    *code_out = -1;
    if (rank->depth == 1) {
        int64_t deadline = rank->settings.deadline;
        e->abandoned = false;
        e->asked = NULL;
        e->top = 0;
        e->until = deadline > 0 ? iso__clock_monotonic_ns() + (uint64_t)(deadline + UNWIND_NS) : UINT64_MAX;
        process = find_process(e);
    } else if (e->abandoned || atomic_load(&process->ended)) {
        *outcome_out = end_abandoned(e, frame, process);
        return 0;
    }
    if (process == NULL) {
        *outcome_out = end_absent(e, frame);
        return 0;
    }
    int failed = say_call(e, process, frame, extra, &taken);
    if (failed)
        return failed;
    e->top += taken;
    *outcome_out = converse(e, process, frame, code_out);
    e->top -= taken;
    if (e->asked != NULL)
        all_known(e->asked);
    return 0;
}

/* ---- a letter ---- */

/* 0, or ISO_E... */
static int
send_letter(iso__elsewhere *e, int kind, iso__letter *letter)
{
    iso_error *err = &letter->err;
    int number = e->rank->number;
    iso__said said;
    e->until = UINT64_MAX;
    iso__process *process = find_process(e);
    if (process == NULL)
        return iso__fail(err, ISO_ESTATE, "rank %d: its process is not there, or is not done with a call", number);
    const iso__part parts[] = {{letter->what.p != NULL ? letter->what.p : "", letter->what.n + 1},
                               {letter->argument.p, letter->argument.n}};
    process->region->down.number = (uint32_t)kind;
    process->region->down.count = letter->limit_ms;
    if (iso__say(process, 0, ISO__DOWN_LETTER, parts, 2) < 0)
        return iso__fail(err, ISO_ESPACE, "rank %d: the letter is too large for its process", number);
    enum waited waited = await(e, process);
    take_log(e, process);
    if (waited == ENDED)
        return iso__fail(err, ISO_ESTATE, "rank %d: its process %s", number, process->end);
    if (iso__said_read(process, &said) < 0 || said.kind != ISO__UP_LETTER || said.code > 0) {
        kill_process(e, process, "what it answered makes no sense");
        return iso__fail(err, ISO_EINTERNAL, "rank %d: its process answered what makes no sense", number);
    }
    atomic_store(&e->rank->blocks, said.count);
    iso__said_error(&said, err);
    iso_str answer = said.parts[ISO__PART_TEXT];
    return said.code != 0 ? said.code : iso__text_set(&letter->answer, answer.p, answer.n);
}

void
iso__elsewhere_letter(iso_rank *rank, int kind, iso__letter *letter)
{
    letter->code = send_letter(rank->elsewhere, kind, letter);
}

/* ---- open and close, on any thread that may end the rank ---- */

int
iso__elsewhere_open(iso_rank *rank, iso_error *err)
{
    int failed = iso__children_add(rank, err);
    if (failed)
        return failed;
    iso__elsewhere *e = rank->elsewhere;
    pthread_mutex_lock(&e->lock);
    e->wanted = ISO__WANT_FIRST;
    e->given_up = false;
    e->start_at = 0;
    e->delay = 0;
    e->error = (iso_error){0};
    iso__children_ring(rank->engine);
    while (e->wanted == ISO__WANT_FIRST)
        pthread_cond_wait(&e->changed, &e->lock);
    bool alive = e->wanted == ISO__WANT_ALIVE;
    if (!alive && err != NULL)
        *err = e->error;
    failed = alive ? 0 : e->error.code;
    pthread_mutex_unlock(&e->lock);
    iso__spin_set(&e->spin, iso__spin_limit((uint32_t)(rank->settings.spin / ISO__US)));
    if (alive)
        atomic_fetch_or(&rank->attention, ISO__ATTEND_ELSEWHERE);
    return failed;
}

void
iso__elsewhere_close(iso_rank *rank)
{
    iso__elsewhere *e = rank->elsewhere;
    if (!iso__children_are_ours(rank->engine))
        return;
    pthread_mutex_lock(&e->lock);
    if (e->wanted != ISO__WANT_NONE)
        e->wanted = ISO__WANT_STOP;
    iso__children_ring(rank->engine);
    while (e->wanted == ISO__WANT_STOP)
        pthread_cond_wait(&e->changed, &e->lock);
    if (e->used != NULL)
        iso__process_drop(e->used);
    e->used = NULL;
    pthread_mutex_unlock(&e->lock);
}

void
iso__elsewhere_free(iso_rank *rank)
{
    iso__elsewhere *e = rank->elsewhere;
    if (e == NULL)
        return;
    if (e->used != NULL)
        iso__process_drop(e->used);
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    free(e);
    rank->elsewhere = NULL;
}
