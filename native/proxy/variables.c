/* variables.c: pseudo-variables, with the names and meanings of OpenSIPS: $ru, $hdr(Name), $(hdr(Name)[1]).
 *
 * A variable without a value is written as "<null>". What edits so far have changed shows in $ru, $du and their parts;
 * header rows are those that came. */
#include "functions.h"

/* What is asked for, and memory for a text that is not in the message. */
typedef struct lookup {
    iso_str argument; /* of $hdr(x), $var(x), $avp(x) */
    int index;        /* $(hdr(x)[1]); negative ones count from the last */
    char memory[PROXY_IP_TEXT];
} lookup;

enum part { WHOLE, URI_USER, URI_HOST, URI_PORT };

/* Either text or number. */
typedef struct variable {
    iso_str name;
    iso_str (*text)(const proxy_context *context, lookup *wanted);
    enum part part; /* of the text */
    int64_t (*number)(const proxy_context *context); /* NO_NUMBER: none */
    int takes_argument;
} variable;

#define NO_NUMBER INT64_MIN

/* ---- the request and the reply ---- */

static iso_str
ruri(const proxy_context *context, lookup *wanted)
{
    (void)wanted;
    return proxy_current_ruri(context);
}

static iso_str
dst_uri(const proxy_context *context, lookup *wanted)
{
    (void)wanted;
    return proxy_current_dst_uri(context);
}

static iso_str
method(const proxy_context *context, lookup *wanted)
{
    (void)wanted;
    return context->view->method_name;
}

static iso_str
reason(const proxy_context *context, lookup *wanted)
{
    const proxy_view *view = context->view;
    (void)wanted;
    if (view->status == 0)
        return (iso_str){NULL, 0};
    return (iso_str){view->msg.data + view->index.third, view->index.third_n};
}

static int64_t
status(const proxy_context *context)
{
    return context->view->status != 0 ? context->view->status : NO_NUMBER;
}

static int64_t
transaction_reply_code(const proxy_context *context)
{
    int code = proxy_reply_code(context);
    return code != 0 ? code : NO_NUMBER;
}

static iso_str
octets(const proxy_context *context, lookup *wanted)
{
    (void)wanted;
    return (iso_str){context->view->msg.data, context->view->msg.length};
}

static int64_t
length(const proxy_context *context)
{
    return context->view->msg.length;
}

static iso_str
body(const proxy_context *context, lookup *wanted)
{
    (void)wanted;
    iso_str found = context->view->body;
    return found.n > 0 ? found : (iso_str){NULL, 0};
}

/* ---- addresses ---- */

static iso_str
source_ip(const proxy_context *context, lookup *wanted)
{
    return (iso_str){wanted->memory, proxy_ip_text(&context->view->msg.source, wanted->memory)};
}

static iso_str
received_ip(const proxy_context *context, lookup *wanted)
{
    return (iso_str){wanted->memory, proxy_ip_text(&context->view->msg.destination, wanted->memory)};
}

static int64_t
source_port(const proxy_context *context)
{
    return context->view->msg.source.port;
}

static int64_t
received_port(const proxy_context *context)
{
    return context->view->msg.destination.port;
}

/* ---- header rows ---- */

static iso_str
from_uri(const proxy_context *context, lookup *wanted)
{
    (void)wanted;
    return proxy_header_uri(context->view->from);
}

static iso_str
to_uri(const proxy_context *context, lookup *wanted)
{
    (void)wanted;
    return proxy_header_uri(context->view->to);
}

static iso_str
from_tag(const proxy_context *context, lookup *wanted)
{
    (void)wanted;
    return proxy_tag_of(context->view->from);
}

static iso_str
to_tag(const proxy_context *context, lookup *wanted)
{
    (void)wanted;
    return context->view->to_tag;
}

static iso_str
call_id(const proxy_context *context, lookup *wanted)
{
    (void)wanted;
    return context->view->call_id;
}

static int64_t
cseq(const proxy_context *context)
{
    return context->view->cseq_number;
}

