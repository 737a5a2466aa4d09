/* post.c: what the engine says to the process of a rank. */
#include <string.h>
#include <sys/mman.h>

#include "engine/elsewhere.h"

/* What an earlier call took, now that this one, the outermost, takes less. */
static void
give_back(iso__process *process)
{
    madvise(iso__region_down(process->region) + ISO__AREA_KEPT, ISO__DOWN_SIZE - ISO__AREA_KEPT, MADV_REMOVE);
}

int64_t
iso__say(iso__process *process, uint64_t top, int kind, const iso__part *parts, int count)
{
    iso__post *down = &process->region->down;
    char *area = iso__region_down(process->region);
    uint64_t at = top;
    memset(down->sizes, 0, sizeof down->sizes);
    for (int i = 0; i < count; i++) {
        bool absent = parts[i].p == NULL;
        if (!absent && parts[i].n > ISO__DOWN_SIZE - at)
            return -1;
        down->sizes[i] = absent ? ISO__ABSENT : parts[i].n;
        if (absent || parts[i].n == 0)
            continue;
        memcpy(area + at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    if (process->large && at <= ISO__AREA_KEPT && kind == ISO__DOWN_CALL && top == 0) {
        give_back(process);
        process->large = false;
    }
    process->large = process->large || at > ISO__AREA_KEPT;
    down->kind = (uint32_t)kind;
    down->at = top;
    iso__post_send(down);
    return (int64_t)(at - top);
}
