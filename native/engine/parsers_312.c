#include <patchlevel.h>

#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000

/* The list is private: the layout of _PyRuntime is that of the headers this file is built with, and it is
 * touched only on the patch releases named in the header, whose layout is one. */
#define Py_BUILD_CORE 1
#include <Python.h>

#include "internal/pycore_runtime.h"

#include "engine/parsers_312.h"

void
iso__parsers_forget(void)
{
    if (Py_Version < 0x030C0400u)
        _PyRuntime.getargs.static_parsers = NULL;
}

#else

#include "engine/parsers_312.h"

void
iso__parsers_forget(void)
{
}

#endif
