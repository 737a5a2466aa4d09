/* engine.c: one script and the table of its ranks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/line.h"
#include "engine/queue.h"
#include "engine/settings.h"
#include "engine/states.h"

struct _object *
iso_script_module(void)
{
    return script_module_new(NULL);
}

static void
free_functions(iso_engine *engine)
{
    for (size_t i = 0; engine->config.functions != NULL && i < engine->config.function_count; i++) {
        free((void *)engine->config.functions[i].name);
        free((void *)engine->config.functions[i].signature);
    }
    free((void *)engine->config.functions);
}

static int
copy_functions(iso_engine *engine, const iso_config *from, iso_error *err)
{
    iso_function *copies = calloc(from->function_count + 1, sizeof *copies);
    engine->config.functions = copies;
    if (copies == NULL)
        return iso__fail(err, ISO_ENOMEM, "no memory for the host functions");
    for (size_t i = 0; i < from->function_count; i++) {
        if (from->functions[i].name == NULL || from->functions[i].function == NULL)
            return iso__fail(err, ISO_ECONFIG, "host function number %zu has no name or no function", i + 1);
        copies[i] = from->functions[i];
        copies[i].name = strdup(from->functions[i].name);
        copies[i].signature = strdup(from->functions[i].signature != NULL ? from->functions[i].signature : "*");
        if (copies[i].name == NULL || copies[i].signature == NULL)
            return iso__fail(err, ISO_ENOMEM, "no memory for the host functions");
    }
    return 0;
}

void
iso__rank_free(iso_rank *rank)
{
    if (rank == NULL)
        return;
    for (int depth = 0; rank->frames != NULL && depth < rank->max_depth; depth++) {
        iso__edits_fini(&rank->frames[depth].own_edits);
        iso__text_fini(&rank->frames[depth].error);
    }
    free(rank->frames);
    iso__mail_free(rank);
    iso__text_fini(&rank->output[0]);
    iso__text_fini(&rank->output[1]);
    iso__elsewhere_free(rank);
    free(rank);
}

static void
free_engine(iso_engine *engine)
{
    for (int i = 0; engine->ranks != NULL && i < engine->config.ranks; i++)
        iso__rank_free(engine->ranks[i]);
    while (engine->replaced != NULL) {
        iso_rank *rank = engine->replaced;
        engine->replaced = rank->next_replaced;
        iso__rank_free(rank);
    }
    free(engine->ranks);
    iso__children_free(engine);
    iso__watchdog_fini(&engine->watchdog);
    iso__queue_free(engine->queue);
    free(engine->script_path);
    free(engine->script_module);
    free_functions(engine);
    iso__config_free(&engine->config);
    pthread_cond_destroy(&engine->changed);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

static uint64_t
sample_mask(int timing)
{
    return timing == ISO_TIMING_FULL ? 0 : timing == ISO_TIMING_SAMPLED ? ISO__SAMPLE_EVERY - 1 : UINT64_MAX;
}

static bool
has_python_functions(const iso_config *config)
{
    bool python = false;
    for (size_t i = 0; i < config->function_count; i++)
        python = python || (config->functions[i].flags & ISO_FUNCTION_PYTHON) != 0;
    return python;
}

int
iso__rank_new(iso_engine *engine, int number, iso_rank **out, iso_error *err)
{
    iso_rank *rank = iso__lines_new(sizeof *rank); /* every call writes here, and in the frames */
    if (rank != NULL)
        rank->frames = iso__lines_new((size_t)engine->config.max_depth * sizeof *rank->frames);
    if (rank == NULL || rank->frames == NULL) {
        free(rank);
        return iso__fail(err, ISO_ENOMEM, "no memory for rank %d", number);
    }
    rank->engine = engine;
    rank->number = number;
    rank->max_depth = engine->config.max_depth;
    rank->sample_mask = sample_mask(engine->config.timing);
    rank->needs_main = has_python_functions(&engine->config);
    rank->watcher = -1;
    rank->mail_fd = -1;
    rank->host = (script_host){
        .owner = rank,
        .functions = engine->config.functions,
        .function_count = engine->config.function_count,
        .run = iso__function_run,
        .log = iso__log_script,
    };
    int failed = iso_config_of_rank(&engine->config, number, &rank->settings, err);
    if (failed)
        iso__rank_free(rank);
    else
        *out = rank;
    return failed;
}

static int
make_ranks(iso_engine *engine, iso_error *err)
{
    engine->ranks = calloc((size_t)engine->config.ranks, sizeof *engine->ranks);
    if (engine->ranks == NULL)
        return iso__fail(err, ISO_ENOMEM, "no memory for %d ranks", engine->config.ranks);
    for (int i = 0; i < engine->config.ranks; i++) {
        iso_rank *rank;
        int failed = iso__rank_new(engine, i + 1, &rank, err);
        if (failed)
            return failed;
        atomic_store(&engine->ranks[i], rank);
    }
    return 0;
}

