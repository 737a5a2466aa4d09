/* rules.c: installs rank_rules.py and rank_settings.py, or main_rank.py, in a rank, and gives them C functions.
 * Runs with the rank attached. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/states.h"

#include <marshal.h>

#include "engine/units.h"
#include "main_library_py.h"
#include "main_rank_py.h"
#include "rank_rules_py.h"
#include "rank_settings_py.h"

#define RANK_CAPSULE "isoexec.rank"

/* ---- code that is compiled into the library */

/* A compiled program as octets that belong to no interpreter: each rank unmarshals it in 0.1 ms where
 * compiling takes 5. Published once, never freed. */
typedef struct program {
    const char *source;
    Py_ssize_t size;
    char octets[];
} program;

#define PROGRAMS 8 /* at least one for each embedded file; what finds no place is compiled each time */
static _Atomic(program *) programs[PROGRAMS];

static program *
program_find(const char *source)
{
    for (size_t i = 0; i < PROGRAMS; i++) {
        program *known = atomic_load(&programs[i]);
        if (known != NULL && known->source == source)
            return known;
    }
    return NULL;
}

static void
program_publish(const char *source, PyObject *code)
{
    PyObject *bytes = PyMarshal_WriteObjectToString(code, Py_MARSHAL_VERSION);
    if (bytes == NULL) {
        PyErr_Clear(); /* compiled again next time */
        return;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(bytes);
    program *made = malloc(sizeof *made + (size_t)size);
    if (made != NULL) {
        made->source = source;
        made->size = size;
        memcpy(made->octets, PyBytes_AS_STRING(bytes), (size_t)size);
        size_t i = 0;
        program *nothing = NULL;
        while (i < PROGRAMS && !atomic_compare_exchange_strong(&programs[i], &nothing, made)) {
            nothing = NULL;
            i++;
        }
        if (i == PROGRAMS)
            free(made); /* another rank was first */
    }
    Py_DECREF(bytes);
}

PyObject *
iso__run_embedded(const char *source, const char *name, PyObject *presets)
{
    char file[64];
    snprintf(file, sizeof file, "<isoexec %s>", name);
    const program *known = program_find(source);
    PyObject *code = known != NULL ? PyMarshal_ReadObjectFromString(known->octets, known->size)
                                   : Py_CompileString(source, file, Py_file_input);
    if (code == NULL)
        return NULL;
    if (known == NULL)
        program_publish(source, code);
    PyObject *names = presets != NULL ? PyDict_Copy(presets) : NULL;
    PyObject *label = PyUnicode_FromFormat("isoexec.%s", name);
    PyObject *result = NULL;
    if (names != NULL && label != NULL && PyDict_SetItemString(names, "__name__", label) == 0 &&
        PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins()) == 0)
        result = PyEval_EvalCode(code, names, names);
    Py_DECREF(code);
    Py_XDECREF(label);
    if (result == NULL)
        Py_CLEAR(names);
    Py_XDECREF(result);
    return names;
}

/* ---- what rank_rules.py can do in C */

/* The capsule outlives a rank in the main interpreter, with objects of the script that nobody has freed yet.
 * Then NULL. */
static iso_rank *
rank_of(PyObject *capsule)
{
    return PyCapsule_GetContext(capsule) == NULL ? PyCapsule_GetPointer(capsule, RANK_CAPSULE) : NULL;
}

/* write(stream, text), or write() to let go of unfinished lines. */
static PyObject *
rules_write(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    iso_rank *rank = rank_of(self);
    if (rank == NULL)
        Py_RETURN_NONE;
    if (nargs != 2) {
        iso__log_output_flush(rank);
        Py_RETURN_NONE;
    }
    long stream = PyLong_AsLong(args[0]);
    if (stream == -1 && PyErr_Occurred())
        return NULL;
    PyObject *bytes = PyUnicode_AsEncodedString(args[1], "utf-8", "surrogateescape");
    if (bytes == NULL)
        return NULL;
    iso__log_output(rank, (int)stream, (iso_str){PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)});
    Py_DECREF(bytes);
    Py_RETURN_NONE;
}

static PyObject *
rules_log(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    iso_rank *rank = rank_of(self);
    if (rank == NULL)
        Py_RETURN_NONE;
    if (nargs != 2 || !PyUnicode_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "log(level: int, text: str)");
    long level = PyLong_AsLong(args[0]);
    if (level == -1 && PyErr_Occurred())
        return NULL;
    PyObject *bytes = PyUnicode_AsEncodedString(args[1], "utf-8", "surrogateescape");
    if (bytes == NULL)
        return NULL;
    iso__log_script(rank, (int)level, (iso_str){PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)});
    Py_DECREF(bytes);
    Py_RETURN_NONE;
}

typedef struct extension {
    const char *name;
    const char *origin;
    char failed[512];
} extension;

static int
load_extension(void *argument)
{
    extension *wanted = argument;
    iso__main_load_extension(wanted->name, wanted->origin, wanted->failed, sizeof wanted->failed);
    return 0;
}

