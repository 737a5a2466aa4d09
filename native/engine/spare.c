#include "engine/spare.h"

#include "engine/clock.h"
#include "engine/queue.h"

#define TOGETHER_NS 150000 /* what is taken at once is run in about that time */

static iso__queue *
queue_of(const iso__lane *lane)
{
    return lane->rank->engine->queue;
}

size_t
iso__spare_share(iso__lane *lane, size_t waiting)
{
    iso__spare *spare = &lane->spare;
    size_t share = 1;
    if (!iso__cores_are_short(0)) {
        spare->since = 0;
        return 1;
    }
    uint64_t now = iso__clock_ticks();
    iso__spare_measure(spare, now);
    spare->since = now;
    spare->taken = 0; /* until it is known that there were some: another rank may be faster */
    if (spare->call_ns != 0 && spare->call_ns * 2 <= TOGETHER_NS)
        share = TOGETHER_NS / spare->call_ns;
    if (share > waiting)
        share = waiting;
    if (share > ISO__TOGETHER)
        share = ISO__TOGETHER;
    return share > 0 ? share : 1;
}

void
iso__spare_rest(iso__lane *lane)
{
    if (lane->spare.since != 0)
        iso__spare_measure(&lane->spare, iso__clock_ticks());
    lane->spare.since = 0;
}

/* Where there are spare calls there is a mark, but for a moment in which somebody looks through all ranks. */
static void
mark(iso__queue *queue)
{
    if (!atomic_load(&queue->spares))
        atomic_store(&queue->spares, 1);
}

void
iso__spare_keep(iso__lane *lane, const iso__entry *entries, size_t count)
{
    iso__spare *spare = &lane->spare;
    iso__queue *queue = queue_of(lane);
    spare->taken = (int)count + 1;
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        spare->bits[i] = entries[i].bits;
        iso_task *task = atomic_load_explicit(&entries[i].value, memory_order_relaxed);
        if (i + 1 < count)
            atomic_store_explicit(&spare->tasks[i], task, memory_order_release);
        else
            atomic_exchange(&spare->tasks[i], task); /* all of them are seen before what follows is read */
    }
    spare->next = 0;
    spare->count = (int)count;
    mark(queue);
    if (atomic_load(&queue->closing))
        iso__spare_refuse(lane);
}

/* NULL: somebody else has it. */
static iso_task *
take(iso__spare *spare, int place)
{
    if (atomic_load(&spare->tasks[place]) == NULL)
        return NULL;
    return atomic_exchange(&spare->tasks[place], NULL);
}

bool
iso__spare_next(iso__lane *lane, iso__entry *out)
{
    iso__spare *spare = &lane->spare;
    while (iso__spare_any(spare)) {
        int place = spare->next++;
        iso_task *task = take(spare, place);
        if (task == NULL)
            continue;
        iso__entry_set(out, task, spare->bits[place]);
        return true;
    }
    return false;
}

static bool
take_from(iso__spare *spare, iso__entry *out)
{
    for (int place = 0; place < ISO__SPARES; place++) {
        iso_task *task = take(spare, place);
        if (task == NULL)
            continue;
        iso__entry_set(out, task, iso__task_bits(task));
        return true;
    }
    return false;
}

bool
iso__spare_of_others(iso__lane *lane, iso__entry *out)
{
    iso__queue *queue = queue_of(lane);
    if (!iso__spare_left(queue))
        return false;
    atomic_store(&queue->spares, 0); /* before the look: what is kept after it is marked again */
    bool found = false;
    for (int i = 0; i < queue->engine->config.ranks; i++) {
        iso__spare *spare = &queue->lanes[i].spare;
        found = found || take_from(spare, out);
        if (found && iso__spare_count(spare) > 0) {
            mark(queue);
            break;
        }
    }
    return found;
}

bool
iso__spare_of_another(iso__lane *lane, iso__entry *out)
{
    iso__queue *queue = queue_of(lane);
    if (!atomic_load_explicit(&queue->spares, memory_order_relaxed))
        return false;
    lane->looks_at = (lane->looks_at + 1) % queue->engine->config.ranks;
    iso__lane *other = &queue->lanes[lane->looks_at];
    return other != lane && take_from(&other->spare, out);
}

bool
iso__spare_left(iso__queue *queue)
{
    return atomic_load(&queue->spares) != 0;
}

size_t
iso__spare_count(const iso__spare *spare)
{
    size_t count = 0;
    for (int place = 0; place < ISO__SPARES; place++)
        count += atomic_load_explicit(&spare->tasks[place], memory_order_relaxed) != NULL;
    return count;
}

void
iso__spare_refuse(iso__lane *lane)
{
    for (int place = 0; place < ISO__SPARES; place++) {
        iso_task *task = take(&lane->spare, place);
        if (task != NULL)
            iso__task_end_refused(task);
    }
}
