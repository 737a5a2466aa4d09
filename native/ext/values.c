/* values.c: between C values of the public header and Python objects, and C failures as exceptions. */
#include "ext.h"

static const char *const edit_kind_names[EXT_EDIT_KINDS] = {
    [ISO_EDIT_SET_RURI] = "set_ruri",           [ISO_EDIT_SET_DST_URI] = "set_dst_uri",
    [ISO_EDIT_APPEND_HEADER] = "append_header", [ISO_EDIT_INSERT_HEADER] = "insert_header",
    [ISO_EDIT_REMOVE_HEADER] = "remove_header", [ISO_EDIT_REPLACE_HEADER] = "replace_header",
    [ISO_EDIT_SET_BODY] = "set_body",
};

PyObject *
ext_text(iso_str value)
{
    if (value.p == NULL) {
        Py_RETURN_NONE;
    }
    return PyUnicode_DecodeUTF8(value.p, (Py_ssize_t)value.n, "surrogateescape");
}

int
ext_octets(PyObject *text, iso_str *out, PyObject **owner_out)
{
    *owner_out = NULL;
    if (PyUnicode_IS_COMPACT_ASCII(text)) {
        *out = (iso_str){PyUnicode_DATA(text), (size_t)PyUnicode_GET_LENGTH(text)};
        return 0;
    }
    PyObject *octets = PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape");
    if (octets == NULL) {
        return -1;
    }
    *out = (iso_str){PyBytes_AS_STRING(octets), (size_t)PyBytes_GET_SIZE(octets)};
    *owner_out = octets;
    return 0;
}

int
ext_address(PyObject *value, const char *what, iso_address *out)
{
    if (!PyTuple_Check(value) || PyTuple_GET_SIZE(value) != 2 || !PyUnicode_Check(PyTuple_GET_ITEM(value, 0)) ||
        !PyLong_Check(PyTuple_GET_ITEM(value, 1))) {
        PyErr_Format(PyExc_TypeError, "%s must be None or a tuple (ip: str, port: int)", what);
        return -1;
    }
    int overflow;
    long port = PyLong_AsLongAndOverflow(PyTuple_GET_ITEM(value, 1), &overflow);
    if (overflow || port < 0 || port > 65535) {
        PyErr_Format(PyExc_ValueError, "the port of %s must be 0 to 65535", what);
        return -1;
    }
    Py_ssize_t n;
    const char *ip = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(value, 0), &n);
    if (ip == NULL) {
        return -1;
    }
    if (iso_address_parse(out, ip, (size_t)n, (uint16_t)port) < 0) {
        PyErr_Format(PyExc_ValueError, "%s is not an IP address: %R", what, PyTuple_GET_ITEM(value, 0));
        return -1;
    }
    return 0;
}

PyObject *
ext_address_pair(const iso_address *address)
{
    char text[ISO_ADDRESS_TEXT];
    if (iso_address_format(address, text) == 0) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(si)", text, (int)address->port);
}

static PyObject *
octets_or_none(iso_str value)
{
    if (value.p == NULL) {
        Py_RETURN_NONE;
    }
    return PyBytes_FromStringAndSize(value.p, (Py_ssize_t)value.n);
}

/* As SIPMsg.edits shows it: a body is bytes, all else text. */
static PyObject *
edit_new(ext_state *state, const iso_edit *edit)
{
    PyObject *item = PyStructSequence_New(state->edit_type);
    if (item == NULL) {
        return NULL;
    }
    int known = edit->kind > 0 && edit->kind < EXT_EDIT_KINDS;
    PyObject *kind = known ? Py_NewRef(state->edit_kinds[edit->kind]) : PyLong_FromLong(edit->kind);
    PyStructSequence_SetItem(item, 0, kind);
    PyStructSequence_SetItem(item, 1, ext_text(edit->name));
    PyStructSequence_SetItem(item, 2,
                             edit->kind == ISO_EDIT_SET_BODY ? octets_or_none(edit->value) : ext_text(edit->value));
    if (PyErr_Occurred()) {
        Py_CLEAR(item);
    }
    return item;
}

