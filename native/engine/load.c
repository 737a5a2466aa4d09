/* load.c: the script: its path and name, its modules, mod_init, child_init and child_exit. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/states.h"
#include "own_modules_py.h"

static bool
ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* The script's absolute path and its import name: the base name without .py or .pyc, as OpenSIPS has it. */
int
iso__script_path(iso_engine *engine, iso_error *err)
{
    const char *given = engine->config.script_name;
    if (given == NULL || given[0] == '\0')
        return iso__fail(err, ISO_ECONFIG, "script_name is not set: give the path of the handler script");
    char path[PATH_MAX] = "", cwd[PATH_MAX];
    /* Not resolved: a script behind a link keeps the name and the folder of the link. */
    bool relative = given[0] != '/';
    if ((relative && getcwd(cwd, sizeof cwd) == NULL) ||
        snprintf(path, sizeof path, "%s%s%s", relative ? cwd : "", relative ? "/" : "", given) >= (int)sizeof path)
        return iso__fail(err, ISO_ESCRIPT, "script_name: cannot make an absolute path of %s", given);
    const char *base = strrchr(path, '/') + 1;
    if (!ends_with(base, ".py") && !ends_with(base, ".pyc"))
        return iso__fail(err, ISO_ESCRIPT, "script_name: %s does not look like a Python script (.py or .pyc)", given);
    if (access(path, R_OK) != 0)
        return iso__fail(err, ISO_ESCRIPT, "script_name: cannot read %s: %s", path, strerror(errno));
    engine->script_path = strdup(path);
    engine->script_module = strndup(base, (size_t)(strrchr(base, '.') - base));
    if (engine->script_path == NULL || engine->script_module == NULL)
        return iso__fail(err, ISO_ENOMEM, "no memory for the script's name");
    return 0;
}

PyObject *
iso__own_modules_new(iso_rank *rank, PyObject *table, PyObject *builtins)
{
    const iso_engine *engine = rank->engine;
    const char *path = engine->script_path;
    PyObject *presets = PyDict_New();
    PyObject *names = NULL, *own = NULL;
    if (presets != NULL && PyDict_SetItemString(presets, "log", iso__rank_rule(rank, "log")) == 0 &&
        PyDict_SetItemString(presets, "format_exception", iso__rank_rule(rank, "format_exception")) == 0)
        names = iso__run_embedded(iso__own_modules_py, "own_modules.py", presets);
    Py_XDECREF(presets);
    PyObject *made = names != NULL ? PyDict_GetItemString(names, "OwnModules") : NULL;
    PyObject *arguments[] = {
        PyUnicode_DecodeFSDefault(path),
        PyUnicode_DecodeFSDefault(engine->script_module),
        PyUnicode_DecodeFSDefaultAndSize(path, strrchr(path, '/') - path),
    };
    if (made != NULL && arguments[0] != NULL && arguments[1] != NULL && arguments[2] != NULL)
        own = PyObject_CallFunctionObjArgs(made, arguments[0], arguments[1], arguments[2], table, builtins, NULL);
    for (int i = 0; i < 3; i++)
        Py_XDECREF(arguments[i]);
    Py_XDECREF(names);
    return own;
}

/* Own modules of a rank in the main interpreter are in a table of its own (main_rank.py). */
static int
install_in_main(iso_rank *rank, iso_error *err)
{
    PyObject *opened = PyObject_CallOneArg(iso__rank_rule(rank, "open_table"), rank->script_module);
    PyObject *done = NULL;
    if (opened != NULL)
        rank->own_modules = iso__own_modules_new(rank, PyTuple_GET_ITEM(opened, 0), PyTuple_GET_ITEM(opened, 1));
    if (rank->own_modules != NULL)
        done = PyObject_CallOneArg(iso__rank_rule(rank, "attach"), rank->own_modules);
    Py_XDECREF(opened);
    if (done == NULL)
        return iso__failure_start(rank, err, ISO_EINTERP, "the rank's table of modules could not be made");
    Py_DECREF(done);
    return 0;
}

