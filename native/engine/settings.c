/* settings.c: the table of settings, and one setting from text. */
#include "engine/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/config.h"
#include "engine/units.h"
#include "script/distance.h"

static const char *const kind_names[] = {"str", "list", "int", "bool", "choice", "time", "size"};
static const char *const scope_names[] = {"engine", "rank", "interpreter", "process"};

#define ROW(member, kind, scope, choices, value, min, max, doc)                                                        \
    {{#member, NULL, NULL, choices, NULL, NULL, min, max, doc},                                                        \
     ISO__KIND_##kind,                                                                                                 \
     ISO__SCOPE_##scope,                                                                                               \
     offsetof(iso_config, member)},
const iso__row iso__rows[] = {ISO__SETTINGS(ROW)};
#undef ROW
const size_t iso__row_count = sizeof iso__rows / sizeof *iso__rows;
#define ROW_COUNT (sizeof iso__rows / sizeof *iso__rows)

void
iso_config_init(iso_config *config)
{
    memset(config, 0, sizeof *config);
    config->size = sizeof *config;
#define ROW(member, kind, scope, choices, value, min, max, doc) config->member = value;
    ISO__SETTINGS(ROW)
#undef ROW
}

/* ---- the table as others see it */

static iso_setting shown[ROW_COUNT]; /* filled once */
static char default_texts[ROW_COUNT][ISO__UNIT_TEXT];
static char range_texts[ROW_COUNT][96];
static pthread_once_t shown_once = PTHREAD_ONCE_INIT;

/* The word of a choice that stands for a number, into `out`. */
static void
choice_word(const char *choices, int64_t number, char *out, size_t size)
{
    for (const char *at = choices; *at != '\0';) {
        size_t n = strcspn(at, "|");
        const char *equals = memchr(at, '=', n);
        if (atoi(equals + 1) == number)
            snprintf(out, size, "%.*s", (int)(equals - at), at);
        at += n + (at[n] == '|');
    }
}

/* "off, sampled or full" of "off=0|sampled=1|full=2". */
static void
choice_words(const char *choices, char *out, size_t size)
{
    out[0] = '\0';
    for (const char *at = choices; *at != '\0';) {
        size_t n = strcspn(at, "|"), word = strcspn(at, "="), used = strlen(out);
        bool last = at[n] == '\0';
        snprintf(out + used, size - used, "%s%.*s", used == 0 ? "" : last ? " or " : ", ", (int)word, at);
        at += n + !last;
    }
}

static void
number_text(const iso__row *row, int64_t number, char *out, size_t size)
{
    if (row->kind == ISO__KIND_CHOICE)
        choice_word(row->public.choices, number, out, size);
    else if (row->kind == ISO__KIND_BOOL)
        snprintf(out, size, "%s", number ? "true" : "false");
    else if (row->kind == ISO__KIND_INT)
        snprintf(out, size, "%lld", (long long)number);
    else
        iso__unit_format(row->kind == ISO__KIND_TIME ? ISO__UNIT_TIME : ISO__UNIT_SIZE, number, out);
}

static void
range_text(const iso__row *row, char *out, size_t size)
{
    char low[ISO__UNIT_TEXT] = "", high[ISO__UNIT_TEXT] = "";
    if (row->kind == ISO__KIND_CHOICE) {
        choice_words(row->public.choices, out, size);
    } else if (row->kind == ISO__KIND_BOOL) {
        snprintf(out, size, "true or false");
    } else if (iso__row_is_text(row)) {
        snprintf(out, size, row->kind == ISO__KIND_LIST ? "list of %s" : "text", row->public.choices);
    } else {
        number_text(row, row->public.min, low, sizeof low);
        number_text(row, row->public.max, high, sizeof high);
        snprintf(out, size, "%s to %s", low[0] != '\0' ? low : "0", high);
    }
}

static void
fill_shown(void)
{
    iso_config defaults;
    iso_config_init(&defaults);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const iso__row *row = &iso__rows[i];
        shown[i] = row->public;
        shown[i].type = kind_names[row->kind];
        shown[i].scope = scope_names[row->scope];
        shown[i].range_text = range_texts[i];
        range_text(row, range_texts[i], sizeof range_texts[i]);
        if (iso__row_is_text(row)) {
            const char *text = *iso__row_text(row, &defaults);
            shown[i].default_text = text != NULL ? text : "";
        } else {
            number_text(row, iso__row_number(row, &defaults), default_texts[i], sizeof default_texts[i]);
            shown[i].default_text = default_texts[i];
        }
    }
}

const iso_setting *
iso_setting_get(size_t i)
{
    pthread_once(&shown_once, fill_shown);
    return i < ROW_COUNT ? &shown[i] : NULL;
}

/* ---- one setting from text */

const iso__row *
iso__row_find(const char *name, iso_error *err)
{
    const char *nearest = iso__rows[0].public.name;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(iso__rows[i].public.name, name) == 0)
            return &iso__rows[i];
        if (script_distance(name, iso__rows[i].public.name) < script_distance(name, nearest))
            nearest = iso__rows[i].public.name;
    }
    iso__fail(err, ISO_ECONFIG, "there is no setting %.64s; the nearest is %s", name, nearest);
    return NULL;
}

