/* queue_calls.c: what an Engine does on the queue channel.
 *
 * A submit never waits inside the engine: a thread in there could not be stopped by Ctrl-C, by its timeout,
 * or by close(), which must know that nobody uses the handle any more. So it asks for a place, and waits
 * here if there is none. Because it does not wait, it keeps the GIL, which would cost a loop more to get back
 * than the submit takes; except in a host function, since a call to the rank's own thread runs at once. */
#include "ext.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define COMPLETIONS 256        /* taken at a time */
#define LOOK_SIZE (1u << 20)   /* octets of an answer */
#define LONGEST 3600.0    /* seconds */

static int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* When a time of `timeout_ns` from now is over; negative: never. */
static int64_t
end_of(int64_t timeout_ns)
{
    return timeout_ns < 0 ? -1 : now_ns() + timeout_ns;
}

/* How long to wait now: a slice, or what is left of the time. */
static int64_t
slice_before(int64_t end)
{
    int64_t left = end < 0 ? EXT_SLICE_NS : end - now_ns();
    return left < 0 ? 0 : left < EXT_SLICE_NS ? left : EXT_SLICE_NS;
}

int
ext_wait(iso_task *task, int64_t timeout_ns)
{
    int64_t end = end_of(timeout_ns);
    for (;;) {
        int64_t slice = slice_before(end);
        PyThreadState *saved = PyEval_SaveThread();
        int code = iso_task_wait(task, slice);
        PyEval_RestoreThread(saved);
        if (code != ISO_ETIMEDOUT) {
            return code;
        }
        if (PyErr_CheckSignals() < 0) {
            return 1;
        }
        if (end >= 0 && now_ns() >= end) {
            return ISO_ETIMEDOUT;
        }
    }
}

/* ---- places in a full queue ---- */

void
ext_place_freed(ext_engine *self, int count)
{
    if (self->placeless == 0) {
        return;
    }
    pthread_mutex_lock(&self->place_lock);
    for (int i = 0; i < count && self->places < self->placeless; i++) {
        self->places++;
        pthread_cond_signal(&self->place_free);
    }
    pthread_mutex_unlock(&self->place_lock);
}

/* Waits until a call ended, or for the time given: whoever waits tries again in any case, since places
 * come free in other ways too. */
static void
wait_for_place(ext_engine *self, int64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)ns; /* a slice, which is below a second */
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    self->placeless++;
    PyThreadState *saved = PyEval_SaveThread();
    pthread_mutex_lock(&self->place_lock);
    while (self->places == 0 && pthread_cond_timedwait(&self->place_free, &self->place_lock, &until) != ETIMEDOUT) {
    }
    self->places -= self->places > 0;
    pthread_mutex_unlock(&self->place_lock);
    PyEval_RestoreThread(saved);
    self->placeless--;
}

/* ---- handing a call over ---- */

static int
submit_once(ext_engine *self, const ext_arguments *in, void *user, unsigned flags, iso_task **out)
{
    if (!ext_functions_running(self)) {
        return iso_submit(self->handle, in->rank, in->method, &in->msg, in->extra, user, flags, out);
    }
    /* On a rank's thread, inside its call: the engine outlives this. */
    PyThreadState *saved = PyEval_SaveThread();
    int code = iso_submit(self->handle, in->rank, in->method, &in->msg, in->extra, user, flags, out);
    PyEval_RestoreThread(saved);
    return code;
}

static int
is_closed(const ext_engine *self)
{
    return self->handle == NULL || self->closing;
}

/* 0, a negative code, or 1 with an exception set. */
static int
hand_over(ext_engine *self, const ext_arguments *in, ext_task *user, int64_t end, iso_task **out)
{
    unsigned flags = ISO_SUBMIT_REJECT | (user != NULL && user->user != NULL ? (unsigned)ISO_SUBMIT_NOTIFY : 0);
    int may_wait = !self->reject && (flags & ISO_SUBMIT_NOTIFY) == 0;
    for (;;) {
        if (is_closed(self)) {
            return ISO_ESTATE;
        }
        int code = submit_once(self, in, user, flags, out);
        if (code != ISO_EOVERLOAD || !may_wait) {
            return code;
        }
        if (end >= 0 && now_ns() >= end) {
            return ISO_ETIMEDOUT;
        }
        wait_for_place(self, slice_before(end));
        if (PyErr_CheckSignals() < 0) {
            return 1;
        }
    }
}

