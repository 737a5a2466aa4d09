/* config.h: rows of the settings table over an iso_config, and what each rank gets. */
#ifndef ISO_CONFIG_H
#define ISO_CONFIG_H

#include "engine/engine.h"

enum iso__kind {
    ISO__KIND_STR,
    ISO__KIND_LIST,
    ISO__KIND_INT,
    ISO__KIND_BOOL,
    ISO__KIND_CHOICE,
    ISO__KIND_TIME,
    ISO__KIND_SIZE
};
enum iso__scope { ISO__SCOPE_ENGINE, ISO__SCOPE_RANK, ISO__SCOPE_INTERPRETER, ISO__SCOPE_PROCESS };

typedef struct iso__row {
    iso_setting public;
    enum iso__kind kind;
    enum iso__scope scope;
    size_t offset; /* of the member in iso_config */
} iso__row;

extern const iso__row iso__rows[];
extern const size_t iso__row_count;

static inline bool
iso__row_is_text(const iso__row *row)
{
    return row->kind == ISO__KIND_STR || row->kind == ISO__KIND_LIST;
}

static inline const char **
iso__row_text(const iso__row *row, const iso_config *config)
{
    return (const char **)((char *)config + row->offset);
}

static inline int64_t
iso__row_number(const iso__row *row, const iso_config *config)
{
    const char *member = (const char *)config + row->offset;
    bool wide = row->kind == ISO__KIND_TIME || row->kind == ISO__KIND_SIZE;
    return wide ? *(const int64_t *)member : *(const int *)member;
}

static inline void
iso__row_set_number(const iso__row *row, iso_config *config, int64_t number)
{
    char *member = (char *)config + row->offset;
    if (row->kind == ISO__KIND_TIME || row->kind == ISO__KIND_SIZE)
        *(int64_t *)member = number;
    else
        *(int *)member = (int)number;
}

/* NULL, with the nearest name in err, if there is none. */
const iso__row *iso__row_find(const char *name, iso_error *err);
bool iso__row_allows(const iso__row *row, int64_t number);
/* Whether each item of a list is what the table says. 0, or ISO_ECONFIG. */
int iso__row_check_items(const iso__row *row, const char *text, iso_error *err);

#endif
