/* config.c: fills an iso_config from a dict, and names every problem at once. */
#include "ext.h"

/* Times as Python has them, to the nanosecond. */
static const char *
seconds_text(double seconds, char text[40])
{
    PyOS_snprintf(text, 40, "%.9f", seconds);
    return text;
}

/* The setting's text: new reference to bytes. */
static PyObject *
setting_text(PyObject *value)
{
    PyObject *text;
    char seconds[40];
    if (PyBool_Check(value)) {
        return PyBytes_FromString(value == Py_True ? "1" : "0");
    }
    if (PyUnicode_Check(value)) {
        text = Py_NewRef(value);
    } else if (PyLong_Check(value)) {
        text = PyObject_Str(value);
    } else if (PyFloat_Check(value)) {
        text = PyUnicode_FromFormat("%s", seconds_text(PyFloat_AS_DOUBLE(value), seconds));
    } else {
        PyErr_Format(PyExc_TypeError, "a setting must be str, int, float, bool or None, not %.100s",
                     Py_TYPE(value)->tp_name);
        return NULL;
    }
    PyObject *octets = text == NULL ? NULL : PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape");
    Py_XDECREF(text);
    return octets;
}

static int
set_one(iso_config *config, PyObject *name, PyObject *value, PyObject *keep, PyObject *problems)
{
    PyObject *octets = setting_text(value);
    int failed = octets == NULL || PyList_Append(keep, octets) < 0;
    Py_XDECREF(octets);
    const char *key = failed ? NULL : PyUnicode_AsUTF8(name);
    if (key == NULL) {
        return -1;
    }
    iso_error err = {0};
    if (strlen(PyBytes_AS_STRING(octets)) != (size_t)PyBytes_GET_SIZE(octets)) {
        PyOS_snprintf(err.message, sizeof err.message, "setting %.100s must not contain NUL", key);
    } else if (iso_config_set(config, key, PyBytes_AS_STRING(octets), &err) == 0) {
        return 0;
    }
    PyObject *text = PyUnicode_DecodeUTF8(err.message, (Py_ssize_t)strlen(err.message), "replace");
    failed = text == NULL || PyList_Append(problems, text) < 0;
    Py_XDECREF(text);
    return failed ? -1 : 0;
}

static int
raise_problems(ext_state *state, PyObject *problems)
{
    PyObject *separator = PyUnicode_FromString("; ");
    PyObject *joined = separator == NULL ? NULL : PyUnicode_Join(separator, problems);
    const char *text = joined == NULL ? NULL : PyUnicode_AsUTF8(joined);
    if (text != NULL) {
        ext_raise(state, ISO_ECONFIG, text, "");
    }
    Py_XDECREF(separator);
    Py_XDECREF(joined);
    return -1;
}

int
ext_config_fill(ext_state *state, iso_config *config, PyObject *values, PyObject *keep)
{
    PyObject *problems = PyList_New(0);
    if (problems == NULL) {
        return -1;
    }
    PyObject *name, *value;
    Py_ssize_t at = 0;
    int code = 0;
    while (code == 0 && PyDict_Next(values, &at, &name, &value)) {
        if (value != Py_None) {
            code = set_one(config, name, value, keep, problems);
        }
    }
    if (code == 0 && PyList_GET_SIZE(problems) != 0) {
        code = raise_problems(state, problems);
    }
    Py_DECREF(problems);
    return code;
}
