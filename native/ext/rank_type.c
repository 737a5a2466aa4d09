/* rank_type.c: Rank, one worker of an engine: the calling Python thread made into a rank.
 *
 * The engine says who may use a rank and when; this file only keeps Python objects straight. The end of
 * an engine takes the handles of its ranks away, so that none is touched later. */
#include "ext.h"

static void
unlink_rank(ext_rank *self)
{
    for (ext_rank **at = &self->engine->ranks; *at != NULL; at = &(*at)->next) {
        if (*at == self) {
            *at = self->next;
            break;
        }
    }
    self->handle = NULL;
}

PyObject *
ext_rank_open(ext_engine *engine, int number)
{
    ext_state *state = engine->state;
    if (engine->handle == NULL || engine->closing) {
        return ext_raise_closed(state);
    }
    if (number >= 1 && number <= engine->rank_count && engine->channels[number - 1] == ISO_CHANNEL_QUEUE) {
        char text[200];
        PyOS_snprintf(text, sizeof text,
                      "rank %d has a thread of its own (channel queue): call python_exec() of the engine, or give "
                      "the rank channel='inline'",
                      number);
        return ext_raise(state, ISO_ESTATE, text, "");
    }
    ext_rank *self = PyObject_GC_New(ext_rank, state->rank_type);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    self->handle = NULL;
    self->engine = (ext_engine *)Py_NewRef(engine);
    self->next = NULL;
    self->thread = PyThread_get_thread_ident();
    self->number = number;
    iso_error err = {0};
    iso_rank *handle = NULL;
    iso_engine *owner = engine->handle;
    PyThreadState *saved = PyEval_SaveThread();
    int code = iso_rank_open(owner, number, &handle, &err);
    PyEval_RestoreThread(saved);
    if (code < 0) {
        Py_DECREF(self);
        err.code = code;
        return ext_raise_error(state, &err);
    }
    self->handle = handle;
    self->next = engine->ranks;
    engine->ranks = self;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

int
ext_rank_close(ext_rank *self)
{
    if (self->handle == NULL) {
        return 0;
    }
    PyThreadState *saved = PyEval_SaveThread();
    int code = iso_rank_close(self->handle);
    PyEval_RestoreThread(saved);
    if (code == 0) {
        unlink_rank(self);
    }
    return code;
}

static int
check_open(ext_rank *self)
{
    if (self->handle != NULL) {
        return 0;
    }
    ext_raise(self->state, ISO_ESTATE, "the rank is closed", "");
    return -1;
}

static PyObject *
rank_python_exec(ext_rank *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ext_state *state = self->state;
    ext_arguments in;
    if (check_open(self) < 0 ||
        ext_arguments_init(&in, state, EXT_RANK, state->keywords[EXT_MESSAGE], args, nargs, kwnames) < 0) {
        return NULL;
    }
    ext_result *out = NULL;
    PyObject *message = ext_message_bytes(in.values[EXT_MESSAGE]);
    if (message != NULL && ext_message_set(&in.msg, message) == 0) {
        out = ext_result_new(state, message, self->number);
    }
    Py_XDECREF(message);
    if (out == NULL) {
        ext_arguments_fini(&in);
        return NULL;
    }
    iso_result result;
    PyThreadState *saved = PyEval_SaveThread();
    int code = iso_python_exec(self->handle, in.method, &in.msg, in.extra, &result);
    PyEval_RestoreThread(saved);
    ext_arguments_fini(&in);
    if (code < 0 && result.outcome == ISO_OUTCOME_REFUSED) {
        Py_DECREF(out);
        return ext_raise_refused(state, code, &result);
    }
    if (ext_result_take(out, &result) < 0) {
        Py_DECREF(out);
        return PyErr_NoMemory();
    }
    return (PyObject *)out;
}

/* A list of Results that hold the messages and are not filled yet. */
static PyObject *
batch_results(ext_rank *self, PyObject *messages)
{
    PyObject *items = PySequence_Fast(messages, "messages must be an iterable of bytes");
    if (items == NULL) {
        return NULL;
    }
    PyObject *list = PyList_New(PySequence_Fast_GET_SIZE(items));
    for (Py_ssize_t i = 0; list != NULL && i < PyList_GET_SIZE(list); i++) {
        iso_msg msg;
        ext_result *out = NULL;
        /* Making bytes of a buffer may run Python code that shortens the list. */
        PyObject *item = i < PySequence_Fast_GET_SIZE(items) ? PySequence_Fast_GET_ITEM(items, i) : Py_None;
        PyObject *message = ext_message_bytes(item);
        if (message != NULL && ext_message_set(&msg, message) == 0) {
            out = ext_result_new(self->state, message, self->number);
        }
        Py_XDECREF(message);
        if (out == NULL) {
            Py_CLEAR(list);
        } else {
            out->value = (iso_result){.code = -1, .outcome = ISO_OUTCOME_REFUSED};
            PyList_SET_ITEM(list, i, (PyObject *)out);
        }
    }
    Py_DECREF(items);
    return list;
}

/* Runs with no thread state: touches C members of the results only. The rank stays attached from the
 * first message to the last, unless it is so already (a nested batch). */
static int
batch_run(ext_rank *self, ext_arguments *in, PyObject *list, iso_result *last)
{
    int begun = iso_rank_begin(self->handle);
    *last = (iso_result){.code = -1, .outcome = ISO_OUTCOME_REFUSED};
    if (begun < 0 && begun != ISO_ESTATE) {
        return begun;
    }
    int code = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        ext_result *out = (ext_result *)PyList_GET_ITEM(list, i);
        in->msg.data = PyBytes_AS_STRING(out->message);
        in->msg.length = (uint32_t)PyBytes_GET_SIZE(out->message);
        code = iso_python_exec(self->handle, in->method, &in->msg, in->extra, last);
        if (code < 0 && last->outcome == ISO_OUTCOME_REFUSED) {
            break;
        }
        code = ext_result_take(out, last);
        if (code < 0) {
            break;
        }
    }
    if (begun == 0) {
        (void)iso_rank_end(self->handle);
    }
    return code;
}

