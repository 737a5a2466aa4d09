/* functions.c: what a handler may ask of the proxy by msg.call_function, with the names and meanings of OpenSIPS: the
 * table, and what all functions share. `remove_hf` and `is_present_hf`, which know no pseudo-variables, are the
 * engine's own. */
#include "functions.h"

#include <stdio.h>

#define EXPANDED_SIZE 4096 /* of all texts of a call; OpenSIPS has as much */

typedef struct function {
    const char *name;
    const char *signature;
    unsigned routes;
    int texts;
    int (*run)(proxy_context *context, const proxy_arguments *given);
} function;

#define FUNCTION_ROW(name, signature, routes, texts) {#name, signature, routes, texts, proxy_fn_##name},
static const function table[] = {PROXY_FUNCTIONS(FUNCTION_ROW)};
#undef FUNCTION_ROW

enum { COUNT = sizeof table / sizeof *table, MOST_ARGUMENTS = 8 };

/* ---- arguments ---- */

iso_str
proxy_text_at(const proxy_arguments *given, int i)
{
    return i < given->count && given->values[i].kind == ISO_VALUE_STR ? given->values[i].str : (iso_str){NULL, 0};
}

int64_t
proxy_number_at(const proxy_arguments *given, int i, int64_t max)
{
    const iso_value *value = &given->values[i];
    int64_t number = value->kind == ISO_VALUE_INT ? value->num : proxy_number(proxy_text_at(given, i), max);
    return number >= 0 && number <= max ? number : -1;
}

int
proxy_fail(const proxy_arguments *given, const char *text)
{
    snprintf(given->err->message, sizeof given->err->message, "%s", text);
    return ISO_EFUNCTION;
}

int
proxy_breaks_line(iso_str text)
{
    return memchr(text.p, '\r', text.n) != NULL || memchr(text.p, '\n', text.n) != NULL ||
           memchr(text.p, '\0', text.n) != NULL;
}

int
proxy_edit(const proxy_arguments *given, int kind, iso_str name, iso_str value)
{
    return iso_call_edit(given->call, kind, name, value, given->err) == 0 ? 1 : ISO_EFUNCTION;
}

/* ---- a call ---- */

/* Texts with a '$' are replaced by what they say now. 0, or ISO_EFUNCTION. */
static int
expand(const proxy_context *context, const proxy_arguments *given, iso_value values[], proxy_writer *to)
{
    for (int i = 0; i < given->count; i++) {
        iso_str text = proxy_text_at(given, i), unknown;
        values[i] = given->values[i];
        if (text.n == 0 || memchr(text.p, '$', text.n) == NULL)
            continue;
        size_t before = to->n;
        if (proxy_expand(context, text, to, &unknown) < 0) {
            snprintf(given->err->message, sizeof given->err->message, "%s: there is no pseudo-variable $%.*s",
                     given->call->function, (int)(unknown.n < 64 ? unknown.n : 64), unknown.p);
            return ISO_EFUNCTION;
        }
        if (to->n > to->size)
            return proxy_fail(given, "the texts with their pseudo-variables are longer than 4096 octets");
        values[i].str = (iso_str){to->p + before, to->n - before};
    }
    return 0;
}

/* What all functions share: the context of the call, and whether the route type allows it. */
static int
run(const iso_call *call, const iso_value *values, int count, void *user, iso_error *err)
{
    const function *wanted = user;
    proxy_context *context = proxy_current != NULL ? proxy_current->context : NULL;
    proxy_arguments given = {call, values, count, err};
    iso_value expanded[MOST_ARGUMENTS];
    char memory[EXPANDED_SIZE];
    proxy_writer to = {memory, 0, sizeof memory};
    if (context == NULL) {
        snprintf(err->message, sizeof err->message, "%s: the proxy handles no message now", wanted->name);
        return ISO_EFUNCTION;
    }
    if (!(wanted->routes & 1u << context->route)) {
        snprintf(err->message, sizeof err->message, "%s can not be called from this route type", wanted->name);
        return ISO_EFUNCTION;
    }
    context->edits = call->edits;
    if (wanted->texts == PROXY_RAW)
        return wanted->run(context, &given);
    if (expand(context, &given, expanded, &to) < 0)
        return ISO_EFUNCTION;
    given.values = expanded;
    int code = wanted->run(context, &given);
    context->last_code = code;
    return code;
}

size_t
isoproxy_functions(const iso_function **out)
{
    static iso_function rows[COUNT];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < COUNT; i++)
        rows[i] = (iso_function){table[i].name, table[i].signature, run, (void *)&table[i], 0};
    pthread_mutex_unlock(&lock);
    *out = rows;
    return COUNT;
}
