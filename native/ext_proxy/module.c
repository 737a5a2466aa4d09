/* module.c: isoexec._proxy, the proxy for `isoexec serve`: thin functions over capsules, main interpreter only.
 *
 * The engine and the log come from isoexec._native as capsules, so that the proxy's lines reach logging as the
 * engine's do. Every call into the proxy gives the thread state up first (isoexec.h, Threads). */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "proxy/isoproxy.h"

#define PROXY_CAPSULE "isoexec.proxy"

static isoproxy *
proxy_of(PyObject *capsule)
{
    return PyCapsule_GetPointer(capsule, PROXY_CAPSULE);
}

static PyObject *
module_settings(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObject *list = PyList_New(0);
    const iso_setting *row;
    for (size_t i = 0; list != NULL && (row = isoproxy_setting_get(i)) != NULL; i++) {
        PyObject *entry = Py_BuildValue("(sssssss)", row->name, row->type, row->scope, row->choices, row->default_text,
                                        row->range_text, row->doc);
        if (entry == NULL || PyList_Append(list, entry) < 0)
            Py_CLEAR(list);
        Py_XDECREF(entry);
    }
    return list;
}

static PyObject *
module_functions(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    const iso_function *rows;
    size_t count = isoproxy_functions(&rows);
    PyObject *capsule = PyCapsule_New((void *)rows, "isoexec.functions", NULL);
    if (capsule != NULL && PyCapsule_SetContext(capsule, (void *)count) < 0)
        Py_CLEAR(capsule);
    return capsule;
}

/* Raises RuntimeError(code, message, traceback), which isoexec.cli.serve turns into the error of that code. */
static PyObject *
raise_error(const iso_error *err)
{
    PyObject *values = Py_BuildValue("(sss)", iso_error_name(err->code), err->message, err->traceback);
    if (values != NULL)
        PyErr_SetObject(PyExc_RuntimeError, values);
    Py_XDECREF(values);
    return NULL;
}

/* 0, or -1 with an error set. The texts live as long as `pairs`. */
static int
read_settings(isoproxy_config *config, PyObject *pairs)
{
    iso_error err;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pairs); i++) {
        const char *name, *text;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(pairs, i), "ss", &name, &text))
            return -1;
        if (isoproxy_config_set(config, name, text, &err) < 0) {
            raise_error(&err);
            return -1;
        }
    }
    return 0;
}

static PyObject *
module_start(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *engine, *log, *pairs;
    int ranks;
    isoproxy_config config;
    isoproxy_config_init(&config);
    if (!PyArg_ParseTuple(args, "OOiO!", &engine, &log, &ranks, &PyTuple_Type, &pairs))
        return NULL;
    iso_engine *handle = PyCapsule_GetPointer(engine, "isoexec.engine");
    config.log_user = handle == NULL ? NULL : PyCapsule_GetPointer(log, "isoexec.log");
    if (config.log_user == NULL || read_settings(&config, pairs) < 0)
        return NULL;
    config.log = (iso_log_fn)PyCapsule_GetContext(log);
    isoproxy *proxy = NULL;
    iso_error err = {0};
    int code;
    Py_BEGIN_ALLOW_THREADS;
    code = isoproxy_start(&proxy, &config, handle, ranks, &err);
    Py_END_ALLOW_THREADS;
    return code < 0 ? raise_error(&err) : PyCapsule_New(proxy, PROXY_CAPSULE, NULL);
}

static PyObject *
module_addresses(PyObject *Py_UNUSED(module), PyObject *capsule)
{
    isoproxy *proxy = proxy_of(capsule);
    char text[ISOPROXY_ADDRESS_TEXT];
    PyObject *list = proxy == NULL ? NULL : PyList_New(0);
    for (size_t i = 0; list != NULL && isoproxy_address(proxy, i, text) > 0; i++) {
        PyObject *address = PyUnicode_FromString(text);
        if (address == NULL || PyList_Append(list, address) < 0)
            Py_CLEAR(list);
        Py_XDECREF(address);
    }
    return list;
}

static PyObject *
module_log_statistics(PyObject *Py_UNUSED(module), PyObject *capsule)
{
    isoproxy *proxy = proxy_of(capsule);
    if (proxy == NULL)
        return NULL;
    isoproxy_log_statistics(proxy);
    Py_RETURN_NONE;
}

static PyObject *
module_stop(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *capsule;
    int grace_ms, stuck;
    if (!PyArg_ParseTuple(args, "Oi", &capsule, &grace_ms))
        return NULL;
    isoproxy *proxy = proxy_of(capsule);
    if (proxy == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    stuck = isoproxy_stop(proxy, grace_ms);
    Py_END_ALLOW_THREADS;
    return PyLong_FromLong(stuck);
}

static PyObject *
module_hurry(PyObject *Py_UNUSED(module), PyObject *capsule)
{
    isoproxy *proxy = proxy_of(capsule);
    if (proxy == NULL)
        return NULL;
    isoproxy_hurry(proxy);
    Py_RETURN_NONE;
}

static PyObject *
module_notify(PyObject *Py_UNUSED(module), PyObject *value)
{
    const char *text = PyUnicode_AsUTF8(value);
    if (text == NULL)
        return NULL;
    isoproxy_notify(text);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"settings", module_settings, METH_NOARGS,
     "settings($module, /)\n--\n\n(name, type, scope, choices, default, range, doc) of each setting of a proxy."},
    {"functions", module_functions, METH_NOARGS,
     "functions($module, /)\n--\n\nThe host functions, as a capsule for isoexec._native.Engine."},
    {"start", module_start, METH_VARARGS,
     "start($module, engine, log, ranks, settings, /)\n--\n\nStarts a proxy: a capsule. Raises RuntimeError(code, "
     "message, traceback)."},
    {"addresses", module_addresses, METH_O, "addresses($module, proxy, /)\n--\n\nWhat is listened on."},
    {"log_statistics", module_log_statistics, METH_O, "log_statistics($module, proxy, /)\n--\n\nOne line of counters."},
    {"stop", module_stop, METH_VARARGS,
     "stop($module, proxy, grace_ms, /)\n--\n\nStops it; the number of workers that are stuck."},
    {"hurry", module_hurry, METH_O, "hurry($module, proxy, /)\n--\n\nEnds the grace time of a stop that waits."},
    {"notify", module_notify, METH_O, "notify($module, text, /)\n--\n\nTells systemd, if it wants to know."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "isoexec._proxy", .m_doc = "The SIP proxy for isoexec serve.",
    .m_methods = methods,  .m_slots = slots,
};

PyMODINIT_FUNC PyInit__proxy(void); /* called by the import system */

PyMODINIT_FUNC
PyInit__proxy(void)
{
    return PyModuleDef_Init(&definition);
}
