/* arguments.c: reads the arguments of python_exec, batch and submit.
 *
 * By hand, because the call is hot, and because a static argument parser of CPython would be shared by
 * every interpreter (facts on 3.12.0 to 3.12.3: it aborts the process at its end). */
#include "ext.h"

static int
keyword_index(ext_state *state, int names, PyObject *second_name, PyObject *name)
{
    for (int i = 0; i < names; i++) {
        if (name == (i == EXT_MESSAGE ? second_name : state->keywords[i])) {
            return i;
        }
    }
    for (int i = 0; i < names; i++) {
        if (PyUnicode_Compare(name, i == EXT_MESSAGE ? second_name : state->keywords[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static int
place(PyObject **values, ext_state *state, int names, PyObject *second_name, PyObject *const *args, Py_ssize_t nargs,
      PyObject *kwnames)
{
    if (nargs > EXT_ROUTE) {
        PyErr_Format(PyExc_TypeError, "at most 3 positional arguments are taken (%zd given)", nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        values[i] = args[i];
    }
    Py_ssize_t count = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        int k = keyword_index(state, names, second_name, name);
        if (k < 0 || values[k] != NULL) {
            PyErr_Format(PyExc_TypeError, k < 0 ? "there is no argument %R" : "argument %R is given twice", name);
            return -1;
        }
        values[k] = args[nargs + i];
    }
    for (int i = 0; i < EXT_EXTRA; i++) {
        if (values[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "argument %R is missing",
                         i == EXT_MESSAGE ? second_name : state->keywords[i]);
            return -1;
        }
    }
    return 0;
}

static int
route_number(ext_state *state, PyObject *value)
{
    for (int i = ISO_ROUTE_REQUEST; i <= ISO_ROUTE_BRANCH; i++) {
        if (value == state->routes[i]) {
            return i;
        }
    }
    for (int i = ISO_ROUTE_REQUEST; PyUnicode_Check(value) && i <= ISO_ROUTE_BRANCH; i++) {
        if (PyUnicode_Compare(value, state->routes[i]) == 0) {
            return i;
        }
    }
    PyErr_Format(PyExc_ValueError, "route must be 'request', 'onreply', 'failure' or 'branch', not %R", value);
    return -1;
}

static int
read_method(ext_arguments *out)
{
    PyObject *value = out->values[EXT_METHOD];
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "method must be str, not %.100s", Py_TYPE(value)->tp_name);
        return -1;
    }
    Py_ssize_t n;
    out->method = PyUnicode_AsUTF8AndSize(value, &n);
    if (out->method == NULL) {
        return -1;
    }
    if (strlen(out->method) != (size_t)n) {
        PyErr_SetString(PyExc_ValueError, "method must not contain NUL");
        return -1;
    }
    return 0;
}

static int
read_extra(ext_arguments *out)
{
    PyObject *value = out->values[EXT_EXTRA];
    if (value == NULL || value == Py_None) {
        return 0;
    }
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "extra must be str or None, not %.100s", Py_TYPE(value)->tp_name);
        return -1;
    }
    return ext_octets(value, &out->extra, &out->extra_owner);
}

/* The number 0 means any rank in C and nothing in Python. The engine knows the highest. */
static int
read_rank(ext_arguments *out, ext_state *state)
{
    int overflow;
    long rank = PyLong_AsLongAndOverflow(out->values[EXT_RANK], &overflow);
    if (rank == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (overflow || rank < 1 || rank > INT_MAX) {
        ext_raise(state, ISO_EINVAL, "rank must be None or 1 to the setting ranks", "");
        return -1;
    }
    out->rank = (int)rank;
    return 0;
}

int
ext_timeout(PyObject *value, int64_t *ns_out)
{
    *ns_out = -1;
    if (value == NULL || value == Py_None) {
        return 0;
    }
    double seconds = PyFloat_AsDouble(value);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (!(seconds >= 0.0)) {
        PyErr_SetString(PyExc_ValueError, "timeout must be None or a number of seconds, 0 or more");
        return -1;
    }
    *ns_out = seconds < 1e9 ? (int64_t)(seconds * 1e9) : -1; /* thirty years are no limit */
    return 0;
}

int
ext_arguments_init(ext_arguments *out, ext_state *state, int names, PyObject *second_name, PyObject *const *args,
                   Py_ssize_t nargs, PyObject *kwnames)
{
    *out = (ext_arguments){.msg = {.version = ISO_MSG_VERSION, .route = ISO_ROUTE_REQUEST}, .timeout_ns = -1};
    PyObject **values = out->values;
    if (place(values, state, names, second_name, args, nargs, kwnames) < 0 || read_method(out) < 0) {
        return -1;
    }
    if (values[EXT_RANK] != NULL && values[EXT_RANK] != Py_None && read_rank(out, state) < 0) {
        return -1;
    }
    if (ext_timeout(values[EXT_TIMEOUT], &out->timeout_ns) < 0) {
        return -1;
    }
    if (values[EXT_ROUTE] != NULL) {
        int route = route_number(state, values[EXT_ROUTE]);
        if (route < 0) {
            return -1;
        }
        out->msg.route = (uint8_t)route;
    }
    if (values[EXT_SOURCE] != NULL && values[EXT_SOURCE] != Py_None &&
        ext_address(values[EXT_SOURCE], "source", &out->msg.source) < 0) {
        return -1;
    }
    if (values[EXT_DESTINATION] != NULL && values[EXT_DESTINATION] != Py_None &&
        ext_address(values[EXT_DESTINATION], "destination", &out->msg.destination) < 0) {
        return -1;
    }
    return read_extra(out);
}

PyObject *
ext_message_bytes(PyObject *value)
{
    if (PyBytes_Check(value)) {
        return Py_NewRef(value);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(value, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *octets = PyBytes_FromStringAndSize(view.buf, view.len);
    PyBuffer_Release(&view);
    return octets;
}

int
ext_message_set(iso_msg *msg, PyObject *bytes)
{
    size_t n = (size_t)PyBytes_GET_SIZE(bytes);
    if (n > ISO_MSG_MAX_LENGTH) {
        PyErr_SetString(PyExc_ValueError, "the message is longer than 2 GiB");
        return -1;
    }
    msg->data = PyBytes_AS_STRING(bytes);
    msg->length = (uint32_t)n;
    return 0;
}
