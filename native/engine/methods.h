/* methods.h: from a method's name to its call. Here is what every call of a known method does, inline; what methods
 * are kept, and why that is never stale, says methods.c. Attached, on the rank's thread. */
#ifndef ISO_METHODS_H
#define ISO_METHODS_H

#include "engine/engine.h"

int iso__methods_install(iso_rank *rank); /* 0, or -1 with an error set */
void iso__methods_reset(iso_rank *rank);  /* forgets all of the handler, which is about to be another */
void iso__methods_clear(iso_rank *rank);  /* the same for good */

/* The long ways of the two functions below. */
iso__method *iso__method_search(iso_rank *rank, const char *name, iso__method **memo);
PyObject *iso__method_look_up(iso_rank *rank, iso__method *method, const char *name, PyObject **args, size_t nargs,
                              bool *missing);

/* NULL: not remembered, look it up by name. may_be_kept: the name may be one of iso__name_keep, which needs no
 * comparison; else that is not looked at. */
static inline iso__method *
iso__method_find(iso_rank *rank, const char *name, bool may_be_kept)
{
    size_t number = may_be_kept ? iso__name_number(name) : ISO__NAMES;
    bool kept = number < ISO__NAMES;
    iso__method **memo = kept ? &rank->named[number] : &rank->memo[((uintptr_t)name >> 3) & (ISO__METHOD_MEMOS - 1)];
    iso__method *method = *memo;
    if (ISO__LIKELY(method != NULL && (kept || iso__name_is(method->name, name))))
        return method;
    return iso__method_search(rank, name, memo);
}

/* Whether the function that was found is still what an attribute of the handler gives. */
static inline bool
iso__method_is_right(const iso_rank *rank, const iso__method *method)
{
    PyTypeObject *type = Py_TYPE(rank->handler);
    return type == method->type && type->tp_version_tag == method->version &&
           (rank->handler_dict_place == NULL || *rank->handler_dict_place == rank->handler_dict);
}

/* args[0] is free for CPython's use; args[1] is the handler's place, then the nargs arguments. NULL with an error
 * set, and *missing if the handler has no such method. */
static inline PyObject *
iso__method_call(iso_rank *rank, iso__method *method, const char *name, PyObject **args, size_t nargs, bool *missing)
{
    if (ISO__UNLIKELY(method == NULL || !iso__method_is_right(rank, method)))
        return iso__method_look_up(rank, method, name, args, nargs, missing);
    /* A plain function's own entry: PyObject_Vectorcall would look it up and check the result again. The function's
     * frame keeps it alive, should the call rebind the method. */
    PyObject *function = method->function;
    args[1] = rank->handler;
    return ((PyFunctionObject *)function)
        ->vectorcall(function, args + 1, (nargs + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

#endif
