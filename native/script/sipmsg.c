/* sipmsg.c: the types SIPMsg, SIPRequest and SIPReply: how objects are made and go, and their tables. */
#include <stddef.h>

#include "script/sipmsg.h"
#include "script/text.h"

/* ---- life ---- */

script_msg *
script_msg_new(script_state *state, int type)
{
    PyTypeObject *of = type == ISO_TYPE_REQUEST ? state->request : state->reply;
    script_msg *self = (script_msg *)of->tp_alloc(of, 0);
    if (self == NULL)
        return NULL;
    self->state = state;
    self->type = Py_NewRef(type == ISO_TYPE_REQUEST ? state->type_request : state->type_reply);
    return self;
}

static void
msg_dealloc(PyObject *object)
{
    script_msg *self = (script_msg *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_DECREF(self->type);
    Py_XDECREF(self->method);
    Py_XDECREF(self->ruri);
    Py_XDECREF((PyObject *)self->origin);
    script_kept_drop(self->kept);
    iso_edits_free(self->own);
    type->tp_free(object);
    Py_DECREF(type);
}

int
script_slot_method(script_state *state, script_msg *object, const char *p, size_t n)
{
    PyObject *method = state->methods[iso__method_number(p, n)];
    method = method != NULL ? Py_NewRef(method) : script_str((iso_str){p, n});
    if (method == NULL)
        return -1;
    Py_XSETREF(object->method, method);
    return 0;
}

script_msg *
script_slot_enter_other(script_state *state, script_slot *slot, const iso_msg *msg)
{
    const iso_index *line = msg->index;
    if (line == NULL) {
        if (iso_msg_start_line(msg, &slot->index) < 0)
            return NULL;
        line = &slot->index;
    }
    script_msg **place = line->type == ISO_TYPE_REQUEST ? &slot->request : &slot->reply;
    if (*place == NULL)
        *place = script_msg_new(state, line->type);
    script_msg *object = *place;
    if (object == NULL)
        return NULL;
    if (line->type == ISO_TYPE_REQUEST) {
        PyObject *known = state->methods[line->method];
        if ((known == NULL || object->method != known) &&
            script_slot_method(state, object, msg->data + line->start, line->first_n) < 0)
            return NULL;
        slot->last = &iso__line_starts[line->method];
    }
    object->index = msg->index;
    object->storage = msg->index == NULL ? &slot->index : NULL;
    return object;
}

/* ---- the constructor: messages for tests ---- */

/* Reads ("192.0.2.1", 5060); None leaves it. 0, or -1 with an error set. */
static int
read_address(PyObject *pair, const char *parameter, iso_address *address_out)
{
    script_text text;
    if (pair == Py_None)
        return 0;
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyUnicode_Check(PyTuple_GET_ITEM(pair, 0)) ||
        !PyLong_Check(PyTuple_GET_ITEM(pair, 1))) {
        PyErr_Format(PyExc_TypeError, "SIPMsg(): %s must be an (ip, port) tuple", parameter);
        return -1;
    }
    int overflow;
    long port = PyLong_AsLongAndOverflow(PyTuple_GET_ITEM(pair, 1), &overflow);
    int failed = script_encode(PyTuple_GET_ITEM(pair, 0), &text);
    if (!failed && (overflow != 0 || port < 0 || port > UINT16_MAX ||
                    iso_address_parse(address_out, text.str.p, text.str.n, (uint16_t)port) < 0)) {
        PyErr_Format(PyExc_ValueError, "SIPMsg(): %s must be an IP address and a port from 0 to 65535", parameter);
        failed = -1;
    }
    script_text_drop(&text);
    return failed;
}

/* Reads the name of a route type; None is the one that fits. 0, or -1 with an error set. */
static int
read_route(PyObject *name, int type, uint8_t *route_out)
{
    if (name == Py_None) {
        *route_out = type == ISO_TYPE_REPLY ? ISO_ROUTE_ONREPLY : ISO_ROUTE_REQUEST;
        return 0;
    }
    for (uint8_t i = ISO_ROUTE_REQUEST; PyUnicode_Check(name) && i <= ISO_ROUTE_BRANCH; i++) {
        if (PyUnicode_CompareWithASCIIString(name, script_routes[i]) == 0) {
            *route_out = i;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError, "SIPMsg(): route must be 'request', 'onreply', 'failure' or 'branch', not %R", name);
    return -1;
}

/* A new object that owns a copy of the message and its edits. Steals nothing. */
static PyObject *
msg_own(script_state *state, const iso_msg *msg, const iso_index *index)
{
    script_msg *self = script_msg_new(state, index->type);
    if (self == NULL)
        return NULL;
    script_kept *kept = script_kept_new(msg, index);
    if (kept != NULL)
        script_own(self, kept);
    self->edits = self->own = script_edits_new(NULL);
    if (kept == NULL || self->own == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    if (index->type == ISO_TYPE_REQUEST &&
        script_slot_method(state, self, msg->data + index->start, index->first_n) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static PyObject *
msg_make(script_state *state, PyTypeObject *type, const Py_buffer *octets, PyObject *const options[3])
{
    iso_msg msg;
    iso_index index;
    if (iso_msg_init(&msg, octets->buf, (size_t)octets->len) < 0 || iso_msg_index(&msg, &index) < 0) {
        PyErr_SetString(PyExc_ValueError, "SIPMsg(): not a valid SIP message");
        return NULL;
    }
    if (type != state->base && (type == state->request) != (index.type == ISO_TYPE_REQUEST)) {
        PyErr_Format(PyExc_ValueError, "%s(): the message is a %s", type == state->request ? "SIPRequest" : "SIPReply",
                     index.type == ISO_TYPE_REQUEST ? "request" : "reply");
        return NULL;
    }
    if (read_address(options[0], "source", &msg.source) < 0 ||
        read_address(options[1], "destination", &msg.destination) < 0 ||
        read_route(options[2], index.type, &msg.route) < 0)
        return NULL;
    return msg_own(state, &msg, &index);
}

static PyObject *
msg_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"", "source", "destination", "route", NULL};
    PyObject *options[3] = {Py_None, Py_None, Py_None};
    Py_buffer octets;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "y*|$OOO:SIPMsg", names, &octets, &options[0], &options[1],
                                     &options[2]))
        return NULL;
    PyObject *self = msg_make(PyType_GetModuleState(type), type, &octets, options);
    PyBuffer_Release(&octets);
    return self;
}

