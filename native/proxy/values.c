#include "values.h"

#include <stdlib.h>

#include "text.h"

struct proxy_value {
    proxy_value *next;
    iso_str name, text; /* in `memory` */
    char memory[];
};

iso_str
proxy_values_get(const proxy_values *values, iso_str name)
{
    const proxy_value *value = values->first;
    while (value != NULL && !proxy_equal(value->name, name))
        value = value->next;
    return value != NULL ? value->text : (iso_str){NULL, 0};
}

/* Takes the value of the name out of the list: 1, or 0 if there is none. */
static int
drop(proxy_values *values, iso_str name)
{
    proxy_value **link = &values->first;
    while (*link != NULL && !proxy_equal((*link)->name, name))
        link = &(*link)->next;
    if (*link == NULL)
        return 0;
    proxy_value *value = *link;
    *link = value->next;
    values->count--;
    free(value);
    return 1;
}

int
proxy_values_set(proxy_values *values, iso_str name, iso_str text)
{
    proxy_value *value = malloc(sizeof *value + name.n + text.n);
    if (value == NULL)
        return ISO_ENOMEM;
    value->name = (iso_str){value->memory, name.n};
    value->text = (iso_str){value->memory + name.n, text.n};
    memcpy(value->memory, name.p, name.n);
    if (text.n > 0)
        memcpy(value->memory + name.n, text.p, text.n); /* before the old one goes: it may be its text */
    if (!drop(values, name) && values->count == PROXY_MOST_VALUES) {
        free(value);
        return ISO_ESPACE;
    }
    value->next = values->first;
    values->first = value;
    values->count++;
    return 0;
}

void
proxy_values_clear(proxy_values *values)
{
    while (values->first != NULL) {
        proxy_value *value = values->first;
        values->first = value->next;
        free(value);
    }
    values->count = 0;
}