/* The row of this name that is wanted. */
static iso_str
row(const proxy_context *context, iso_str name, int index)
{
    const proxy_view *view = context->view;
    uint32_t cursor = 0;
    iso_str value;
    int count = 0;
    if (index < 0) {
        while (iso_msg_header(&view->msg, &view->index, name, &cursor, NULL, &value))
            count++;
        index += count;
        cursor = 0;
    }
    for (int i = 0; index >= 0 && iso_msg_header(&view->msg, &view->index, name, &cursor, NULL, &value); i++) {
        if (i == index)
            return value;
    }
    return (iso_str){NULL, 0};
}

static iso_str
header(const proxy_context *context, lookup *wanted)
{
    return row(context, wanted->argument, wanted->index);
}

static iso_str
user_agent(const proxy_context *context, lookup *wanted)
{
    (void)wanted;
    return row(context, PROXY_TEXT("User-Agent"), 0);
}

static iso_str
contact(const proxy_context *context, lookup *wanted)
{
    (void)wanted;
    return row(context, PROXY_TEXT("Contact"), 0);
}

/* ---- what scripts keep, and what they did ---- */

static const proxy_values *
avps_of(const proxy_context *context)
{
    return context->transaction != NULL ? &context->transaction->values : &context->values;
}

static iso_str
avp(const proxy_context *context, lookup *wanted)
{
    return proxy_values_get(avps_of(context), wanted->argument);
}

static iso_str
var(const proxy_context *context, lookup *wanted)
{
    return proxy_values_get(&context->worker->values, wanted->argument);
}

static int64_t
branch_index(const proxy_context *context)
{
    if (context->branch != NULL)
        return context->branch->number;
    return context->route == ISO_ROUTE_BRANCH ? context->transaction->branch_count : NO_NUMBER;
}

static int64_t
last_code(const proxy_context *context)
{
    return context->last_code;
}

/* ---- the table ---- */

static const variable table[] = {
    {PROXY_TEXT("ru"), ruri, WHOLE, NULL, 0},
    {PROXY_TEXT("rU"), ruri, URI_USER, NULL, 0},
    {PROXY_TEXT("rd"), ruri, URI_HOST, NULL, 0},
    {PROXY_TEXT("rp"), ruri, URI_PORT, NULL, 0},
    {PROXY_TEXT("du"), dst_uri, WHOLE, NULL, 0},
    {PROXY_TEXT("rm"), method, WHOLE, NULL, 0},
    {PROXY_TEXT("rs"), NULL, WHOLE, status, 0},
    {PROXY_TEXT("rr"), reason, WHOLE, NULL, 0},
    {PROXY_TEXT("si"), source_ip, WHOLE, NULL, 0},
    {PROXY_TEXT("sp"), NULL, WHOLE, source_port, 0},
    {PROXY_TEXT("Ri"), received_ip, WHOLE, NULL, 0},
    {PROXY_TEXT("Rp"), NULL, WHOLE, received_port, 0},
    {PROXY_TEXT("fu"), from_uri, WHOLE, NULL, 0},
    {PROXY_TEXT("fU"), from_uri, URI_USER, NULL, 0},
    {PROXY_TEXT("fd"), from_uri, URI_HOST, NULL, 0},
    {PROXY_TEXT("ft"), from_tag, WHOLE, NULL, 0},
    {PROXY_TEXT("tu"), to_uri, WHOLE, NULL, 0},
    {PROXY_TEXT("tU"), to_uri, URI_USER, NULL, 0},
    {PROXY_TEXT("td"), to_uri, URI_HOST, NULL, 0},
    {PROXY_TEXT("tt"), to_tag, WHOLE, NULL, 0},
    {PROXY_TEXT("ci"), call_id, WHOLE, NULL, 0},
    {PROXY_TEXT("cs"), NULL, WHOLE, cseq, 0},
    {PROXY_TEXT("ua"), user_agent, WHOLE, NULL, 0},
    {PROXY_TEXT("ct"), contact, WHOLE, NULL, 0},
    {PROXY_TEXT("mb"), octets, WHOLE, NULL, 0},
    {PROXY_TEXT("ml"), NULL, WHOLE, length, 0},
    {PROXY_TEXT("rb"), body, WHOLE, NULL, 0},
    {PROXY_TEXT("hdr"), header, WHOLE, NULL, 1},
    {PROXY_TEXT("var"), var, WHOLE, NULL, 1},
    {PROXY_TEXT("avp"), avp, WHOLE, NULL, 1},
    {PROXY_TEXT("T_branch_idx"), NULL, WHOLE, branch_index, 0},
    {PROXY_TEXT("T_reply_code"), NULL, WHOLE, transaction_reply_code, 0},
    {PROXY_TEXT("rc"), NULL, WHOLE, last_code, 0},
};

