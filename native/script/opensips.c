/* opensips.c: the module OpenSIPS, one object per interpreter: the log functions and the message types.
 *
 * PyModuleDef and the slot and method tables are the only statics; they hold no object. The first use of
 * a PyModuleDef writes its number, so the engine makes the modules under its creation lock. */
#include <string.h>

#include "script/sipmsg.h"
#include "script/text.h"

/* ---- log ---- */

static int
log_to_stderr(const char *level, PyObject *text)
{
    PyObject *file = PySys_GetObject("stderr");
    if (file == NULL || file == Py_None)
        return 0;
    PyObject *line = PyUnicode_FromFormat("%s %U\n", level, text);
    int failed = line == NULL;
    if (!failed) {
        Py_INCREF(file); /* writing may run code that replaces sys.stderr */
        failed = PyFile_WriteObject(line, file, Py_PRINT_RAW);
        Py_DECREF(file);
    }
    Py_XDECREF(line);
    return failed;
}

static PyObject *
log_text(PyObject *module, PyObject *object, int level, const char *function)
{
    const script_host *host = script_module_state(module)->host;
    script_text text;
    int failed = script_argument(object, function, "the text", &text);
    if (!failed && memchr(text.str.p, '\0', text.str.n) != NULL) {
        PyErr_Format(PyExc_ValueError, "%s(): embedded null character", function);
        failed = -1;
    }
    if (!failed && host != NULL)
        host->log(host->owner, level, text.str);
    else if (!failed)
        failed = log_to_stderr(function + sizeof "LM_" - 1, object);
    script_text_drop(&text);
    return failed ? NULL : Py_NewRef(Py_None);
}

#define LEVELS(X) X(ALERT) X(CRIT) X(ERR) X(WARN) X(NOTICE) X(INFO) X(DBG)

#define LOG_FUNCTION(level)                                                                                            \
    static PyObject *log_##level(PyObject *module, PyObject *text)                                                     \
    {                                                                                                                  \
        return log_text(module, text, ISO_LOG_##level, "LM_" #level);                                                  \
    }
LEVELS(LOG_FUNCTION)

#define LOG_METHOD(level) {"LM_" #level, log_##level, METH_O, "LM_" #level "(text): logs exactly this text."},
static PyMethodDef module_methods[] = {LEVELS(LOG_METHOD){NULL, NULL, 0, NULL}};

/* ---- module ---- */

static int
module_exec(PyObject *module)
{
    script_state *state = script_module_state(module);
    state->type_request = PyUnicode_InternFromString("SIP_REQUEST");
    state->type_reply = PyUnicode_InternFromString("SIP_REPLY");
    if (state->type_request == NULL || state->type_reply == NULL)
        return -1;
    for (int i = ISO_METHOD_OTHER + 1; i < ISO_METHOD_COUNT; i++) {
        state->methods[i] = PyUnicode_InternFromString(iso__method_names[i]);
        if (state->methods[i] == NULL)
            return -1;
    }
    state->deadline_exceeded = PyErr_NewExceptionWithDoc(
        "OpenSIPS.DeadlineExceeded",
        "A call took longer than its deadline. Not an Exception: `except Exception` lets it pass.", PyExc_BaseException,
        NULL);
    if (state->deadline_exceeded == NULL ||
        PyModule_AddObjectRef(module, "DeadlineExceeded", state->deadline_exceeded) < 0)
        return -1;
    return script_types_make(module, state);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    script_state *state = script_module_state(module);
    Py_VISIT(state->base);
    Py_VISIT(state->request);
    Py_VISIT(state->reply);
    Py_VISIT(state->type_request);
    Py_VISIT(state->type_reply);
    for (int i = 0; i < ISO_METHOD_COUNT; i++)
        Py_VISIT(state->methods[i]);
    Py_VISIT(state->deadline_exceeded);
    Py_VISIT(state->functions);
    return 0;
}

static int
module_clear(PyObject *module)
{
    script_state *state = script_module_state(module);
    Py_CLEAR(state->base);
    Py_CLEAR(state->request);
    Py_CLEAR(state->reply);
    Py_CLEAR(state->type_request);
    Py_CLEAR(state->type_reply);
    for (int i = 0; i < ISO_METHOD_COUNT; i++)
        Py_CLEAR(state->methods[i]);
    Py_CLEAR(state->deadline_exceeded);
    Py_CLEAR(state->functions);
    return 0;
}

static void
module_free(void *module)
{
    module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_USED}, /* slot.h counts on the GIL */
#endif
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "OpenSIPS",
    .m_doc = "What a handler script sees of its host: the log, and the types of messages.",
    .m_size = sizeof(script_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

script_state *
script_module_state(PyObject *module)
{
    return PyModule_GetState(module);
}

/* ModuleSpec("OpenSIPS", None): the type is there before any file can be imported. */
static PyObject *
spec_new(void)
{
    PyObject *frozen = PyImport_ImportModule("_frozen_importlib");
    PyObject *spec = frozen == NULL ? NULL : PyObject_CallMethod(frozen, "ModuleSpec", "sO", "OpenSIPS", Py_None);
    Py_XDECREF(frozen);
    return spec;
}

PyObject *
script_module_new(script_host *host)
{
    PyObject *spec = spec_new();
    PyObject *module = spec == NULL ? NULL : PyModule_FromDefAndSpec(&module_def, spec);
    if (module != NULL &&
        (PyModule_ExecDef(module, &module_def) < 0 || PyObject_SetAttrString(module, "__spec__", spec) < 0))
        Py_CLEAR(module);
    Py_XDECREF(spec);
    if (module != NULL) {
        script_state *state = script_module_state(module);
        state->host = host;
        state->functions = script_functions_new(host);
        if (state->functions == NULL)
            Py_CLEAR(module);
    }
    return module;
}
