/* sipmsg_read.c: what a script reads of a message. Texts of errors are those of the OpenSIPS python
 * module, raised here instead of left pending. */
#include "script/sipmsg.h"
#include "script/text.h"

const char *const script_routes[5] = {"unknown", "request", "onreply", "failure", "branch"};

int
script_present(const script_msg *self)
{
    if (self->msg != NULL)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "self->msg is NULL");
    return -1;
}

const iso_index *
script_rows(script_msg *self)
{
    if (self->index != NULL)
        return self->index;
    if (script_present(self) < 0)
        return NULL;
    if (iso__index_rows(self->msg, self->storage) < 0) {
        PyErr_SetString(PyExc_RuntimeError, "not a valid SIP message: a header row can not be read");
        return NULL;
    }
    self->index = self->storage;
    return self->index;
}

/* ---- the start line ---- */

/* New str of a part of the start line. */
static PyObject *
line_part(const script_msg *self, uint32_t at, uint32_t n)
{
    return script_str((iso_str){self->msg->data + at, n});
}

static PyObject *
get_ruri(PyObject *object, void *Py_UNUSED(closure))
{
    script_msg *self = (script_msg *)object;
    if (self->ruri == NULL) {
        if (script_present(self) < 0)
            return NULL;
        const iso_index *line = script_line(self);
        self->ruri = line_part(self, line->second, line->second_n);
    }
    return Py_XNewRef(self->ruri);
}

static PyObject *
get_status(PyObject *object, void *Py_UNUSED(closure))
{
    script_msg *self = (script_msg *)object;
    if (script_present(self) < 0)
        return NULL;
    const iso_index *line = script_line(self);
    return line_part(self, line->second, line->second_n);
}

static PyObject *
get_reason(PyObject *object, void *Py_UNUSED(closure))
{
    script_msg *self = (script_msg *)object;
    if (script_present(self) < 0)
        return NULL;
    const iso_index *line = script_line(self);
    return line_part(self, line->third, line->third_n);
}

/* A member that the other kind of message has; `closure` says so. */
static PyObject *
get_wrong_kind(PyObject *object, void *closure)
{
    if (script_present((script_msg *)object) == 0)
        PyErr_SetString(PyExc_RuntimeError, closure);
    return NULL;
}

/* ---- the envelope ---- */

static PyObject *
address_tuple(const iso_address *address)
{
    char text[ISO_ADDRESS_TEXT];
    Py_ssize_t n = (Py_ssize_t)iso_address_format(address, text);
    PyObject *tuple = PyTuple_New(2);
    if (tuple == NULL)
        return NULL;
    PyObject *ip = PyUnicode_FromStringAndSize(text, n);
    PyObject *port = PyLong_FromLong(address->port);
    if (ip == NULL || port == NULL) {
        Py_XDECREF(ip);
        Py_XDECREF(port);
        Py_DECREF(tuple);
        return NULL;
    }
    PyTuple_SET_ITEM(tuple, 0, ip);
    PyTuple_SET_ITEM(tuple, 1, port);
    return tuple;
}

static PyObject *
get_src_address(PyObject *object, void *Py_UNUSED(closure))
{
    script_msg *self = (script_msg *)object;
    return script_present(self) < 0 ? NULL : address_tuple(&self->msg->source);
}

static PyObject *
get_dst_address(PyObject *object, void *Py_UNUSED(closure))
{
    script_msg *self = (script_msg *)object;
    return script_present(self) < 0 ? NULL : address_tuple(&self->msg->destination);
}

static PyObject *
get_route(PyObject *object, void *Py_UNUSED(closure))
{
    script_msg *self = (script_msg *)object;
    if (script_present(self) < 0)
        return NULL;
    unsigned route = self->msg->route;
    return PyUnicode_FromString(script_routes[route <= ISO_ROUTE_BRANCH ? route : 0]);
}

static PyObject *
get_raw(PyObject *object, void *Py_UNUSED(closure))
{
    script_msg *self = (script_msg *)object;
    if (script_present(self) < 0)
        return NULL;
    return PyBytes_FromStringAndSize(self->msg->data, (Py_ssize_t)self->msg->length);
}

