/* functions.c: call_function(): finds the function, turns the arguments into values as its signature
 * says, and runs it. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "script/distance.h"
#include "script/sipmsg.h"
#include "script/text.h"

/* The arguments of one call; the octets are borrowed from the objects or from the owners. */
typedef struct argument_list {
    iso_value values[SCRIPT_MAX_ARGUMENTS];
    script_text texts[SCRIPT_MAX_ARGUMENTS];
    int count;
} argument_list;

/* ---- signatures ---- */

/* 0, or -1 with RuntimeError. */
static int
check_count(const char *function, const char *signature, int given)
{
    bool optional;
    int least = 0;
    while (script_parameter(signature, least, &optional) != 0 && !optional)
        least++;
    int most = least;
    while (most < SCRIPT_MAX_ARGUMENTS && script_parameter(signature, most, &optional) != 0)
        most++;
    if (given >= least && given <= most)
        return 0;
    const char *text = least == most ? "%s(): too few or too many parameters: %d given, takes %d"
                                     : "%s(): too few or too many parameters: %d given, takes %d to %d";
    PyErr_Format(PyExc_RuntimeError, text, function, given, least, most);
    return -1;
}

/* ---- one argument ---- */

/* An int given as text, as scripts for OpenSIPS do. */
static int
digits(const char *function, int position, iso_str text, iso_value *value_out)
{
    size_t i = text.n > 0 && (text.p[0] == '-' || text.p[0] == '+');
    bool negative = i == 1 && text.p[0] == '-';
    int64_t number = 0;
    bool bad = i == text.n;
    for (; i < text.n && !bad; i++) {
        int unit = text.p[i] - '0';
        bad = unit < 0 || unit > 9 || __builtin_mul_overflow(number, 10, &number) ||
              __builtin_add_overflow(number, negative ? -unit : unit, &number);
    }
    if (bad) {
        PyErr_Format(PyExc_RuntimeError, "%s(): parameter %d: parameter should be an integer", function, position);
        return -1;
    }
    *value_out = (iso_value){.kind = ISO_VALUE_INT, .num = number};
    return 0;
}

static int
take_text(const char *function, int position, char letter, PyObject *object, iso_value *value_out, script_text *text)
{
    if (script_encode(object, text) < 0)
        return -1;
    if (letter == 'i')
        return digits(function, position, text->str, value_out);
    /* A host in C that looks for the end of a text would see less than the script gave. */
    if (memchr(text->str.p, '\0', text->str.n) != NULL) {
        PyErr_Format(PyExc_ValueError, "%s(): parameter %d: embedded null character", function, position);
        return -1;
    }
    *value_out = (iso_value){.kind = ISO_VALUE_STR, .str = text->str};
    return 0;
}

static int
take(const char *function, int position, char letter, bool optional, PyObject *object, iso_value *value_out,
     script_text *text)
{
    if (object == Py_None) {
        *value_out = (iso_value){.kind = ISO_VALUE_NONE};
        if (!optional)
            PyErr_Format(PyExc_RuntimeError, "%s(): parameter %d: mandatory parameter omitted", function, position);
        return optional ? 0 : -1;
    }
    if (PyUnicode_Check(object))
        return take_text(function, position, letter, object, value_out, text);
    if (letter != 's' && PyLong_Check(object) && !PyBool_Check(object)) {
        int overflow;
        *value_out = (iso_value){.kind = ISO_VALUE_INT, .num = PyLong_AsLongLongAndOverflow(object, &overflow)};
        if (overflow != 0)
            PyErr_Format(PyExc_OverflowError, "%s(): parameter %d does not fit 64 bits", function, position);
        return overflow != 0 ? -1 : 0;
    }
    const char *expected = letter == 's' ? "str" : letter == 'i' ? "int" : "str or int";
    PyErr_Format(PyExc_TypeError, "%s(): parameter %d must be %s%s, not %.100s", function, position, expected,
                 optional ? " or None" : "", Py_TYPE(object)->tp_name);
    return -1;
}

