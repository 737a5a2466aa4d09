/* module.c: isoexec._native, multi-phase, for the main interpreter only: ranks never import it. */
#include "ext.h"

static int
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **out)
{
    *out = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *out == NULL ? -1 : PyModule_AddType(module, *out);
}

static PyObject *
import_name(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *value = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    Py_XDECREF(module);
    return value;
}

static int
module_exec(PyObject *module)
{
    ext_state *state = PyModule_GetState(module);
    if (ext_values_init(state, module) < 0 || add_type(module, &ext_engine_spec, &state->engine_type) < 0 ||
        add_type(module, &ext_rank_spec, &state->rank_type) < 0 ||
        add_type(module, &ext_result_spec, &state->result_type) < 0 ||
        add_type(module, &ext_task_spec, &state->task_type) < 0 ||
        add_type(module, &ext_call_spec, &state->call_type) < 0 ||
        add_type(module, &ext_log_queue_spec, &state->log_queue_type) < 0) {
        return -1;
    }
    state->make_error = import_name("isoexec.errors", "error_from_code");
    state->closed_error = import_name("isoexec.errors", "EngineClosedError");
    state->format_exception = import_name("traceback", "format_exception");
    return PyErr_Occurred() ? -1 : 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    ext_state *state = PyModule_GetState(module);
    Py_VISIT(state->engine_type);
    Py_VISIT(state->rank_type);
    Py_VISIT(state->result_type);
    Py_VISIT(state->task_type);
    Py_VISIT(state->call_type);
    Py_VISIT(state->log_queue_type);
    Py_VISIT(state->edit_type);
    Py_VISIT(state->make_error);
    Py_VISIT(state->closed_error);
    Py_VISIT(state->format_exception);
    Py_VISIT(state->script_module);
    return 0;
}

static void
clear_names(PyObject **names, int n)
{
    for (int i = 0; i < n; i++) {
        Py_CLEAR(names[i]);
    }
}

static int
module_clear(PyObject *module)
{
    ext_state *state = PyModule_GetState(module);
    ext_reused_clear(&state->free_results, state->result_type);
    ext_reused_clear(&state->free_tasks, state->task_type);
    Py_CLEAR(state->engine_type);
    Py_CLEAR(state->rank_type);
    Py_CLEAR(state->result_type);
    Py_CLEAR(state->task_type);
    Py_CLEAR(state->call_type);
    Py_CLEAR(state->log_queue_type);
    Py_CLEAR(state->edit_type);
    Py_CLEAR(state->make_error);
    Py_CLEAR(state->closed_error);
    Py_CLEAR(state->format_exception);
    Py_CLEAR(state->script_module);
    Py_CLEAR(state->messages);
    clear_names(state->keywords, EXT_KEYWORDS);
    clear_names(state->routes, ISO_ROUTE_BRANCH + 1);
    clear_names(state->outcomes, ISO_OUTCOME_COUNT);
    clear_names(state->edit_kinds, EXT_EDIT_KINDS);
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,         .m_name = "isoexec._native",    .m_doc = "The engine for Python programs.",
    .m_size = sizeof(ext_state),   .m_methods = ext_table_methods, .m_slots = module_slots,
    .m_traverse = module_traverse, .m_clear = module_clear,        .m_free = module_free,
};

PyMODINIT_FUNC PyInit__native(void); /* called by the import system */

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&module_def);
}
