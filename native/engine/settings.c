#include "engine/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "script/distance.h"

enum kind { STR, INT, BOOL, CHOICE };

typedef struct row {
    iso_setting public;
    enum kind kind;
    size_t offset;
} row;

static const char *const kind_names[] = {"str", "int", "bool", "choice"};

#define ROW(member, kind, choices, value, min, max, unit, doc)                                                         \
    {{#member, NULL, choices, NULL, min, max, unit, doc}, kind, offsetof(iso_config, member)},
static const row table[] = {ISO__SETTINGS(ROW)};
#undef ROW
#define ROW_COUNT (sizeof table / sizeof *table)

static iso_setting shown[ROW_COUNT]; /* the table with default_text, filled once */
static char numbers[ROW_COUNT][16];
static pthread_once_t shown_once = PTHREAD_ONCE_INIT;

void
iso_config_init(iso_config *config)
{
    memset(config, 0, sizeof *config);
    config->size = sizeof *config;
#define SET_STR(member, value) config->member = value;
#define SET_INT(member, value) config->member = value;
#define SET_BOOL SET_INT
#define SET_CHOICE SET_INT
#define ROW(member, kind, choices, value, min, max, unit, doc) SET_##kind(member, value)
    ISO__SETTINGS(ROW)
#undef ROW
}

/* The word of a choice that stands for a number, into `out`. */
static void
choice_word(const char *choices, int number, char *out, size_t size)
{
    for (const char *at = choices; *at != '\0';) {
        size_t n = strcspn(at, "|");
        const char *equals = memchr(at, '=', n);
        if (atoi(equals + 1) == number)
            snprintf(out, size, "%.*s", (int)(equals - at), at);
        at += n + (at[n] == '|');
    }
}

static void
fill_shown(void)
{
    iso_config defaults;
    iso_config_init(&defaults);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const void *member = (const char *)&defaults + table[i].offset;
        shown[i] = table[i].public;
        shown[i].type = kind_names[table[i].kind];
        if (table[i].kind == STR) {
            const char *text = *(const char *const *)member;
            shown[i].default_text = text != NULL ? text : "";
            continue;
        }
        int number = *(const int *)member;
        if (table[i].kind == CHOICE)
            choice_word(table[i].public.choices, number, numbers[i], sizeof numbers[i]);
        else if (table[i].kind == BOOL)
            snprintf(numbers[i], sizeof numbers[i], "%s", number ? "true" : "false");
        else
            snprintf(numbers[i], sizeof numbers[i], "%d", number);
        shown[i].default_text = numbers[i];
    }
}

const iso_setting *
iso_setting_get(size_t i)
{
    pthread_once(&shown_once, fill_shown);
    return i < ROW_COUNT ? &shown[i] : NULL;
}

static int
unknown(const char *name, iso_error *err)
{
    const char *nearest = table[0].public.name;
    for (size_t i = 1; i < ROW_COUNT; i++) {
        if (script_distance(name, table[i].public.name) < script_distance(name, nearest))
            nearest = table[i].public.name;
    }
    return iso__fail(err, ISO_ECONFIG, "there is no setting %.64s; the nearest is %s", name, nearest);
}

static int
parse_bool(const char *text, int *out)
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
parse_choice(const char *choices, const char *text, int *out)
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
set_number(const row *entry, int *member, const char *text, iso_error *err)
{
    const iso_setting *setting = &entry->public;
    if (entry->kind == BOOL && parse_bool(text, member) < 0)
        return iso__fail(err, ISO_ECONFIG, "%s: \"%.64s\" is neither true nor false", setting->name, text);
    if (entry->kind == CHOICE && parse_choice(setting->choices, text, member) < 0)
        return iso__fail(err, ISO_ECONFIG, "%s: \"%.64s\" is none of %s", setting->name, text, setting->choices);
    if (entry->kind != INT)
        return 0;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end != '\0')
        return iso__fail(err, ISO_ECONFIG, "%s: \"%.64s\" is not a number", setting->name, text);
    if (errno != 0 || number < setting->min || number > setting->max)
        return iso__fail(err, ISO_ECONFIG, "%s: %.32s is not between %lld and %lld%s%s", setting->name, text,
                         (long long)setting->min, (long long)setting->max, setting->unit[0] ? " " : "", setting->unit);
    *member = (int)number;
    return 0;
}

int
iso_config_set(iso_config *config, const char *name, const char *text, iso_error *err)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(table[i].public.name, name) != 0)
            continue;
        void *member = (char *)config + table[i].offset;
        if (table[i].kind != STR)
            return set_number(&table[i], member, text, err);
        *(const char **)member = text;
        return 0;
    }
    return unknown(name, err);
}

/* Every number of a filled config against its range: a host may have set members by hand. */
int
iso__config_check(const iso_config *config, iso_error *err)
{
    if (config->size != sizeof *config)
        return iso__fail(err, ISO_ECONFIG, "the config was not made by iso_config_init of this version");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const iso_setting *setting = &table[i].public;
        if (table[i].kind == STR)
            continue;
        int number = *(const int *)((const char *)config + table[i].offset);
        if (number < setting->min || number > setting->max)
            return iso__fail(err, ISO_ECONFIG, "%s: %d is not between %lld and %lld", setting->name, number,
                             (long long)setting->min, (long long)setting->max);
    }
    return 0;
}

/* Copies the strings, so that the engine's config outlives the host's. */
int
iso__config_copy(iso_config *to, const iso_config *from)
{
    *to = *from;
    int failed = 0;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const char **member = (const char **)((char *)to + table[i].offset);
        if (table[i].kind == STR && *member != NULL && (*member = strdup(*member)) == NULL)
            failed = ISO_ENOMEM;
    }
    return failed;
}

void
iso__config_free(iso_config *config)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (table[i].kind == STR)
            free((void *)*(const char **)((char *)config + table[i].offset));
    }
}