/* 0, or -1 with an error set; arguments_drop either way. */
static int
arguments_take(argument_list *arguments, const char *function, const char *signature, PyObject *const *args, int count)
{
    arguments->count = 0;
    if (check_count(function, signature, count) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        bool optional;
        char letter = script_parameter(signature, i, &optional);
        arguments->texts[i].owner = NULL;
        arguments->count = i + 1;
        if (take(function, i + 1, letter, optional, args[i], &arguments->values[i], &arguments->texts[i]) < 0)
            return -1;
    }
    return 0;
}

static void
arguments_drop(argument_list *arguments)
{
    for (int i = 0; i < arguments->count; i++)
        script_text_drop(&arguments->texts[i]);
}

/* ---- finding the function ---- */

static int
add_name(PyObject *dict, const char *name, size_t number)
{
    PyObject *value = PyLong_FromSize_t(number);
    PyObject *key = value == NULL ? NULL : PyUnicode_InternFromString(name);
    /* The first of a name stays: the host's goes before the engine-provided one. */
    PyObject *kept = key == NULL ? NULL : PyDict_SetDefault(dict, key, value);
    Py_XDECREF(key);
    Py_XDECREF(value);
    return kept == NULL ? -1 : 0;
}

PyObject *
script_functions_new(const script_host *host)
{
    size_t count = host == NULL ? 0 : host->function_count;
    PyObject *dict = PyDict_New();
    int failed = dict == NULL;
    for (size_t i = 0; !failed && i < count; i++)
        failed = add_name(dict, host->functions[i].name, i) < 0;
    for (size_t i = 0; !failed && i < SCRIPT_PROVIDED_COUNT; i++)
        failed = add_name(dict, script_provided_table[i].name, count + i) < 0;
    if (failed)
        Py_CLEAR(dict);
    return dict;
}

/* RuntimeError with the names that are like the one asked for. */
static void
no_such_function(PyObject *functions, PyObject *name)
{
    PyObject *key, *value, *hint = PyUnicode_FromString("");
    Py_ssize_t at = 0;
    size_t near = 2 + (size_t)PyUnicode_GET_LENGTH(name) / 4;
    const char *wanted = PyUnicode_AsUTF8(name);
    if (wanted == NULL)
        PyErr_Clear(); /* not UTF-8: like none */
    while (wanted != NULL && hint != NULL && PyDict_Next(functions, &at, &key, &value)) {
        const char *known = PyUnicode_AsUTF8(key);
        if (known != NULL && script_distance(wanted, known) < near) {
            const char *lead = PyUnicode_GET_LENGTH(hint) == 0 ? "; did you mean" : " or";
            Py_SETREF(hint, PyUnicode_FromFormat("%U%s %R", hint, lead, key));
        }
    }
    if (hint != NULL)
        PyErr_Format(PyExc_RuntimeError, "call_function(): no such function: %R%U", name, hint);
    Py_XDECREF(hint);
}

/* Its number in the table of script_state.functions, or -1 with RuntimeError. */
static Py_ssize_t
find(PyObject *functions, PyObject *name)
{
    PyObject *number = PyDict_GetItemWithError(functions, name);
    if (number != NULL)
        return PyLong_AsSsize_t(number);
    if (!PyErr_Occurred())
        no_such_function(functions, name);
    return -1;
}

/* ---- the call ---- */

/* With `text_wanted`, the result is the text that the function gave, or None. */
static PyObject *
run_host(script_msg *target, const iso_function *function, const argument_list *arguments, bool text_wanted)
{
    script_host *host = target->state->host;
    script_answer answer = {NULL, 0};
    iso_error err;
    err.code = 0;
    err.message[0] = err.traceback[0] = '\0';
    int code = host->run(host->owner, function, target->msg, target->edits, arguments->values, arguments->count,
                         &answer, &err);
    PyObject *given =
        text_wanted && answer.p != NULL && err.code == 0 ? script_str((iso_str){answer.p, answer.n}) : NULL;
    bool has_text = answer.p != NULL;
    free(answer.p);
    if (err.code == 0 && text_wanted)
        return has_text ? given : Py_NewRef(Py_None);
    if (err.code == 0)
        return PyLong_FromLong(code);
    PyObject *text = err.message[0] == '\0' ? PyUnicode_FromFormat("%s(): the host's function failed", function->name)
                                            : script_str((iso_str){err.message, strlen(err.message)});
    if (text != NULL)
        PyErr_SetObject(PyExc_RuntimeError, text);
    Py_XDECREF(text);
    return NULL;
}

