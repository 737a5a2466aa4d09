/* functions.c: host functions written in Python.
 *
 * The engine runs function_run on the rank's thread with the main interpreter attached, which is what
 * ISO_FUNCTION_PYTHON asks for. The callable gets a Call that answers while it runs. */
#include "ext.h"

#define FEW_ARGUMENTS 12

/* The host functions that a thread runs, innermost first. */
typedef struct running {
    const ext_engine *engine;
    const struct running *outer;
} running;
static _Thread_local const running *innermost;

int
ext_functions_running(const ext_engine *engine)
{
    for (const running *at = innermost; at != NULL; at = at->outer) {
        if (at->engine == engine) {
            return 1;
        }
    }
    return 0;
}

static void
copy_text(char *to, size_t size, PyObject *text)
{
    PyObject *owner = NULL;
    iso_str from = {NULL, 0};
    if (text == NULL || ext_octets(text, &from, &owner) < 0) {
        PyErr_Clear();
    }
    /* A traceback is most telling at its end. */
    size_t skip = from.n >= size ? from.n - size + 1 : 0;
    if (from.p != NULL) {
        memcpy(to, from.p + skip, from.n - skip);
    }
    to[from.n - skip] = '\0';
    Py_XDECREF(owner);
}

/* Turns the exception that is set into err, and into a log line with its traceback: the script sees one
 * line only. */
static void
take_exception(ext_function *row, const iso_call *call, iso_error *err)
{
    PyObject *raised = PyErr_GetRaisedException();
    if (PyErr_GivenExceptionMatches(raised, PyExc_KeyboardInterrupt)) {
        PyErr_SetInterrupt(); /* the user's Ctrl-C comes again where the host can see it */
    }
    PyObject *text = PyObject_Str(raised);
    if (text == NULL) {
        PyErr_Clear();
    }
    char reason[300];
    copy_text(reason, sizeof reason, text);
    PyOS_snprintf(err->message, sizeof err->message, "%.100s(): %.80s: %s", row->name, Py_TYPE(raised)->tp_name,
                  reason);
    PyObject *lines = PyObject_CallOneArg(row->engine->state->format_exception, raised);
    PyObject *empty = PyUnicode_FromString("");
    PyObject *trace = lines == NULL || empty == NULL ? NULL : PyUnicode_Join(empty, lines);
    copy_text(err->traceback, sizeof err->traceback, trace);
    char line[sizeof err->traceback + 200];
    PyOS_snprintf(line, sizeof line, "host function %.100s: %s", row->name,
                  err->traceback[0] ? err->traceback : err->message);
    size_t n = strlen(line);
    if (line[n - 1] == '\n') {
        line[n - 1] = '\0';
    }
    ext_log_put(row->engine->queue, ISO_LOG_ERR, call->rank_number, line);
    err->code = ISO_EFUNCTION;
    Py_XDECREF(trace);
    Py_XDECREF(empty);
    Py_XDECREF(lines);
    Py_XDECREF(text);
    Py_DECREF(raised);
    PyErr_Clear();
}

/* A text is given to the script by what asks for one (get_pseudoVar), and counts as 1. */
static int
text_answer(const iso_call *call, PyObject *answer)
{
    PyObject *octets = PyUnicode_AsEncodedString(answer, "utf-8", "surrogateescape");
    if (octets == NULL) {
        return -1;
    }
    iso_str text = {PyBytes_AS_STRING(octets), (size_t)PyBytes_GET_SIZE(octets)};
    int failed = iso_call_answer(call, text);
    Py_DECREF(octets);
    if (failed) {
        PyErr_NoMemory();
    }
    return failed ? -1 : 1;
}

static int
result_code(const iso_call *call, PyObject *answer)
{
    if (answer == Py_None) {
        return 1;
    }
    if (PyUnicode_Check(answer) && strcmp(call->function, "get_pseudoVar") == 0) {
        return text_answer(call, answer);
    }
    if (!PyLong_Check(answer)) {
        PyErr_Format(PyExc_TypeError, "a host function must return int, bool or None, not %.100s",
                     Py_TYPE(answer)->tp_name);
        return -1;
    }
    long code = PyLong_AsLong(answer);
    if (code != (int)code) {
        PyErr_SetString(PyExc_OverflowError, "the result of a host function must fit a C int");
        return -1;
    }
    return (int)code;
}

static PyObject *
argument(const iso_value *value)
{
    switch (value->kind) {
    case ISO_VALUE_STR:
        return ext_text(value->str);
    case ISO_VALUE_INT:
        return PyLong_FromLongLong(value->num);
    default:
        Py_RETURN_NONE;
    }
}

static int
call_callable(ext_function *row, const iso_call *call, PyObject **args, const iso_value *argv, int argc)
{
    int filled = 0;
    while (filled < argc) {
        args[filled + 1] = argument(&argv[filled]);
        if (args[filled + 1] == NULL) {
            break;
        }
        filled++;
    }
    PyObject *answer = filled < argc ? NULL : PyObject_Vectorcall(row->callable, args, (size_t)argc + 1, NULL);
    for (int i = 1; i <= filled; i++) {
        Py_DECREF(args[i]);
    }
    int code = answer == NULL ? -1 : result_code(call, answer);
    Py_XDECREF(answer);
    return code;
}

static int
function_run(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err)
{
    ext_function *row = user;
    running here = {row->engine, innermost};
    innermost = &here;
    PyObject *few[FEW_ARGUMENTS + 1];
    PyObject **args = argc <= FEW_ARGUMENTS ? few : PyMem_New(PyObject *, (size_t)argc + 1);
    int code = -1;
    if (args == NULL) {
        PyErr_NoMemory();
    } else if ((args[0] = ext_call_new(row->engine->state, call)) != NULL) {
        code = call_callable(row, call, args, argv, argc);
        ext_call_end(args[0]);
        Py_DECREF(args[0]);
    }
    if (args != few) {
        PyMem_Free(args);
    }
    innermost = here.outer;
    if (PyErr_Occurred()) {
        take_exception(row, call, err);
        return ISO_EFUNCTION;
    }
    return code;
}

static char *
copy_string(const char *from)
{
    char *to = PyMem_Malloc(strlen(from) + 1);
    if (to == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    return strcpy(to, from);
}

int
ext_functions_init(ext_engine *self, PyObject *rows)
{
    Py_ssize_t n = PyTuple_GET_SIZE(rows);
    self->functions = PyMem_Calloc((size_t)n + 1, sizeof *self->functions);
    if (self->functions == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        const char *name, *signature;
        PyObject *callable;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(rows, i), "szO:function", &name, &signature, &callable)) {
            return -1;
        }
        ext_function *row = &self->functions[i];
        row->engine = self;
        row->callable = Py_NewRef(callable);
        self->function_count = i + 1;
        row->name = copy_string(name);
        row->signature = signature == NULL ? NULL : copy_string(signature);
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    return 0;
}

void
ext_functions_fini(ext_engine *self)
{
    ext_function *rows = self->functions;
    Py_ssize_t n = self->function_count;
    self->functions = NULL;
    self->function_count = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyMem_Free(rows[i].name);
        PyMem_Free(rows[i].signature);
        Py_DECREF(rows[i].callable);
    }
    PyMem_Free(rows);
}

iso_function *
ext_functions_table(const ext_engine *self)
{
    iso_function *table = PyMem_Calloc((size_t)self->function_count + 1, sizeof *table);
    if (table == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < self->function_count; i++) {
        ext_function *row = &self->functions[i];
        table[i] = (iso_function){row->name, row->signature, function_run, row, ISO_FUNCTION_PYTHON};
    }
    return table;
}