int
iso__engine_new(iso_engine **out, const iso_config *config, iso_error *err)
{
    iso_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return iso__fail(err, ISO_ENOMEM, "no memory for an engine");
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int failed = iso__config_copy(&engine->config, config);
    engine->config.functions = NULL;
    iso__watchdog_init(&engine->watchdog, engine);
    if (failed)
        iso__fail(err, failed, "no memory for the settings");
    else
        failed = copy_functions(engine, config, err);
    if (!failed)
        failed = iso__script_path(engine, err);
    if (failed)
        free_engine(engine);
    else
        *out = engine;
    return failed;
}

int
iso_engine_create(iso_engine **out, const iso_config *config, iso_error *err)
{
    iso_engine *engine;
    int failed = iso_config_check(config, err);
    if (!failed)
        failed = iso__engine_new(&engine, config, err);
    if (failed)
        return failed;
    failed = make_ranks(engine, err);
    if (!failed)
        failed = iso__queue_new(engine, err);
    if (!failed)
        failed = iso__runtime_start(&engine->config, err);
    if (!failed)
        failed = iso__reload_signal_start(engine, err);
    if (failed) {
        free_engine(engine);
        return failed;
    }
    iso__runtime_add(engine);
    *out = engine;
    return 0;
}

/* Waits until the rank is closed or nobody owns it any more, at most to the deadline. */
static void
wait_for_owner(iso_engine *engine, iso_rank *rank, const struct timespec *deadline)
{
    pthread_mutex_lock(&engine->lock);
    while (atomic_load(&rank->state) != ISO__RANK_CLOSED && atomic_load(&rank->state) != ISO__RANK_ABANDONED &&
           !atomic_load(&rank->thread_gone)) {
        if (pthread_cond_timedwait(&engine->changed, &engine->lock, deadline) == ETIMEDOUT)
            break;
    }
    pthread_mutex_unlock(&engine->lock);
}

static int
close_rank(iso_engine *engine, iso_rank *rank, const struct timespec *deadline)
{
    if (atomic_load(&rank->state) == ISO__RANK_CLOSED)
        return 0;
    bool own = atomic_load(&rank->thread) == iso__this_thread() && rank->depth == 0;
    if (!own)
        wait_for_owner(engine, rank, deadline);
    if (!own && rank->elsewhere != NULL && atomic_load(&rank->state) != ISO__RANK_CLOSED) {
        struct timespec more = *deadline;
        more.tv_sec++;
        iso__children_kill(engine, rank); /* the call that keeps its thread ends by it */
        wait_for_owner(engine, rank, &more);
    }
    int state = atomic_load(&rank->state);
    /* A thread that ended inside a call or a batch has taken the rank's GIL with it. */
    bool free_to_end = own || (atomic_load(&rank->thread_gone) && !rank->attached && rank->depth == 0);
    if (state == ISO__RANK_SERVING && free_to_end)
        return iso__rank_end(rank);
    if (state == ISO__RANK_CLOSED)
        return 0;
    if (state != ISO__RANK_ABANDONED) {
        iso__rank_abandon(rank);
        iso__log(engine, ISO_LOG_ERR, rank->number,
                 "abandoned: its thread did not close it within %lld ms (setting grace)",
                 (long long)(engine->config.grace / ISO__MS));
    }
    return 1;
}

int
iso__engine_close_ranks(iso_engine *engine)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += engine->config.grace / ISO__SECOND;
    deadline.tv_nsec += engine->config.grace % ISO__SECOND;
    if (deadline.tv_nsec >= 1000000000L) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000L;
    }
    int abandoned = 0;
    for (int i = 0; i < engine->config.ranks; i++)
        abandoned += close_rank(engine, engine->ranks[i], &deadline);
    pthread_mutex_lock(&engine->lock); /* who closed a rank just now may still hold it */
    abandoned += engine->replaced_live;
    pthread_mutex_unlock(&engine->lock);
    return abandoned;
}

void
iso_engine_closing(iso_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    engine->closing = true;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
    for (int i = 0; i < engine->config.ranks; i++)
        iso__mail_wake(iso__rank_of(engine, i + 1)); /* the host of an inline rank learns of it by iso_rank_service */
}

int
iso__engine_close(iso_engine *engine)
{
    if (engine->children != NULL && !iso__children_are_ours(engine))
        return 0; /* a copy of the host, made by fork: ranks and processes are the host's */
    iso_engine_closing(engine);
    int abandoned = engine->queue != NULL ? iso__queue_close(engine->queue) : iso__engine_close_ranks(engine);
    iso__children_stop(engine);
    iso__watchdog_stop(&engine->watchdog); /* only now: deadlines end calls that keep ranks open */
    iso__reload_signal_stop(engine);
    iso__reload_end(engine);
    return abandoned;
}

int
iso_engine_destroy(iso_engine *engine)
{
    if (engine == NULL)
        return 0;
    int abandoned = iso__engine_close(engine);
    iso__runtime_remove(engine);
    if (abandoned == 0) /* an abandoned rank's threads go on using the engine */
        free_engine(engine);
    return abandoned;
}