PyObject *
ext_edits_tuple(ext_state *state, const iso_edits *edits)
{
    size_t n = iso_edits_count(edits);
    PyObject *tuple = PyTuple_New((Py_ssize_t)n);
    for (size_t i = 0; tuple != NULL && i < n; i++) {
        iso_edit edit;
        PyObject *item = NULL;
        if (iso_edits_get(edits, i, &edit) < 0) {
            ext_raise(state, ISO_EINTERNAL, "an edit is missing", "");
        } else {
            item = edit_new(state, &edit);
        }
        if (item == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, item);
        }
    }
    return tuple;
}

PyObject *
ext_raise(ext_state *state, int code, const char *message, const char *traceback)
{
    PyObject *text = PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "replace");
    PyObject *trace = PyUnicode_DecodeUTF8(traceback, (Py_ssize_t)strlen(traceback), "replace");
    if (text != NULL && trace != NULL) {
        PyObject *error = PyObject_CallFunction(state->make_error, "sOO", iso_error_name(code), text, trace);
        if (error != NULL) {
            PyErr_SetObject((PyObject *)Py_TYPE(error), error);
            Py_DECREF(error);
        }
    }
    Py_XDECREF(text);
    Py_XDECREF(trace);
    return NULL;
}

PyObject *
ext_raise_error(ext_state *state, const iso_error *err)
{
    return ext_raise(state, err->code, err->message[0] ? err->message : iso_strerror(err->code), err->traceback);
}

PyObject *
ext_raise_closed(ext_state *state)
{
    PyErr_SetString(state->closed_error, "the engine is closed");
    return NULL;
}

PyObject *
ext_raise_refused(ext_state *state, int code, const iso_result *result)
{
    char text[sizeof((iso_error *)0)->message];
    if (result->error.p == NULL) {
        return ext_raise(state, code, iso_strerror(code), "");
    }
    size_t n = result->error.n < sizeof text - 1 ? result->error.n : sizeof text - 1;
    memcpy(text, result->error.p, n);
    text[n] = '\0';
    return ext_raise(state, code, text, "");
}

static int
intern_names(ext_state *state)
{
    static const char *const keywords[EXT_KEYWORDS] = {"method",      "message", "extra",   "route", "source",
                                                       "destination", "rank",    "timeout", "user"};
    static const char *const routes[ISO_ROUTE_BRANCH + 1] = {"", "request", "onreply", "failure", "branch"};
    for (int i = 0; i < EXT_KEYWORDS; i++) {
        state->keywords[i] = PyUnicode_InternFromString(keywords[i]);
    }
    for (int i = 0; i <= ISO_ROUTE_BRANCH; i++) {
        state->routes[i] = PyUnicode_InternFromString(routes[i]);
    }
    for (int i = 0; i < ISO_OUTCOME_COUNT; i++) {
        state->outcomes[i] = PyUnicode_InternFromString(iso_outcome_name(i));
    }
    for (int i = 1; i < EXT_EDIT_KINDS; i++) {
        state->edit_kinds[i] = PyUnicode_InternFromString(edit_kind_names[i]);
    }
    state->messages = PyUnicode_InternFromString("messages");
    return PyErr_Occurred() ? -1 : 0;
}

int
ext_values_init(ext_state *state, PyObject *module)
{
    static PyStructSequence_Field fields[] = {
        {"kind", "what is changed: 'append_header', 'set_ruri', ..."},
        {"name", "header name, Content-Type of a body, or None"},
        {"value", "the new value: bytes of a body, else str; or None"},
        {NULL, NULL},
    };
    static PyStructSequence_Desc description = {"isoexec.Edit", "One change that a method made to the message.", fields,
                                                3};
    if (intern_names(state) < 0) {
        return -1;
    }
    state->edit_type = PyStructSequence_NewType(&description);
    if (state->edit_type == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "Edit", (PyObject *)state->edit_type);
}