/* ---- types ---- */

#define FAST(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef base_methods[] = {
    {"getHeader", script_get_header, METH_O, "getHeader(name): the value of the first such header, or None."},
    {"headers", script_headers, METH_O, "headers(name): every value, lists split at their commas."},
    {"header_rows", script_header_rows, METH_O, "header_rows(name): the value of every row, as it stands."},
    {"header_names", script_header_names, METH_NOARGS, "header_names(): the name of every row, in order."},
    {"copy", script_copy, METH_NOARGS, "copy(): a message of its own, with the edits so far."},
    {"rewrite_ruri", script_rewrite_ruri, METH_O, "rewrite_ruri(uri): sets the request URI; '' undoes it."},
    {"set_dst_uri", script_set_dst_uri, METH_O, "set_dst_uri(uri): sets where to send; '' undoes it."},
    {"append_header", FAST(script_append_header), METH_FASTCALL, "append_header(name, value): after the last row."},
    {"insert_header", FAST(script_insert_header), METH_FASTCALL, "insert_header(name, value): before the first row."},
    {"replace_header", FAST(script_replace_header), METH_FASTCALL,
     "replace_header(name, value): one row instead of all."},
    {"remove_header", script_remove_header, METH_O, "remove_header(name): removes every such row."},
    {"set_body", FAST(script_set_body), METH_FASTCALL | METH_KEYWORDS, "set_body(body, content_type=None)."},
    {"call_function", FAST(script_call_function), METH_FASTCALL,
     "call_function(name, *args): calls a function of the host."},
    {"get_pseudoVar", script_get_variable, METH_O, "get_pseudoVar(format): the text with the host's variables in it."},
    {"set_pseudoVar", FAST(script_set_variable), METH_FASTCALL, "set_pseudoVar(name, value): sets one of them."},
    {NULL, NULL, 0, NULL},
};

/* What scripts ask for first is a plain member: 2 ns instead of 15. */
static PyMemberDef base_members[] = {
    {"Type", Py_T_OBJECT_EX, offsetof(script_msg, type), Py_READONLY, "'SIP_REQUEST' or 'SIP_REPLY'."},
    {NULL, 0, 0, 0, NULL},
};

static PyMemberDef request_members[] = {
    {"Method", Py_T_OBJECT_EX, offsetof(script_msg, method), Py_READONLY, "The method, as received."},
    {NULL, 0, 0, 0, NULL},
};

#define DOC "SIPMsg(octets, *, source=None, destination=None, route=None): a SIP message."

static PyType_Slot base_slots[] = {
    {Py_tp_doc, DOC},
    {Py_tp_new, msg_new},
    {Py_tp_dealloc, msg_dealloc},
    {Py_tp_repr, script_repr},
    {Py_tp_methods, base_methods},
    {Py_tp_members, base_members},
    {Py_tp_getset, script_read_base},
    {0, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_doc, "A SIP request."},
    {Py_tp_members, request_members},
    {Py_tp_getset, script_read_request},
    {0, NULL},
};

static PyType_Slot reply_slots[] = {
    {Py_tp_doc, "A SIP reply."},
    {Py_tp_getset, script_read_reply},
    {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE)

static PyType_Spec base_spec = {"OpenSIPS.SIPMsg", sizeof(script_msg), 0, FLAGS | Py_TPFLAGS_BASETYPE, base_slots};
static PyType_Spec request_spec = {"OpenSIPS.SIPRequest", sizeof(script_msg), 0, FLAGS, request_slots};
static PyType_Spec reply_spec = {"OpenSIPS.SIPReply", sizeof(script_msg), 0, FLAGS, reply_slots};

static PyTypeObject *
make(PyObject *module, PyType_Spec *spec, PyTypeObject *base)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    if (type != NULL && PyModule_AddType(module, type) < 0)
        Py_CLEAR(type);
    return type;
}

int
script_types_make(PyObject *module, script_state *state)
{
    state->base = make(module, &base_spec, NULL);
    if (state->base == NULL)
        return -1;
    state->request = make(module, &request_spec, state->base);
    state->reply = make(module, &reply_spec, state->base);
    /* A script can not make types under it: their objects would have to be collected, ours are not. */
    state->base->tp_flags &= ~Py_TPFLAGS_BASETYPE;
    return state->request == NULL || state->reply == NULL ? -1 : 0;
}
