#include "engine/task.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "engine/park.h"
#include "engine/queue.h"

#define KEPT_CAPACITY (64u << 10) /* a pooled task keeps a buffer of this size; larger ones are freed */

/* ---- the pool ---- */

iso__pool *
iso__pool_new(uint32_t spin_us)
{
    iso__pool *pool = calloc(1, sizeof *pool);
    if (pool != NULL) {
        atomic_store(&pool->made, 1);
        pthread_mutex_init(&pool->lock, NULL);
        pool->spin_us = spin_us;
    }
    return pool;
}

static void
unmake(iso__pool *pool)
{
    if (atomic_fetch_sub(&pool->made, 1) > 1)
        return;
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static void
task_destroy(iso_task *task)
{
    iso__pool *pool = task->pool;
    iso__edits_fini(&task->edits);
    iso__text_fini(&task->error);
    if (task->octets != task->small)
        free(task->octets);
    free(task);
    unmake(pool);
}

static void
destroy_list(iso_task *task)
{
    while (task != NULL) {
        iso_task *next = task->next;
        task_destroy(task);
        task = next;
    }
}

static iso_task *
pool_take(iso__pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    iso_task *task = pool->ready;
    if (task != NULL)
        pool->ready = task->next;
    pthread_mutex_unlock(&pool->lock);
    if (task != NULL)
        return task;
    task = calloc(1, sizeof *task);
    if (task != NULL) {
        task->pool = pool;
        task->octets = task->small;
        task->capacity = sizeof task->small;
        atomic_fetch_add(&pool->made, 1);
    }
    return task;
}

static void
shrink(iso_task *task)
{
    if (task->capacity > KEPT_CAPACITY) {
        free(task->octets);
        task->octets = task->small;
        task->capacity = sizeof task->small;
    }
}

void
iso__pool_give(iso_task *first, iso_task *last)
{
    iso__pool *pool = first->pool; /* there at least until these tasks are given or destroyed */
    for (iso_task *task = first; task != last; task = task->next)
        shrink(task);
    shrink(last);
    pthread_mutex_lock(&pool->lock);
    bool closed = pool->closed;
    last->next = closed ? NULL : pool->ready;
    if (!closed)
        pool->ready = first;
    pthread_mutex_unlock(&pool->lock);
    if (closed)
        destroy_list(first);
}

void
iso__pool_close(iso__pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    iso_task *ready = pool->ready;
    pool->ready = NULL;
    pool->closed = true;
    pthread_mutex_unlock(&pool->lock);
    destroy_list(ready);
    unmake(pool);
}

/* ---- a task ---- */

static bool
reserve(iso_task *task, size_t n)
{
    if (n <= task->capacity)
        return true;
    char *octets = malloc(n);
    if (octets == NULL)
        return false;
    if (task->octets != task->small)
        free(task->octets);
    task->octets = octets;
    task->capacity = n;
    return true;
}

iso_task *
iso__task_new(iso__pool *pool, const char *method, const iso_msg *msg, iso_str extra)
{
    size_t method_n = strlen(method) + 1, extra_n = extra.p != NULL ? extra.n : 0;
    iso_task *task = pool_take(pool);
    if (task == NULL)
        return NULL;
    if (!reserve(task, method_n + extra_n + msg->length)) {
        iso__pool_give(task, task);
        return NULL;
    }
    char *at = task->octets;
    task->method = memcpy(at, method, method_n);
    at += method_n;
    task->extra = (iso_str){NULL, 0};
    if (extra.p != NULL) {
        memcpy(at, extra.p, extra_n);
        task->extra = (iso_str){at, extra_n};
        at += extra_n;
    }
    task->msg = *msg;
    task->msg.data = at;
    if (msg->length > 0)
        memcpy(at, msg->data, msg->length);
    task->msg.index = NULL; /* the host's index is the host's memory */
    return task;
}

void
iso__task_drop(iso_task *task)
{
    if (atomic_fetch_sub_explicit(&task->shares, 1, memory_order_acq_rel) == 1)
        iso__pool_give(task, task);
}

/* Moves the state on if it is `from`, keeping the sleeper's flag. */
static bool
move_on(iso_task *task, uint32_t from, uint32_t to)
{
    uint32_t state = atomic_load(&task->state);
    while ((state & ~(uint32_t)ISO__TASK_SLEEPER) == from) {
        if (atomic_compare_exchange_weak(&task->state, &state, to | (state & ISO__TASK_SLEEPER)))
            return true;
    }
    return false;
}

bool
iso__task_claim(iso_task *task)
{
    return move_on(task, ISO__TASK_QUEUED, ISO__TASK_RUNNING);
}

bool
iso__task_claim_end(iso_task *task)
{
    return move_on(task, ISO__TASK_RUNNING, ISO__TASK_FINISHING);
}

void
iso__task_publish(iso_task *task)
{
    if (task->flags & ISO_SUBMIT_NOTIFY)
        atomic_fetch_add(&task->shares, 1); /* the list's, before anyone may see it done */
    uint32_t before = atomic_exchange(&task->state, ISO__TASK_DONE);
    if (before & ISO__TASK_SLEEPER)
        iso__futex_wake(&task->state, INT32_MAX);
    if (task->flags & ISO_SUBMIT_NOTIFY)
        iso__queue_list_completion(task);
}

void
iso__task_refuse(iso_task *task, int code)
{
    if (!move_on(task, ISO__TASK_QUEUED, ISO__TASK_FINISHING) && !iso__task_claim_end(task))
        return;
    const char *text = iso_strerror(code);
    task->result = (iso_result){.code = -1, .outcome = ISO_OUTCOME_REFUSED, .error = {text, strlen(text)}};
    iso__task_publish(task);
}

/* ---- the submitter's side ---- */

static uint32_t
task_state(const iso_task *task)
{
    return atomic_load((_Atomic uint32_t *)&task->state) & ~(uint32_t)ISO__TASK_SLEEPER;
}

const iso_result *
iso_task_result(const iso_task *task)
{
    return task != NULL && task_state(task) == ISO__TASK_DONE ? &task->result : NULL;
}

int
iso_task_rank(const iso_task *task)
{
    return task->rank;
}

void *
iso_task_user(const iso_task *task)
{
    return task->user;
}

void
iso_task_free(iso_task *task)
{
    if (task == NULL)
        return;
    for (;;) {
        uint32_t state = task_state(task);
        if (state == ISO__TASK_FINISHING)
            sched_yield(); /* its result is being written: a moment */
        else if (state == ISO__TASK_CANCELLED || move_on(task, state, ISO__TASK_CANCELLED))
            break;
    }
    iso__task_drop(task);
}
