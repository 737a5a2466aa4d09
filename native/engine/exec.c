/* exec.c: iso_python_exec, the crossing. Every line here is paid for by every call. */
#include <string.h>

#include "engine/clock.h"
#include "engine/methods.h"
#include "engine/states.h"

static int
refuse(iso_rank *rank, iso_result *out, int code)
{
    *out = (iso_result){.code = -1, .outcome = ISO_OUTCOME_REFUSED};
    const char *text = iso_strerror(code);
    out->error = (iso_str){text, strlen(text)};
    if (rank != NULL)
        iso__count(&rank->counters.failures[ISO_OUTCOME_REFUSED], 1);
    return code;
}

static inline int
may_call(iso_rank *rank)
{
    if (ISO__UNLIKELY(atomic_load_explicit(&rank->thread, memory_order_relaxed) != iso__this_thread()))
        return atomic_load(&rank->state) == ISO__RANK_SERVING ? ISO_ETHREAD : ISO_ESTATE;
    if (ISO__UNLIKELY(atomic_load_explicit(&rank->state, memory_order_relaxed) != ISO__RANK_SERVING))
        return ISO_ESTATE;
    return ISO__UNLIKELY(rank->depth >= rank->max_depth) ? ISO_EDEPTH : 0;
}

/* The extra argument as str; the last one is kept, for hosts that pass the same text each time. New
 * reference, or NULL with UnicodeDecodeError: it is the host's text, not the wire's, and must be UTF-8. */
static PyObject *
extra_argument(iso_rank *rank, iso_str extra)
{
    if (rank->extra != NULL && rank->extra_text.n == extra.n && memcmp(rank->extra_text.p, extra.p, extra.n) == 0)
        return Py_NewRef(rank->extra);
    PyObject *text = PyUnicode_DecodeUTF8(extra.p, (Py_ssize_t)extra.n, NULL);
    if (text == NULL)
        return NULL;
    Py_ssize_t n;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &n);
    if (utf8 != NULL) {
        Py_XSETREF(rank->extra, Py_NewRef(text));
        rank->extra_text = (iso_str){utf8, (size_t)n};
    }
    return text;
}

/* The method's int, or -1 with *outcome saying why it is none. Consumes result. */
static inline int
result_code(iso_rank *rank, iso__frame *frame, PyObject *result, int *outcome)
{
    if (ISO__LIKELY(PyLong_CheckExact(result) && PyUnstable_Long_IsCompact((PyLongObject *)result))) {
        int code = (int)PyUnstable_Long_CompactValue((PyLongObject *)result); /* 30 bits at most */
        Py_DECREF(result);
        return code;
    }
    if (!PyLong_Check(result) && !PyIndex_Check(result)) {
        iso__failure_reason(rank, frame, ISO_LOG_ERR, "returned %.100s, not an int", Py_TYPE(result)->tp_name);
        Py_DECREF(result);
        *outcome = ISO_OUTCOME_BAD_VALUE;
        return -1;
    }
    int overflow = 0;
    long value = PyLong_AsLongAndOverflow(result, &overflow);
    Py_DECREF(result);
    if (ISO__UNLIKELY(value == -1 && !overflow && PyErr_Occurred())) {
        *outcome = iso__failure_take(rank, frame, ISO_OUTCOME_BAD_VALUE);
        return -1;
    }
    if (ISO__UNLIKELY(overflow || value != (int)value)) {
        iso__failure_reason(rank, frame, ISO_LOG_ERR, "returned an int that does not fit 32 bits");
        *outcome = ISO_OUTCOME_BAD_VALUE;
        return -1;
    }
    return (int)value;
}

/* Calls the method with the object that stands for the message. */
static inline __attribute__((always_inline)) int
call_method(iso_rank *rank, iso__frame *frame, PyObject *object, iso_str extra, bool may_be_kept, int *outcome)
{
    PyObject *args[4] = {NULL, NULL, object, NULL};
    size_t nargs = 1;
    bool missing = false;
    if (extra.p != NULL) {
        args[3] = extra_argument(rank, extra);
        if (args[3] == NULL) {
            *outcome = iso__failure_take(rank, frame, ISO_OUTCOME_RAISED);
            return -1;
        }
        nargs = 2;
    }
    iso__method *method = iso__method_find(rank, frame->method, may_be_kept);
    PyObject *result = iso__method_call(rank, method, frame->method, args, nargs, &missing);
    Py_XDECREF(args[3]);
    if (ISO__LIKELY(result != NULL))
        return result_code(rank, frame, result, outcome);
    if (missing) {
        iso__failure_missing(rank, frame);
        *outcome = ISO_OUTCOME_MISSING;
        return -1;
    }
    *outcome = iso__failure_take(rank, frame, ISO_OUTCOME_RAISED);
    return -1;
}

