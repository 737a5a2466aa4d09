/* methods.c: from a method's name to a call, as fast as a cached function and never stale.
 *
 * Looking a method up each time (PyObject_VectorcallMethod) costs 9 ns. A plain function that lives in the
 * handler's type is kept instead. It is right as long as the type and its version tag are the same (any
 * change of the type or its bases changes the tag) and the handler's own dict has no attribute of that
 * name: that dict is watched (PyDict_Watch, which costs the script 1 ns for each attribute that it sets),
 * and the place where the handler keeps it is compared, as a script may put another dict there.
 * Everything else (handlers with __getattr__, modules, static methods, functions put on the instance) is
 * looked up each time. */
#include <string.h>

#include "engine/methods.h"
#include "engine/states.h"

#define RANK_KEY "isoexec.rank"

/* ---- the watch over the handler's dict */

/* The capsule with the first rank of this interpreter, borrowed; NULL: it has none. */
static PyObject *
ranks_capsule(void)
{
    PyObject *names = PyInterpreterState_GetDict(PyInterpreterState_Get());
    return names != NULL ? PyDict_GetItemString(names, RANK_KEY) : NULL;
}

static iso_rank *
first_of_interpreter(void)
{
    PyObject *capsule = ranks_capsule();
    return capsule != NULL ? PyCapsule_GetPointer(capsule, RANK_KEY) : NULL;
}

static int
set_first(iso_rank *rank)
{
    PyObject *names = PyInterpreterState_GetDict(PyInterpreterState_Get());
    if (names == NULL)
        return -1;
    if (rank == NULL)
        return PyDict_DelItemString(names, RANK_KEY);
    PyObject *capsule = PyCapsule_New(rank, RANK_KEY, NULL);
    int failed = capsule == NULL || PyDict_SetItemString(names, RANK_KEY, capsule) < 0;
    Py_XDECREF(capsule);
    return failed ? -1 : 0;
}

/* A name that was not in the dict can only come in by one of these events; a dict that goes away must not
 * be taken for a new one at its address. */
static int
handler_dict_changed(PyDict_WatchEvent event, PyObject *dict, PyObject *key, PyObject *Py_UNUSED(value))
{
    if (event != PyDict_EVENT_ADDED && event != PyDict_EVENT_CLONED && event != PyDict_EVENT_DEALLOCATED)
        return 0;
    iso_rank *rank = first_of_interpreter();
    while (rank != NULL && rank->handler_dict != dict)
        rank = rank->next_of_interpreter;
    if (rank == NULL)
        return 0;
    if (event == PyDict_EVENT_DEALLOCATED)
        rank->handler_dict = NULL;
    for (int i = 0; i < rank->method_count; i++) {
        iso__method *method = rank->methods[i];
        if (event != PyDict_EVENT_ADDED || key == method->str || !PyUnicode_CheckExact(key) ||
            PyUnicode_Compare(key, method->str) == 0)
            method->type = NULL;
    }
    return 0;
}

int
iso__methods_install(iso_rank *rank)
{
    iso_rank *first = first_of_interpreter();
    int watcher = first != NULL ? first->watcher : PyDict_AddWatcher(handler_dict_changed);
    if (watcher < 0 || set_first(rank) < 0)
        return -1;
    rank->next_of_interpreter = first;
    rank->watcher = watcher;
    return 0;
}

/* CPython has 8 watchers for an interpreter, so the last rank gives its back. */
static void
uninstall(iso_rank *rank)
{
    iso_rank *first = first_of_interpreter();
    if (first == rank) {
        if (rank->next_of_interpreter == NULL && PyDict_ClearWatcher(rank->watcher) < 0)
            PyErr_Clear();
        if (set_first(rank->next_of_interpreter) < 0)
            PyErr_Clear();
    }
    for (iso_rank *at = first; at != NULL; at = at->next_of_interpreter) {
        if (at->next_of_interpreter == rank)
            at->next_of_interpreter = rank->next_of_interpreter;
    }
    rank->watcher = -1;
    rank->handler_dict = NULL;
}

/* Watches the dict that the handler has now. false: it can not be watched, so nothing may be kept. */
static bool
watch_handler(iso_rank *rank)
{
    rank->handler_dict = NULL;
    rank->handler_dict_place = _PyObject_GetDictPtr(rank->handler);
    if (rank->handler_dict_place == NULL)
        return true; /* no dict, no attributes of its own */
    PyObject *dict = PyObject_GenericGetDict(rank->handler, NULL); /* makes it */
    bool watched = dict != NULL && PyDict_Watch(rank->watcher, dict) == 0;
    if (watched)
        rank->handler_dict = dict; /* borrowed from the handler, compared only */
    PyErr_Clear();
    Py_XDECREF(dict);
    return watched;
}