static PyObject *
get_body(PyObject *object, void *Py_UNUSED(closure))
{
    script_msg *self = (script_msg *)object;
    const iso_index *index = script_rows(self);
    if (index == NULL)
        return NULL;
    iso_str body;
    if (iso_msg_body(self->msg, index, &body) < 0)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(body.p, (Py_ssize_t)body.n);
}

/* ---- what the method has set so far ---- */

static PyObject *
uri_so_far(PyObject *object, int kind)
{
    script_msg *self = (script_msg *)object;
    if (script_present(self) < 0)
        return NULL;
    const iso_edits *edits = script_edits(self);
    return edits == NULL ? Py_NewRef(Py_None) : script_str_or_none(iso__edits_uri(edits, kind));
}

static PyObject *
get_new_uri(PyObject *object, void *Py_UNUSED(closure))
{
    return uri_so_far(object, ISO_EDIT_SET_RURI);
}

static PyObject *
get_dst_uri(PyObject *object, void *Py_UNUSED(closure))
{
    return uri_so_far(object, ISO_EDIT_SET_DST_URI);
}

static PyObject *
edit_tuple(const iso_edit *edit)
{
    static const char *const kinds[] = {
        [ISO_EDIT_SET_RURI] = "set_ruri",           [ISO_EDIT_SET_DST_URI] = "set_dst_uri",
        [ISO_EDIT_APPEND_HEADER] = "append_header", [ISO_EDIT_INSERT_HEADER] = "insert_header",
        [ISO_EDIT_REMOVE_HEADER] = "remove_header", [ISO_EDIT_REPLACE_HEADER] = "replace_header",
        [ISO_EDIT_SET_BODY] = "set_body",
    };
    PyObject *value;
    if (edit->kind == ISO_EDIT_SET_BODY)
        value = PyBytes_FromStringAndSize(edit->value.p, (Py_ssize_t)edit->value.n);
    else
        value = edit->kind == ISO_EDIT_REMOVE_HEADER ? Py_NewRef(Py_None) : script_str(edit->value);
    PyObject *name = script_str_or_none(edit->name);
    /* "N" takes the references, also when one is NULL or the tuple can not be made. */
    return Py_BuildValue("(sNN)", kinds[edit->kind], name, value);
}

static PyObject *
get_edits(PyObject *object, void *Py_UNUSED(closure))
{
    script_msg *self = (script_msg *)object;
    if (script_present(self) < 0)
        return NULL;
    const iso_edits *edits = script_edits(self);
    size_t count = iso_edits_count(edits);
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; tuple != NULL && i < count; i++) {
        iso_edit edit = {0};
        iso_edits_get(edits, i, &edit);
        PyObject *item = edit_tuple(&edit);
        if (item == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, item);
    }
    return tuple;
}

/* ---- headers ---- */

PyObject *
script_get_header(PyObject *object, PyObject *name)
{
    script_msg *self = (script_msg *)object;
    const iso_index *index = script_rows(self);
    if (index == NULL)
        return NULL;
    script_text text;
    iso_str row_name, value;
    uint32_t cursor = 0;
    int found = 0;
    if (script_argument(name, "getHeader", "the name of a header", &text) < 0)
        return NULL;
    /* An empty name would ask for any row. */
    if (text.str.n > 0)
        found = iso_msg_header(self->msg, index, text.str, &cursor, &row_name, &value);
    script_text_drop(&text);
    return found ? script_value(value) : Py_NewRef(Py_None);
}

/* Appends a new object; takes its reference. 0, or -1 with an error set. */
static int
append(PyObject *list, PyObject *item)
{
    if (item == NULL)
        return -1;
    int failed = PyList_Append(list, item);
    Py_DECREF(item);
    return failed;
}

/* What is asked of each row. */
enum { ROW_NAMES, ROW_VALUES, ROW_ELEMENTS };

static int
append_row(PyObject *list, iso_str name, iso_str value, int what)
{
    iso_str element;
    if (what == ROW_NAMES)
        return append(list, script_str(name));
    if (what == ROW_VALUES)
        return append(list, script_value(value));
    while (iso_list_next(&value, &element)) {
        if (append(list, script_value(element)) < 0)
            return -1;
    }
    return 0;
}