static const variable *
find(iso_str name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (proxy_equal(table[i].name, name))
            return &table[i];
    }
    return NULL;
}

/* ---- names in texts ---- */

static int
in_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static iso_str
take_word(iso_str *text)
{
    size_t n = 0;
    while (n < text->n && in_name(text->p[n]))
        n++;
    iso_str word = {text->p, n};
    *text = (iso_str){text->p + n, text->n - n};
    return word;
}

/* "(x)" or "[x]", if it is there: what is inside. Brackets may nest. */
static int
take_enclosed(iso_str *text, char open, char close, iso_str *inside_out)
{
    size_t at = 1, depth = 1;
    if (text->n == 0 || text->p[0] != open)
        return 0;
    for (; at < text->n && depth > 0; at++)
        depth += (text->p[at] == open) - (text->p[at] == close);
    if (depth > 0)
        return 0;
    *inside_out = proxy_trim((iso_str){text->p + 1, at - 2});
    *text = (iso_str){text->p + at, text->n - at};
    return 1;
}

static int
read_index(iso_str text, int *out)
{
    int negative = text.n > 0 && text.p[0] == '-';
    int64_t number = proxy_number((iso_str){text.p + negative, text.n - (size_t)negative}, 9999);
    *out = (int)(negative ? -number : number);
    return number >= 0;
}

/* What stands behind a '$', which is taken off the text. NULL: no such variable, *unknown_out is its name. */
static const variable *
take_variable(iso_str *text, lookup *wanted, iso_str *unknown_out)
{
    iso_str inner = {NULL, 0}, index = {NULL, 0}, *from = take_enclosed(text, '(', ')', &inner) ? &inner : text;
    wanted->argument = (iso_str){NULL, 0};
    wanted->index = 0;
    iso_str name = *unknown_out = take_word(from);
    const variable *found = find(name);
    if (found == NULL || (found->takes_argument && !take_enclosed(from, '(', ')', &wanted->argument)) ||
        (found->takes_argument && wanted->argument.n == 0))
        return NULL;
    if (from == &inner && take_enclosed(from, '[', ']', &index) && !read_index(index, &wanted->index))
        return NULL;
    return from == &inner && inner.n > 0 ? NULL : found; /* transformations are not known */
}

/* ---- texts ---- */

static iso_str
part_of(iso_str uri, enum part part, lookup *wanted)
{
    iso_uri parts;
    iso_str none = {NULL, 0};
    if (part == WHOLE)
        return uri;
    if (uri.n == 0 || iso_uri_parse(uri, &parts) < 0)
        return none;
    if (part == URI_USER)
        return parts.user;
    if (part == URI_HOST)
        return parts.host;
    proxy_writer to = {wanted->memory, 0, sizeof wanted->memory};
    proxy_put_number(&to, parts.port != 0 ? parts.port : PROXY_DEFAULT_PORT);
    return proxy_written(&to);
}

/* Folds become one space. */
static void
put_value(proxy_writer *to, iso_str text)
{
    size_t before = to->n;
    proxy_put(to, text);
    if (to->n <= to->size)
        to->n = before + iso_unfold((iso_str){to->p + before, text.n}, to->p + before);
}

