/* child_start.c: makes the engine of the process from the first post, and loads the script. Runs attached, in the
 * main interpreter, which is the rank's. */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/child.h"
#include "engine/clock.h"
#include "engine/config.h"
#include "engine/settings.h"
#include "engine/states.h"

/* What the engine wrote; it is not checked, as the process lives by its grace anyway. */
static const char *
take_text(const char **at)
{
    const char *text = *at;
    *at += strlen(text) + 1;
    return text;
}

static void
take_config(iso_config *config, const char *texts)
{
    for (size_t i = 0; i < iso__row_count; i++) {
        if (!iso__row_is_text(&iso__rows[i]))
            continue;
        bool there = *texts++ != 0;
        *iso__row_text(&iso__rows[i], config) = there ? take_text(&texts) : NULL;
    }
}

static iso_function *
take_functions(const char *at, uint32_t count)
{
    iso_function *functions = calloc((size_t)count + 1, sizeof *functions);
    for (uint32_t i = 0; functions != NULL && i < count; i++) {
        unsigned flags;
        memcpy(&flags, at, sizeof flags);
        at += sizeof flags;
        functions[i].name = take_text(&at);
        functions[i].signature = take_text(&at);
        functions[i].function = iso__child_ask;
        functions[i].user = (void *)(uintptr_t)i;
        functions[i].flags = flags != 0 ? ISO_FUNCTION_BLOCKING : 0; /* the script's threads run meanwhile */
    }
    return functions;
}

/* Address space of the process in octets, 0 if it can not be told. */
static uint64_t
mapped(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void
limit_memory(int64_t octets)
{
    if (octets == 0)
        return;
    mallopt(M_ARENA_MAX, 1); /* each arena of a thread reserves 128 MiB of address space */
    rlim_t most = (rlim_t)(mapped() + (uint64_t)octets);
    struct rlimit limit = {most, most};
    setrlimit(RLIMIT_AS, &limit);
}

static int
make_engine(iso__child *child, const iso_config *config, int number, iso_error *err)
{
    int failed = iso__engine_new(&child->engine, config, err);
    if (failed)
        return failed;
    child->engine->ranks = calloc((size_t)config->ranks, sizeof *child->engine->ranks);
    if (child->engine->ranks == NULL)
        return iso__fail(err, ISO_ENOMEM, "no memory for the rank");
    failed = iso__rank_new(child->engine, number, &child->rank, err);
    if (!failed)
        atomic_store(&child->engine->ranks[number - 1], child->rank);
    return failed;
}

int
iso__child_start(iso__child *child, iso_error *err)
{
    const iso__post *down = &child->region->down;
    const char *part = iso__region_down(child->region) + down->at;
    iso__start start;
    memcpy(&start, part, sizeof start);
    iso__clock_ns_per_tick = start.ns_per_tick;
    iso_config config = start.config;
    take_config(&config, part + down->sizes[0]);
    iso_function *functions = take_functions(part + down->sizes[0] + down->sizes[1], start.function_count);
    if (functions == NULL)
        return iso__fail(err, ISO_ENOMEM, "no memory for the host functions");
    config.functions = functions;
    config.function_count = start.function_count;
    config.log = iso__child_log;
    config.log_user = child;
    int failed = make_engine(child, &config, start.number, err);
    free(functions);
    if (failed)
        return failed;
    iso__spin_set(&child->spin, iso__spin_limit((uint32_t)(config.spin / ISO__US)));
    limit_memory(config.memory_limit);
    atomic_store(&child->region->stage, 1);
    return iso__rank_open_whole(child->rank, err);
}
