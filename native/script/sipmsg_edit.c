/* sipmsg_edit.c: what a script changes of a message. Nothing is applied here: edits are recorded, and
 * the host applies them when the call returned. A refused edit leaves the list as it was. */
#include "script/sipmsg.h"
#include "script/text.h"

void
script_left(const char *function)
{
    PyErr_Format(PyExc_RuntimeError,
                 "%s(): the message has left, because the call that it came with ended; edit a copy() of it", function);
}

/* Whether the object can be edited: 0, or -1 with RuntimeError. */
static int
editable(const script_msg *self, const char *function)
{
    if (script_present(self) < 0)
        return -1;
    if (self->edits == NULL) {
        script_left(function);
        return -1;
    }
    return 0;
}

int
script_record(script_msg *self, const char *function, int kind, iso_str name, iso_str value)
{
    const char *wrong = iso__edit_check(kind, name, value);
    if (wrong != NULL) {
        PyErr_Format(PyExc_ValueError, "%s(): %s", function, wrong);
        return -1;
    }
    if (iso__edits_add(self->edits, kind, name, value) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* ---- URIs ---- */

static PyObject *
set_uri(PyObject *object, PyObject *uri, const char *function, int kind, const char *wrong_kind)
{
    script_msg *self = (script_msg *)object;
    script_text text;
    if (script_present(self) < 0)
        return NULL;
    if (!script_is_request(self)) {
        PyErr_SetString(PyExc_RuntimeError, wrong_kind);
        return NULL;
    }
    if (editable(self, function) < 0 || script_argument(uri, function, "the URI", &text) < 0)
        return NULL;
    int failed = script_record(self, function, kind, (iso_str){NULL, 0}, text.str);
    script_text_drop(&text);
    return failed ? NULL : Py_NewRef(Py_None);
}

PyObject *
script_rewrite_ruri(PyObject *object, PyObject *uri)
{
    return set_uri(object, uri, "rewrite_ruri", ISO_EDIT_SET_RURI,
                   "Not a request message - rewrite is not possible.\n");
}

PyObject *
script_set_dst_uri(PyObject *object, PyObject *uri)
{
    return set_uri(object, uri, "set_dst_uri", ISO_EDIT_SET_DST_URI,
                   "Not a request message - set destination is not possible.\n");
}

/* ---- headers ---- */

static PyObject *
edit_header(PyObject *object, PyObject *name, PyObject *value, const char *function, int kind)
{
    script_msg *self = (script_msg *)object;
    script_text name_text, value_text = {{NULL, 0}, NULL};
    if (editable(self, function) < 0 || script_argument(name, function, "the name of a header", &name_text) < 0)
        return NULL;
    int failed = value != NULL && script_argument(value, function, "the value", &value_text) < 0;
    if (!failed)
        failed = script_record(self, function, kind, name_text.str, value_text.str);
    script_text_drop(&value_text);
    script_text_drop(&name_text);
    return failed ? NULL : Py_NewRef(Py_None);
}

static PyObject *
edit_with_value(PyObject *object, PyObject *const *args, Py_ssize_t count, const char *function, int kind)
{
    if (count != 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes a name and a value, %zd given", function, count);
        return NULL;
    }
    return edit_header(object, args[0], args[1], function, kind);
}

PyObject *
script_append_header(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return edit_with_value(object, args, count, "append_header", ISO_EDIT_APPEND_HEADER);
}

PyObject *
script_insert_header(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return edit_with_value(object, args, count, "insert_header", ISO_EDIT_INSERT_HEADER);
}

PyObject *
script_replace_header(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return edit_with_value(object, args, count, "replace_header", ISO_EDIT_REPLACE_HEADER);
}

PyObject *
script_remove_header(PyObject *object, PyObject *name)
{
    return edit_header(object, name, NULL, "remove_header", ISO_EDIT_REMOVE_HEADER);
}

/* ---- body ---- */

static int
record_body(script_msg *self, PyObject *body, iso_str content_type)
{
    script_text text;
    Py_buffer view;
    int failed;
    if (PyUnicode_Check(body)) {
        failed = script_encode(body, &text) < 0 ||
                 script_record(self, "set_body", ISO_EDIT_SET_BODY, content_type, text.str) < 0;
        script_text_drop(&text);
    } else if (PyObject_CheckBuffer(body)) {
        if (PyObject_GetBuffer(body, &view, PyBUF_SIMPLE) < 0)
            return -1;
        iso_str octets = {view.buf != NULL ? view.buf : "", (size_t)view.len};
        failed = script_record(self, "set_body", ISO_EDIT_SET_BODY, content_type, octets);
        PyBuffer_Release(&view);
    } else {
        PyErr_Format(PyExc_TypeError, "set_body(): the body must be bytes or str, not %.100s", Py_TYPE(body)->tp_name);
        failed = -1;
    }
    return failed ? -1 : 0;
}

/* set_body(body, content_type=None), without a static parser: those crash CPython 3.12.0 to 3.12.3 at
 * its end once a sub-interpreter has used them. */
PyObject *
script_set_body(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    script_msg *self = (script_msg *)object;
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    int known =
        named == 0 || (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "content_type") == 0);
    if (!known || count < 1 || count + named > 2) {
        PyErr_SetString(PyExc_TypeError, "set_body() takes the body and, if wanted, content_type");
        return NULL;
    }
    script_text type = {{NULL, 0}, NULL};
    PyObject *content_type = count + named == 2 ? args[1] : Py_None;
    if (editable(self, "set_body") < 0)
        return NULL;
    if (content_type != Py_None && script_argument(content_type, "set_body", "content_type", &type) < 0)
        return NULL;
    int failed = record_body(self, args[0], type.str);
    script_text_drop(&type);
    return failed ? NULL : Py_NewRef(Py_None);
}
