/* child.c: the process of a rank: it waits for the engine's posts, does what they say, and answers.
 *
 * The program is a plain Python, which loads this library as an extension module (child_boot.py). Its main
 * interpreter is the rank's, its main thread the rank's thread. It ends when the lifeline ends, that is with the
 * host, however that ends. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/child.h"
#include "engine/mailbox.h"
#include "engine/states.h"
#include "engine/thread.h"

#define LIFELINE_STACK (64u << 10)

iso__child iso__child_self = {.log_lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- what is said to the engine ---- */

static void
begin_post(iso__child *child)
{
    iso__post *up = &child->region->up;
    up->at = child->written = 0;
    memset(up->sizes, 0, sizeof up->sizes);
}

/* Adds to a part; the parts come in order. false: no room. */
static bool
put(iso__child *child, int part, const void *from, size_t n)
{
    if (n > ISO__UP_SIZE - child->written)
        return false;
    if (n > 0)
        memcpy(iso__region_up(child->region) + child->written, from, n);
    child->written += n;
    child->region->up.sizes[part] += n;
    return true;
}

static bool
put_edits(iso__child *child, const iso_edits *edits)
{
    return edits == NULL || (put(child, ISO__PART_ENTRIES, edits->entries, edits->count * sizeof *edits->entries) &&
                             put(child, ISO__PART_EDIT_TEXT, edits->text, edits->text_n));
}

static void
send(iso__child *child, int kind)
{
    child->region->up.kind = (uint32_t)kind;
    iso__post_send(&child->region->up);
}

/* ---- waiting for the engine ---- */

static bool
has_post(void *argument)
{
    iso__child *child = argument;
    return iso__post_arrived(&child->region->down, child->seen);
}

static const iso__post *
await(iso__child *child)
{
    iso__post *down = &child->region->down;
    if (!iso__spin_until(&child->spin, false, has_post, child)) {
        while (!has_post(child))
            iso__post_sleep(down, child->seen, -1);
    }
    child->seen++;
    return down;
}

/* ---- a call ---- */

/* What a host function has recorded; it is checked already. */
static void
take_edits(iso__child *child, const iso__post *down)
{
    const char *at = iso__region_down(child->region) + down->at;
    if (down->sizes[ISO__PART_NEW_ENTRIES] == 0)
        return;
    for (int i = 0; i < ISO__PART_NEW_ENTRIES; i++)
        at += down->sizes[i] != ISO__ABSENT ? down->sizes[i] : 0;
    const char *text = at + down->sizes[ISO__PART_NEW_ENTRIES];
    iso_edits *edits = child->rank->frames[down->depth - 1].edits;
    uint32_t base = 0;
    for (uint64_t done = 0; done < down->sizes[ISO__PART_NEW_ENTRIES]; done += sizeof(iso__edit_entry)) {
        iso__edit_entry entry;
        memcpy(&entry, at + done, sizeof entry);
        if (done == 0)
            base = entry.name; /* places count from the first text of the whole list */
        iso_str name = {(entry.flags & 1) != 0 ? text + (entry.name - base) : NULL, entry.name_n};
        iso__edits_add(edits, (int)entry.kind, name, (iso_str){text + (entry.value - base), entry.value_n});
    }
}

static void
answer(iso__child *child, const iso_result *result)
{
    iso__post *up = &child->region->up;
    static const char too_large[] = "what the call left is too large for the memory shared with its process";
    begin_post(child);
    up->code = result->code;
    up->number = (uint32_t)result->outcome;
    if (!put(child, ISO__PART_TEXT, result->error.p, result->error.n) || !put_edits(child, result->edits)) {
        begin_post(child);
        up->code = -1;
        up->number = ISO_OUTCOME_RAISED;
        put(child, ISO__PART_TEXT, too_large, sizeof too_large - 1);
    }
    send(child, ISO__UP_ANSWER);
}