/* ---- methods by name */

static iso__method *
method_new(const char *name)
{
    iso__method *method = PyMem_RawCalloc(1, sizeof *method);
    if (method == NULL)
        return NULL;
    strcpy(method->name, name);
    method->str = PyUnicode_InternFromString(name);
    if (method->str == NULL) {
        PyErr_Clear();
        PyMem_RawFree(method);
        return NULL;
    }
    return method;
}

static iso__method *
method_known(iso_rank *rank, const char *name)
{
    for (int i = 0; i < rank->method_count; i++) {
        if (strcmp(rank->methods[i]->name, name) == 0)
            return rank->methods[i];
    }
    return NULL;
}

/* NULL: not remembered (the name is too long, the table is full, or the handler has no such method, so
 * that calls of names that do not exist can not fill it). */
static iso__method *
method_add(iso_rank *rank, const char *name)
{
    if (strlen(name) >= ISO__METHOD_NAME || rank->method_count == ISO__METHOD_TABLE)
        return NULL;
    PyObject *found = PyObject_GetAttrString(rank->handler, name);
    if (found == NULL) {
        PyErr_Clear();
        return NULL;
    }
    Py_DECREF(found);
    iso__method *method = method_new(name);
    if (method != NULL)
        rank->methods[rank->method_count++] = method;
    return method;
}

iso__method *
iso__method_search(iso_rank *rank, const char *name, iso__method **memo)
{
    iso__method *method = method_known(rank, name);
    if (method == NULL)
        method = method_add(rank, name);
    if (method != NULL)
        *memo = method;
    return method;
}

/* Remembers what `attribute` is if it is a plain method of the type. */
static void
remember(iso_rank *rank, iso__method *method, PyObject *attribute)
{
    PyTypeObject *type = Py_TYPE(rank->handler);
    method->type = NULL;
    Py_CLEAR(method->function);
    if (!PyMethod_Check(attribute) || PyMethod_GET_SELF(attribute) != rank->handler ||
        !PyFunction_Check(PyMethod_GET_FUNCTION(attribute)) || type->tp_getattro != PyObject_GenericGetAttr)
        return;
    if (!watch_handler(rank) || type->tp_version_tag == 0)
        return;
    if (rank->handler_dict != NULL && PyDict_Contains(rank->handler_dict, method->str) != 0) {
        PyErr_Clear();
        return;
    }
    method->type = type;
    method->version = type->tp_version_tag;
    method->function = Py_NewRef(PyMethod_GET_FUNCTION(attribute));
}

/* Whether the handler's type has the name: then an AttributeError is that of a property's own code. */
static bool
type_has(iso_rank *rank, const char *name)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *found = PyObject_GetAttrString((PyObject *)Py_TYPE(rank->handler), name);
    PyErr_Clear();
    PyErr_SetRaisedException(error);
    Py_XDECREF(found);
    return found != NULL;
}

static PyObject *
look_up(iso_rank *rank, iso__method *method, const char *name, bool *missing)
{
    PyObject *attribute =
        method != NULL ? PyObject_GetAttr(rank->handler, method->str) : PyObject_GetAttrString(rank->handler, name);
    if (attribute != NULL && !PyCallable_Check(attribute)) {
        Py_CLEAR(attribute);
        *missing = true;
    } else if (attribute == NULL) {
        *missing = PyErr_ExceptionMatches(PyExc_AttributeError) && !type_has(rank, name);
    }
    return attribute;
}

PyObject *
iso__method_look_up(iso_rank *rank, iso__method *method, const char *name, PyObject **args, size_t nargs, bool *missing)
{
    PyErr_Clear(); /* of the name that could not be remembered */
    PyObject *attribute = look_up(rank, method, name, missing);
    if (attribute == NULL)
        return NULL;
    if (method != NULL)
        remember(rank, method, attribute);
    PyObject *result = PyObject_Vectorcall(attribute, args + 2, nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(attribute);
    return result;
}

void
iso__methods_reset(iso_rank *rank)
{
    if (rank->handler_dict != NULL && PyDict_Unwatch(rank->watcher, rank->handler_dict) < 0)
        PyErr_Clear();
    rank->handler_dict = NULL;
    rank->handler_dict_place = NULL;
    for (int i = 0; i < rank->method_count; i++) {
        Py_CLEAR(rank->methods[i]->function);
        Py_CLEAR(rank->methods[i]->str);
        PyMem_RawFree(rank->methods[i]);
    }
    rank->method_count = 0;
    memset(rank->memo, 0, sizeof rank->memo);
    memset(rank->named, 0, sizeof rank->named);
}

void
iso__methods_clear(iso_rank *rank)
{
    iso__methods_reset(rank);
    if (rank->watcher >= 0)
        uninstall(rank);
}
