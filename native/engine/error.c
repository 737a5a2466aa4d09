#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#define TEXT_OF(number) #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *
iso_version(void)
{
    return VERSION_TEXT(ISO_VERSION_MAJOR, ISO_VERSION_MINOR, ISO_VERSION_PATCH);
}

const char *
iso_strerror(int code)
{
    switch (code) {
    case 0:
        return "no error";
#define CASE(name, number, text)                                                                                       \
    case number:                                                                                                       \
        return text;
        ISO_ERROR_LIST(CASE)
#undef CASE
    default:
        return "unknown error";
    }
}

const char *
iso_error_name(int code)
{
    switch (code) {
    case 0:
        return "OK";
#define CASE(name, number, text)                                                                                       \
    case number:                                                                                                       \
        return #name;
        ISO_ERROR_LIST(CASE)
#undef CASE
    default:
        return "EUNKNOWN";
    }
}

const char *
iso_outcome_name(int outcome)
{
    static const char *const names[ISO_OUTCOME_COUNT] = {
        [ISO_OUTCOME_RETURNED] = "returned", [ISO_OUTCOME_RAISED] = "raised",
        [ISO_OUTCOME_EXIT] = "exit",         [ISO_OUTCOME_BAD_VALUE] = "bad_value",
        [ISO_OUTCOME_MISSING] = "missing",   [ISO_OUTCOME_MALFORMED] = "malformed",
        [ISO_OUTCOME_REFUSED] = "refused",   [ISO_OUTCOME_DEADLINE] = "deadline",
        [ISO_OUTCOME_CRASHED] = "crashed",
    };
    return outcome >= 0 && outcome < ISO_OUTCOME_COUNT ? names[outcome] : "unknown";
}

int
iso__fail(iso_error *err, int code, const char *format, ...)
{
    if (err == NULL)
        return code;
    err->code = code;
    err->traceback[0] = '\0';
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return code;
}

/* Keeps the end of a text that is too long: the exception itself stands there. */
void
iso__error_traceback(iso_error *err, iso_str text)
{
    if (err == NULL)
        return;
    size_t room = sizeof err->traceback - 1;
    size_t skip = text.n > room ? text.n - room : 0;
    while (skip > 0 && skip < text.n && ((unsigned char)text.p[skip] & 0xC0) == 0x80)
        skip++; /* not inside a UTF-8 sequence */
    if (text.n > skip)
        memcpy(err->traceback, text.p + skip, text.n - skip);
    err->traceback[text.n - skip] = '\0';
}

int
iso__text_reserve(iso__text *text, size_t n)
{
    if (text->n + n + 1 <= text->capacity)
        return 0;
    size_t capacity = (text->n + n + 1) * 2;
    char *grown = realloc(text->p, capacity);
    if (grown == NULL)
        return ISO_ENOMEM;
    text->p = grown;
    text->capacity = capacity;
    return 0;
}

int
iso__text_add(iso__text *text, const char *p, size_t n)
{
    if (iso__text_reserve(text, n) < 0)
        return ISO_ENOMEM;
    if (n > 0)
        memcpy(text->p + text->n, p, n);
    text->n += n;
    text->p[text->n] = '\0';
    return 0;
}

int
iso__text_set(iso__text *text, const char *p, size_t n)
{
    text->n = 0;
    return iso__text_add(text, p, n);
}

void
iso__text_fini(iso__text *text)
{
    free(text->p);
    *text = (iso__text){0};
}
