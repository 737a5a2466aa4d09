/* config.c: an iso_config from what Python gives: texts by name, and rows for some ranks. What it says about one
 * config, it says without an engine. */
#include "ext.h"

/* A text that the config borrows: it lives as long as self->keep. NULL with an error set. */
static const char *
kept_text(ext_config *self, PyObject *text)
{
    PyObject *octets = PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape");
    char *borrowed = NULL;
    Py_ssize_t length; /* none: a NUL inside is an error */
    if (octets == NULL || PyList_Append(self->keep, octets) < 0 ||
        PyBytes_AsStringAndSize(octets, &borrowed, &length) || strlen(borrowed) != (size_t)length) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "a setting must not contain NUL");
        }
        borrowed = NULL;
    }
    Py_XDECREF(octets);
    return borrowed;
}

static int
set_values(ext_config *self, ext_state *state, PyObject *values)
{
    PyObject *name, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(values, &at, &name, &value)) {
        if (!PyUnicode_Check(name) || !PyUnicode_Check(value)) {
            PyErr_SetString(PyExc_TypeError, "settings must be texts by their names");
            return -1;
        }
        iso_error err = {0};
        const char *key = kept_text(self, name), *text = key != NULL ? kept_text(self, value) : NULL;
        if (text == NULL) {
            return -1;
        }
        int code = iso_config_set(&self->config, key, text, &err);
        if (code < 0) {
            ext_raise(state, code, err.message, "");
            return -1;
        }
    }
    return 0;
}

static int
set_overrides(ext_config *self, PyObject *rows)
{
    Py_ssize_t count = PyTuple_GET_SIZE(rows);
    self->overrides = PyMem_Calloc((size_t)count + 1, sizeof *self->overrides);
    if (self->overrides == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        iso_override *row = &self->overrides[i];
        PyObject *item = PyTuple_GET_ITEM(rows, i), *name, *text;
        if (!PyTuple_Check(item)) {
            PyErr_SetString(PyExc_TypeError, "an override must be a tuple");
            return -1;
        }
        if (!PyArg_ParseTuple(item, "iiUU:override", &row->first, &row->last, &name, &text) ||
            (row->name = kept_text(self, name)) == NULL || (row->text = kept_text(self, text)) == NULL) {
            return -1;
        }
    }
    self->config.overrides = self->overrides;
    self->config.override_count = (size_t)count;
    return 0;
}

int
ext_config_init(ext_config *self, ext_state *state, PyObject *values, PyObject *rows)
{
    iso_config_init(&self->config);
    self->overrides = NULL;
    self->keep = PyList_New(0);
    if (self->keep == NULL || set_values(self, state, values) < 0 || set_overrides(self, rows) < 0) {
        ext_config_fini(self);
        return -1;
    }
    return 0;
}

void
ext_config_fini(ext_config *self)
{
    PyMem_Free(self->overrides);
    Py_XDECREF(self->keep);
}

/* ---- module functions ---- */

static PyObject *
decoded(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "surrogateescape");
}

PyObject *
ext_check_setting(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *name, *text;
    if (!PyArg_ParseTuple(args, "sy:check_setting", &name, &text)) {
        return NULL;
    }
    iso_config config;
    iso_error err = {0};
    iso_config_init(&config);
    if (iso_config_set(&config, name, text, &err) == 0) {
        Py_RETURN_NONE;
    }
    return PyUnicode_DecodeUTF8(err.message, (Py_ssize_t)strlen(err.message), "replace");
}

static int
parse(PyObject *module, PyObject *args, const char *format, ext_config *out, int *number_out)
{
    PyObject *values, *rows;
    if (!PyArg_ParseTuple(args, format, &PyDict_Type, &values, &PyTuple_Type, &rows, number_out)) {
        return -1;
    }
    return ext_config_init(out, PyModule_GetState(module), values, rows);
}

PyObject *
ext_check_config(PyObject *module, PyObject *args)
{
    ext_config config;
    if (parse(module, args, "O!O!:check_config", &config, NULL) < 0) {
        return NULL;
    }
    iso_error err = {0};
    iso_config_check(&config.config, &err);
    ext_config_fini(&config);
    return decoded(err.traceback);
}

/* The text of a setting, whatever its length: new reference. */
static PyObject *
setting_text(const iso_config *config, const char *name)
{
    char *text = NULL;
    int64_t length = iso_config_get(config, name, NULL, 0);
    if (length >= 0 && (text = PyMem_Malloc((size_t)length + 1)) == NULL) {
        return PyErr_NoMemory();
    }
    if (text != NULL) {
        iso_config_get(config, name, text, (size_t)length + 1);
    }
    PyObject *made = decoded(text != NULL ? text : "");
    PyMem_Free(text);
    return made;
}

PyObject *
ext_settings_of_rank(PyObject *module, PyObject *args)
{
    ext_config config;
    int number;
    if (parse(module, args, "O!O!i:settings_of_rank", &config, &number) < 0) {
        return NULL;
    }
    iso_config of_rank;
    iso_error err = {0};
    int code = iso_config_of_rank(&config.config, number, &of_rank, &err);
    PyObject *made = code == 0 ? PyDict_New() : ext_raise(PyModule_GetState(module), code, err.message, "");
    const iso_setting *row;
    for (size_t i = 0; made != NULL && (row = iso_setting_get(i)) != NULL; i++) {
        PyObject *text = setting_text(&of_rank, row->name);
        if (text == NULL || PyDict_SetItemString(made, row->name, text) < 0) {
            Py_CLEAR(made);
        }
        Py_XDECREF(text);
    }
    ext_config_fini(&config);
    return made;
}
