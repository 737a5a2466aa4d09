/* text.c: octets to str and back. */
#include "script/text.h"

#include <string.h>

PyObject *
script_str_or_none(iso_str text)
{
    return text.p == NULL ? Py_NewRef(Py_None) : script_str(text);
}

PyObject *
script_value(iso_str value)
{
    /* Every fold holds a LF, whatever stands before it; most values have none. */
    if (value.n == 0 || memchr(value.p, '\n', value.n) == NULL)
        return script_str(value);
    char *flat = PyMem_Malloc(value.n);
    if (flat == NULL)
        return PyErr_NoMemory();
    PyObject *text = script_str((iso_str){flat, iso_unfold(value, flat)});
    PyMem_Free(flat);
    return text;
}

int
script_encode(PyObject *object, script_text *text_out)
{
    text_out->owner = NULL;
    if (PyUnicode_IS_ASCII(object)) {
        text_out->str = (iso_str){(const char *)PyUnicode_1BYTE_DATA(object), (size_t)PyUnicode_GET_LENGTH(object)};
        return 0;
    }
    text_out->owner = PyUnicode_AsEncodedString(object, "utf-8", "surrogateescape");
    if (text_out->owner == NULL)
        return -1;
    text_out->str = (iso_str){PyBytes_AS_STRING(text_out->owner), (size_t)PyBytes_GET_SIZE(text_out->owner)};
    return 0;
}

int
script_argument(PyObject *object, const char *function, const char *parameter, script_text *text_out)
{
    text_out->owner = NULL;
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s(): %s must be str, not %.100s", function, parameter,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    return script_encode(object, text_out);
}