/* Runs on whichever thread of the rank imports, so that thread's own state is let go meanwhile. */
static PyObject *
rules_load_in_main(PyObject *Py_UNUSED(self), PyObject *const *args, Py_ssize_t nargs)
{
    extension wanted = {NULL, NULL, ""};
    if (nargs == 2 && PyUnicode_Check(args[0]) && PyUnicode_Check(args[1])) {
        wanted.name = PyUnicode_AsUTF8(args[0]);
        wanted.origin = wanted.name != NULL ? PyUnicode_AsUTF8(args[1]) : NULL;
    }
    if (wanted.origin == NULL) {
        PyErr_Clear(); /* no path that main could load; the rank's own attempt says why */
        Py_RETURN_NONE;
    }
    PyThreadState *own = iso__main_detach();
    iso__runtime_main(load_extension, &wanted);
    iso__main_attach(own);
    if (wanted.failed[0] != '\0')
        return PyUnicode_DecodeUTF8(wanted.failed, (Py_ssize_t)strlen(wanted.failed), "replace");
    Py_RETURN_NONE;
}

static PyMethodDef rank_functions[] = {
    {"write", (PyCFunction)(void (*)(void))rules_write, METH_FASTCALL, NULL},
    {"log", (PyCFunction)(void (*)(void))rules_log, METH_FASTCALL, NULL},
    {"load_in_main", (PyCFunction)(void (*)(void))rules_load_in_main, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static int
add(PyObject *names, const char *key, PyObject *value)
{
    int failed = value == NULL || PyDict_SetItemString(names, key, value) < 0;
    Py_XDECREF(value);
    return failed;
}

static PyObject *
text_object(const char *text, size_t length)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)length, "surrogateescape");
}

/* The items of a list setting; None if there is none. */
static PyObject *
items(const char *text)
{
    if (text == NULL)
        Py_RETURN_NONE;
    PyObject *made = PyList_New(0);
    iso__list list = iso__list_over(text);
    iso_str item;
    while (made != NULL && iso__list_next(&list, &item)) {
        PyObject *value = text_object(item.p, item.n);
        if (value == NULL || PyList_Append(made, value) < 0)
            Py_CLEAR(made);
        Py_XDECREF(value);
    }
    return made;
}

static PyObject *
settings_dict(const iso_rank *rank)
{
    const iso_config *settings = &rank->settings;
    PyObject *made = PyDict_New();
    if (made == NULL || add(made, "allow_threads", PyBool_FromLong(settings->allow_threads)) ||
        add(made, "allow_daemon_threads", PyBool_FromLong(settings->allow_daemon_threads)) ||
        add(made, "recursion_limit", PyLong_FromLong(settings->recursion_limit)) ||
        add(made, "switch_interval", PyFloat_FromDouble((double)settings->switch_interval / 1e9)) ||
        add(made, "process", PyBool_FromLong(rank->whole)) || add(made, "environment", items(settings->environment)) ||
        add(made, "sys_path", items(settings->sys_path)) ||
        add(made, "allow_imports", items(settings->allow_imports)) ||
        add(made, "deny_imports", items(settings->deny_imports)))
        Py_CLEAR(made);
    return made;
}

static PyObject *
presets(iso_rank *rank)
{
    PyObject *self = PyCapsule_New(rank, RANK_CAPSULE, NULL);
    Py_XSETREF(rank->capsule, Py_XNewRef(self));
    PyObject *names = self != NULL ? PyDict_New() : NULL;
    int failed = names == NULL;
    for (PyMethodDef *def = rank_functions; !failed && def->ml_name != NULL; def++)
        failed = add(names, def->ml_name, PyCFunction_New(def, self));
    failed =
        failed || add(names, "number", PyLong_FromLong(rank->number)) || add(names, "settings", settings_dict(rank));
    Py_XDECREF(self);
    if (failed)
        Py_CLEAR(names);
    return names;
}

PyObject *
iso__rank_rule(iso_rank *rank, const char *name)
{
    return rank->rules != NULL ? PyDict_GetItemString(rank->rules, name) : NULL;
}

void
iso__rank_rules_end(iso_rank *rank)
{
    if (rank->capsule != NULL)
        PyCapsule_SetContext(rank->capsule, rank); /* any context says that it has ended */
    Py_CLEAR(rank->capsule);
    Py_CLEAR(rank->rules);
}

/* Another file over the names of the ones before. NULL stays NULL, with its error. */
static void
add_rules(iso_rank *rank, const char *source, const char *name)
{
    if (rank->rules != NULL)
        Py_SETREF(rank->rules, iso__run_embedded(source, name, rank->rules));
}

/* Runs a function of an embedded file. */
static int
run_rule(iso_rank *rank, const char *name)
{
    PyObject *function = iso__rank_rule(rank, name);
    PyObject *done = function != NULL ? PyObject_CallNoArgs(function) : NULL;
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

/* Nothing of the host's interpreter is replaced by a rank in it. */
int
iso__rank_rules_install(iso_rank *rank, iso_error *err)
{
    bool in_main = iso__rank_in_main(rank);
    PyObject *names = presets(rank);
    if (names != NULL)
        rank->rules = iso__run_embedded(iso__rank_rules_py, "rank_rules.py", names);
    Py_XDECREF(names);
    int failed = 0;
    if (in_main) {
        add_rules(rank, iso__main_library_py, "main_library.py");
        add_rules(rank, iso__main_rank_py, "main_rank.py");
    } else {
        add_rules(rank, iso__rank_settings_py, "rank_settings.py");
        failed = rank->rules == NULL || run_rule(rank, "install") < 0 || run_rule(rank, "install_settings") < 0;
    }
    failed = failed || rank->rules == NULL;
    return failed ? iso__failure_start(rank, err, ISO_EINTERP, "the interpreter could not be prepared") : 0;
}