/* The octets are no SIP message, or there is no memory for the object. */
static int
no_object(iso_rank *rank, iso__frame *frame)
{
    if (PyErr_Occurred())
        return iso__failure_take(rank, frame, ISO_OUTCOME_RAISED);
    iso__failure_reason(rank, frame, ISO_LOG_INFO, "not a SIP message (%u octets): the method was not called",
                        (unsigned)frame->msg->length);
    return ISO_OUTCOME_MALFORMED;
}

/* Edits of a call that failed are dropped; a nested call on the same message gives back only its own. */
static inline void
finish_edits(iso_rank *rank, iso__frame *frame, int outcome, iso_result *out)
{
    iso_edits *edits = frame->edits;
    out->edits = NULL;
    out->new_uri = (iso_str){NULL, 0};
    out->dst_uri = (iso_str){NULL, 0}; /* not copied from each other: a wide load after narrow stores stalls */
    if (ISO__LIKELY(edits->count == 0))
        return;
    iso__edits_mark before = {0, 0, 0, 0};
    if (edits != &frame->own_edits)
        before = frame->savepoint;
    if (outcome != ISO_OUTCOME_RETURNED && !rank->engine->config.keep_edits_on_error)
        iso__edits_restore(edits, before);
    if (edits->count == 0)
        return;
    iso__count(&rank->counters.edits, edits->count - before.count);
    out->edits = edits;
    out->new_uri = iso__edits_uri(edits, ISO_EDIT_SET_RURI);
    out->dst_uri = iso__edits_uri(edits, ISO_EDIT_SET_DST_URI);
}

static inline void
finish_call(iso_rank *rank, iso__frame *frame, int outcome, iso_result *out)
{
    out->outcome = outcome;
    out->error = (iso_str){NULL, 0};
    if (ISO__UNLIKELY(outcome != ISO_OUTCOME_RETURNED)) {
        out->error = (iso_str){frame->error.p, frame->error.n};
        iso__count(&rank->counters.failures[outcome], 1);
    }
    finish_edits(rank, frame, outcome, out);
}

static inline __attribute__((always_inline)) void
run_call(iso_rank *rank, iso__frame *frame, iso_str extra, iso__usual usual, bool may_be_kept, bool watched,
         iso_result *out)
{
    int outcome = ISO_OUTCOME_RETURNED;
    script_msg *object = script_slot_enter(rank->script, &frame->slot, frame->msg, usual, frame->edits);
    if (ISO__LIKELY(object != NULL)) {
        out->code = call_method(rank, frame, (PyObject *)object, extra, may_be_kept, &outcome);
        script_slot_leave(&frame->slot, object);
    } else {
        out->code = -1;
        outcome = no_object(rank, frame);
    }
    if (ISO__UNLIKELY(watched))
        iso__watch_method_over(&rank->watch, rank->depth);
    finish_call(rank, frame, outcome, out);
    if (ISO__UNLIKELY(rank->output_pending))
        iso__log_output_flush(rank);
}

/* Starts a frame for the call. A nested call on the message of the outer one edits what that edits. */
static inline iso__frame *
push_frame(iso_rank *rank, const char *method, const iso_msg *msg)
{
    iso__frame *frame = &rank->frames[rank->depth];
    iso__frame *outer = rank->depth > 0 ? frame - 1 : NULL;
    frame->msg = msg;
    frame->method = method;
    if (ISO__UNLIKELY(outer != NULL && outer->msg == msg)) {
        frame->edits = outer->edits;
        frame->savepoint = iso__edits_save(outer->edits);
    } else {
        frame->edits = &frame->own_edits;
        if (ISO__UNLIKELY(frame->edits->count > 0))
            iso__edits_clear(frame->edits);
    }
    rank->depth++;
    return frame;
}

static inline void
pop_frame(iso_rank *rank, bool watched)
{
    rank->depth--;
    if (ISO__UNLIKELY(watched) && rank->depth > 0)
        iso__watch_outer(&rank->watch);
}

/* What a call may not pass by. true: it is to run elsewhere. */
static bool
attend(iso_rank *rank)
{
    uint32_t attention = atomic_load(&rank->attention);
    if ((attention & ISO__ATTEND_MAIL) != 0 && rank->depth == 0)
        iso__mail_service(rank);
    return (attention & ISO__ATTEND_ELSEWHERE) != 0;
}

