/* engine_type.c: Engine, the owner of one iso_engine. */
#include "ext.h"

#include <time.h>
#include <unistd.h>

/* Host functions in C stand behind those in Python. `capsule`: "isoexec.functions", an array of iso_function whose
 * length is the context; NULL: none. */
static iso_function *
all_functions(ext_engine *self, PyObject *capsule, size_t *count)
{
    iso_function *table = ext_functions_table(self);
    *count = (size_t)self->function_count;
    const iso_function *more = capsule == NULL ? NULL : PyCapsule_GetPointer(capsule, "isoexec.functions");
    size_t more_count = more == NULL ? 0 : (size_t)PyCapsule_GetContext(capsule);
    if (table == NULL || more_count == 0) {
        return table;
    }
    iso_function *both = PyMem_Realloc(table, (*count + more_count) * sizeof *table);
    if (both == NULL) {
        PyMem_Free(table);
        PyErr_NoMemory();
        return NULL;
    }
    memcpy(both + *count, more, more_count * sizeof *more);
    *count += more_count;
    return both;
}

/* Notes how calls reach each rank. Ranks whose settings are wrong count as the others: the engine will say so. */
static int
note_channels(ext_engine *self, const iso_config *config)
{
    int count = config->ranks > 0 ? config->ranks : 0;
    self->channels = PyMem_Malloc((size_t)count + 1);
    if (self->channels == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->rank_count = count;
    self->channel = config->channel;
    for (int i = 0; i < count; i++) {
        iso_config rank;
        int channel = iso_config_of_rank(config, i + 1, &rank, NULL) == 0 ? rank.channel : config->channel;
        self->channels[i] = (unsigned char)channel;
        self->queue_ranks += channel == ISO_CHANNEL_QUEUE;
    }
    return 0;
}

static int
create(ext_engine *self, PyObject *values, PyObject *rows, PyObject *capsule)
{
    ext_config settings;
    iso_error err = {0};
    size_t function_count = 0;
    iso_function *table = all_functions(self, capsule, &function_count);
    if (table == NULL || ext_config_init(&settings, self->state, values, rows) < 0) {
        PyMem_Free(table);
        return -1;
    }
    iso_config *config = &settings.config;
    int code = note_channels(self, config);
    if (code == 0) {
        config->functions = table;
        config->function_count = function_count;
        config->log = ext_log_put;
        config->log_user = self->queue;
        config->event = ext_event_put;
        config->event_user = self->queue;
        self->reject = config->on_overload == ISO_OVERLOAD_REJECT;
        PyThreadState *saved = PyEval_SaveThread();
        code = iso_engine_create(&self->handle, config, &err);
        PyEval_RestoreThread(saved);
        if (code < 0) {
            err.code = code;
            ext_raise_error(self->state, &err);
        }
    }
    PyMem_Free(table);
    ext_config_fini(&settings);
    return code;
}

static PyObject *
engine_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *values, *rows, *functions, *queue, *capsule = NULL;
    ext_state *state = PyType_GetModuleState(type);
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) {
        PyErr_SetString(PyExc_TypeError, "Engine takes positional arguments only");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!O!O!O!|O:Engine", &PyDict_Type, &values, &PyTuple_Type, &rows, &PyTuple_Type,
                          &functions, state->log_queue_type, &queue, &capsule)) {
        return NULL;
    }
    if (capsule != NULL && !PyCapsule_IsValid(capsule, "isoexec.functions")) {
        PyErr_SetString(PyExc_TypeError, "host functions in C come as a capsule isoexec.functions");
        return NULL;
    }
    ext_engine *self = (ext_engine *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    self->queue = (ext_log_queue *)Py_NewRef(queue);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&self->place_lock, NULL);
    pthread_cond_init(&self->place_free, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (ext_functions_init(self, functions) < 0 || create(self, values, rows, capsule) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Ranks of this thread are ended first: iso_engine_destroy would wait for them, and they for us. */
static void
close_own_ranks(ext_engine *self)
{
    unsigned long thread = PyThread_get_thread_ident();
    ext_rank *rank = self->ranks;
    while (rank != NULL) {
        if (rank->thread != thread) {
            rank = rank->next;
            continue;
        }
        Py_INCREF(rank);
        int code = ext_rank_close(rank);
        Py_DECREF(rank);
        if (code < 0) {
            return;
        }
        rank = self->ranks; /* the GIL was released: start again */
    }
}

/* Until no thread uses the handle without the GIL. New ones are refused, and each of them ends by itself. */
static void
wait_until_outside(ext_engine *self)
{
    ext_place_freed(self, self->placeless);
    while (self->inside > 0) {
        Py_BEGIN_ALLOW_THREADS;
        usleep(500);
        Py_END_ALLOW_THREADS;
    }
}

static int
engine_end(ext_engine *self)
{
    if (self->handle == NULL || self->closing) {
        return 0;
    }
    if (ext_functions_running(self)) {
        return ISO_ESTATE; /* the rank would wait for the end of its own call */
    }
    self->closing = 1;
    Py_INCREF(self); /* the GIL is released below */
    iso_engine_closing(self->handle);
    wait_until_outside(self);
    close_own_ranks(self);
    PyThreadState *saved = PyEval_SaveThread();
    int abandoned = iso_engine_destroy(self->handle);
    PyEval_RestoreThread(saved);
    if (abandoned < 0) { /* refused: the engine lives on */
        self->closing = 0;
        Py_DECREF(self);
        return abandoned;
    }
    self->handle = NULL;
    ext_log_close(self->queue); /* lets the reader end after the last line */
    while (self->ranks != NULL) {
        self->ranks->handle = NULL;
        self->ranks = self->ranks->next;
    }
    /* An abandoned rank may still write to the log and call functions, whenever it comes back: what it
     * would use must stay. */
    if (abandoned == 0) {
        Py_DECREF(self);
    }
    return abandoned;
}

static PyObject *
engine_close(ext_engine *self, PyObject *Py_UNUSED(ignored))
{
    int abandoned = engine_end(self);
    if (abandoned < 0) {
        return ext_raise(self->state, abandoned,
                         "a call of this thread is in the engine, which can not be closed inside", "");
    }
    return PyLong_FromLong(abandoned);
}

static PyObject *
engine_open_rank(ext_engine *self, PyObject *number)
{
    int overflow;
    long n = PyLong_AsLongAndOverflow(number, &overflow);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (overflow || n != (int)n) {
        return ext_raise(self->state, ISO_EINVAL, "the rank number is out of range", "");
    }
    return ext_rank_open(self, (int)n);
}

static PyObject *
engine_stats(ext_engine *self, PyObject *number)
{
    long n = PyLong_AsLong(number);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (self->handle == NULL || self->closing) {
        return ext_raise_closed(self->state);
    }
    iso_rank_stats stats;
    int code = n == (int)n ? iso_engine_stats(self->handle, (int)n, &stats) : ISO_EINVAL;
    if (code < 0) {
        return ext_raise(self->state, code, "there is no rank of this number", "");
    }
    PyObject *outcomes = PyTuple_New(ISO_OUTCOME_COUNT);
    for (int i = 0; outcomes != NULL && i < ISO_OUTCOME_COUNT; i++) {
        PyObject *count = PyLong_FromUnsignedLongLong(stats.outcomes[i]);
        if (count == NULL) {
            Py_CLEAR(outcomes);
        } else {
            PyTuple_SET_ITEM(outcomes, i, count);
        }
    }
    if (outcomes == NULL) {
        return NULL;
    }
    return Py_BuildValue("(iNNKNKKKIIIIiKy#)", stats.number, PyBool_FromLong(stats.open), PyBool_FromLong(stats.stuck),
                         (unsigned long long)stats.calls, outcomes, (unsigned long long)stats.edits,
                         (unsigned long long)stats.log_lines, (unsigned long long)stats.opened_ns,
                         (unsigned)stats.waiting, (unsigned)stats.blocks, (unsigned)stats.restarts,
                         (unsigned)stats.reloads, stats.pid, (unsigned long long)stats.sampled,
                         (const char *)stats.histogram, (Py_ssize_t)sizeof stats.histogram);
}

/* For a host in C that uses the same engine: (engine, log). Both are borrowed: good until close(). */
static PyObject *
engine_capsules(ext_engine *self, PyObject *Py_UNUSED(ignored))
{
    if (self->handle == NULL || self->closing) {
        return ext_raise_closed(self->state);
    }
    PyObject *engine = PyCapsule_New(self->handle, "isoexec.engine", NULL);
    PyObject *log = PyCapsule_New(self->queue, "isoexec.log", NULL);
    if (engine == NULL || log == NULL || PyCapsule_SetContext(log, (void *)ext_log_put) < 0) {
        Py_XDECREF(engine);
        Py_XDECREF(log);
        return NULL;
    }
    return Py_BuildValue("(NN)", engine, log);
}

static PyObject *
engine_closed(ext_engine *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->handle == NULL || self->closing);
}

static PyObject *
engine_channel(ext_engine *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(self->channel == ISO_CHANNEL_QUEUE ? "queue" : "inline");
}

static void
engine_finalize(ext_engine *self)
{
    if (self->handle == NULL) {
        return;
    }
    PyObject *raised = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning((PyObject *)self, 1, "unclosed %R", self) < 0) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    if (engine_end(self) < 0) {
        Py_INCREF(self); /* dropped by a host function that it runs: it must stay */
    }
    PyErr_SetRaisedException(raised);
}

