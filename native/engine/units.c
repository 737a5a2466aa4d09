#include "engine/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct unit {
    const char *name;
    int64_t count;
} unit;

/* From large to small; the last one of no name is what a plain number counts. */
static const unit times[] = {{"h", INT64_C(3600000000000)},
                             {"m", INT64_C(60000000000)},
                             {"s", 1000000000},
                             {"ms", 1000000},
                             {"us", 1000},
                             {"ns", 1},
                             {"", 1000000000}};
static const unit sizes[] = {{"T", INT64_C(1) << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"", 1}};

static const unit *
units_of(enum iso__unit kind, size_t *count)
{
    *count = kind == ISO__UNIT_TIME ? sizeof times / sizeof *times : sizeof sizes / sizeof *sizes;
    return kind == ISO__UNIT_TIME ? times : sizes;
}

int
iso__unit_parse(enum iso__unit kind, const char *text, int64_t *out)
{
    size_t count;
    const unit *units = units_of(kind, &count);
    if (strcasecmp(text, "none") == 0) {
        *out = 0;
        return 0;
    }
    char *end;
    double number = strtod(text, &end);
    size_t digits = strspn(text, "+-.0123456789"); /* no hexadecimal, no inf: strtod takes more than people mean */
    if (end == text || (size_t)(end - text) != digits)
        return -1;
    end += strspn(end, " ");
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(units[i].name, end) != 0)
            continue;
        double value = number * (double)units[i].count;
        if (!(value < 9e18 && value > -9e18))
            return -1;
        *out = (int64_t)(value + (value < 0 ? -0.5 : 0.5));
        return 0;
    }
    return -1;
}

int
iso_time_parse(const char *text, int64_t *ns_out)
{
    return text != NULL && iso__unit_parse(ISO__UNIT_TIME, text, ns_out) == 0 ? 0 : ISO_EINVAL;
}

void
iso__unit_format(enum iso__unit kind, int64_t value, char out[ISO__UNIT_TEXT])
{
    size_t count;
    const unit *units = units_of(kind, &count);
    out[0] = '\0';
    if (value == 0)
        return;
    size_t i = 0;
    while (value % units[i].count != 0)
        i++;
    snprintf(out, ISO__UNIT_TEXT, "%lld%s", (long long)(value / units[i].count), units[i].name);
}

iso__list
iso__list_over(const char *text)
{
    const char *at = text != NULL ? text : "";
    return (iso__list){at, strpbrk(at, "\r\n") != NULL ? "\r\n" : ","};
}

int
iso__list_next(iso__list *list, iso_str *item_out)
{
    while (*list->at != '\0') {
        const char *from = list->at;
        size_t n = strcspn(from, list->separator);
        list->at += n + (from[n] != '\0');
        size_t blank = strspn(from, " \t");
        if (blank >= n)
            continue;
        from += blank;
        n -= blank;
        while (strchr(" \t", from[n - 1]) != NULL)
            n--;
        *item_out = (iso_str){from, n};
        return 1;
    }
    return 0;
}