/* Why no call was made. */
static PyObject *
not_made(ext_engine *self, const ext_arguments *in, int code)
{
    const char *text = iso_strerror(code);
    if (code > 0) {
        return NULL;
    }
    if (code == ISO_ESTATE) {
        if (is_closed(self)) {
            return ext_raise_closed(self->state);
        }
        text = "the engine is not started";
    } else if (code == ISO_EINVAL && in->msg.length == 0) {
        text = "the message is empty";
    } else if (code == ISO_EOVERLOAD) {
        text = "the queue is full (setting queue_size)";
    }
    return ext_raise(self->state, code, text, "");
}

/* Reads the arguments. 0 and a new reference to the message, or -1: raised, and nothing is to be freed. */
static int
prepare(ext_engine *self, ext_arguments *in, int names, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
        PyObject **message_out)
{
    ext_state *state = self->state;
    if (is_closed(self)) {
        ext_raise_closed(state);
        return -1;
    }
    if (self->queue_ranks == 0) {
        ext_raise(
            state, ISO_ESTATE,
            "this engine has the channel inline: open_rank() makes the calling thread a rank, whose python_exec() "
            "runs here; or make the engine with channel='queue'",
            "");
        return -1;
    }
    if (ext_arguments_init(in, state, names, state->keywords[EXT_MESSAGE], args, nargs, kwnames) < 0) {
        return -1;
    }
    PyObject *message = NULL;
    if (in->rank > self->rank_count) {
        char text[100];
        PyOS_snprintf(text, sizeof text, "there is no rank %d: ranks is %d", in->rank, self->rank_count);
        ext_raise(state, ISO_EINVAL, text, "");
    } else if (in->rank != ISO_ANY_RANK && self->channels[in->rank - 1] != ISO_CHANNEL_QUEUE) {
        char text[150];
        PyOS_snprintf(text, sizeof text,
                      "rank %d has the channel inline: open_rank(%d) makes the calling thread that rank, and its "
                      "python_exec() runs here",
                      in->rank, in->rank);
        ext_raise(state, ISO_ESTATE, text, "");
    } else {
        message = ext_message_bytes(in->values[EXT_MESSAGE]);
    }
    if (message == NULL || ext_message_set(&in->msg, message) < 0) {
        Py_XDECREF(message);
        ext_arguments_fini(in);
        return -1;
    }
    *message_out = message;
    return 0;
}

PyObject *
ext_engine_exec(ext_engine *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ext_arguments in;
    PyObject *message, *result = NULL;
    if (prepare(self, &in, EXT_USER, args, nargs, kwnames, &message) < 0) {
        return NULL;
    }
    int64_t end = end_of(in.timeout_ns);
    iso_task *task = NULL;
    int code = hand_over(self, &in, NULL, end, &task);
    if (code != 0) {
        not_made(self, &in, code);
    } else {
        code = iso_task_result(task) != NULL ? 0 : ext_wait(task, end < 0 ? -1 : end > now_ns() ? end - now_ns() : 0);
        if (code < 0) {
            ext_raise(self->state, code, iso_strerror(code), "");
        } else if (code == 0) {
            result = ext_result_from_task(self, task, message);
        }
        if (result == NULL) {
            iso_task_free(task); /* a call that still waits is not made, one that runs ends unseen */
        }
        ext_place_freed(self, 1);
    }
    ext_arguments_fini(&in);
    Py_DECREF(message);
    return result;
}

PyObject *
ext_engine_submit(ext_engine *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ext_arguments in;
    PyObject *message;
    if (prepare(self, &in, EXT_KEYWORDS, args, nargs, kwnames, &message) < 0) {
        return NULL;
    }
    PyObject *user = in.values[EXT_USER] == Py_None ? NULL : in.values[EXT_USER];
    ext_task *task = ext_task_new(self, message, user);
    if (task != NULL) {
        if (user != NULL) {
            ext_task_fly(task); /* its completion may come before the submit returns */
        }
        int code = hand_over(self, &in, task, end_of(in.timeout_ns), &task->handle);
        if (code != 0) {
            if (user != NULL) {
                Py_DECREF(ext_task_land(task));
            }
            Py_CLEAR(task);
            not_made(self, &in, code);
        }
    }
    ext_arguments_fini(&in);
    Py_DECREF(message);
    return (PyObject *)task;
}

/* ---- completions ---- */

/* While the engine ends, its list must not be touched; the tasks may. It ends each of them, and when it is
 * gone, all that are left are over. */
static PyObject *
ended_by_close(ext_engine *self, long max)
{
    PyObject *list = PyList_New(0);
    ext_task *next = self->in_flight;
    while (list != NULL && next != NULL && PyList_GET_SIZE(list) < max) {
        ext_task *task = next;
        next = task->following;
        if (self->handle == NULL || iso_task_result(task->handle) != NULL) {
            PyObject *landed = ext_task_land(task);
            if (PyList_Append(list, landed) < 0) {
                Py_CLEAR(list);
            }
            Py_DECREF(landed);
        }
    }
    return list;
}

