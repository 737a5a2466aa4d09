/* result_type.c: Result, the answer of one call.
 *
 * One object a call is the budget, so dead ones wait on a free list in the module state (the main GIL
 * guards it), and strings, edits and the rendered message are made when they are read. It refers to
 * bytes only, so it is no GC type. */
#include "ext.h"

#include <stdlib.h>

ext_result *
ext_result_new(ext_state *state, PyObject *message)
{
    ext_result *self = state->free_results;
    if (self != NULL) {
        state->free_results = self->next;
        state->free_count--;
        PyObject_Init((PyObject *)self, state->result_type);
    } else {
        self = PyObject_New(ext_result, state->result_type);
        if (self == NULL) {
            return NULL;
        }
        self->state = state;
        self->edits = NULL;
        self->text = NULL;
    }
    self->message = Py_NewRef(message);
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

static int
take_texts(ext_result *self, const iso_result *result)
{
    /* One octet more, so that a present but empty text has an address too. */
    self->text = malloc(result->new_uri.n + result->dst_uri.n + result->error.n + 1);
    if (self->text == NULL) {
        self->new_uri = self->dst_uri = self->error = (iso_str){NULL, 0};
        return ISO_ENOMEM;
    }
    char *end = self->text;
    self->new_uri = put(&end, result->new_uri);
    self->dst_uri = put(&end, result->dst_uri);
    self->error = put(&end, result->error);
    return 0;
}

int
ext_result_take(ext_result *self, const iso_result *result)
{
    self->code = result->code;
    self->outcome = result->outcome;
    self->elapsed_ns = result->elapsed_ns;
    if (result->edits == NULL && result->error.p == NULL && result->new_uri.p == NULL && result->dst_uri.p == NULL) {
        self->new_uri = self->dst_uri = self->error = (iso_str){NULL, 0};
        return 0;
    }
    if (result->edits != NULL) {
        self->edits = iso_edits_copy(result->edits);
        if (self->edits == NULL) {
            self->new_uri = self->dst_uri = self->error = (iso_str){NULL, 0};
            return ISO_ENOMEM;
        }
    }
    return take_texts(self, result);
}

static void
result_dealloc(ext_result *self)
{
    ext_state *state = self->state;
    PyTypeObject *type = Py_TYPE(self);
    Py_DECREF(self->message);
    if (self->edits != NULL) {
        iso_edits_free(self->edits);
        self->edits = NULL;
    }
    if (self->text != NULL) {
        free(self->text);
        self->text = NULL;
    }
    if (state->free_count < EXT_FREE_RESULTS) {
        self->next = state->free_results;
        state->free_results = self;
        state->free_count++;
    } else {
        PyObject_Free(self);
    }
    Py_DECREF(type);
}

void
ext_results_clear(ext_state *state)
{
    while (state->free_results != NULL) {
        ext_result *next = state->free_results->next;
        PyObject_Free(state->free_results);
        state->free_results = next;
    }
    state->free_count = EXT_FREE_RESULTS; /* a Result that dies later is freed, not kept */
}

static PyObject *
result_outcome(ext_result *self, void *Py_UNUSED(closure))
{
    if (self->outcome < 0 || self->outcome >= ISO_OUTCOME_COUNT) {
        return PyUnicode_FromString(iso_outcome_name(self->outcome));
    }
    return Py_NewRef(self->state->outcomes[self->outcome]);
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
    return ext_edits_tuple(self->state, self->edits);
}

static PyObject *
result_elapsed(ext_result *self, void *Py_UNUSED(closure))
{
    if (self->elapsed_ns == 0) {
        Py_RETURN_NONE;
    }
    return PyLong_FromUnsignedLongLong(self->elapsed_ns);
}

static PyObject *
result_rendered(ext_result *self, void *Py_UNUSED(closure))
{
    if (self->edits == NULL) {
        return Py_NewRef(self->message);
    }
    iso_msg msg = {.version = ISO_MSG_VERSION, .route = ISO_ROUTE_REQUEST};
    if (ext_message_set(&msg, self->message) < 0) {
        return NULL;
    }
    int64_t size = iso_msg_render(&msg, self->edits, NULL, 0);
    if (size < 0) {
        return ext_raise(self->state, (int)size, "the message can not be written: its header is malformed", "");
    }
    PyObject *octets = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (octets != NULL) {
        (void)iso_msg_render(&msg, self->edits, PyBytes_AS_STRING(octets), (size_t)size);
    }
    return octets;
}

static PyObject *
result_repr(ext_result *self)
{
    return PyUnicode_FromFormat("<Result code=%d outcome='%s' edits=%zu>", self->code, iso_outcome_name(self->outcome),
                                iso_edits_count(self->edits));
}

static PyMemberDef result_members[] = {
    {"code", Py_T_INT, offsetof(ext_result, code), Py_READONLY,
     "What the method returned: above 0 true, 0 ends the script, below 0 false; -1 for every failure."},
    {"message", Py_T_OBJECT_EX, offsetof(ext_result, message), Py_READONLY, "The message that the call was about."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef result_getset[] = {
    {"outcome", (getter)result_outcome, NULL, "How the call ended: 'returned', 'raised', ...", NULL},
    {"new_uri", (getter)result_text, NULL, "The R-URI that the method set, or None.",
     (void *)offsetof(ext_result, new_uri)},
    {"dst_uri", (getter)result_text, NULL, "The destination that the method set, or None.",
     (void *)offsetof(ext_result, dst_uri)},
    {"error", (getter)result_text, NULL, "Reason or traceback of a failure, else None.",
     (void *)offsetof(ext_result, error)},
    {"edits", (getter)result_edits, NULL, "Every change that the method made, in order.", NULL},
    {"elapsed_ns", (getter)result_elapsed, NULL, "Time of the call in ns with timing 'full', else None.", NULL},
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