static void
put_variable(const proxy_context *context, const variable *found, lookup *wanted, proxy_writer *to)
{
    if (found->number != NULL) {
        int64_t number = found->number(context);
        if (number == NO_NUMBER)
            proxy_put_text(to, "<null>");
        else if (number < 0)
            proxy_put_text(to, "-");
        if (number != NO_NUMBER)
            proxy_put_number(to, (uint64_t)(number < 0 ? -number : number));
        return;
    }
    iso_str text = part_of(found->text(context, wanted), found->part, wanted);
    if (text.p == NULL)
        proxy_put_text(to, "<null>");
    else if (found->text == octets || found->text == body)
        proxy_put(to, text);
    else
        put_value(to, text);
}

int
proxy_expand(const proxy_context *context, iso_str format, proxy_writer *to, iso_str *unknown_out)
{
    while (format.n > 0) {
        const char *dollar = memchr(format.p, '$', format.n);
        size_t plain = dollar != NULL ? (size_t)(dollar - format.p) : format.n;
        lookup wanted;
        proxy_put(to, (iso_str){format.p, plain});
        format = (iso_str){format.p + plain, format.n - plain};
        if (format.n == 0)
            break;
        format.p++, format.n--;
        if (format.n == 0 || !(in_name(format.p[0]) || format.p[0] == '(')) { /* "$$" is a '$' too */
            proxy_put_text(to, "$");
            if (format.n > 0 && format.p[0] == '$')
                format.p++, format.n--;
            continue;
        }
        const variable *found = take_variable(&format, &wanted, unknown_out);
        if (found == NULL)
            return -1;
        put_variable(context, found, &wanted, to);
    }
    return 0;
}

/* ---- msg.get_pseudoVar(format), msg.set_pseudoVar(name, value) ---- */

/* A format with an unknown variable has no text, as in OpenSIPS: None. */
int
proxy_fn_get_pseudoVar(proxy_context *context, const proxy_arguments *given)
{
    proxy_writer to = {context->worker->scratch + PROXY_MAX_MESSAGE, 0, PROXY_MAX_MESSAGE};
    iso_str unknown;
    if (proxy_expand(context, proxy_text_at(given, 0), &to, &unknown) < 0)
        return -1;
    if (to.n > to.size)
        return proxy_fail(given, "the text with its pseudo-variables is longer than 65535 octets");
    return iso_call_answer(given->call, proxy_written(&to)) == 0 ? 1 : -1;
}

static int
set_value(proxy_values *values, iso_str name, iso_str text)
{
    return proxy_values_set(values, name, text) == 0 ? 1 : -1;
}

static int
set(proxy_context *context, const proxy_arguments *given, const variable *found, const lookup *wanted, iso_str text)
{
    if (found->text == avp)
        return set_value((proxy_values *)avps_of(context), wanted->argument, text);
    if (found->text == var)
        return set_value(&context->worker->values, wanted->argument, text);
    if (context->route == ISO_ROUTE_ONREPLY || (found->text != ruri && found->text != dst_uri))
        return -1;
    if (found->part == WHOLE)
        return proxy_set_uri(given, found->text == ruri ? ISO_EDIT_SET_RURI : ISO_EDIT_SET_DST_URI, text);
    int part = found->part == URI_USER ? PROXY_URI_USER : found->part == URI_HOST ? PROXY_URI_HOST : PROXY_URI_PORT;
    return proxy_set_ruri_part(context, given, part, text);
}

/* One that can not be set is only logged, as in OpenSIPS: the script goes on. */
int
proxy_fn_set_pseudoVar(proxy_context *context, const proxy_arguments *given)
{
    iso_str name = proxy_text_at(given, 0), rest = name, unknown;
    lookup wanted;
    const variable *found = NULL;
    if (name.n > 1 && name.p[0] == '$') {
        rest = (iso_str){name.p + 1, name.n - 1};
        found = take_variable(&rest, &wanted, &unknown);
    }
    int code = found != NULL && rest.n == 0 ? set(context, given, found, &wanted, proxy_text_at(given, 1)) : -1;
    if (code == -1)
        proxy_log(context->worker, ISO_LOG_WARN, context->view, "set_pseudoVar: %.*s can not be set",
                  (int)(name.n < 64 ? name.n : 64), name.n > 0 ? name.p : "");
    return code;
}