int
iso__own_modules_install(iso_rank *rank, iso_error *err)
{
    if (iso__rank_in_main(rank))
        return install_in_main(rank, err);
    rank->own_modules = iso__own_modules_new(rank, PyImport_GetModuleDict(), NULL);
    PyObject *done = rank->own_modules != NULL ? PyObject_CallMethod(rank->own_modules, "install", NULL) : NULL;
    if (done != NULL)
        Py_SETREF(done, PyObject_CallOneArg(iso__rank_rule(rank, "guard_imports"), rank->own_modules));
    if (done == NULL)
        return iso__failure_start(rank, err, ISO_EINTERP, "the interpreter could not be prepared");
    Py_DECREF(done);
    return 0;
}

static int
run_mod_init(iso_rank *rank, PyObject *module, PyObject **handler_out, iso_error *err)
{
    char what[256];
    const char *name = rank->engine->config.mod_init_function;
    PyObject *function = PyObject_GetAttrString(module, name);
    if (function == NULL || !PyCallable_Check(function)) {
        Py_XDECREF(function);
        PyErr_Clear();
        snprintf(what, sizeof what, "the script has no function %s (setting mod_init_function)", name);
        return iso__failure_start(rank, err, ISO_EINIT, what);
    }
    PyObject *handler = PyObject_CallNoArgs(function);
    Py_DECREF(function);
    if (handler == Py_None)
        Py_CLEAR(handler);
    *handler_out = handler;
    if (handler != NULL)
        return 0;
    snprintf(what, sizeof what, PyErr_Occurred() ? "%s() raised" : "%s() must return the handler object, not None",
             name);
    return iso__failure_start(rank, err, ISO_EINIT, what);
}

static int
run_child_init(iso_rank *rank, PyObject *handler, iso_error *err)
{
    char what[256];
    const char *name = rank->engine->config.child_init_method;
    PyObject *method = PyObject_GetAttrString(handler, name);
    if (method == NULL || !PyCallable_Check(method)) {
        Py_XDECREF(method);
        PyErr_Clear();
        snprintf(what, sizeof what, "the handler object has no method %s (setting child_init_method)", name);
        return iso__failure_start(rank, err, ISO_EINIT, what);
    }
    PyObject *result = PyObject_CallFunction(method, "i", rank->number);
    Py_DECREF(method);
    if (result == NULL) {
        snprintf(what, sizeof what, "%s(%d) raised", name, rank->number);
        return iso__failure_start(rank, err, ISO_EINIT, what);
    }
    int overflow = 0;
    long value = PyLong_Check(result) || PyIndex_Check(result) ? PyLong_AsLongAndOverflow(result, &overflow) : -1;
    bool is_int = PyLong_Check(result) || PyIndex_Check(result);
    if (!is_int)
        snprintf(what, sizeof what, "%s(%d) must return an int, not %.100s", name, rank->number,
                 Py_TYPE(result)->tp_name);
    else
        snprintf(what, sizeof what, "%s(%d) returned a negative number", name, rank->number);
    Py_DECREF(result);
    if (PyErr_Occurred() || !is_int || value < 0 || overflow < 0)
        return iso__failure_start(rank, err, ISO_EINIT, what);
    return 0;
}

int
iso__script_load(iso_rank *rank, PyObject **handler_out, iso_error *err)
{
    PyObject *module = PyObject_CallMethod(rank->own_modules, "load", NULL);
    if (module == NULL) {
        char what[512];
        snprintf(what, sizeof what, "the script %.400s could not be loaded", rank->engine->script_path);
        return iso__failure_start(rank, err, ISO_ESCRIPT, what);
    }
    int failed = run_mod_init(rank, module, handler_out, err);
    Py_DECREF(module);
    return failed ? failed : run_child_init(rank, *handler_out, err);
}

void
iso__child_exit(iso_rank *rank, PyObject *handler)
{
    PyObject *method = PyObject_GetAttrString(handler, "child_exit");
    PyErr_Clear();
    PyObject *result = method != NULL ? PyObject_CallFunction(method, "i", rank->number) : NULL;
    if (method != NULL && result == NULL)
        iso__failure_start(rank, NULL, ISO_EINTERNAL, "child_exit raised");
    Py_XDECREF(result);
    Py_XDECREF(method);
}