/* New list of the rows with a name ("": of all). */
static PyObject *
collect(script_msg *self, iso_str name, int what)
{
    const iso_index *index = script_rows(self);
    PyObject *list = index == NULL ? NULL : PyList_New(0);
    iso_str row_name, value;
    uint32_t cursor = 0;
    while (list != NULL && iso_msg_header(self->msg, index, name, &cursor, &row_name, &value)) {
        if (append_row(list, row_name, value, what) < 0)
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *
values(PyObject *object, PyObject *name, const char *function, int split)
{
    script_text text;
    PyObject *list = NULL;
    if (script_argument(name, function, "the name of a header", &text) < 0)
        return NULL;
    if (text.str.n == 0)
        list = PyList_New(0);
    else
        list = collect((script_msg *)object, text.str, split && script_is_list(text.str) ? ROW_ELEMENTS : ROW_VALUES);
    script_text_drop(&text);
    return list;
}

PyObject *
script_headers(PyObject *object, PyObject *name)
{
    return values(object, name, "headers", 1);
}

PyObject *
script_header_rows(PyObject *object, PyObject *name)
{
    return values(object, name, "header_rows", 0);
}

PyObject *
script_header_names(PyObject *object, PyObject *Py_UNUSED(unused))
{
    return collect((script_msg *)object, (iso_str){"", 0}, ROW_NAMES);
}

/* ---- repr ---- */

/* New str that any terminal takes: octets that are no text are written as \xNN. */
static PyObject *
printable(const script_msg *self, uint32_t at, uint32_t n)
{
    return PyUnicode_DecodeUTF8(self->msg->data + at, (Py_ssize_t)n, "backslashreplace");
}

PyObject *
script_repr(PyObject *object)
{
    const script_msg *self = (const script_msg *)object;
    const char *type = script_is_request(self) ? "SIPRequest" : "SIPReply";
    if (self->msg == NULL)
        return PyUnicode_FromFormat("<%s without a message>", type);
    const iso_index *line = script_line(self);
    PyObject *first = script_is_request(self) ? printable(self, line->start, line->first_n)
                                              : printable(self, line->second, line->second_n);
    PyObject *second = script_is_request(self) ? printable(self, line->second, line->second_n)
                                               : printable(self, line->third, line->third_n);
    PyObject *text = NULL;
    char ip[ISO_ADDRESS_TEXT];
    const iso_address *source = &self->msg->source;
    iso_address_format(source, ip);
    if (first != NULL && second != NULL && source->family == 0)
        text = PyUnicode_FromFormat("<%s %U %U>", type, first, second);
    else if (first != NULL && second != NULL)
        text = PyUnicode_FromFormat(source->family == 6 ? "<%s %U %U from [%s]:%d>" : "<%s %U %U from %s:%d>", type,
                                    first, second, ip, (int)source->port);
    Py_XDECREF(first);
    Py_XDECREF(second);
    return text;
}

/* ---- tables ---- */

PyGetSetDef script_read_base[] = {
    {"src_address", get_src_address, NULL, "(ip, port) that the message came from.", NULL},
    {"dst_address", get_dst_address, NULL, "(ip, port) that the host received it on.", NULL},
    {"route", get_route, NULL, "From where the host called: 'request', 'onreply', 'failure', 'branch'.", NULL},
    {"raw", get_raw, NULL, "The octets of the whole message, as received.", NULL},
    {"body", get_body, NULL, "The octets of the body; None if Content-Length is wrong.", NULL},
    {"new_uri", get_new_uri, NULL, "The request URI set by rewrite_ruri(), or None.", NULL},
    {"dst_uri", get_dst_uri, NULL, "The destination set by set_dst_uri(), or None.", NULL},
    {"edits", get_edits, NULL, "Tuple of (kind, name, value): what was changed so far.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyGetSetDef script_read_request[] = {
    {"RURI", get_ruri, NULL, "The original request URI.", NULL},
    {"Status", get_wrong_kind, NULL, "Replies only.", "Not a non-reply message - no status available."},
    {"Reason", get_wrong_kind, NULL, "Replies only.", "Not a non-reply message - no reason available."},
    {NULL, NULL, NULL, NULL, NULL},
};

PyGetSetDef script_read_reply[] = {
    {"Method", get_wrong_kind, NULL, "Requests only.", "Not a request message - no method available."},
    {"RURI", get_wrong_kind, NULL, "Requests only.", "Not a request message - RURI is not available."},
    {"Status", get_status, NULL, "The status code as text.", NULL},
    {"Reason", get_reason, NULL, "The reason phrase.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
