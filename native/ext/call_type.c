/* call_type.c: Call, what a host function written in Python learns of the call that it serves.
 *
 * It reads the engine's iso_call, which lives as long as the function runs; then the pointer is taken
 * away and every read raises. */
#include "ext.h"

typedef struct ext_call {
    PyObject_HEAD
    ext_state *state;
    const iso_call *call; /* NULL when the function returned */
} ext_call;

PyObject *
ext_call_new(ext_state *state, const iso_call *call)
{
    ext_call *self = PyObject_New(ext_call, state->call_type);
    if (self != NULL) {
        self->state = state;
        self->call = call;
    }
    return (PyObject *)self;
}

void
ext_call_end(PyObject *call)
{
    ((ext_call *)call)->call = NULL;
}

static const iso_call *
running(ext_call *self)
{
    if (self->call == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the host function has returned: its call can not be read any more");
    }
    return self->call;
}

static PyObject *
call_rank(ext_call *self, void *Py_UNUSED(closure))
{
    const iso_call *call = running(self);
    return call == NULL ? NULL : PyLong_FromLong(call->rank_number);
}

static PyObject *
call_method(ext_call *self, void *Py_UNUSED(closure))
{
    const iso_call *call = running(self);
    return call == NULL ? NULL : ext_text((iso_str){call->method, strlen(call->method)});
}

static PyObject *
call_function(ext_call *self, void *Py_UNUSED(closure))
{
    const iso_call *call = running(self);
    return call == NULL ? NULL : ext_text((iso_str){call->function, strlen(call->function)});
}

static PyObject *
call_route(ext_call *self, void *Py_UNUSED(closure))
{
    const iso_call *call = running(self);
    if (call == NULL) {
        return NULL;
    }
    return Py_NewRef(self->state->routes[call->msg->route <= ISO_ROUTE_BRANCH ? call->msg->route : 0]);
}

static PyObject *
call_raw(ext_call *self, void *Py_UNUSED(closure))
{
    const iso_call *call = running(self);
    return call == NULL ? NULL : PyBytes_FromStringAndSize(call->msg->data, (Py_ssize_t)call->msg->length);
}

static PyObject *
call_edits(ext_call *self, void *Py_UNUSED(closure))
{
    const iso_call *call = running(self);
    return call == NULL ? NULL : ext_edits_tuple(self->state, call->edits);
}

static PyObject *
call_source(ext_call *self, void *Py_UNUSED(closure))
{
    const iso_call *call = running(self);
    return call == NULL ? NULL : ext_address_pair(&call->msg->source);
}

static PyObject *
call_destination(ext_call *self, void *Py_UNUSED(closure))
{
    const iso_call *call = running(self);
    return call == NULL ? NULL : ext_address_pair(&call->msg->destination);
}

static PyGetSetDef call_getset[] = {
    {"rank", (getter)call_rank, NULL, "The number of the rank.", NULL},
    {"method", (getter)call_method, NULL, "The method of the script that runs.", NULL},
    {"function", (getter)call_function, NULL, "The name that the script called.", NULL},
    {"route", (getter)call_route, NULL, "The route type, 'request', ...", NULL},
    {"raw", (getter)call_raw, NULL, "The message as received.", NULL},
    {"edits", (getter)call_edits, NULL, "What the method has changed so far.", NULL},
    {"source", (getter)call_source, NULL, "(ip, port) of the sender, or None.", NULL},
    {"destination", (getter)call_destination, NULL, "(ip, port) that received, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static void
call_dealloc(ext_call *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot call_slots[] = {
    {Py_tp_doc, "The call that a host function serves; readable until the function returns."},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_getset, call_getset},
    {0, NULL},
};

PyType_Spec ext_call_spec = {
    .name = "isoexec.Call",
    .basicsize = sizeof(ext_call),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = call_slots,
};
