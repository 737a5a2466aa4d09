/* task_type.c: Task, one call that was handed to a queue rank.
 *
 * The engine's task belongs to this object until a Result takes it over. A thread that waits for it does so
 * without the GIL, so the task is given away or freed only when no other thread waits: `waiting` counts them,
 * and the GIL guards all of it. */
#include "ext.h"

#include <unistd.h>

ext_task *
ext_task_new(ext_engine *engine, PyObject *message, PyObject *user)
{
    ext_state *state = engine->state;
    ext_task *self = ext_reused_take(&state->free_tasks, state->task_type);
    if (self == NULL) {
        self = PyObject_GC_New(ext_task, state->task_type);
        if (self == NULL) {
            return NULL;
        }
        self->state = state;
    }
    self->handle = NULL;
    self->cancelled = 0;
    self->waiting = 0;
    self->message = Py_NewRef(message);
    self->result = NULL;
    self->user = Py_XNewRef(user);
    self->engine = (ext_engine *)Py_NewRef(engine);
    self->link = NULL;
    self->following = NULL;
    PyObject_GC_Track(self);
    return self;
}

void
ext_task_fly(ext_task *self)
{
    ext_engine *engine = self->engine;
    Py_INCREF(self);
    self->following = engine->in_flight;
    if (self->following != NULL) {
        self->following->link = &self->following;
    }
    self->link = &engine->in_flight;
    engine->in_flight = self;
}

PyObject *
ext_task_land(ext_task *self)
{
    *self->link = self->following;
    if (self->following != NULL) {
        self->following->link = self->link;
    }
    self->link = NULL;
    return (PyObject *)self;
}

static int
ended(const ext_task *self)
{
    return self->result != NULL || self->cancelled || iso_task_result(self->handle) != NULL ||
           self->engine->handle == NULL;
}

/* Frees the engine's task of a cancelled call, unless another thread still waits for it: that one will. */
static void
let_go(ext_task *self)
{
    if (self->cancelled && self->waiting == 0 && self->handle != NULL) {
        iso_task *handle = self->handle;
        self->handle = NULL;
        iso_task_free(handle);
        if (self->link != NULL) {
            Py_DECREF(ext_task_land(self));
        }
    }
}

/* Waits until the call ended: 0, ISO_ETIMEDOUT, ISO_ECYCLE, or 1 with an exception set. */
static int
wait_ended(ext_task *self, int64_t timeout_ns)
{
    int64_t left = timeout_ns;
    int code = ISO_ETIMEDOUT;
    self->waiting++;
    while (!ended(self) && code == ISO_ETIMEDOUT && (timeout_ns < 0 || left > 0)) {
        int64_t slice = timeout_ns >= 0 && left < EXT_SLICE_NS ? left : EXT_SLICE_NS;
        code = ext_wait(self->handle, slice);
        left -= slice; /* a slice too long does no harm, it is short */
    }
    self->waiting--;
    while (ended(self) && self->waiting > 0) { /* the others were woken too, and need the GIL to say so */
        Py_BEGIN_ALLOW_THREADS;
        usleep(50);
        Py_END_ALLOW_THREADS;
    }
    let_go(self);
    return ended(self) ? 0 : code;
}

static PyObject *
take_result(ext_task *self)
{
    if (self->result == NULL) {
        if (self->cancelled) {
            return ext_raise(self->state, ISO_ECANCELLED, iso_strerror(ISO_ECANCELLED), "");
        }
        if (iso_task_result(self->handle) == NULL) {
            return ext_raise_closed(self->state);
        }
        self->result = ext_result_from_task(self->engine, self->handle, self->message);
        if (self->result == NULL) {
            return NULL;
        }
        self->handle = NULL;
        ext_place_freed(self->engine, 1);
    }
    return Py_NewRef(self->result);
}

/* Reads the one argument, timeout, and waits: as wait_ended, or 1 if the argument is wrong. */
static int
wait_as_asked(ext_task *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t timeout_ns;
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (nargs + named > 1 ||
        (named == 1 && PyUnicode_Compare(PyTuple_GET_ITEM(kwnames, 0), self->state->keywords[EXT_TIMEOUT]) != 0)) {
        PyErr_SetString(PyExc_TypeError, "at most one argument is taken, timeout");
        return 1;
    }
    if (ext_timeout(nargs + named == 0 ? NULL : args[0], &timeout_ns) < 0) {
        return 1;
    }
    return ended(self) ? 0 : wait_ended(self, timeout_ns);
}

