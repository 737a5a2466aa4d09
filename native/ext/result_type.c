/* result_type.c: Result, the answer of one call.
 *
 * One object a call is the budget, so dead ones wait on a free list in the module state (the main GIL
 * guards it), and strings, edits and the rendered message are made when they are read. It refers to
 * bytes only, so it is no GC type. */
#include "ext.h"

#include <stdlib.h>

ext_result *
ext_result_new(ext_state *state, PyObject *message, int rank)
{
    ext_result *self = ext_reused_take(&state->free_results, state->result_type);
    if (self == NULL) {
        self = PyObject_New(ext_result, state->result_type);
        if (self == NULL) {
            return NULL;
        }
        self->state = state;
        self->task = NULL;
        self->edits = NULL;
        self->text = NULL;
    }
    self->message = Py_NewRef(message);
    self->rank = rank;
    return self;
}

static iso_str
put(char **end, iso_str from)
{
    if (from.p == NULL) {
        return from;
    }
    iso_str to = {*end, from.n};
    memcpy(*end, from.p, from.n);
    *end += from.n;
    return to;
}

/* Gives the value memory of its own in the place of what was lent. */
static int
own_texts(ext_result *self)
{
    iso_result *value = &self->value;
    /* One octet more, so that a present but empty text has an address too. */
    self->text = malloc(value->new_uri.n + value->dst_uri.n + value->error.n + 1);
    if (self->text == NULL) {
        value->new_uri = value->dst_uri = value->error = (iso_str){NULL, 0};
        return ISO_ENOMEM;
    }
    char *end = self->text;
    value->new_uri = put(&end, value->new_uri);
    value->dst_uri = put(&end, value->dst_uri);
    value->error = put(&end, value->error);
    return 0;
}

int
ext_result_take(ext_result *self, const iso_result *result)
{
    self->value = *result;
    if (result->edits == NULL && result->error.p == NULL && result->new_uri.p == NULL && result->dst_uri.p == NULL) {
        return 0;
    }
    if (result->edits != NULL) {
        self->value.edits = self->edits = iso_edits_copy(result->edits);
    }
    int code = own_texts(self);
    return result->edits != NULL && self->edits == NULL ? ISO_ENOMEM : code;
}

PyObject *
ext_result_from_task(ext_engine *engine, iso_task *task, PyObject *message)
{
    ext_state *state = engine->state;
    const iso_result *result = iso_task_result(task);
    ext_result *self = NULL;
    if (result->outcome == ISO_OUTCOME_REFUSED) {
        if (engine->handle == NULL || engine->closing) {
            ext_raise_closed(state);
        } else {
            ext_raise_refused(state, ISO_ESTATE, result);
        }
    } else {
        self = ext_result_new(state, message, iso_task_rank(task));
    }
    if (self == NULL) {
        return NULL;
    }
    self->value = *result;
    self->task = task;
    return (PyObject *)self;
}

static void
result_dealloc(ext_result *self)
{
    ext_state *state = self->state;
    PyTypeObject *type = Py_TYPE(self);
    Py_DECREF(self->message);
    if (self->task != NULL) {
        iso_task_free(self->task);
        self->task = NULL;
    }
    if (self->edits != NULL) {
        iso_edits_free(self->edits);
        self->edits = NULL;
    }
    if (self->text != NULL) {
        free(self->text);
        self->text = NULL;
    }
    if (!ext_reused_give(&state->free_results, self)) {
        PyObject_Free(self);
    }
    Py_DECREF(type);
}

static PyObject *
result_outcome(ext_result *self, void *Py_UNUSED(closure))
{
    int outcome = self->value.outcome;
    if (outcome < 0 || outcome >= ISO_OUTCOME_COUNT) {
        return PyUnicode_FromString(iso_outcome_name(outcome));
    }
    return Py_NewRef(self->state->outcomes[outcome]);
}

/* The closure is the offset of the text's iso_str. */
static PyObject *
result_text(ext_result *self, void *offset)
{
    return ext_text(*(const iso_str *)((const char *)self + (uintptr_t)offset));
}

static PyObject *
result_edits(ext_result *self, void *Py_UNUSED(closure))
{
    return ext_edits_tuple(self->state, self->value.edits);
}

static PyObject *
result_elapsed(ext_result *self, void *Py_UNUSED(closure))
{
    if (self->value.elapsed_ns == 0) {
        Py_RETURN_NONE;
    }
    return PyLong_FromUnsignedLongLong(self->value.elapsed_ns);
}

static PyObject *
result_rank(ext_result *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(self->rank);
}

static PyObject *
result_rendered(ext_result *self, void *Py_UNUSED(closure))
{
    if (self->value.edits == NULL) {
        return Py_NewRef(self->message);
    }
    iso_msg msg = {.version = ISO_MSG_VERSION, .route = ISO_ROUTE_REQUEST};
    if (ext_message_set(&msg, self->message) < 0) {
        return NULL;
    }
    int64_t size = iso_msg_render(&msg, self->value.edits, NULL, 0);
    if (size < 0) {
        return ext_raise(self->state, (int)size, "the message can not be written: its header is malformed", "");
    }
    PyObject *octets = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (octets != NULL) {
        (void)iso_msg_render(&msg, self->value.edits, PyBytes_AS_STRING(octets), (size_t)size);
    }
    return octets;
}

static PyObject *
result_repr(ext_result *self)
{
    return PyUnicode_FromFormat("<Result code=%d outcome='%s' edits=%zu>", self->value.code,
                                iso_outcome_name(self->value.outcome), iso_edits_count(self->value.edits));
}

static PyMemberDef result_members[] = {
    {"code", Py_T_INT, offsetof(ext_result, value.code), Py_READONLY,
     "What the method returned: above 0 true, 0 ends the script, below 0 false; -1 for every failure."},
    {"message", Py_T_OBJECT_EX, offsetof(ext_result, message), Py_READONLY, "The message that the call was about."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef result_getset[] = {
    {"outcome", (getter)result_outcome, NULL, "How the call ended: 'returned', 'raised', ...", NULL},
    {"new_uri", (getter)result_text, NULL, "The R-URI that the method set, or None.",
     (void *)offsetof(ext_result, value.new_uri)},
    {"dst_uri", (getter)result_text, NULL, "The destination that the method set, or None.",
     (void *)offsetof(ext_result, value.dst_uri)},
    {"error", (getter)result_text, NULL, "Reason or traceback of a failure, else None.",
     (void *)offsetof(ext_result, value.error)},
    {"edits", (getter)result_edits, NULL, "Every change that the method made, in order.", NULL},
    {"elapsed_ns", (getter)result_elapsed, NULL, "Time of the call in ns with timing 'full', else None.", NULL},
    {"rank", (getter)result_rank, NULL, "The number of the rank that ran the call.", NULL},
    {"rendered", (getter)result_rendered, NULL, "The message with the edits applied.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot result_slots[] = {
    {Py_tp_doc, "The answer of one call."}, {Py_tp_dealloc, result_dealloc}, {Py_tp_repr, result_repr},
    {Py_tp_members, result_members},        {Py_tp_getset, result_getset},   {0, NULL},
};

PyType_Spec ext_result_spec = {
    .name = "isoexec.Result",
    .basicsize = sizeof(ext_result),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = result_slots,
};