static void
end_sample(iso_rank *rank, uint64_t began, iso_result *out)
{
    uint64_t elapsed = iso__clock_ns(iso__clock_ticks() - began);
    iso__stats_sample(rank, elapsed);
    out->elapsed_ns = rank->sample_mask == 0 ? elapsed : 0;
}

/* The call of a rank whose script runs in another process. */
static __attribute__((noinline)) int
exec_elsewhere(iso_rank *rank, const char *method, const iso_msg *msg, iso_str extra, iso_result *out)
{
    uint64_t calls = atomic_load_explicit(&rank->counters.calls, memory_order_relaxed);
    bool sampled = ((calls + 1) & rank->sample_mask) == 0;
    uint64_t began = sampled ? iso__clock_ticks() : 0;
    if (rank->needs_main && rank->depth == 0)
        rank->caller = iso__main_of_caller();
    out->elapsed_ns = 0;
    iso__frame *frame = push_frame(rank, method, msg);
    atomic_store_explicit(&rank->counters.calls, calls + 1, memory_order_relaxed);
    int outcome, code = iso__elsewhere_run(rank, frame, extra, &out->code, &outcome);
    if (code == 0)
        finish_call(rank, frame, outcome, out);
    pop_frame(rank, rank->watched);
    if (code != 0) {
        iso__count(&rank->counters.calls, UINT64_MAX); /* it was none */
        return refuse(rank, out, code);
    }
    if (sampled)
        end_sample(rank, began, out);
    return 0;
}

static inline __attribute__((always_inline)) int
exec(iso_rank *rank, const char *method, const iso_msg *msg, iso_str extra, iso__usual usual, bool may_be_kept,
     iso_result *out)
{
    int code = may_call(rank);
    if (ISO__UNLIKELY(code != 0))
        return refuse(rank, out, code);
    if (ISO__UNLIKELY(atomic_load_explicit(&rank->attention, memory_order_relaxed) != 0) && attend(rank))
        return exec_elsewhere(rank, method, msg, extra, out);
    uint64_t calls = atomic_load_explicit(&rank->counters.calls, memory_order_relaxed);
    bool sampled = ((calls + 1) & rank->sample_mask) == 0;
    bool watched = rank->watched; /* changes only between calls */
    uint64_t began = ISO__UNLIKELY(sampled || watched) ? iso__clock_ticks() : 0;
    atomic_store_explicit(&rank->counters.calls, calls + 1, memory_order_relaxed);
    out->elapsed_ns = 0;
    bool detached = !rank->attached;
    iso__frame *frame = push_frame(rank, method, msg);
    if (ISO__UNLIKELY(watched) && rank->depth == 1)
        iso__watch_begin(&rank->watch, began); /* waiting for the GIL counts */
    if (detached) {
        if (ISO__UNLIKELY(rank->needs_main) && rank->depth == 1)
            rank->caller = iso__main_of_caller();
        iso__rank_attach(rank);
    }
    run_call(rank, frame, extra, usual, may_be_kept, watched, out);
    pop_frame(rank, watched);
    if (detached)
        iso__rank_detach(rank);
    if (ISO__UNLIKELY(sampled))
        end_sample(rank, began, out);
    return 0;
}

int
iso_python_exec(iso_rank *rank, const char *method, const iso_msg *msg, iso_str extra, iso_result *out)
{
    if (ISO__UNLIKELY(rank == NULL || method == NULL || msg == NULL || msg->version != ISO_MSG_VERSION))
        return refuse(NULL, out, ISO_EINVAL);
    return exec(rank, method, msg, extra, 0, false, out);
}

int
iso__exec_usual(iso_rank *rank, const char *method, const iso_msg *msg, iso_str extra, iso__usual usual,
                iso_result *out)
{
    return exec(rank, method, msg, extra, usual, true, out);
}

int
iso_rank_begin(iso_rank *rank)
{
    int code = may_call(rank);
    if (code != 0)
        return code;
    if (rank->attached)
        return ISO_ESTATE;
    iso__rank_hold(rank);
    return 0;
}

int
iso_rank_end(iso_rank *rank)
{
    if (atomic_load(&rank->thread) != iso__this_thread())
        return ISO_ETHREAD;
    if (!rank->attached || rank->depth > 0)
        return ISO_ESTATE;
    iso__rank_let_go(rank);
    return 0;
}
