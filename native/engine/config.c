/* config.c: the settings of an engine as a whole: what each rank gets, and every problem at once. */
#include "engine/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- problems: counted, each once, as far as there is room */

typedef struct problems {
    int count;
    iso_error *err; /* may be NULL */
} problems;

static void
append(char *text, size_t size, const char *separator, const char *line)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s", used > 0 ? separator : "", line);
}

__attribute__((format(printf, 2, 3))) static void
problem(problems *found, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (found->err != NULL && strstr(found->err->traceback, line) == NULL) {
        append(found->err->message, sizeof found->err->message, "; ", line);
        append(found->err->traceback, sizeof found->err->traceback, "\n", line);
    }
    found->count++;
}

/* ---- what may not be */

static bool
acts_on(const iso__row *row, int isolation)
{
    return row->scope == ISO__SCOPE_INTERPRETER ? isolation != ISO_ISOLATION_MAIN
           : row->scope == ISO__SCOPE_PROCESS   ? isolation == ISO_ISOLATION_PROCESS
                                                : true;
}

static void
check_scope(problems *found, const iso__row *row, int isolation, const char *whose)
{
    if (!acts_on(row, isolation))
        problem(found, "%s%s: %s", whose, row->public.name,
                row->scope == ISO__SCOPE_PROCESS
                    ? "only a rank with isolation process has it"
                    : "it acts on a whole interpreter, and a rank with isolation main shares the host's");
}

static void
check_isolation(problems *found, int isolation, const char *whose)
{
    if (isolation == ISO_ISOLATION_SHARED_GIL)
        problem(found, "%sisolation: shared_gil is not there yet; main and process run what own_gil refuses", whose);
}

static void
check_values(problems *found, const iso_config *config)
{
    iso_error err;
    for (size_t i = 0; i < iso__row_count; i++) {
        const iso__row *row = &iso__rows[i];
        if (iso__row_is_text(row) && iso__row_check_items(row, *iso__row_text(row, config), &err) < 0)
            problem(found, "%s", err.message);
        if (!iso__row_is_text(row) && !iso__row_allows(row, iso__row_number(row, config)))
            problem(found, "%s: %lld is not within %s", row->public.name, (long long)iso__row_number(row, config),
                    iso_setting_get(i)->range_text);
    }
}

/* ---- overrides */

static int
apply(const iso_override *override, iso_config *config, iso_error *err)
{
    const iso__row *row = override->name != NULL ? iso__row_find(override->name, err) : NULL;
    if (override->name == NULL || override->text == NULL)
        return iso__fail(err, ISO_ECONFIG, "an override has no name or no text");
    if (row == NULL)
        return ISO_ECONFIG;
    if (row->scope == ISO__SCOPE_ENGINE)
        return iso__fail(err, ISO_ECONFIG, "%s is one for the whole engine", override->name);
    return iso_config_set(config, override->name, override->text, err);
}

/* A rank does not get what can not act on it. */
static void
take_away_idle(iso_config *config)
{
    iso_config defaults;
    iso_config_init(&defaults);
    for (size_t i = 0; i < iso__row_count; i++) {
        const iso__row *row = &iso__rows[i];
        if (acts_on(row, config->isolation))
            continue;
        if (iso__row_is_text(row))
            *iso__row_text(row, config) = *iso__row_text(row, &defaults);
        else
            iso__row_set_number(row, config, iso__row_number(row, &defaults));
    }
}

int
iso_config_of_rank(const iso_config *config, int number, iso_config *out, iso_error *err)
{
    if (number < 1 || number > config->ranks)
        return iso__fail(err, ISO_EINVAL, "there is no rank %d: the setting ranks allows 1 to %d", number,
                         config->ranks);
    *out = *config;
    out->overrides = NULL;
    out->override_count = 0;
    for (size_t i = 0; i < config->override_count; i++) {
        const iso_override *override = &config->overrides[i];
        int failed = number >= override->first && number <= override->last ? apply(override, out, err) : 0;
        if (failed)
            return failed;
    }
    take_away_idle(out);
    return 0;
}

/* The level of a rank, whatever is wrong with its other settings. */
static int
isolation_of(const iso_config *config, int number)
{
    iso_config scratch = *config;
    for (size_t i = 0; i < config->override_count; i++) {
        const iso_override *override = &config->overrides[i];
        bool ours = override->name != NULL && strcmp(override->name, "isolation") == 0;
        if (ours && number >= override->first && number <= override->last)
            apply(override, &scratch, NULL);
    }
    return scratch.isolation;
}