static PyObject *
run_provided(script_msg *target, const script_provided *provided, const argument_list *arguments)
{
    int code;
    if (provided->run(target, arguments->values, &code) < 0)
        return NULL;
    return PyLong_FromLong(code);
}

/* Runs function `number` with the arguments for the message of a running call, or of the constructor:
 * that one is nobody's, so only the engine-provided functions take it. */
static PyObject *
run(script_msg *target, size_t number, PyObject *const *args, int count, bool text_wanted)
{
    const script_host *host = target->state->host;
    size_t host_count = host == NULL ? 0 : host->function_count;
    const iso_function *function = number < host_count ? &host->functions[number] : NULL;
    const script_provided *provided = number < host_count ? NULL : &script_provided_table[number - host_count];
    const char *name = function != NULL ? function->name : provided->name;
    const char *signature = function != NULL ? function->signature : provided->signature;
    if (function != NULL && target->own != NULL) {
        PyErr_Format(PyExc_RuntimeError, "%s(): the message was made by the script, the host does not know it", name);
        return NULL;
    }
    argument_list arguments;
    PyObject *result = NULL;
    if (arguments_take(&arguments, name, signature != NULL ? signature : "*", args, count) == 0)
        result = function != NULL ? run_host(target, function, &arguments, text_wanted)
                                  : run_provided(target, provided, &arguments);
    arguments_drop(&arguments);
    return result;
}

/* The message that a function acts on, or NULL with RuntimeError. */
static script_msg *
target_of(script_msg *self, const char *caller)
{
    script_msg *target = self->origin != NULL ? self->origin : self;
    if (script_present(self) < 0)
        return NULL;
    if (target->edits == NULL) {
        script_left(caller);
        return NULL;
    }
    return target;
}

PyObject *
script_call_function(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    script_msg *self = (script_msg *)object;
    script_msg *target = target_of(self, "call_function");
    if (target == NULL)
        return NULL;
    if (count < 1 || count > 1 + SCRIPT_MAX_ARGUMENTS) {
        PyErr_Format(PyExc_RuntimeError, "call_function() should have from 1 to %d arguments: a name and what it takes",
                     1 + SCRIPT_MAX_ARGUMENTS);
        return NULL;
    }
    if (!PyUnicode_Check(args[0])) {
        PyErr_Format(PyExc_TypeError, "call_function(): the name of the function must be str, not %.100s",
                     Py_TYPE(args[0])->tp_name);
        return NULL;
    }
    Py_ssize_t number = find(self->state->functions, args[0]);
    return number < 0 ? NULL : run(target, (size_t)number, args + 1, (int)count - 1, false);
}

/* ---- pseudo-variables: two host functions with names that are agreed on ---- */

static PyObject *
variable(PyObject *object, const char *function, PyObject *const *args, int count, bool text_wanted)
{
    script_msg *self = (script_msg *)object;
    script_msg *target = target_of(self, function);
    PyObject *name = target != NULL ? PyUnicode_InternFromString(function) : NULL;
    PyObject *number = name != NULL ? PyDict_GetItemWithError(self->state->functions, name) : NULL;
    Py_XDECREF(name);
    if (number == NULL) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_RuntimeError, "%s(): the host has no pseudo-variables", function);
        return NULL;
    }
    return run(target, (size_t)PyLong_AsSsize_t(number), args, count, text_wanted);
}

PyObject *
script_get_variable(PyObject *object, PyObject *format)
{
    return variable(object, "get_pseudoVar", &format, 1, true);
}

PyObject *
script_set_variable(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "set_pseudoVar() takes a name and a value");
    PyObject *result = variable(object, "set_pseudoVar", args, 2, false);
    Py_XDECREF(result);
    return result != NULL ? Py_NewRef(Py_None) : NULL;
}
