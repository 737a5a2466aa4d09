/* log_queue.c: LogQueue, the lines of an engine on their way to logging.
 *
 * ext_log_put is the engine's log callback: any thread, at times with a rank attached, so it copies the
 * line under a short mutex and never waits. A full queue drops the line and counts it; the reader gets a
 * line that says how many. A reader waits without the GIL. */
#include "ext.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define QUEUE_LINES 4096

typedef struct log_line {
    int level;
    int rank;
    char *text; /* malloc: no Python allocator here, the thread may belong to another interpreter */
} log_line;

struct ext_log_queue {
    PyObject_HEAD
    pthread_mutex_t mutex; /* guards all below; never held together with a wait for a GIL */
    pthread_cond_t filled;
    log_line *lines;       /* ring of QUEUE_LINES */
    size_t first, count;
    uint64_t dropped;      /* since the start */
    uint64_t reported;     /* of these, told to the reader */
    int closed;
};

void
ext_log_put(void *user, int level, int rank, const char *text)
{
    ext_log_queue *self = user;
    size_t n = strlen(text) + 1;
    char *copy = malloc(n);
    if (copy != NULL) {
        memcpy(copy, text, n);
    }
    pthread_mutex_lock(&self->mutex);
    if (copy == NULL || self->closed || self->count == QUEUE_LINES) {
        self->dropped++;
    } else {
        self->lines[(self->first + self->count++) % QUEUE_LINES] = (log_line){level, rank, copy};
        copy = NULL;
        pthread_cond_signal(&self->filled);
    }
    pthread_mutex_unlock(&self->mutex);
    free(copy);
}

void
ext_event_put(void *user, int event, int rank)
{
    static const char *const names[] = {
        [ISO_EVENT_STUCK] = "stuck",     [ISO_EVENT_FREED] = "freed",         [ISO_EVENT_REPLACED] = "replaced",
        [ISO_EVENT_CRASHED] = "crashed", [ISO_EVENT_RESTARTED] = "restarted", [ISO_EVENT_RELOADED] = "reloaded",
    };
    ext_log_put(user, EXT_EVENT, rank, names[event]);
}

void
ext_log_close(ext_log_queue *self)
{
    pthread_mutex_lock(&self->mutex);
    self->closed = 1;
    pthread_cond_broadcast(&self->filled);
    pthread_mutex_unlock(&self->mutex);
}

/* Takes every line: 1 and the array, which the caller owns; or 0 when there is none. */
static size_t
take_lines(ext_log_queue *self, double timeout, log_line *to, uint64_t *dropped_out, int *closed_out)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    time_t seconds = (time_t)timeout;
    until.tv_sec += seconds;
    until.tv_nsec += (long)((timeout - (double)seconds) * 1e9);
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&self->mutex);
    int waited = 0;
    while (self->count == 0 && !self->closed && waited == 0) {
        waited = pthread_cond_timedwait(&self->filled, &self->mutex, &until);
    }
    size_t n = self->count;
    for (size_t i = 0; i < n; i++) {
        to[i] = self->lines[(self->first + i) % QUEUE_LINES];
    }
    self->first = self->count = 0;
    *dropped_out = self->dropped - self->reported;
    self->reported = self->dropped;
    *closed_out = self->closed;
    pthread_mutex_unlock(&self->mutex);
    return n;
}

static int
append_line(PyObject *list, int level, int rank, const char *text)
{
    PyObject *line = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "surrogateescape");
    PyObject *row = line == NULL ? NULL : Py_BuildValue("(iiN)", level, rank, line);
    int failed = row == NULL || PyList_Append(list, row) < 0;
    Py_XDECREF(row);
    return failed ? -1 : 0;
}

static PyObject *
lines_list(log_line *lines, size_t n, uint64_t dropped)
{
    PyObject *list = PyList_New(0);
    int failed = list == NULL;
    for (size_t i = 0; i < n; i++) {
        failed = failed || append_line(list, lines[i].level, lines[i].rank, lines[i].text) < 0;
        free(lines[i].text);
    }
    if (!failed && dropped != 0) {
        char text[100];
        PyOS_snprintf(text, sizeof text, "%llu log lines were dropped: they came faster than they were read",
                      (unsigned long long)dropped);
        failed = append_line(list, ISO_LOG_WARN, 0, text) < 0;
    }
    if (failed) {
        Py_CLEAR(list);
    }
    return list;
}

static PyObject *
queue_read(ext_log_queue *self, PyObject *value)
{
    double timeout = PyFloat_AsDouble(value);
    if (timeout == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    if (!(timeout >= 0.0 && timeout <= 86400.0)) {
        PyErr_SetString(PyExc_ValueError, "timeout must be 0 to 86400 seconds");
        return NULL;
    }
    log_line *lines = PyMem_New(log_line, QUEUE_LINES);
    if (lines == NULL) {
        return PyErr_NoMemory();
    }
    uint64_t dropped;
    int closed;
    PyThreadState *saved = PyEval_SaveThread();
    size_t n = take_lines(self, timeout, lines, &dropped, &closed);
    PyEval_RestoreThread(saved);
    PyObject *answer = closed && n == 0 && dropped == 0 ? Py_NewRef(Py_None) : lines_list(lines, n, dropped);
    PyMem_Free(lines);
    return answer;
}

static PyObject *
queue_close(ext_log_queue *self, PyObject *Py_UNUSED(ignored))
{
    ext_log_close(self);
    Py_RETURN_NONE;
}

static PyObject *
queue_dropped(ext_log_queue *self, void *Py_UNUSED(closure))
{
    pthread_mutex_lock(&self->mutex);
    uint64_t dropped = self->dropped;
    pthread_mutex_unlock(&self->mutex);
    return PyLong_FromUnsignedLongLong(dropped);
}

static PyObject *
queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) != 0 || (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0)) {
        PyErr_SetString(PyExc_TypeError, "LogQueue takes no arguments");
        return NULL;
    }
    ext_log_queue *self = (ext_log_queue *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->filled, &monotonic);
    pthread_condattr_destroy(&monotonic);
    self->lines = calloc(QUEUE_LINES, sizeof *self->lines);
    if (self->lines == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void
queue_dealloc(ext_log_queue *self)
{
    PyTypeObject *type = Py_TYPE(self);
    for (size_t i = 0; i < self->count; i++) {
        free(self->lines[(self->first + i) % QUEUE_LINES].text);
    }
    free(self->lines);
    pthread_cond_destroy(&self->filled);
    pthread_mutex_destroy(&self->mutex);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef queue_methods[] = {
    {"read", (PyCFunction)queue_read, METH_O,
     "read($self, timeout, /)\n--\n\nWaits up to `timeout` s for lines: a list of (level, rank, text), or None at the "
     "end. Level 100: the text is the name of an event."},
    {"close", (PyCFunction)queue_close, METH_NOARGS,
     "close($self, /)\n--\n\nNo more lines are taken; readers wake up."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef queue_getset[] = {
    {"dropped", (getter)queue_dropped, NULL, "How many lines were dropped.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot queue_slots[] = {
    {Py_tp_doc, "LogQueue()\n--\n\nThe lines of an engine on their way to logging."},
    {Py_tp_new, queue_new},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_methods, queue_methods},
    {Py_tp_getset, queue_getset},
    {0, NULL},
};

PyType_Spec ext_log_queue_spec = {
    .name = "isoexec._native.LogQueue",
    .basicsize = sizeof(ext_log_queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = queue_slots,
};
