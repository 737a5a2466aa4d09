/* function_message.c: host functions that look at the message, mark it, or change its rows. */
#include "functions.h"

#define MOST_ROWS 16 /* of one append_hf */

/* ---- tests ---- */

int
proxy_fn_has_totag(proxy_context *context, const proxy_arguments *given)
{
    (void)given;
    return context->view->to_tag.n > 0 ? 1 : -1;
}

/* is_method("INVITE|ACK"); of a reply: the method of its CSeq. */
int
proxy_fn_is_method(proxy_context *context, const proxy_arguments *given)
{
    iso_str rest = proxy_text_at(given, 0);
    while (rest.n > 0) {
        const char *bar = memchr(rest.p, '|', rest.n);
        size_t n = bar != NULL ? (size_t)(bar - rest.p) : rest.n;
        if (proxy_equal(proxy_trim((iso_str){rest.p, n}), context->view->method_name)) /* RFC 3261 7.1: case counts */
            return 1;
        n += bar != NULL;
        rest = (iso_str){rest.p + n, rest.n - n};
    }
    return -1;
}

/* mf_process_maxfwd_header(max): 1 the header counts down, 2 it is put in, -1 it has come to 0. Relaying counts
 * down itself, so what is recorded here is one more than what leaves. */
int
proxy_fn_mf_process_maxfwd_header(proxy_context *context, const proxy_arguments *given)
{
    int64_t most = proxy_number_at(given, 0, 255);
    int hops = context->view->hops;
    char digits[8];
    proxy_writer to = {digits, 0, sizeof digits};
    if (most < 0)
        return proxy_fail(given, "mf_process_maxfwd_header takes a number of hops, 0 to 255");
    if (hops == 0)
        return -1;
    proxy_put_number(&to, (uint64_t)most + 1);
    if ((hops < 0 || hops > most + 1) &&
        proxy_edit(given, ISO_EDIT_REPLACE_HEADER, PROXY_TEXT("Max-Forwards"), proxy_written(&to)) < 0)
        return ISO_EFUNCTION;
    return hops < 0 ? 2 : 1;
}

/* ---- flags ---- */

/* Flags are named, as in OpenSIPS; a worker knows the first 32 names. A number is a name too. -1: no room. */
static int
flag_number(proxy_worker *worker, const proxy_arguments *given)
{
    iso_str name = proxy_text_at(given, 0);
    char digits[20];
    proxy_writer to = {digits, 0, sizeof digits};
    if (given->values[0].kind == ISO_VALUE_INT && given->values[0].num >= 0) {
        proxy_put_number(&to, (uint64_t)given->values[0].num);
        name = proxy_written(&to);
    }
    if (name.n == 0 || name.n >= PROXY_FLAG_NAME)
        return -1;
    int number = 0;
    while (number < worker->flag_count && !proxy_equal(name, proxy_text_of(worker->flags[number])))
        number++;
    if (number == worker->flag_count) {
        if (number == PROXY_FLAGS)
            return -1;
        memcpy(worker->flags[number], name.p, name.n);
        worker->flags[number][name.n] = '\0';
        worker->flag_count++;
    }
    return number;
}

/* Those of the transaction, once there is one. */
static uint32_t *
flags_of(proxy_context *context)
{
    return context->transaction != NULL ? &context->transaction->flags : &context->flags;
}

enum flag_use { FLAG_SET, FLAG_RESET, FLAG_LOOK };

static int
use_flag(proxy_context *context, const proxy_arguments *given, enum flag_use use)
{
    int number = flag_number(context->worker, given);
    if (number < 0)
        return proxy_fail(given, "a flag has a name of 1 to 31 octets, and there are at most 32 names");
    uint32_t bit = UINT32_C(1) << number, *flags = flags_of(context);
    if (use == FLAG_SET)
        *flags |= bit;
    else if (use == FLAG_RESET)
        *flags &= ~bit;
    return use != FLAG_LOOK || (*flags & bit) != 0 ? 1 : -1;
}

int
proxy_fn_setflag(proxy_context *context, const proxy_arguments *given)
{
    return use_flag(context, given, FLAG_SET);
}

