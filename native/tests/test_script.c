/* test_script.c: script/ in own-GIL interpreters, driven as the engine drives it.
 *
 *     test_script FOLDER [THREADS]
 *
 * Each thread makes an interpreter, puts OpenSIPS and a module `probe` into its sys.modules and runs the
 * checks.py of the folder there, all at once. probe.drive() gives a callable a message over a buffer that is spoilt and
 * freed when the call ended: what still reads it is found by the checks or by AddressSanitizer. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/script.h"

#define DEPTH 4
#define LOG_SIZE 4096

typedef struct test_rank {
    pthread_t thread;
    script_host host;
    script_state *state;
    script_slot slots[DEPTH];
    iso_edits edits;
    int depth;
    PyObject *nested; /* what the host function "nested" calls; borrowed from the caller of drive */
    char log[LOG_SIZE];
    size_t log_n;
    bool failed;
} test_rank;

static const char *folder; /* of the checks */
static pthread_mutex_t create_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the host ---- */

static const iso_function functions[] = {
    {.name = "sl_send_reply", .signature = "is"}, {.name = "setflag", .signature = "i"},
    {.name = "xlog", .signature = "s|s"},         {.name = "any", .signature = NULL},
    {.name = "either", .signature = "v|v*"},      {.name = "fails", .signature = "|s"},
    {.name = "nested", .signature = ""},
};

static PyObject *drive(test_rank *rank, PyObject *callable, iso_msg *msg);

static void
note(void *owner, const char *kind, iso_str text)
{
    test_rank *rank = owner;
    int room = (int)(LOG_SIZE - rank->log_n);
    int n = snprintf(rank->log + rank->log_n, (size_t)room, "%s %.*s;", kind, (int)text.n, text.p);
    if (n < room)
        rank->log_n += (size_t)n;
}

static int
run_nested(test_rank *rank, const iso_msg *msg, iso_error *err)
{
    iso_msg same = *msg;
    PyObject *result = drive(rank, rank->nested, &same);
    if (result == NULL) {
        PyErr_Clear();
        err->code = ISO_EFUNCTION;
        snprintf(err->message, sizeof err->message, "nested call raised");
        return -1;
    }
    Py_DECREF(result);
    return 5;
}

static int
run(void *owner, const iso_function *function, const iso_msg *msg, iso_edits *edits, const iso_value *argv, int argc,
    script_answer *answer, iso_error *err)
{
    static const char *const kinds[] = {"none", "str", "int"};
    char number[24];
    (void)edits;
    (void)answer;
    note(owner, "run", (iso_str){function->name, strlen(function->name)});
    for (int i = 0; i < argc; i++) {
        iso_str text = argv[i].kind == ISO_VALUE_STR ? argv[i].str : (iso_str){"", 0};
        if (argv[i].kind == ISO_VALUE_INT)
            text = (iso_str){number, (size_t)snprintf(number, sizeof number, "%lld", (long long)argv[i].num)};
        note(owner, kinds[argv[i].kind], text);
    }
    if (strcmp(function->name, "fails") == 0) {
        err->code = ISO_EFUNCTION;
        if (argc == 1)
            snprintf(err->message, sizeof err->message, "no route to %.*s", (int)argv[0].str.n, argv[0].str.p);
    } else if (strcmp(function->name, "nested") == 0) {
        return run_nested(owner, msg, err);
    }
    return argc;
}

static void
log_line(void *owner, int level, iso_str text)
{
    char name[16];
    snprintf(name, sizeof name, "log%d", level);
    note(owner, name, text);
}

/* ---- the module `probe` ---- */

static PyObject *
drive(test_rank *rank, PyObject *callable, iso_msg *msg)
{
    iso__edits_mark mark = iso__edits_save(&rank->edits);
    script_slot *slot = &rank->slots[rank->depth];
    script_msg *object = script_slot_enter(rank->state, slot, msg, 0, &rank->edits);
    if (object == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "not SIP");
        return NULL;
    }
    rank->depth++;
    PyObject *result = PyObject_CallOneArg(callable, (PyObject *)object);
    rank->depth--;
    PyObject *raised = PyErr_GetRaisedException();
    /* The traceback would keep the frames, and they the message. */
    if (raised != NULL)
        PyException_SetTraceback(raised, Py_None);
    script_slot_leave(slot, object);
    if (raised != NULL) {
        iso__edits_restore(&rank->edits, mark);
        PyErr_SetRaisedException(raised);
    }
    return result;
}

static test_rank *
rank_of(PyObject *module)
{
    PyObject *capsule = PyObject_GetAttrString(module, "rank");
    test_rank *rank = capsule == NULL ? NULL : PyCapsule_GetPointer(capsule, "rank");
    Py_XDECREF(capsule);
    return rank;
}

/* drive(callable, octets, indexed=False, nested=None): what the callable returned. */
static PyObject *
probe_drive(PyObject *module, PyObject *args)
{
    PyObject *callable, *nested = NULL;
    const char *octets;
    Py_ssize_t n;
    int indexed = 0;
    test_rank *rank = rank_of(module);
    if (rank == NULL || !PyArg_ParseTuple(args, "Oy#|pO", &callable, &octets, &n, &indexed, &nested))
        return NULL;
    char *buffer = malloc((size_t)n + 1);
    iso_index *index = malloc(sizeof *index);
    iso_msg msg;
    PyObject *result = NULL;
    if (buffer == NULL || index == NULL || iso_msg_init(&msg, memcpy(buffer, octets, (size_t)n), (size_t)n) < 0) {
        PyErr_SetString(PyExc_ValueError, "no octets");
        goto done;
    }
    iso_address_parse(&msg.source, "192.0.2.1", 9, 5060);
    iso_address_parse(&msg.destination, "2001:db8::1", 11, 5061);
    if (indexed && iso_msg_index(&msg, index) == 0)
        msg.index = index;
    if (rank->depth == 0)
        iso__edits_clear(&rank->edits);
    rank->nested = nested;
    result = drive(rank, callable, &msg);
    memset(buffer, 'Z', (size_t)n);
done:
    free(index);
    free(buffer);
    return result;
}