static void
run_call(iso__child *child, const iso__post *down)
{
    iso_rank *rank = child->rank;
    iso_result result;
    const char *method = iso__region_down(child->region) + down->at;
    const char *extra = method + down->sizes[0];
    iso_str extra_text = {NULL, 0};
    iso_msg msg = child->region->msg;
    if (down->sizes[1] != ISO__ABSENT)
        extra_text = (iso_str){extra, down->sizes[1]};
    msg.data = extra + extra_text.n;
    msg.length = (uint32_t)down->sizes[2];
    msg.index = NULL;
    take_edits(child, down);
    const iso_msg *of_call = child->region->same_message ? rank->frames[rank->depth - 1].msg : &msg;
    iso_python_exec(rank, method, of_call, extra_text, &result);
    if (child->forked)
        _exit(0); /* the copy left the method: only the rank may answer */
    answer(child, &result);
}

/* ---- a host function ---- */

static bool
put_arguments(iso__child *child, const iso_value *argv, int argc)
{
    bool room = true;
    for (int i = 0; room && i < argc; i++) {
        if (argv[i].kind == ISO_VALUE_STR)
            room = put(child, ISO__PART_TEXT, argv[i].str.p, argv[i].str.n);
    }
    return room;
}

static bool
put_values(iso__child *child, const iso_value *argv, int argc)
{
    bool room = true;
    int64_t at = 0;
    for (int i = 0; room && i < argc; i++) {
        iso__value value = {argv[i].kind, 0, argv[i].num};
        if (argv[i].kind == ISO_VALUE_STR) {
            value.n = (uint32_t)argv[i].str.n;
            value.num = at;
            at += (int64_t)argv[i].str.n;
        }
        room = put(child, ISO__PART_MORE, &value, sizeof value);
    }
    return room;
}

/* The depth, from 1, of the call whose message it is. */
static uint32_t
depth_of(const iso_rank *rank, const iso_msg *msg)
{
    int depth = rank->depth;
    while (depth > 1 && rank->frames[depth - 1].msg != msg)
        depth--;
    return (uint32_t)depth;
}

static int
take_result(iso__child *child, const iso__post *down, const iso_call *call, iso_error *err)
{
    if (down->kind == ISO__DOWN_GONE)
        return iso__fail(err, ISO_ETIMEDOUT, "%s(): the deadline of the call has passed, nobody waits for it",
                         call->function);
    const char *text = iso__region_down(child->region) + down->at;
    uint64_t n = down->sizes[0] != ISO__ABSENT ? down->sizes[0] : 0;
    if (down->sizes[1] == sizeof *err)
        memcpy(err, text + n, sizeof *err);
    take_edits(child, down);
    if (down->sizes[0] != ISO__ABSENT && iso_call_answer(call, (iso_str){text, n}) < 0)
        return iso__fail(err, ISO_ENOMEM, "%s(): no memory for its text", call->function);
    return down->code;
}

int
iso__child_ask(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err)
{
    iso__child *child = &iso__child_self;
    iso__post *up = &child->region->up;
    if (child->forked)
        return iso__fail(err, ISO_ESTATE, "%s(): this is a copy of the rank's process, made by fork", call->function);
    begin_post(child);
    up->number = (uint32_t)(uintptr_t)user;
    up->count = (uint32_t)argc;
    up->depth = depth_of(child->rank, call->msg);
    if (!put_arguments(child, argv, argc) || !put_edits(child, call->edits) || !put_values(child, argv, argc))
        return iso__fail(err, ISO_ESPACE, "%s(): the arguments are too large for the shared memory", call->function);
    send(child, ISO__UP_FUNCTION);
    for (;;) {
        const iso__post *down = await(child);
        if (down->kind != ISO__DOWN_CALL)
            return take_result(child, down, call, err);
        run_call(child, down);
    }
}

/* ---- between calls ---- */

static void
do_letter(iso__child *child, const iso__post *down)
{
    const char *what = iso__region_down(child->region) + down->at;
    iso__letter letter = {.round = 1, .limit_ms = down->count}; /* of a reload that has not failed anywhere */
    letter.code = iso__text_set(&letter.what, what, strlen(what));
    if (letter.code == 0 && down->sizes[1] != ISO__ABSENT)
        letter.code = iso__text_set(&letter.argument, what + down->sizes[0], down->sizes[1]);
    atomic_store(&child->engine->reload_failed, 0);
    if (letter.code == 0)
        iso__letter_do(child->rank, (int)down->number, &letter);
    begin_post(child);
    child->region->up.count = atomic_load(&child->rank->blocks);
    if (!put(child, ISO__PART_TEXT, letter.answer.p, letter.answer.n))
        letter.code = iso__fail(&letter.err, ISO_ESPACE, "the answer is too large for the shared memory");
    put(child, ISO__PART_MORE, &letter.err, sizeof letter.err);
    child->region->up.code = letter.code;
    send(child, ISO__UP_LETTER);
    iso__text_fini(&letter.what);
    iso__text_fini(&letter.argument);
    iso__text_fini(&letter.answer);
}