static int
engine_traverse(ext_engine *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->queue);
    for (Py_ssize_t i = 0; i < self->function_count; i++) {
        Py_VISIT(self->functions[i].callable);
    }
    for (ext_task *task = self->in_flight; task != NULL; task = task->following) {
        Py_VISIT(task);
    }
    return 0;
}

/* The finaliser ran before: no rank can call a function any more. */
static int
engine_clear(ext_engine *self)
{
    if (self->handle == NULL) {
        ext_functions_fini(self);
        while (self->in_flight != NULL) {
            Py_DECREF(ext_task_land(self->in_flight));
        }
    }
    return 0;
}

static void
engine_dealloc(ext_engine *self)
{
    if (PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    PyTypeObject *type = Py_TYPE(self);
    ext_functions_fini(self);
    PyMem_Free(self->channels);
    Py_XDECREF(self->queue);
    pthread_cond_destroy(&self->place_free);
    pthread_mutex_destroy(&self->place_lock);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(exec_doc,
             "python_exec($self, /, method, message, extra=None, *, route='request', source=None, destination=None, "
             "rank=None, timeout=None)\n"
             "--\n\n"
             "Runs a method on a rank's own thread and waits for the Result.");
PyDoc_STRVAR(submit_doc,
             "submit($self, /, method, message, extra=None, *, route='request', source=None, destination=None, "
             "rank=None, timeout=None, user=None)\n"
             "--\n\n"
             "Hands a call to a rank. One with a user comes back from completions(), and never waits for a place.");

static PyMethodDef engine_methods[] = {
    {"start", (PyCFunction)ext_engine_start, METH_NOARGS,
     "start($self, /)\n--\n\nStarts the queue ranks, if there are any."},
    {"python_exec", (PyCFunction)(void (*)(void))ext_engine_exec, METH_FASTCALL | METH_KEYWORDS, exec_doc},
    {"submit", (PyCFunction)(void (*)(void))ext_engine_submit, METH_FASTCALL | METH_KEYWORDS, submit_doc},
    {"completions", (PyCFunction)ext_engine_completions, METH_O,
     "completions($self, max, /)\n--\n\nEnded Tasks that have a user, oldest first, at most 256."},
    {"fileno", (PyCFunction)ext_engine_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nA descriptor that is readable while completions wait."},
    {"reload", (PyCFunction)ext_engine_reload, METH_O,
     "reload($self, timeout, /)\n--\n\nHas each rank load its script afresh."},
    {"look", (PyCFunction)ext_engine_look, METH_VARARGS,
     "look($self, number, what, snippet, timeout, /)\n--\n\nLooks into a rank: JSON."},
    {"open_rank", (PyCFunction)engine_open_rank, METH_O,
     "open_rank($self, number, /)\n--\n\nMakes the calling thread a rank."},
    {"stats", (PyCFunction)engine_stats, METH_O,
     "stats($self, number, /)\n--\n\n(number, open, calls, outcomes, edits, log_lines, opened_ns, waiting, blocks, "
     "restarts, reloads, sampled, histogram) of a rank."},
    {"capsules", (PyCFunction)engine_capsules, METH_NOARGS,
     "capsules($self, /)\n--\n\n(engine, log) for a host in C: an iso_engine; a log user with its iso_log_fn."},
    {"close", (PyCFunction)engine_close, METH_NOARGS,
     "close($self, /)\n--\n\nEnds the engine; the number of abandoned ranks."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef engine_getset[] = {
    {"closed", (getter)engine_closed, NULL, "Whether close() was called.", NULL},
    {"channel", (getter)engine_channel, NULL, "How calls reach the ranks: 'queue' or 'inline'.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot engine_slots[] = {
    {Py_tp_doc, "Engine(settings, overrides, functions, log_queue, host_functions=None, /)\n--\n\n"
                "The owner of one iso_engine."},
    {Py_tp_new, engine_new},
    {Py_tp_dealloc, engine_dealloc},
    {Py_tp_finalize, engine_finalize},
    {Py_tp_traverse, engine_traverse},
    {Py_tp_clear, engine_clear},
    {Py_tp_methods, engine_methods},
    {Py_tp_getset, engine_getset},
    {0, NULL},
};

PyType_Spec ext_engine_spec = {
    .name = "isoexec._native.Engine",
    .basicsize = sizeof(ext_engine),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = engine_slots,
};
