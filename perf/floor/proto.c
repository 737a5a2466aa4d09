/* proto.c: the floor of a call from Python, extension module `floor_proto`. From the attached thread
 * state of main one swap goes into the rank and one comes back; the octets are borrowed from the bytes
 * object, which the caller holds. Throw-away: one thread, no checks of types, and only for methods that
 * read nothing, since the floor's indexer reads past the end. */
#include "message.h"
#include "rank.h"

static struct floor_rank rank;

/* start(script): makes the one rank of this module. */
static PyObject *
start(PyObject *module, PyObject *script)
{
    const char *path = PyUnicode_AsUTF8(script);
    PyThreadState *caller = PyThreadState_Get();

    (void)module;
    if (!path) {
        return NULL;
    }
    floor_rank_start(&rank, path);
    PyThreadState_Swap(caller);
    Py_RETURN_NONE;
}

/* python_exec(method, octets) -> int. The rank's own str of the method is kept for as long as the caller
 * passes the same object, as code with a constant does. */
static PyObject *
python_exec(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    static PyObject *asked, *method; /* of main, and of the rank */
    const char *octets = PyBytes_AS_STRING(arguments[1]);
    unsigned length = (unsigned)PyBytes_GET_SIZE(arguments[1]);
    const char *name = arguments[0] == asked ? NULL : PyUnicode_AsUTF8(arguments[0]);
    PyThreadState *caller;
    struct floor_message *message;
    PyObject *values[3], *result;
    long code;

    (void)module;
    (void)count;
    if (name) {
        asked = Py_NewRef(arguments[0]);
    }
    caller = PyThreadState_Swap(rank.thread);
    if (name) {
        method = PyUnicode_InternFromString(name);
    }
    message = floor_enter(&rank, octets, length);
    values[0] = NULL;
    values[1] = rank.handler;
    values[2] = (PyObject *)message;
    result = PyObject_VectorcallMethod(method, values + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (!result) {
        floor_die_raised("the method failed");
    }
    code = PyLong_AsLong(result);
    Py_DECREF(result);
    floor_leave(&rank, message);
    PyThreadState_Swap(caller);
    return PyLong_FromLong(code);
}

static PyMethodDef functions[] = {
    {"start", start, METH_O, NULL},
    {"python_exec", (PyCFunction)(void (*)(void))python_exec, METH_FASTCALL, NULL},
    {0},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "floor_proto", .m_size = -1,
                                        .m_methods = functions};
PyMODINIT_FUNC PyInit_floor_proto(void);

PyMODINIT_FUNC
PyInit_floor_proto(void)
{
    PyObject *module = PyModule_Create(&definition);
    PyObject *message = PyBytes_FromStringAndSize(FLOOR_MESSAGE, FLOOR_MESSAGE_LENGTH);

    if (!module || PyModule_AddObjectRef(module, "MESSAGE", message)) {
        Py_CLEAR(module);
    }
    Py_XDECREF(message);
    return module;
}
