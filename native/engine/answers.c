/* answers.c: reads what the process of a rank said. It may have crashed in the middle, or be hostile: all is copied
 * into memory of our own first, then every size, place and value of the copy is checked. */
#include <string.h>
#include <sys/mman.h>

#include "engine/elsewhere.h"

int
iso__said_read(iso__process *process, iso__said *out)
{
    const iso__post *up = &process->region->up;
    uint64_t sizes[ISO__PARTS], total = 0;
    process->seen++;
    *out = (iso__said){up->kind, up->number, up->depth, up->count, up->code, {{NULL, 0}}};
    for (int i = 0; i < ISO__PARTS; i++) {
        sizes[i] = up->sizes[i];
        if (sizes[i] > ISO__UP_SIZE - total)
            return -1;
        total += sizes[i];
    }
    __asm__ volatile("" ::: "memory"); /* what was read is not read again */
    process->inbox.n = 0;
    if (total == 0)
        return 0;
    if (iso__text_add(&process->inbox, iso__region_up(process->region), total) < 0)
        return -1;
    if (total > ISO__AREA_KEPT)
        madvise(iso__region_up(process->region) + ISO__AREA_KEPT, ISO__UP_SIZE - ISO__AREA_KEPT, MADV_REMOVE);
    const char *at = process->inbox.p;
    for (int i = 0; i < ISO__PARTS; at += sizes[i], i++)
        out->parts[i] = (iso_str){at, sizes[i]};
    return 0;
}

static bool
inside(uint64_t at, uint64_t n, size_t size)
{
    return at <= size && n <= size - at;
}

static int
add_edit(iso_edits *edits, const iso__edit_entry *entry, iso_str text)
{
    if (!inside(entry->name, entry->name_n, text.n) || !inside(entry->value, entry->value_n, text.n))
        return -1;
    bool named = (entry->flags & 1) != 0;
    iso_str name = {named ? text.p + entry->name : NULL, named ? entry->name_n : 0};
    iso_str value = {text.p + entry->value, entry->value_n};
    if (entry->kind < ISO_EDIT_SET_RURI || entry->kind > ISO_EDIT_SET_BODY ||
        iso__edit_check((int)entry->kind, name, value) != NULL)
        return -1;
    return iso__edits_add(edits, (int)entry->kind, name, value);
}

/* Replaces the list by what the process has recorded. */
int
iso__said_edits(const iso__said *said, iso_edits *edits)
{
    iso_str entries = said->parts[ISO__PART_ENTRIES], text = said->parts[ISO__PART_EDIT_TEXT];
    iso__edits_clear(edits);
    if (entries.n % sizeof(iso__edit_entry) != 0)
        return -1;
    for (size_t at = 0; at < entries.n; at += sizeof(iso__edit_entry)) {
        iso__edit_entry entry;
        memcpy(&entry, entries.p + at, sizeof entry);
        if (add_edit(edits, &entry, text) < 0)
            return -1;
    }
    return 0;
}

int
iso__said_values(const iso__said *said, const iso_function *function, iso_value argv[])
{
    iso_str values = said->parts[ISO__PART_MORE], text = said->parts[ISO__PART_TEXT];
    if (said->count > SCRIPT_MAX_ARGUMENTS || values.n != said->count * sizeof(iso__value))
        return -1;
    for (uint32_t i = 0; i < said->count; i++) {
        iso__value value;
        memcpy(&value, values.p + i * sizeof value, sizeof value);
        argv[i] = (iso_value){.kind = value.kind, .num = value.num};
        if (value.kind != ISO_VALUE_STR)
            continue;
        if (value.num < 0 || !inside((uint64_t)value.num, value.n, text.n))
            return -1;
        argv[i] = (iso_value){.kind = ISO_VALUE_STR, .str = {text.p + value.num, value.n}};
    }
    return script_signature_allows(function->signature, argv, (int)said->count) ? 0 : -1;
}

void
iso__said_error(const iso__said *said, iso_error *err)
{
    iso_error copy;
    if (err == NULL || said->parts[ISO__PART_MORE].n != sizeof copy)
        return;
    memcpy(&copy, said->parts[ISO__PART_MORE].p, sizeof copy);
    copy.code = said->code;
    copy.message[sizeof copy.message - 1] = copy.traceback[sizeof copy.traceback - 1] = '\0';
    *err = copy;
}
