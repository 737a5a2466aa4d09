/* text.h: octets to str and back. UTF-8 with surrogateescape both ways (PEP 383), so that octets that
 * are not UTF-8 never fail a call and come out again as they were. */
#ifndef ISO_SCRIPT_TEXT_H
#define ISO_SCRIPT_TEXT_H

#include "script/script.h"

/* The octets of a str, borrowed from it or from `owner`. */
typedef struct script_text {
    iso_str str;
    PyObject *owner; /* bytes that hold the octets, NULL if the str itself does */
} script_text;

/* New str. */
static inline PyObject *
script_str(iso_str text)
{
    return PyUnicode_DecodeUTF8(text.p, (Py_ssize_t)text.n, "surrogateescape");
}

/* New str, or None if the text is absent. */
PyObject *script_str_or_none(iso_str text);
/* New str of a header's value: folds become one space (RFC 3261 7.3.1). */
PyObject *script_value(iso_str value);

/* Octets of a str object: 0, or -1 with UnicodeEncodeError (a surrogate that stands for no octet) or
 * MemoryError. The object must outlive the text. Undone by script_text_drop, also after a failure. */
int script_encode(PyObject *object, script_text *text_out);
/* The same, for a parameter of `function` (TypeError that names both when it is no str). */
int script_argument(PyObject *object, const char *function, const char *parameter, script_text *text_out);

static inline void
script_text_drop(script_text *text)
{
    Py_CLEAR(text->owner);
}

#endif