static int
parse_bool(const char *text, int64_t *out)
{
    static const char *const words[] = {"0", "1", "false", "true", "no", "yes", "off", "on"};
    for (int i = 0; i < 8; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *out = i & 1;
            return 0;
        }
    }
    return -1;
}

static int
parse_choice(const char *choices, const char *text, int64_t *out)
{
    size_t length = strlen(text);
    for (const char *at = choices; *at != '\0';) {
        size_t n = strcspn(at, "|");
        const char *equals = memchr(at, '=', n);
        size_t word = (size_t)(equals - at), number = n - word - 1;
        if ((word == length && strncasecmp(at, text, word) == 0) ||
            (number == length && strncmp(equals + 1, text, number) == 0)) {
            *out = atoi(equals + 1);
            return 0;
        }
        at += n + (at[n] == '|');
    }
    return -1;
}

static int
parse_int(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    *out = errno != 0 ? (text[0] == '-' ? INT64_MIN : INT64_MAX) : number;
    return end == text || *end != '\0' ? -1 : 0;
}

static int
parse_number(const iso__row *row, const char *text, int64_t *out)
{
    switch (row->kind) {
    case ISO__KIND_BOOL:
        return parse_bool(text, out);
    case ISO__KIND_CHOICE:
        return parse_choice(row->public.choices, text, out);
    case ISO__KIND_INT:
        return parse_int(text, out);
    default:
        return iso__unit_parse(row->kind == ISO__KIND_TIME ? ISO__UNIT_TIME : ISO__UNIT_SIZE, text, out);
    }
}

/* Whether 0 stands for "none": of a time or size that is none by default. */
static bool
may_be_none(const iso__row *row)
{
    const iso_setting *setting = iso_setting_get((size_t)(row - iso__rows));
    return (row->kind == ISO__KIND_TIME || row->kind == ISO__KIND_SIZE) && setting->default_text[0] == '\0';
}

bool
iso__row_allows(const iso__row *row, int64_t number)
{
    return (number == 0 && may_be_none(row)) || (number >= row->public.min && number <= row->public.max);
}

static bool
is_item(const char *form, iso_str item)
{
    if (strcmp(form, "NAME=VALUE") == 0) {
        const char *equals = memchr(item.p, '=', item.n);
        return equals != NULL && equals > item.p;
    }
    bool good = true;
    for (size_t i = 0; strcmp(form, "MODULE") == 0 && i < item.n; i++) {
        unsigned char c = (unsigned char)item.p[i];
        good = good && (c == '_' || c == '.' || c >= 0x80 || isalnum(c));
    }
    return good && item.p[0] != '.';
}

int
iso__row_check_items(const iso__row *row, const char *text, iso_error *err)
{
    iso__list list = iso__list_over(text);
    iso_str item;
    while (row->kind == ISO__KIND_LIST && iso__list_next(&list, &item)) {
        if (!is_item(row->public.choices, item))
            return iso__fail(err, ISO_ECONFIG, "%s: \"%.*s\" is not %s", row->public.name,
                             (int)(item.n < 64 ? item.n : 64), item.p, row->public.choices);
    }
    return 0;
}

int
iso_config_set(iso_config *config, const char *name, const char *text, iso_error *err)
{
    const iso__row *row = iso__row_find(name, err);
    if (row == NULL)
        return ISO_ECONFIG;
    if (iso__row_is_text(row)) {
        if (row->kind == ISO__KIND_LIST && strcasecmp(text, "none") == 0)
            text = NULL; /* an empty one is something else: it allows nothing */
        int failed = iso__row_check_items(row, text, err);
        if (!failed)
            *iso__row_text(row, config) = text;
        return failed;
    }
    int64_t number;
    const iso_setting *setting = iso_setting_get((size_t)(row - iso__rows));
    if (parse_number(row, text, &number) < 0)
        return iso__fail(err, ISO_ECONFIG, "%s: \"%.64s\" is not %s", name, text, setting->range_text);
    bool none = strcasecmp(text, "none") == 0 && may_be_none(row);
    if (!none && (number < setting->min || number > setting->max))
        return iso__fail(err, ISO_ECONFIG, "%s: %.32s is not within %s%s", name, text, setting->range_text,
                         may_be_none(row) ? "; none is no limit" : "");
    iso__row_set_number(row, config, number);
    return 0;
}

int64_t
iso_config_get(const iso_config *config, const char *name, char *out, size_t size)
{
    char number[ISO__UNIT_TEXT];
    const iso__row *row = iso__row_find(name, NULL);
    if (row == NULL)
        return ISO_ECONFIG;
    const char *text = number;
    if (iso__row_is_text(row)) {
        text = *iso__row_text(row, config);
    } else {
        int64_t value = iso__row_number(row, config);
        number_text(row, value, number, sizeof number);
        if (value == 0 && number[0] == '\0')
            text = may_be_none(row) ? NULL : "0";
    }
    if (text == NULL)
        text = row->kind == ISO__KIND_STR ? "" : "none";
    if (size > 0)
        snprintf(out, size, "%s", text);
    return (int64_t)strlen(text);
}
