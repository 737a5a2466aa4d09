/* rank.c: see rank.h. */
#include "rank.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *const floor_method_names[FLOOR_METHOD_COUNT] = {"route", "route_extra", "reads", "raises"};

_Noreturn void
floor_die(const char *what)
{
    fprintf(stderr, "floor: %s\n", what);
    fflush(NULL);
    _exit(2);
}

_Noreturn void
floor_die_raised(const char *what)
{
    PyErr_Print();
    floor_die(what);
}

static int
need_index(struct floor_message *self)
{
    if (self->index) {
        return 0;
    }
    if (!self->data || self->rank->indexer(self->data, self->length, &self->rank->index)) {
        PyErr_SetString(PyExc_RuntimeError, "the call is over, or the octets are no request");
        return -1;
    }
    self->index = &self->rank->index;
    return 0;
}

static PyObject *
get_ruri(PyObject *object, void *closure)
{
    struct floor_message *self = (struct floor_message *)object;

    (void)closure;
    if (!self->ruri) {
        if (need_index(self)) {
            return NULL;
        }
        self->ruri = PyUnicode_DecodeLatin1(self->data + self->index->uri, self->index->uri_length, NULL);
    }
    return Py_XNewRef(self->ruri);
}

static PyObject *
get_header(PyObject *object, PyObject *name)
{
    struct floor_message *self = (struct floor_message *)object;
    Py_ssize_t n;
    const char *text = PyUnicode_AsUTF8AndSize(name, &n);
    int row;

    if (!text || need_index(self)) {
        return NULL;
    }
    row = floor_index_find(self->data, self->index, text, (unsigned)n);
    if (row < 0) {
        Py_RETURN_NONE;
    }
    return PyUnicode_DecodeLatin1(self->data + self->index->rows[row].value, self->index->rows[row].value_length, NULL);
}

static void
dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    Py_CLEAR(((struct floor_message *)object)->ruri);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMemberDef members[] = {
    {.name = "Method", .type = Py_T_OBJECT_EX, .offset = offsetof(struct floor_message, method), .flags = Py_READONLY},
    {0},
};
static PyGetSetDef getters[] = {{.name = "RURI", .get = get_ruri}, {0}};
static PyMethodDef methods[] = {{"getHeader", get_header, METH_O, NULL}, {0}};
static PyType_Slot slots[] = {
    {Py_tp_dealloc, (void *)dealloc},
    {Py_tp_members, members},
    {Py_tp_getset, getters},
    {Py_tp_methods, methods},
    {0, NULL},
};
static PyType_Spec spec = {
    .name = "floor.Message",
    .basicsize = sizeof(struct floor_message),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

struct floor_message *
floor_message_renew(struct floor_rank *rank)
{
    rank->message = (struct floor_message *)rank->type->tp_alloc(rank->type, 0);
    if (!rank->message) {
        floor_die("out of memory");
    }
    rank->message->rank = rank;
    return rank->message;
}

/* The text of a file, NUL-terminated; the caller frees it. */
static char *
read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, 65536);

    if (!file || !text || !fread(text, 1, 65535, file)) {
        floor_die("can not read the handler script");
    }
    fclose(file);
    return text;
}

static void
load_script(struct floor_rank *rank, const char *script)
{
    char *text = read_file(script);
    PyObject *globals = PyDict_New();
    PyObject *done, *init;

    if (!globals || PyDict_SetItemString(globals, "__name__", Py_None) ||
        PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins())) {
        floor_die("out of memory");
    }
    done = PyRun_String(text, Py_file_input, globals, globals);
    free(text);
    init = done ? PyDict_GetItemString(globals, "mod_init") : NULL;
    rank->handler = init ? PyObject_CallNoArgs(init) : NULL;
    if (!rank->handler) {
        floor_die_raised("the handler script failed");
    }
    Py_DECREF(done);
    Py_DECREF(globals);
}

static void
fill(struct floor_rank *rank, const char *script)
{
    rank->type = (PyTypeObject *)PyType_FromSpec(&spec);
    rank->invite = PyUnicode_InternFromString("INVITE");
    rank->extra = PyUnicode_FromString("extra");
    rank->indexer = floor_has_avx2() ? floor_index_avx2 : floor_index_sse2;
    if (!rank->type || !rank->invite || !rank->extra) {
        floor_die("out of memory");
    }
    load_script(rank, script);
    for (int i = 0; i < FLOOR_METHOD_COUNT; i++) {
        PyObject *bound = PyObject_GetAttrString(rank->handler, floor_method_names[i]);

        if (!bound || !PyMethod_Check(bound)) {
            floor_die_raised("the handler has no such method");
        }
        rank->functions[i] = Py_NewRef(PyMethod_GET_FUNCTION(bound));
        Py_DECREF(bound);
    }
}

void
floor_rank_start(struct floor_rank *rank, const char *script)
{
    PyInterpreterConfig config = {
        .allow_threads = 1,
        .check_multi_interp_extensions = 1,
        .gil = PyInterpreterConfig_OWN_GIL,
    };
    PyStatus status = Py_NewInterpreterFromConfig(&rank->thread, &config);

    if (PyStatus_Exception(status)) {
        floor_die("no new interpreter");
    }
    fill(rank, script);
}

void
floor_rank_open_in_main(struct floor_rank *rank, const char *script)
{
    rank->thread = PyThreadState_New(PyInterpreterState_Main());
    if (!rank->thread) {
        floor_die("out of memory");
    }
    PyEval_RestoreThread(rank->thread);
    fill(rank, script);
    PyEval_SaveThread();
}

/* Held around the making of interpreters and taken before any GIL (python/cpython#123134). */
static pthread_mutex_t creation = PTHREAD_MUTEX_INITIALIZER;

void
floor_rank_open(struct floor_rank *rank, const char *script)
{
    PyThreadState *guest;

    pthread_mutex_lock(&creation);
    guest = PyThreadState_New(PyInterpreterState_Main());
    if (!guest) {
        floor_die("out of memory");
    }
    PyEval_RestoreThread(guest);
    floor_rank_start(rank, script);
    PyEval_SaveThread();
    PyEval_RestoreThread(guest);
    PyThreadState_Clear(guest);
    PyThreadState_DeleteCurrent();
    pthread_mutex_unlock(&creation);
}