static PyObject *
rank_batch(ext_rank *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ext_state *state = self->state;
    ext_arguments in;
    if (check_open(self) < 0 || ext_arguments_init(&in, state, EXT_RANK, state->messages, args, nargs, kwnames) < 0) {
        return NULL;
    }
    PyObject *list = batch_results(self, in.values[EXT_MESSAGE]);
    /* Reading the messages may have run Python code that closed the rank. */
    if (list == NULL || check_open(self) < 0) {
        ext_arguments_fini(&in);
        Py_XDECREF(list);
        return NULL;
    }
    iso_result last;
    PyThreadState *saved = PyEval_SaveThread();
    int code = batch_run(self, &in, list, &last);
    PyEval_RestoreThread(saved);
    ext_arguments_fini(&in);
    if (code < 0) {
        Py_DECREF(list);
        return code == ISO_ENOMEM ? PyErr_NoMemory() : ext_raise_refused(state, code, &last);
    }
    return list;
}

static PyObject *
rank_close(ext_rank *self, PyObject *Py_UNUSED(ignored))
{
    int code = ext_rank_close(self);
    if (code < 0) {
        return ext_raise(self->state, code, iso_strerror(code), "");
    }
    Py_RETURN_NONE;
}

static PyObject *
rank_fileno(ext_rank *self, PyObject *Py_UNUSED(ignored))
{
    if (check_open(self) < 0) {
        return NULL;
    }
    int fd = iso_rank_fd(self->handle);
    return fd < 0 ? ext_raise(self->state, fd, iso_strerror(fd), "") : PyLong_FromLong(fd);
}