/* What the host was asked to run and log since the last time. */
static PyObject *
probe_log(PyObject *module, PyObject *Py_UNUSED(unused))
{
    test_rank *rank = rank_of(module);
    if (rank == NULL)
        return NULL;
    size_t n = rank->log_n;
    rank->log_n = 0;
    return PyBytes_FromStringAndSize(rank->log, (Py_ssize_t)n);
}

/* The edits that are left of the last call. */
static PyObject *
probe_edit_count(PyObject *module, PyObject *Py_UNUSED(unused))
{
    test_rank *rank = rank_of(module);
    return rank == NULL ? NULL : PyLong_FromSize_t(iso_edits_count(&rank->edits));
}

static PyMethodDef probe_methods[] = {
    {"drive", probe_drive, METH_VARARGS, NULL},
    {"log", probe_log, METH_NOARGS, NULL},
    {"edit_count", probe_edit_count, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* ---- interpreters ---- */

/* 0, or -1 with an error set. */
static int
add_module(const char *name, PyObject *module)
{
    return module == NULL ? -1 : PyDict_SetItemString(PyImport_GetModuleDict(), name, module);
}

static int
add_modules(test_rank *rank)
{
    PyObject *opensips = script_module_new(&rank->host);
    PyObject *probe = PyModule_New("probe");
    PyObject *capsule = PyCapsule_New(rank, "rank", NULL);
    int failed = add_module("OpenSIPS", opensips) < 0 || add_module("probe", probe) < 0 ||
                 PyModule_AddFunctions(probe, probe_methods) < 0 || PyModule_AddObjectRef(probe, "rank", capsule) < 0;
    if (!failed)
        rank->state = script_module_state(opensips);
    Py_XDECREF(opensips);
    Py_XDECREF(capsule);
    Py_XDECREF(probe);
    return failed ? -1 : 0;
}

static int
run_checks(const char *name)
{
    PyObject *path = PySys_GetObject("path");
    PyObject *first = PyUnicode_FromString(folder);
    PyObject *module = NULL;
    if (path != NULL && first != NULL && PyList_Insert(path, 0, first) == 0)
        module = PyImport_ImportModule(name);
    if (module == NULL)
        PyErr_Print();
    Py_XDECREF(first);
    Py_XDECREF(module);
    return module == NULL ? -1 : 0;
}

static void *
rank_main(void *argument)
{
    test_rank *rank = argument;
    const PyInterpreterConfig config = {
        .allow_threads = 1, .check_multi_interp_extensions = 1, .gil = PyInterpreterConfig_OWN_GIL};
    PyThreadState *state = NULL;
    pthread_mutex_lock(&create_lock);
    PyThreadState *main_state = PyThreadState_New(PyInterpreterState_Main());
    PyEval_RestoreThread(main_state);
    PyStatus status = Py_NewInterpreterFromConfig(&state, &config);
    rank->failed = PyStatus_Exception(status) || add_modules(rank) < 0;
    pthread_mutex_unlock(&create_lock);
    if (!rank->failed)
        rank->failed = run_checks("checks") < 0;
    for (int i = 0; i < DEPTH; i++)
        script_slot_clear(&rank->slots[i]);
    PyEval_SaveThread();
    pthread_mutex_lock(&create_lock);
    PyEval_RestoreThread(state);
    Py_EndInterpreter(state);
    PyEval_RestoreThread(main_state);
    PyThreadState_Clear(main_state);
    PyThreadState_DeleteCurrent();
    pthread_mutex_unlock(&create_lock);
    iso__edits_fini(&rank->edits);
    return NULL;
}

static void
start_python(void)
{
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.write_bytecode = 0; /* nothing is left in the folder */
    config.install_signal_handlers = 0;
    PyStatus status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
}

/* The main interpreter, without a host. */
static bool
alone(void)
{
    PyObject *opensips = script_module_new(NULL);
    bool passed = add_module("OpenSIPS", opensips) == 0 && run_checks("alone") == 0;
    Py_XDECREF(opensips);
    return passed;
}

int
main(int argc, char **argv)
{
    int count = argc > 2 ? atoi(argv[2]) : 2;
    test_rank *ranks = argc < 2 || count < 1 ? NULL : calloc((size_t)count, sizeof *ranks);
    if (ranks == NULL) {
        fprintf(stderr, "usage: test_script FOLDER [THREADS]\n");
        return 2;
    }
    folder = argv[1];
    start_python();
    bool failed = !alone();
    PyThreadState *main_state = PyEval_SaveThread();
    for (int i = 0; i < count; i++) {
        ranks[i].host = (script_host){.owner = &ranks[i], .functions = functions, .run = run, .log = log_line};
        ranks[i].host.function_count = sizeof functions / sizeof functions[0];
        pthread_create(&ranks[i].thread, NULL, rank_main, &ranks[i]);
    }
    for (int i = 0; i < count; i++) {
        pthread_join(ranks[i].thread, NULL);
        failed = failed || ranks[i].failed;
    }
    PyEval_RestoreThread(main_state);
    free(ranks);
    Py_Finalize();
    printf("%s\n", failed ? "failed" : "passed");
    return failed;
}
