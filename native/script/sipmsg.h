/* sipmsg.h: what the files of the message object share. */
#ifndef ISO_SCRIPT_SIPMSG_H
#define ISO_SCRIPT_SIPMSG_H

#include "script/script.h"

/* A message that objects own together: one that is kept and its copies. Plain count: one GIL. */
struct script_kept {
    Py_ssize_t count;
    iso_msg msg;     /* its data is `octets`, its index NULL */
    iso_index index; /* start line filled; the rows once an object needed them */
    char octets[];
};

/* Makes the base type and the two under it. 0, or -1 with an error set. */
int script_types_make(PyObject *module, script_state *state);

/* ---- kept.c ---- */

/* A copy of the message with its index as far as it is built; NULL without an error set: no memory. */
script_kept *script_kept_new(const iso_msg *msg, const iso_index *index);
void script_kept_drop(script_kept *kept); /* NULL is a no-op */
void script_own(script_msg *self, script_kept *kept); /* puts an object over it; takes the reference */
/* A new list that starts with those of `from` (NULL: none); freed by iso_edits_free. NULL: no memory. */
iso_edits *script_edits_new(const iso_edits *from);
PyObject *script_copy(PyObject *self, PyObject *unused);

/* ---- sipmsg_read.c ---- */

extern PyGetSetDef script_read_base[], script_read_request[], script_read_reply[];
/* The complete index, built by the first read that needs it; NULL with RuntimeError. */
const iso_index *script_rows(script_msg *self);
/* Whether there is a message: 0, or -1 with RuntimeError. */
int script_present(const script_msg *self);
PyObject *script_get_header(PyObject *self, PyObject *name);
PyObject *script_headers(PyObject *self, PyObject *name);
PyObject *script_header_rows(PyObject *self, PyObject *name);
PyObject *script_header_names(PyObject *self, PyObject *unused);
PyObject *script_repr(PyObject *self);
extern const char *const script_routes[5]; /* by ISO_ROUTE_... */

/* The index up to the start line, NULL when there was no memory to keep the message. */
static inline const iso_index *
script_line(const script_msg *self)
{
    return self->index != NULL ? self->index : self->storage;
}

static inline int
script_is_request(const script_msg *self)
{
    return Py_IS_TYPE(self, self->state->request);
}

/* What the object's edits are for a reader: also those a kept message had. */
static inline const iso_edits *
script_edits(const script_msg *self)
{
    return self->edits != NULL ? self->edits : self->own;
}

/* ---- names.c ---- */

/* Whether two header names mean the same header: any case, compact or long (RFC 3261 7.3.3). */
int script_same_name(iso_str a, iso_str b);
/* Whether the values of this header are a list separated by commas (RFC 3261 7.3.1). */
int script_is_list(iso_str name);

/* ---- sipmsg_edit.c ---- */

PyObject *script_rewrite_ruri(PyObject *self, PyObject *uri);
PyObject *script_set_dst_uri(PyObject *self, PyObject *uri);
PyObject *script_append_header(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *script_insert_header(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *script_replace_header(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *script_remove_header(PyObject *self, PyObject *name);
PyObject *script_set_body(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
/* Checks an edit and records it: 0, or -1 with ValueError or MemoryError, the list unchanged. */
int script_record(script_msg *self, const char *function, int kind, iso_str name, iso_str value);
/* RuntimeError: the call of a kept message has ended. */
void script_left(const char *function);

/* ---- functions.c ---- */

PyObject *script_call_function(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *script_get_variable(PyObject *self, PyObject *format);
PyObject *script_set_variable(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* The dict of script_state.functions; new reference. */
PyObject *script_functions_new(const script_host *host);

/* ---- provided.c: the functions that the engine provides where the host has none of the name ---- */

typedef struct script_provided {
    const char *name;
    const char *signature; /* as of iso_function */
    /* Returns 0 and fills *code_out, or -1 with an error set. `self` may be edited. */
    int (*run)(script_msg *self, const iso_value *argv, int *code_out);
} script_provided;

#define SCRIPT_PROVIDED_COUNT 4
extern const script_provided script_provided_table[SCRIPT_PROVIDED_COUNT];

#endif