static PyObject *
task_result(ext_task *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int code = wait_as_asked(self, args, nargs, kwnames);
    if (code != 0) {
        return code > 0 ? NULL : ext_raise(self->state, code, iso_strerror(code), "");
    }
    return take_result(self);
}

static PyObject *
task_wait(ext_task *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int code = wait_as_asked(self, args, nargs, kwnames);
    if (code != 0 && code != ISO_ETIMEDOUT) {
        return code > 0 ? NULL : ext_raise(self->state, code, iso_strerror(code), "");
    }
    return PyBool_FromLong(code == 0);
}

static PyObject *
task_done(ext_task *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(ended(self));
}

static PyObject *
task_cancel(ext_task *self, PyObject *Py_UNUSED(ignored))
{
    if (ended(self)) {
        return PyBool_FromLong(self->cancelled);
    }
    self->cancelled = 1;
    let_go(self);
    Py_RETURN_TRUE;
}

static PyObject *
task_rank(ext_task *self, void *Py_UNUSED(closure))
{
    if (self->result != NULL) {
        return PyObject_GetAttrString(self->result, "rank");
    }
    int rank = self->handle == NULL ? 0 : iso_task_rank(self->handle);
    if (rank == 0) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLong(rank);
}

static PyObject *
task_user(ext_task *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->user == NULL ? Py_None : self->user);
}

static PyObject *
task_repr(ext_task *self)
{
    const char *what = self->cancelled ? "cancelled" : ended(self) ? "done" : "pending";
    return PyUnicode_FromFormat("<Task %s>", what);
}

static int
task_traverse(ext_task *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->user);
    Py_VISIT(self->engine);
    return 0;
}

static int
task_clear(ext_task *self)
{
    Py_CLEAR(self->user);
    return 0;
}

/* One that is in flight is held by its engine, so this one is not. */
static void
task_dealloc(ext_task *self)
{
    ext_state *state = self->state;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->handle != NULL) {
        iso_task_free(self->handle);
    }
    Py_DECREF(self->message);
    Py_XDECREF(self->result);
    Py_CLEAR(self->user);
    Py_DECREF(self->engine);
    if (!ext_reused_give(&state->free_tasks, self)) {
        PyObject_GC_Del(self);
    }
    Py_DECREF(type);
}

static PyMethodDef task_methods[] = {
    {"result", (PyCFunction)(void (*)(void))task_result, METH_FASTCALL | METH_KEYWORDS,
     "result($self, /, timeout=None)\n--\n\nWaits for the Result, at most timeout seconds."},
    {"wait", (PyCFunction)(void (*)(void))task_wait, METH_FASTCALL | METH_KEYWORDS,
     "wait($self, /, timeout=None)\n--\n\nWaits until the call ended; False if the time is over before."},
    {"done", (PyCFunction)task_done, METH_NOARGS, "done($self, /)\n--\n\nWhether the call ended or was cancelled."},
    {"cancel", (PyCFunction)task_cancel, METH_NOARGS,
     "cancel($self, /)\n--\n\nLets go of the call; False if it has ended already."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef task_getset[] = {
    {"rank", (getter)task_rank, NULL, "The rank that runs or ran the call; None if none took it yet.", NULL},
    {"user", (getter)task_user, NULL, "What was given to submit.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot task_slots[] = {
    {Py_tp_doc, "One call that was handed to a rank. Keep it: a call whose Task is gone is cancelled."},
    {Py_tp_dealloc, task_dealloc},
    {Py_tp_traverse, task_traverse},
    {Py_tp_clear, task_clear},
    {Py_tp_repr, task_repr},
    {Py_tp_methods, task_methods},
    {Py_tp_getset, task_getset},
    {0, NULL},
};

PyType_Spec ext_task_spec = {
    .name = "isoexec.Task",
    .basicsize = sizeof(ext_task),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = task_slots,
};