/* A value for all ranks acts on those that can have it. One that acts on none is a mistake. */
static bool
acts_somewhere(const iso_config *config, const iso__row *row)
{
    for (int number = 1; number <= config->ranks; number++) {
        if (acts_on(row, isolation_of(config, number)))
            return true;
    }
    return false;
}

/* Whether it differs from the default; an empty text says nothing, but an empty list does. */
static bool
is_given(const iso__row *row, const iso_config *config)
{
    iso_config defaults;
    iso_config_init(&defaults);
    if (!iso__row_is_text(row))
        return iso__row_number(row, config) != iso__row_number(row, &defaults);
    const char *text = *iso__row_text(row, config);
    return text != NULL && (row->kind == ISO__KIND_LIST || text[0] != '\0');
}

static void
check_engine_wide(problems *found, const iso_config *config)
{
    check_isolation(found, config->isolation, "");
    for (size_t i = 0; i < iso__row_count; i++) {
        const iso__row *row = &iso__rows[i];
        if (is_given(row, config) && !acts_somewhere(config, row))
            check_scope(found, row, config->isolation, "");
    }
}

static void
range_name(const iso_override *override, char out[48])
{
    if (override->first == override->last)
        snprintf(out, 48, "rank %d: ", override->first);
    else
        snprintf(out, 48, "ranks %d-%d: ", override->first, override->last);
}

/* Each row of the table by itself, and whether it may act where it is put. */
static void
check_override(problems *found, const iso_config *config, const iso_override *override)
{
    char whose[48];
    iso_config scratch = *config;
    iso_error err = {0};
    range_name(override, whose);
    if (override->first < 1 || override->last < override->first || override->last > config->ranks) {
        problem(found, "%sthere %s: the setting ranks allows 1 to %d", whose,
                override->first == override->last ? "is no such rank" : "are no such ranks", config->ranks);
        return;
    }
    if (apply(override, &scratch, &err) < 0) {
        problem(found, "%s%s", whose, err.message);
        return;
    }
    const iso__row *row = iso__row_find(override->name, NULL);
    for (int number = override->first; number <= override->last; number++) {
        int isolation = isolation_of(config, number);
        check_isolation(found, isolation, whose);
        check_scope(found, row, isolation, whose);
    }
}

int
iso_config_check(const iso_config *config, iso_error *err)
{
    problems found = {0, err};
    if (config == NULL || config->size != sizeof *config)
        return iso__fail(err, ISO_ECONFIG, "the config was not made by iso_config_init of this version");
    if (err != NULL)
        *err = (iso_error){.code = ISO_ECONFIG};
    check_values(&found, config);
    if (found.count > 0 && (config->isolation < 0 || config->isolation > ISO_ISOLATION_PROCESS))
        return ISO_ECONFIG; /* nothing below can be told without */
    check_engine_wide(&found, config);
    for (size_t i = 0; i < config->override_count; i++)
        check_override(&found, config, &config->overrides[i]);
    if (found.count == 0 && err != NULL)
        *err = (iso_error){0};
    return found.count > 0 ? ISO_ECONFIG : 0;
}

/* ---- the engine's own copy */

static int
copy_overrides(iso_config *to, const iso_config *from)
{
    iso_override *copies = calloc(from->override_count + 1, sizeof *copies);
    to->overrides = copies;
    to->override_count = copies != NULL ? from->override_count : 0;
    int failed = copies == NULL ? ISO_ENOMEM : 0;
    for (size_t i = 0; i < to->override_count; i++) {
        copies[i] = from->overrides[i];
        copies[i].name = strdup(from->overrides[i].name);
        copies[i].text = strdup(from->overrides[i].text);
        if (copies[i].name == NULL || copies[i].text == NULL)
            failed = ISO_ENOMEM;
    }
    return failed;
}

int
iso__config_copy(iso_config *to, const iso_config *from)
{
    *to = *from;
    int failed = copy_overrides(to, from);
    for (size_t i = 0; i < iso__row_count; i++) {
        const char **member = iso__row_text(&iso__rows[i], to);
        if (iso__row_is_text(&iso__rows[i]) && *member != NULL && (*member = strdup(*member)) == NULL)
            failed = ISO_ENOMEM;
    }
    return failed;
}

void
iso__config_free(iso_config *config)
{
    for (size_t i = 0; i < iso__row_count; i++) {
        if (iso__row_is_text(&iso__rows[i]))
            free((void *)*iso__row_text(&iso__rows[i], config));
    }
    for (size_t i = 0; i < config->override_count; i++) {
        free((void *)config->overrides[i].name);
        free((void *)config->overrides[i].text);
    }
    free((void *)config->overrides);
}