/* Until the engine ends the rank. */
static void
serve_posts(iso__child *child)
{
    for (;;) {
        const iso__post *down = await(child);
        if (down->kind == ISO__DOWN_STOP)
            return;
        if (down->kind == ISO__DOWN_CALL)
            run_call(child, down);
        else if (down->kind == ISO__DOWN_LETTER)
            do_letter(child, down);
    }
}

/* ---- the life of the process ---- */

static void *
watch_lifeline(void *unused)
{
    char octet;
    while (read(ISO__FD_LIFELINE, &octet, 1) < 0)
        ;
    _exit(0);
    return unused;
}

static void
note_fork(void)
{
    iso__child_self.forked = true;
}

static void
nothing(int signal_number)
{
    (void)signal_number;
}

/* A signal to the host's terminal or service is the host's affair: it ends its ranks. Not ignored, as the
 * programs that a script starts would inherit that. They were blocked until here. */
static void
outlive_signals(void)
{
    static const int those[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    sigset_t none;
    for (size_t i = 0; i < sizeof those / sizeof *those; i++)
        sigaction(those[i], &action, NULL);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static void
close_others(void)
{
#if defined(SYS_close_range)
    if (syscall(SYS_close_range, ISO__FD_OTHERS, ~0u, 0) == 0)
        return;
#endif
    long most = sysconf(_SC_OPEN_MAX);
    for (int fd = ISO__FD_OTHERS; fd < (most > 0 && most < 65536 ? most : 65536); fd++)
        close(fd);
}

/* 0, or -1 with SystemExit. */
static int
take_region(iso__child *child)
{
    void *at = mmap(NULL, ISO__REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ISO__FD_REGION, 0);
    child->region = at;
    if (at == MAP_FAILED || child->region->layout != iso__region_layout()) {
        PyErr_SetString(PyExc_SystemExit, "the process has another libisoexec than the host: it was installed again "
                                          "while the host ran, start the host again");
        return -1;
    }
    close(ISO__FD_REGION);
    return 0;
}

static int
start_lifeline(void)
{
    pthread_t thread;
    int failed = iso__thread_start(&thread, LIFELINE_STACK, watch_lifeline, NULL);
    return failed ? failed : pthread_detach(thread);
}

/* false: the script did not start, and the engine knows why. */
static bool
start(iso__child *child)
{
    iso_error err = {0};
    await(child);
    int code = iso__child_start(child, &err);
    begin_post(child);
    child->region->up.code = code;
    put(child, ISO__PART_MORE, &err, sizeof err);
    send(child, ISO__UP_STARTED);
    iso__child_ring();
    return code == 0;
}

/* serve(): everything that the process is for. */
static PyObject *
child_serve(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    iso__child *child = &iso__child_self;
    close_others();
    fcntl(ISO__FD_LIFELINE, F_SETFD, FD_CLOEXEC); /* a program that the script starts must not have them */
    fcntl(ISO__FD_BELL, F_SETFD, FD_CLOEXEC);
    if (take_region(child) < 0)
        return NULL;
    if (start_lifeline() != 0 || pthread_atfork(NULL, NULL, note_fork) != 0)
        return PyErr_NoMemory();
    outlive_signals();
    if (!start(child))
        Py_RETURN_NONE;
    serve_posts(child);
    if (iso__rank_end_whole(child->rank) != 0)
        _exit(0); /* threads of the script go on, and Python's own end would wait for them */
    Py_RETURN_NONE;
}

static PyMethodDef child_methods[] = {
    {"serve", child_serve, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef child_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_isoexec_child",
    .m_methods = child_methods,
};

PyMODINIT_FUNC PyInit__isoexec_child(void);

PyMODINIT_FUNC
PyInit__isoexec_child(void)
{
    return PyModuleDef_Init(&child_module);
}
