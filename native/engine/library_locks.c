/* library_locks.c: see library_locks.h. */
#include "engine/library_locks.h"

#include <string.h>

/* Library modules, by their __name__, that call acquire() and have no `try` yet when it returns. */
static const char *const lock_takers[] = {
    "importlib._bootstrap",
    "importlib._bootstrap_external",
    "_frozen_importlib",
    "_frozen_importlib_external",
    "threading",
    "logging",
    "tempfile",
    "http.cookiejar",
};

/* Of those the functions that wait, for as long as they are told: there a call must end. (The last one is of 3.12.) */
static const char *const waiters[] = {"Condition.wait", "Thread.join", "Thread._wait_for_tstate_lock"};

static bool
is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static const char *
text_or_empty(PyObject *text)
{
    const char *utf8 = text != NULL && PyUnicode_Check(text) ? PyUnicode_AsUTF8(text) : "";
    if (utf8 == NULL)
        PyErr_Clear(); /* surrogates */
    return utf8 != NULL ? utf8 : "";
}

/* Whether the innermost frame is of code that may just have taken a lock: the library's, or the engine's own. */
static bool
takes_lock(PyFrameObject *frame)
{
    PyObject *globals = PyFrame_GetGlobals(frame);
    PyCodeObject *code = PyFrame_GetCode(frame);
    const char *module = text_or_empty(PyDict_GetItemString(globals, "__name__"));
    bool takes = strncmp(module, "isoexec.", 8) == 0 ||
                 (is_among(module, lock_takers, sizeof lock_takers / sizeof lock_takers[0]) &&
                  !is_among(text_or_empty(code->co_qualname), waiters, sizeof waiters / sizeof waiters[0]));
    Py_DECREF(globals);
    Py_DECREF(code);
    return takes;
}

bool
iso__may_hold_library_lock(PyThreadState *state)
{
    PyFrameObject *frame = PyThreadState_GetFrame(state);
    bool bad = frame != NULL && takes_lock(frame);
    Py_XDECREF(frame);
    return bad;
}
