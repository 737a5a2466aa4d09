/* signature.c: what the signature of a host function allows (iso_function). */
#include <string.h>

#include "script/script.h"

char
script_parameter(const char *signature, int i, bool *optional_out)
{
    *optional_out = false;
    for (; *signature != '\0'; signature++) {
        if (*signature == '|') {
            *optional_out = true;
        } else if (*signature == '*') {
            *optional_out = true;
            return 'v';
        } else if (i-- == 0) {
            return *signature;
        }
    }
    return 0;
}

bool
script_signature_allows(const char *signature, const iso_value *argv, int argc)
{
    bool optional, allowed = argc >= 0 && argc <= SCRIPT_MAX_ARGUMENTS;
    for (int i = 0; allowed && i < argc; i++) {
        char letter = script_parameter(signature, i, &optional);
        bool text =
            argv[i].kind == ISO_VALUE_STR && letter != 'i' && memchr(argv[i].str.p, '\0', argv[i].str.n) == NULL;
        bool number = argv[i].kind == ISO_VALUE_INT && letter != 's';
        bool none = argv[i].kind == ISO_VALUE_NONE && optional;
        allowed = letter != 0 && (text || number || none);
    }
    return allowed && (script_parameter(signature, argc, &optional) == 0 || optional);
}