int
proxy_fn_resetflag(proxy_context *context, const proxy_arguments *given)
{
    return use_flag(context, given, FLAG_RESET);
}

int
proxy_fn_isflagset(proxy_context *context, const proxy_arguments *given)
{
    return use_flag(context, given, FLAG_LOOK);
}

/* ---- rows ---- */

/* Takes the first row off a text: 1, or 0 at the end, -1: it is no row. */
static int
next_row(iso_str *text, iso_str *name_out, iso_str *value_out)
{
    while (text->n > 0 && (text->p[0] == '\r' || text->p[0] == '\n'))
        text->p++, text->n--;
    if (text->n == 0)
        return 0;
    const char *end = memchr(text->p, '\n', text->n);
    iso_str line = {text->p, end != NULL ? (size_t)(end - text->p) : text->n};
    const char *colon = memchr(line.p, ':', line.n);
    if (colon == NULL)
        return -1;
    *name_out = proxy_trim((iso_str){line.p, (size_t)(colon - line.p)});
    *value_out = proxy_trim((iso_str){colon + 1, line.n - (size_t)(colon + 1 - line.p)});
    *text = (iso_str){line.p + line.n, text->n - line.n};
    return 1;
}

/* What stands last in the text is inserted first: each row goes before all others. */
static int
record_rows(const proxy_arguments *given, int kind)
{
    iso_str text = proxy_text_at(given, 0), names[MOST_ROWS], values[MOST_ROWS];
    int count = 0, more = 1;
    while (count < MOST_ROWS && (more = next_row(&text, &names[count], &values[count])) > 0)
        count++;
    if (count == 0 || more != 0)
        return proxy_fail(given, "it takes 1 to 16 lines like 'Name: value'");
    for (int i = 0; i < count; i++) {
        int row = kind == ISO_EDIT_INSERT_HEADER ? count - 1 - i : i;
        if (proxy_edit(given, kind, names[row], values[row]) < 0)
            return ISO_EFUNCTION;
    }
    return 1;
}

/* The second argument of both, the row that it should stand beside, has no meaning for other rows (RFC 3261 7.3.1). */
int
proxy_fn_append_hf(proxy_context *context, const proxy_arguments *given)
{
    (void)context;
    return record_rows(given, ISO_EDIT_APPEND_HEADER);
}

int
proxy_fn_insert_hf(proxy_context *context, const proxy_arguments *given)
{
    (void)context;
    return record_rows(given, ISO_EDIT_INSERT_HEADER);
}

/* ---- log ---- */

/* xlog([level,] text) */
int
proxy_fn_xlog(proxy_context *context, const proxy_arguments *given)
{
    static const struct {
        iso_str name;
        int level;
    } levels[] = {
        {PROXY_TEXT("L_ALERT"), ISO_LOG_ALERT},   {PROXY_TEXT("L_CRIT"), ISO_LOG_CRIT},
        {PROXY_TEXT("L_ERR"), ISO_LOG_ERR},       {PROXY_TEXT("L_WARN"), ISO_LOG_WARN},
        {PROXY_TEXT("L_NOTICE"), ISO_LOG_NOTICE}, {PROXY_TEXT("L_INFO"), ISO_LOG_INFO},
        {PROXY_TEXT("L_DBG"), ISO_LOG_DBG},
    };
    int level = ISO_LOG_ERR, known = given->count == 1; /* without a level it is L_ERR, as in OpenSIPS */
    iso_str text = proxy_text_at(given, given->count - 1);
    for (size_t i = 0; i < sizeof levels / sizeof *levels && !known; i++) {
        if (proxy_equal(proxy_text_at(given, 0), levels[i].name)) {
            level = levels[i].level;
            known = 1;
        }
    }
    if (!known)
        return proxy_fail(given, "xlog takes a level L_ALERT, L_CRIT, L_ERR, L_WARN, L_NOTICE, L_INFO or L_DBG");
    while (text.n > 0 && text.p[text.n - 1] == '\n')
        text.n--;
    proxy_log(context->worker, level, NULL, "%.*s", (int)text.n, text.n > 0 ? text.p : "");
    return 1;
}
