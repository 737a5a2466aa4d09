/* failure.c: what a failed call leaves: a reason in the result, lines in the log, nothing pending.
 *
 * Never PyErr_Print: it ends the process on SystemExit, from a rank too. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/clock.h"
#include "engine/states.h"
#include "engine/units.h"
#include "script/distance.h"

void
iso__failure_text(iso_rank *rank, const char *rule, PyObject *object, iso__text *to)
{
    PyObject *format = iso__rank_rule(rank, rule);
    PyObject *text = format != NULL ? PyObject_CallOneArg(format, object) : NULL;
    PyObject *bytes = text != NULL ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
    if (bytes != NULL)
        iso__text_add(to, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    else /* out of memory or of stack: the type's name needs neither */
        iso__text_add(to, Py_TYPE(object)->tp_name, strlen(Py_TYPE(object)->tp_name));
    PyErr_Clear();
    Py_XDECREF(bytes);
    Py_XDECREF(text);
}

void
iso__failure_origin(int number, const char *method, const iso_msg *msg, iso__text *to)
{
    char text[256];
    iso_index index;
    iso_str call_id = {NULL, 0}, name;
    uint32_t cursor = 0;
    if (iso_msg_index(msg, &index) == 0)
        iso_msg_header(msg, &index, (iso_str){"Call-ID", 7}, &cursor, &name, &call_id);
    int shown = call_id.n < 128 ? (int)call_id.n : 128;
    snprintf(text, sizeof text, "rank %d, python_exec(\"%.64s\")%s%.*s: ", number, method,
             call_id.p != NULL ? ", Call-ID " : "", call_id.p != NULL ? shown : 0, call_id.p != NULL ? call_id.p : "");
    iso__text_add(to, text, strlen(text));
}

static void
log_reason(iso_rank *rank, int level, const iso__text *text)
{
    if (text->p != NULL)
        iso__log_lines(rank, level, (iso_str){text->p, text->n});
}

/* What follows is the engine's own Python. Returns whether the call was fired at. */
static bool
method_over(iso_rank *rank)
{
    bool fired = rank->watch.fired;
    if (rank->watched)
        iso__watch_method_over(&rank->watch, rank->depth);
    return fired;
}

void
iso__failure_deadline(const iso_rank *rank, char text[ISO__DEADLINE_TEXT])
{
    char limit[ISO__UNIT_TEXT];
    iso__unit_format(ISO__UNIT_TIME, rank->settings.deadline, limit);
    snprintf(text, ISO__DEADLINE_TEXT, "took longer than its deadline of %s", limit);
}

/* "took longer than its deadline of 20ms, it was ended after 20.05 ms: " */
static void
add_deadline(iso_rank *rank, iso__text *to)
{
    char text[ISO__DEADLINE_TEXT], after[64];
    double ms = (double)(iso__clock_ticks() - rank->watch.call) * iso__clock_ns_per_tick / 1e6;
    iso__failure_deadline(rank, text);
    snprintf(after, sizeof after, ", it was ended after %.2f ms: ", ms);
    iso__text_add(to, text, strlen(text));
    iso__text_add(to, after, strlen(after));
}

int
iso__failure_take(iso_rank *rank, iso__frame *frame, int outcome)
{
    PyObject *exception = PyErr_GetRaisedException();
    if (exception == NULL)
        return outcome;
    bool late = method_over(rank); /* whatever it raised then: it did not end by itself */
    bool leaves = !late && outcome == ISO_OUTCOME_RAISED &&
                  (PyErr_GivenExceptionMatches(exception, PyExc_SystemExit) ||
                   PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt));
    frame->error.n = 0;
    iso__failure_origin(rank->number, frame->method, frame->msg, &frame->error);
    if (late)
        add_deadline(rank, &frame->error);
    const char *what = leaves ? "left the call, the host goes on: " : "unhandled exception in the Python code:\n";
    iso__text_add(&frame->error, what, strlen(what));
    iso__failure_text(rank, leaves ? "summary" : "format_exception", exception, &frame->error);
    Py_DECREF(exception);
    log_reason(rank, leaves ? ISO_LOG_NOTICE : ISO_LOG_ERR, &frame->error);
    return late ? ISO_OUTCOME_DEADLINE : leaves ? ISO_OUTCOME_EXIT : outcome;
}

void
iso__failure_reason(iso_rank *rank, iso__frame *frame, int level, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    frame->error.n = 0;
    iso__failure_origin(rank->number, frame->method, frame->msg, &frame->error);
    iso__text_add(&frame->error, text, strlen(text));
    log_reason(rank, level, &frame->error);
}

/* The name among the handler's public ones that is nearest to `name`, into `out`; "" if none is near. */
static void
nearest_method(PyObject *handler, const char *name, char *out, size_t size)
{
    size_t best = strlen(name) / 2 + 1;
    PyObject *names = PyObject_Dir(handler);
    Py_ssize_t count = names != NULL ? PyList_GET_SIZE(names) : 0;
    out[0] = '\0';
    for (Py_ssize_t i = 0; i < count; i++) {
        const char *known = PyUnicode_AsUTF8(PyList_GET_ITEM(names, i));
        size_t distance = known != NULL && known[0] != '_' ? script_distance(name, known) : SIZE_MAX;
        if (distance > 0 && distance < best) {
            best = distance;
            snprintf(out, size, "%.100s", known);
        }
    }
    PyErr_Clear();
    Py_XDECREF(names);
}

void
iso__failure_missing(iso_rank *rank, iso__frame *frame)
{
    char near[128];
    PyErr_Clear(); /* its traceback says nothing more, and making it takes 300 us */
    method_over(rank);
    PyObject *found = PyObject_GetAttrString(rank->handler, frame->method);
    PyErr_Clear();
    if (found != NULL) {
        iso__failure_reason(rank, frame, ISO_LOG_ERR, "%.100s of the handler cannot be called: it is of type %.100s",
                            frame->method, Py_TYPE(found)->tp_name);
        Py_DECREF(found);
        return;
    }
    nearest_method(rank->handler, frame->method, near, sizeof near);
    iso__failure_reason(rank, frame, ISO_LOG_ERR, "the handler has no method %.100s%s%s", frame->method,
                        near[0] != '\0' ? "; the nearest is " : "", near);
}

int
iso__failure_start(iso_rank *rank, iso_error *err, int code, const char *what)
{
    iso__text text = {0};
    PyObject *exception = PyErr_GetRaisedException();
    iso__fail(err, code, "rank %d: %s", rank->number, what);
    if (exception != NULL) {
        iso__failure_text(rank, "format_exception", exception, &text);
        if (text.p != NULL)
            iso__error_traceback(err, (iso_str){text.p, text.n});
        Py_DECREF(exception);
    }
    iso__log(rank->engine, ISO_LOG_ERR, rank->number, "%s", what);
    log_reason(rank, ISO_LOG_ERR, &text);
    iso__text_fini(&text);
    return code;
}
