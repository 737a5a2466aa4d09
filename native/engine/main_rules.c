/* main_rules.c: runs main_rules.py in the main interpreter, and what of it must be C. Every function here
 * has the main interpreter attached. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/parsers_312.h"
#include "engine/states.h"
#include "main_rules_py.h"

static PyObject *rules; /* namespace of main_rules.py; an object of the main interpreter, used only there */

static int
fail_python(iso_error *err, int code, const char *what)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *text = exception != NULL ? PyObject_Str(exception) : NULL;
    const char *utf8 = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    iso__fail(err, code, "%s: %s", what, utf8 != NULL ? utf8 : "no reason given");
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(exception);
    return code;
}

static PyObject *
call_rule(const char *name, const char *format, const char *first, const char *second)
{
    PyObject *function = PyDict_GetItemString(rules, name);
    if (function == NULL)
        return PyErr_Format(PyExc_SystemError, "main_rules.py has no %s", name);
    return PyObject_CallFunction(function, format, first, second);
}

static PyObject *
live_ranks(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    return PyLong_FromLong(iso__runtime_live_ranks(0));
}

/* The exit of a Python host; takes the exit status, in case the process must leave here: an interpreter
 * that could not be ended makes Py_FinalizeEx abort (3.12) or crash (3.13+). */
static PyObject *
close_all(PyObject *Py_UNUSED(self), PyObject *status)
{
    long code = PyLong_AsLong(status);
    Py_BEGIN_ALLOW_THREADS
    iso__runtime_close_all();
    Py_END_ALLOW_THREADS
    iso__parsers_forget();
    if (iso__runtime_abandoned(0) > 0)
        _exit((int)code);
    Py_RETURN_NONE;
}

/* os.fork with live interpreters leaves a child that crashes or hangs (gh-139759); the audit event comes
 * before the fork and may refuse it. Ranks are refused by CPython itself (allow_fork=0). */
static int
refuse_fork(const char *event, PyObject *Py_UNUSED(args), void *Py_UNUSED(data))
{
    if (strncmp(event, "os.fork", 7) != 0 || iso__runtime_live_ranks(0) == 0)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "os.fork() with isoexec ranks alive kills the child (CPython gh-139759): use "
                                        "subprocess or multiprocessing's spawn, or fork before the first rank");
    return -1;
}

static PyMethodDef host_functions[] = {
    {"live_ranks", live_ranks, METH_NOARGS, NULL},
    {"close_all", close_all, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyObject *
presets(void)
{
    PyObject *names = PyDict_New();
    for (PyMethodDef *def = host_functions; names != NULL && def->ml_name != NULL; def++) {
        PyObject *function = PyCFunction_New(def, NULL);
        if (function == NULL || PyDict_SetItemString(names, def->ml_name, function) < 0)
            Py_CLEAR(names);
        Py_XDECREF(function);
    }
    return names;
}

static int
prepare(const char *preload, bool python_host)
{
    PyObject *names = presets();
    if (rules == NULL && names != NULL)
        rules = iso__run_embedded(iso__main_rules_py, "main_rules.py", names);
    Py_XDECREF(names);
    if (rules == NULL)
        return -1;
    PyObject *done = call_rule("preload", "s", preload != NULL ? preload : "", NULL);
    if (done != NULL && python_host) {
        Py_DECREF(done);
        done = call_rule("adopt_host", NULL, NULL, NULL);
        if (done != NULL && PySys_AddAuditHook(refuse_fork, NULL) < 0)
            Py_CLEAR(done);
    }
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

int
iso__main_rules_install(const iso_config *config, bool python_host, iso_error *err)
{
    /* The first module made from a definition registers it in the process: here, where nothing races. */
    PyObject *first = script_module_new(NULL);
    Py_XDECREF(first);
    if (first == NULL || prepare(config->preload, python_host) < 0)
        return fail_python(err, ISO_EINTERP, "the main interpreter could not be prepared");
    return iso__main_rules_check(err);
}

int
iso__main_rules_check(iso_error *err)
{
    PyObject *on = call_rule("tracing", NULL, NULL, NULL);
    if (on == NULL)
        return fail_python(err, ISO_EINTERP, "tracemalloc could not be asked");
    int tracing = PyObject_IsTrue(on);
    Py_DECREF(on);
    if (tracing > 0)
        return iso__fail(err, ISO_EINTERP,
                         "tracemalloc is on, and with interpreters alive it crashes CPython "
                         "(gh-134604): unset PYTHONTRACEMALLOC and -X tracemalloc, or stop it");
    return 0;
}

/* A list of str as a NULL-terminated array with its texts behind it. NULL with an error set. */
static char **
pack_texts(PyObject *list)
{
    Py_ssize_t count = PyList_Check(list) ? PyList_GET_SIZE(list) : 0, n;
    size_t room = (size_t)(count + 1) * sizeof(char *);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (PyUnicode_AsUTF8AndSize(PyList_GET_ITEM(list, i), &n) == NULL)
            return NULL;
        room += (size_t)n + 1;
    }
    char **packed = calloc(1, room);
    if (packed == NULL)
        return (char **)PyErr_NoMemory();
    char *at = (char *)(packed + count + 1);
    for (Py_ssize_t i = 0; i < count; i++) {
        packed[i] = strcpy(at, PyUnicode_AsUTF8(PyList_GET_ITEM(list, i)));
        at += strlen(at) + 1;
    }
    return packed;
}

typedef struct command {
    char **texts;
    iso_error *err;
} command;

static int
find_command(void *argument)
{
    command *wanted = argument;
    PyObject *list = call_rule("child_command", NULL, NULL, NULL);
    wanted->texts = list != NULL ? pack_texts(list) : NULL;
    Py_XDECREF(list);
    return wanted->texts != NULL ? 0 : fail_python(wanted->err, ISO_EINTERP, "the program of a process is not known");
}

int
iso__main_command(char ***out, iso_error *err)
{
    command wanted = {NULL, err};
    int failed = iso__runtime_main(find_command, &wanted);
    *out = wanted.texts;
    return failed;
}

void
iso__main_load_extension(const char *name, const char *origin, char *failed_out, size_t size)
{
    PyObject *failed = call_rule("load_extension", "ss", name, origin);
    const char *text = failed != NULL && failed != Py_None ? PyUnicode_AsUTF8(failed) : NULL;
    failed_out[0] = '\0';
    if (failed != Py_None)
        snprintf(failed_out, size, "%s", text != NULL ? text : "the main interpreter could not try");
    PyErr_Clear();
    Py_XDECREF(failed);
}
