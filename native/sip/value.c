/* value.c: what header values are made of: folds, lists, parameters. */
#include "isoexec_sip.h"
#include "sip/text.h"

/* LWS = [*WSP CRLF] 1*WSP (RFC 3261 25.1). A row holds a line end only where a fold is. */
size_t
iso_unfold(iso_str value, char *to)
{
    size_t n = 0;
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '\r' && i + 1 < value.n && value.p[i + 1] == '\n')
            c = '\n';
        if (c != '\n') {
            to[n++] = c;
            continue;
        }
        while (n > 0 && iso__is_blank(to[n - 1]))
            n--;
        while (i + 1 < value.n && (iso__is_blank(value.p[i + 1]) || iso__is_line_end(value.p[i + 1])))
            i++;
        to[n++] = ' ';
    }
    return n;
}

/* The octet after the quoted string that opens at i; n if it never closes. */
static size_t
after_quoted(iso_str text, size_t i)
{
    for (i++; i < text.n; i++) {
        if (text.p[i] == '\\')
            i++;
        else if (text.p[i] == '"')
            return i + 1;
    }
    return text.n;
}

/* Length of the text before the first `separator` that stands outside of quotes and, if asked for, <>. */
static size_t
until(iso_str text, char separator, int angles)
{
    size_t i = 0;
    while (i < text.n && text.p[i] != separator) {
        if (text.p[i] == '"') {
            i = after_quoted(text, i);
        } else if (angles && text.p[i] == '<') {
            const char *close = memchr(text.p + i, '>', text.n - i);
            i = close ? (size_t)(close - text.p) + 1 : text.n;
        } else {
            i++;
        }
    }
    return i;
}

/* Takes what stands before the next separator off the text. */
static iso_str
take(iso_str *text, char separator, int angles)
{
    size_t n = until(*text, separator, angles);
    iso_str part = {text->p, n};
    if (n < text->n)
        n++;
    text->p += n;
    text->n -= n;
    return iso__trim(part);
}

int
iso_list_next(iso_str *list, iso_str *element_out)
{
    while (list->n > 0) {
        iso_str element = take(list, ',', 1);
        if (element.n > 0) {
            *element_out = element;
            return 1;
        }
    }
    return 0;
}

int
iso_parameter(iso_str parameters, iso_str name, iso_str *value_out)
{
    while (parameters.n > 0) {
        iso_str value = take(&parameters, ';', 0);
        const char *equals = memchr(value.p, '=', value.n);
        iso_str key = {value.p, equals ? (size_t)(equals - value.p) : value.n};
        if (!iso__same_text(iso__trim(key), name) || key.n == 0)
            continue;
        *value_out = (iso_str){NULL, 0};
        if (equals)
            *value_out = iso__trim((iso_str){equals + 1, value.n - key.n - 1});
        return 1;
    }
    return 0;
}