PyObject *
ext_engine_completions(ext_engine *self, PyObject *number)
{
    iso_task *tasks[COMPLETIONS];
    long max = PyLong_AsLong(number);
    if (max == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (max < 1) {
        return ext_raise(self->state, ISO_EINVAL, "the number of completions must be 1 or more", "");
    }
    max = max < COMPLETIONS ? max : COMPLETIONS;
    if (is_closed(self)) {
        return ended_by_close(self, max);
    }
    size_t n = iso_engine_completions(self->handle, tasks, (size_t)max);
    PyObject *list = PyList_New((Py_ssize_t)n);
    if (list == NULL) {
        return NULL; /* they stay in flight, and come back at the end */
    }
    for (size_t i = 0; i < n; i++) {
        PyList_SET_ITEM(list, (Py_ssize_t)i, ext_task_land(iso_task_user(tasks[i])));
    }
    ext_place_freed(self, (int)n);
    return list;
}

PyObject *
ext_engine_fileno(ext_engine *self, PyObject *Py_UNUSED(ignored))
{
    if (is_closed(self)) {
        return ext_raise_closed(self->state);
    }
    int fd = iso_engine_fd(self->handle);
    return fd < 0 ? ext_raise(self->state, fd, "the engine has no queue channel, or is not started", "")
                  : PyLong_FromLong(fd);
}

/* ---- start, reload, look ---- */

PyObject *
ext_engine_start(ext_engine *self, PyObject *Py_UNUSED(ignored))
{
    if (is_closed(self)) {
        return ext_raise_closed(self->state);
    }
    if (self->queue_ranks == 0) {
        Py_RETURN_NONE;
    }
    iso_error err = {0};
    self->inside++;
    PyThreadState *saved = PyEval_SaveThread();
    int code = iso_engine_start(self->handle, &err);
    PyEval_RestoreThread(saved);
    self->inside--;
    if (code < 0) {
        err.code = code;
        return ext_raise_error(self->state, &err);
    }
    Py_RETURN_NONE;
}

PyObject *
ext_engine_reload(ext_engine *self, PyObject *seconds)
{
    double timeout = PyFloat_AsDouble(seconds);
    if (timeout == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    if (!(timeout >= 0.0 && timeout <= LONGEST)) {
        PyErr_SetString(PyExc_ValueError, "timeout must be 0 to 3600 seconds");
        return NULL;
    }
    if (is_closed(self)) {
        return ext_raise_closed(self->state);
    }
    iso_error err = {0};
    self->inside++;
    PyThreadState *saved = PyEval_SaveThread();
    int code = iso_engine_reload(self->handle, (int)(timeout * 1e3), &err);
    PyEval_RestoreThread(saved);
    self->inside--;
    if (code == ISO_ESTATE && is_closed(self)) {
        return ext_raise_closed(self->state);
    }
    if (code < 0) {
        err.code = code;
        return ext_raise_error(self->state, &err);
    }
    Py_RETURN_NONE;
}

PyObject *
ext_engine_look(ext_engine *self, PyObject *args)
{
    int number;
    const char *what;
    iso_str snippet = {NULL, 0};
    Py_ssize_t n = 0;
    double timeout;
    if (!PyArg_ParseTuple(args, "isz#d:look", &number, &what, &snippet.p, &n, &timeout)) {
        return NULL;
    }
    snippet.n = (size_t)n;
    if (!(timeout >= 0.0 && timeout <= LONGEST)) {
        PyErr_SetString(PyExc_ValueError, "timeout must be 0 to 3600 seconds");
        return NULL;
    }
    if (is_closed(self)) {
        return ext_raise_closed(self->state);
    }
    char *answer = malloc(LOOK_SIZE);
    if (answer == NULL) {
        return PyErr_NoMemory();
    }
    iso_error err = {0};
    self->inside++;
    PyThreadState *saved = PyEval_SaveThread();
    int64_t length =
        iso_engine_look(self->handle, number, what, snippet, (int)(timeout * 1e3), answer, LOOK_SIZE, &err);
    PyEval_RestoreThread(saved);
    self->inside--;
    PyObject *text = NULL;
    if (length < 0) {
        err.code = (int)length;
        ext_raise_error(self->state, &err);
    } else if (length >= (int64_t)LOOK_SIZE) {
        ext_raise(self->state, ISO_ESPACE, "the answer is longer than 1 MiB", "");
    } else {
        text = ext_text((iso_str){answer, (size_t)length});
    }
    free(answer);
    return text;
}
