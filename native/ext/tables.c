/* tables.c: module functions that hand the library's tables to Python: settings, errors, statistics. */
#include "ext.h"

#include <dlfcn.h>

static PyObject *
table_version(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyUnicode_FromString(iso_version());
}

static PyObject *
table_settings(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObject *list = PyList_New(0);
    const iso_setting *row;
    for (size_t i = 0; list != NULL && (row = iso_setting_get(i)) != NULL; i++) {
        PyObject *item = Py_BuildValue("(ssssssLLs)", row->name, row->type, row->scope, row->choices, row->default_text,
                                       row->range_text, (long long)row->min, (long long)row->max, row->doc);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *
table_errors(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
#define ERROR_ROW(name, number, text) {#name, number},
    static const struct {
        const char *name;
        int number;
    } rows[] = {ISO_ERROR_LIST(ERROR_ROW)};
#undef ERROR_ROW
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < sizeof rows / sizeof rows[0]; i++) {
        PyObject *item = Py_BuildValue("(sis)", rows[i].name, rows[i].number, iso_strerror(rows[i].number));
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *
table_outcomes(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObject *names = PyTuple_New(ISO_OUTCOME_COUNT);
    for (int i = 0; names != NULL && i < ISO_OUTCOME_COUNT; i++) {
        PyObject *name = PyUnicode_FromString(iso_outcome_name(i));
        if (name == NULL) {
            Py_CLEAR(names);
        } else {
            PyTuple_SET_ITEM(names, i, name);
        }
    }
    return names;
}

static PyObject *
table_quantile(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer view;
    double p;
    uint64_t histogram[ISO_HISTOGRAM_BUCKETS];
    if (!PyArg_ParseTuple(args, "y*d:histogram_quantile", &view, &p)) {
        return NULL;
    }
    int right = view.len == (Py_ssize_t)sizeof histogram && p >= 0.0 && p <= 1.0;
    if (right) {
        memcpy(histogram, view.buf, sizeof histogram);
    }
    PyBuffer_Release(&view);
    if (!right) {
        PyErr_SetString(PyExc_ValueError, "a histogram and a number from 0 to 1 are needed");
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(iso_histogram_quantile(histogram, p));
}

static PyObject *
table_floors(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObject *floors = PyTuple_New(ISO_HISTOGRAM_BUCKETS);
    for (size_t i = 0; floors != NULL && i < ISO_HISTOGRAM_BUCKETS; i++) {
        PyObject *number = PyLong_FromUnsignedLongLong(iso_histogram_floor(i));
        if (number == NULL) {
            Py_CLEAR(floors);
        } else {
            PyTuple_SET_ITEM(floors, (Py_ssize_t)i, number);
        }
    }
    return floors;
}

static PyObject *
table_script_module(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    ext_state *state = PyModule_GetState(module);
    if (state->script_module == NULL) {
        state->script_module = iso_script_module();
    }
    return Py_XNewRef(state->script_module);
}

static PyObject *
table_loaded_path(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    Dl_info info;
    if (dladdr((const void *)(uintptr_t)iso_version, &info) == 0 || info.dli_fname == NULL) {
        PyErr_SetString(PyExc_OSError, "the path of libisoexec is not known");
        return NULL;
    }
    return PyUnicode_DecodeFSDefault(info.dli_fname);
}

PyMethodDef ext_table_methods[] = {
    {"version", table_version, METH_NOARGS, "version()\n--\n\nVersion of the loaded library."},
    {"settings", table_settings, METH_NOARGS,
     "settings()\n--\n\n(name, type, scope, choices, default, range, min, max, doc) of each setting."},
    {"check_setting", ext_check_setting, METH_VARARGS,
     "check_setting(name, text, /)\n--\n\nWhat is wrong with a setting, or None."},
    {"check_config", ext_check_config, METH_VARARGS,
     "check_config(settings, overrides, /)\n--\n\nEvery problem of settings together, one a line."},
    {"settings_of_rank", ext_settings_of_rank, METH_VARARGS,
     "settings_of_rank(settings, overrides, number, /)\n--\n\nThe text of each setting that a rank gets."},
    {"errors", table_errors, METH_NOARGS, "errors()\n--\n\n(name, number, text) of each error code."},
    {"outcomes", table_outcomes, METH_NOARGS, "outcomes()\n--\n\nNames of the outcomes, by number."},
    {"histogram_quantile", table_quantile, METH_VARARGS,
     "histogram_quantile(histogram, p, /)\n--\n\nThe p-quantile in ns, 0 if empty."},
    {"histogram_floors", table_floors, METH_NOARGS, "histogram_floors()\n--\n\nLower bound in ns of each bucket."},
    {"script_module", table_script_module, METH_NOARGS,
     "script_module()\n--\n\nThe OpenSIPS module of this interpreter: SIPMsg and its types."},
    {"loaded_path", table_loaded_path, METH_NOARGS, "loaded_path()\n--\n\nThe file that libisoexec was loaded from."},
    {NULL, NULL, 0, NULL},
};