static PyObject *
rank_service(ext_rank *self, PyObject *Py_UNUSED(ignored))
{
    if (check_open(self) < 0) {
        return NULL;
    }
    PyThreadState *saved = PyEval_SaveThread();
    int code = iso_rank_service(self->handle);
    PyEval_RestoreThread(saved);
    return code < 0 ? ext_raise(self->state, code, iso_strerror(code), "") : PyBool_FromLong(code);
}

static PyObject *
rank_enter(ext_rank *self, PyObject *Py_UNUSED(ignored))
{
    if (check_open(self) < 0) {
        return NULL;
    }
    return Py_NewRef(self);
}

static PyObject *
rank_exit(ext_rank *self, PyObject *Py_UNUSED(args))
{
    return rank_close(self, NULL);
}

static PyObject *
rank_closed(ext_rank *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->handle == NULL);
}

static PyObject *
rank_repr(ext_rank *self)
{
    return PyUnicode_FromFormat("<Rank %d%s>", self->number, self->handle == NULL ? " closed" : "");
}

/* On its own thread an unclosed rank is ended; elsewhere that is left to the end of the engine. */
static void
rank_finalize(ext_rank *self)
{
    if (self->handle == NULL) {
        return;
    }
    PyObject *raised = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning((PyObject *)self, 1, "unclosed %R", self) < 0) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    (void)ext_rank_close(self);
    PyErr_SetRaisedException(raised);
}

static int
rank_traverse(ext_rank *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->engine);
    return 0;
}

static void
rank_dealloc(ext_rank *self)
{
    if (self->handle != NULL && PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return;
    }
    if (PyObject_GC_IsTracked((PyObject *)self)) {
        PyObject_GC_UnTrack(self);
    }
    if (self->handle != NULL) {
        unlink_rank(self);
    }
    PyTypeObject *type = Py_TYPE(self);
    Py_DECREF(self->engine);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(python_exec_doc,
             "python_exec($self, /, method, message, extra=None, *, route='request', source=None, destination=None)\n"
             "--\n\n"
             "Runs handler.method(msg) or, with extra, handler.method(msg, extra). The GIL is released meanwhile.");
PyDoc_STRVAR(batch_doc,
             "batch($self, /, method, messages, extra=None, *, route='request', source=None, destination=None)\n"
             "--\n\n"
             "Runs the method for each message while the rank stays attached; a list of Results.");

static PyMethodDef rank_methods[] = {
    {"python_exec", (PyCFunction)(void (*)(void))rank_python_exec, METH_FASTCALL | METH_KEYWORDS, python_exec_doc},
    {"batch", (PyCFunction)(void (*)(void))rank_batch, METH_FASTCALL | METH_KEYWORDS, batch_doc},
    {"close", (PyCFunction)rank_close, METH_NOARGS, "close($self, /)\n--\n\nEnds the rank, on its own thread."},
    {"fileno", (PyCFunction)rank_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nA descriptor that is readable while service() has something to do."},
    {"service", (PyCFunction)rank_service, METH_NOARGS,
     "service($self, /)\n--\n\nDoes what others want of the rank; True if the engine is closing."},
    {"__enter__", (PyCFunction)rank_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)rank_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef rank_members[] = {
    {"number", Py_T_INT, offsetof(ext_rank, number), Py_READONLY, "The number of the rank, from 1."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef rank_getset[] = {
    {"closed", (getter)rank_closed, NULL, "Whether the rank can not be used any more.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot rank_slots[] = {
    {Py_tp_doc, "One worker: this thread and the interpreter it owns."},
    {Py_tp_dealloc, rank_dealloc},
    {Py_tp_finalize, rank_finalize},
    {Py_tp_traverse, rank_traverse},
    {Py_tp_repr, rank_repr},
    {Py_tp_methods, rank_methods},
    {Py_tp_members, rank_members},
    {Py_tp_getset, rank_getset},
    {0, NULL},
};

PyType_Spec ext_rank_spec = {
    .name = "isoexec.Rank",
    .basicsize = sizeof(ext_rank),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = rank_slots,
};
