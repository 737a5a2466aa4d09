#include "engine/pool.h"

#include <stdlib.h>

#include "engine/task.h"

#define KEPT_CAPACITY (64u << 10) /* a pooled task keeps a buffer of this size; larger ones are freed */

iso__pool *
iso__pool_new(uint32_t spin_us)
{
    iso__pool *pool = iso__lines_new(sizeof *pool);
    if (pool != NULL) {
        atomic_store(&pool->made, 1);
        pthread_mutex_init(&pool->lock, NULL);
        pool->spin_us = spin_us;
    }
    return pool;
}

static void
free_bundles(iso__bundle *bundle)
{
    while (bundle != NULL) {
        iso__bundle *next = bundle->next;
        free(bundle);
        bundle = next;
    }
}

static void
unmake(iso__pool *pool)
{
    if (atomic_fetch_sub(&pool->made, 1) > 1)
        return;
    free_bundles(pool->empty);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

iso_task *
iso__pool_make(iso__pool *pool)
{
    iso_task *task = iso__lines_new(sizeof *task);
    if (task != NULL) {
        task->pool = pool;
        task->octets = task->small;
        task->capacity = sizeof task->small;
        atomic_fetch_add(&pool->made, 1);
    }
    return task;
}

/* The pool is gone with its last task, if the engine is. */
static void
destroy(iso_task *task)
{
    iso__pool *pool = task->pool;
    iso__edits_fini(&task->edits);
    iso__text_fini(&task->error);
    iso__text_fini(&task->refusal_text);
    if (task->octets != task->small)
        free(task->octets);
    free(task);
    unmake(pool);
}

static void
destroy_all(iso__bundle *bundle)
{
    while (bundle->count > 0)
        destroy(bundle->tasks[--bundle->count]);
}

bool
iso__pool_accepts(iso_task *task)
{
    if (task->capacity > KEPT_CAPACITY) {
        free(task->octets);
        task->octets = task->small;
        task->capacity = sizeof task->small;
    }
    return !atomic_load_explicit(&task->pool->closed, memory_order_relaxed);
}

iso__bundle *
iso__bundle_new(void)
{
    return iso__lines_new(sizeof(iso__bundle));
}

iso__bundle *
iso__pool_take(iso__pool *pool, iso__bundle *empty)
{
    pthread_mutex_lock(&pool->lock);
    iso__bundle *bundle = pool->ready;
    if (bundle != NULL) {
        pool->ready = bundle->next;
        empty->next = pool->empty;
        pool->empty = empty;
    }
    pthread_mutex_unlock(&pool->lock);
    return bundle != NULL ? bundle : empty;
}

iso__bundle *
iso__pool_give(iso__bundle *bundle)
{
    if (bundle->count == 0)
        return bundle;
    iso__pool *pool = bundle->tasks[0]->pool; /* there at least until these tasks are given or destroyed */
    pthread_mutex_lock(&pool->lock);
    iso__bundle *empty = pool->empty;
    if (pool->closed)
        empty = NULL;
    else if (empty != NULL)
        pool->empty = empty->next;
    else
        empty = iso__bundle_new();
    if (empty != NULL) {
        bundle->next = pool->ready;
        pool->ready = bundle;
    }
    pthread_mutex_unlock(&pool->lock);
    if (empty != NULL)
        return empty;
    destroy_all(bundle);
    return bundle;
}

void
iso__pool_give_one(iso_task *task)
{
    iso__bundle *bundle = iso__pool_accepts(task) ? iso__bundle_new() : NULL;
    if (bundle == NULL) {
        destroy(task);
        return;
    }
    bundle->tasks[bundle->count++] = task;
    free(iso__pool_give(bundle));
}

void
iso__pool_close(iso__pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    iso__bundle *ready = pool->ready;
    pool->ready = NULL;
    pool->closed = true;
    pthread_mutex_unlock(&pool->lock);
    for (iso__bundle *bundle = ready; bundle != NULL; bundle = bundle->next)
        destroy_all(bundle);
    free_bundles(ready);
    unmake(pool);
}
