#include "engine/task.h"

#include <stdlib.h>
#include <string.h>

#include "engine/caller.h"
#include "engine/queue.h"

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

static void
copy_arguments(iso_task *task, const char *method, size_t method_n, const iso_msg *msg, iso_str extra)
{
    char *at = task->octets;
    task->method = method_n == 0 ? method : memcpy(at, method, method_n);
    at += method_n;
    task->extra = (iso_str){NULL, 0};
    if (extra.p != NULL) {
        task->extra = (iso_str){memcpy(at, extra.p, extra.n), extra.n};
        at += extra.n;
    }
    task->msg = *msg;
    task->msg.data = at;
    task->msg.index = NULL; /* the host's index is the host's memory */
    if (msg->length > 0)
        memcpy(at, msg->data, msg->length);
}

/* Most results have neither, and then their line is left alone. The texts are not copied from each other: a wide
 * load after narrow stores would wait for all stores above. */
static void
clear_result(iso_task *task)
{
    iso_result *result = &task->result;
    if (result->edits == NULL && result->error.p == NULL)
        return;
    result->edits = NULL;
    result->new_uri = (iso_str){NULL, 0};
    result->dst_uri = (iso_str){NULL, 0};
    result->error = (iso_str){NULL, 0};
}

iso_task *
iso__task_new(iso__caller *caller, iso_engine *engine, const char *method, const iso_msg *msg, iso_str extra,
              void *user, unsigned flags, int target)
{
    iso_task *task = iso__caller_take(caller, engine->queue->pool);
    if (task == NULL)
        return NULL;
    const char *kept = iso__caller_name(caller, method);
    size_t method_n = kept != NULL ? 0 : strlen(method) + 1;
    if (!reserve(task, method_n + (extra.p != NULL ? extra.n : 0) + msg->length)) {
        iso__caller_keep(caller, task);
        return NULL;
    }
    copy_arguments(task, kept != NULL ? kept : method, method_n, msg, extra);
    bool forget = (flags & ISO_SUBMIT_FORGET) != 0;
    clear_result(task);
    task->usual = iso__usual_of(msg);
    task->engine = engine;
    task->user = user;
    if (!forget)
        iso__caller_note(caller, task);
    task->target = target;
    task->flags = (uint8_t)(forget ? flags & ~(unsigned)ISO_SUBMIT_NOTIFY : flags);
    atomic_store_explicit(&task->rank, 0, memory_order_relaxed);
    atomic_store_explicit(&task->state, ISO__TASK_QUEUED | ISO__HELD_BY_QUEUE | (forget ? 0 : ISO__HELD_BY_SUBMITTER),
                          memory_order_relaxed);
    return task;
}

static void
put_back(iso_task *task)
{
    iso__caller_keep(iso__caller_here(), task);
}

uint32_t
iso__task_drop(iso_task *task, uint32_t holder)
{
    uint32_t left = atomic_fetch_and(&task->state, ~holder) & ~holder;
    if (!(left & ISO__HELD))
        put_back(task);
    return left;
}

/* Nobody has it, and its submitter still wants it. */
static bool
may_run(uint32_t state)
{
    return (state & (ISO__TASK_STEP | ISO__HELD_BY_SUBMITTER)) == (ISO__TASK_QUEUED | ISO__HELD_BY_SUBMITTER);
}

static bool
take(iso_task *task, uint32_t more)
{
    uint32_t state = ISO__TASK_QUEUED | ISO__HELD_BY_SUBMITTER | ISO__HELD_BY_QUEUE; /* most likely */
    while (may_run(state)) {
        uint32_t taken = (state & ~(uint32_t)ISO__TASK_STEP) | ISO__TASK_TAKEN | more;
        if (atomic_compare_exchange_weak(&task->state, &state, taken))
            return true;
    }
    return false;
}

/* Of a task for one rank that the queue holds and the submitter does not, or no longer: who takes its hold away counts
 * before that, as the pool may go with the task. */
static void
count_let_go(iso_task *task, uint32_t more)
{
    if (task->target != ISO_ANY_RANK)
        atomic_fetch_add(&task->pool->let_go, more);
}

bool
iso__task_claim(iso_task *task, bool for_any)
{
    bool wanted = for_any ? take(task, 0) : may_run(atomic_load_explicit(&task->state, memory_order_acquire));
    if (!wanted) {
        count_let_go(task, UINT32_MAX);
        iso__task_drop(task, ISO__HELD_BY_QUEUE);
    }
    return wanted;
}

bool
iso__task_take_back(iso_task *task)
{
    return take(task, ISO__HELD_BY_WAITER);
}

/* Gives up the hold of who answers. `more` goes with the answer. true: a patient sleeper is to be woken; any
 * other has been: whatever the word is by then, who is woken for nothing looks again. */
static bool
end(iso_task *task, uint32_t state, uint32_t holder, uint32_t more)
{
    bool answers, counted = false, notify = (task->flags & ISO_SUBMIT_NOTIFY) != 0;
    uint32_t next;
    do {
        uint32_t step = state & ISO__TASK_STEP;
        answers = holder == ISO__HELD_BY_REFUSER || step < ISO__TASK_REFUSING;
        next = state & ~holder;
        if (answers)
            next = (next & ~(uint32_t)(ISO__TASK_STEP | ISO__TASK_SLEEPER | ISO__TASK_PATIENT)) | ISO__TASK_DONE | more;
        answers = answers && (state & ISO__HELD_BY_SUBMITTER);
        if (answers && notify)
            next |= ISO__HELD_BY_LIST;
        if (ISO__UNLIKELY(holder == ISO__HELD_BY_QUEUE && !(state & ISO__HELD_BY_SUBMITTER) && !counted)) {
            count_let_go(task, UINT32_MAX);
            counted = true;
        }
    } while (!atomic_compare_exchange_weak(&task->state, &state, next));
    if (answers && (state & ISO__TASK_SLEEPER))
        iso__futex_wake(&task->state, INT32_MAX);
    if (answers && notify)
        iso__queue_list_completion(task->engine->queue, task);
    else if (!(next & ISO__HELD))
        put_back(task);
    return answers && (state & ISO__TASK_PATIENT);
}

bool
iso__task_publish(iso_task *task, uint32_t holder)
{
    uint32_t step = task->target == ISO_ANY_RANK ? ISO__TASK_TAKEN : ISO__TASK_QUEUED;
    return end(task, step | ISO__HELD_BY_SUBMITTER | ISO__HELD_BY_QUEUE, holder, 0); /* most likely */
}

bool
iso__task_refusal_begin(iso_task *task)
{
    uint32_t state = atomic_load(&task->state), next;
    do {
        if ((state & ISO__TASK_STEP) >= ISO__TASK_REFUSING || !(state & ISO__HELD_BY_SUBMITTER))
            return false;
        next = (state & ~(uint32_t)ISO__TASK_STEP) | ISO__TASK_REFUSING | ISO__HELD_BY_REFUSER;
    } while (!atomic_compare_exchange_weak(&task->state, &state, next));
    return true;
}

void
iso__task_refusal_end(iso_task *task)
{
    if (end(task, atomic_load(&task->state), ISO__HELD_BY_REFUSER, ISO__TASK_REFUSED))
        iso__futex_wake(&task->state, INT32_MAX);
}

void
iso__task_refuse(iso_task *task)
{
    if (!iso__task_refusal_begin(task))
        return;
    const char *text = iso_strerror(ISO_ESTATE);
    task->refusal = (iso_result){.code = -1, .outcome = ISO_OUTCOME_REFUSED, .error = {text, strlen(text)}};
    iso__task_refusal_end(task);
}

void
iso__task_end_refused(iso_task *task)
{
    iso__task_refuse(task);
    iso__task_drop(task, ISO__HELD_BY_QUEUE);
}

/* ---- the submitter's side ---- */

const iso_result *
iso_task_result(const iso_task *task)
{
    if (task == NULL)
        return NULL;
    uint32_t state = atomic_load_explicit((_Atomic uint32_t *)&task->state, memory_order_acquire);
    if ((state & ISO__TASK_STEP) != ISO__TASK_DONE)
        return NULL;
    return state & ISO__TASK_REFUSED ? &task->refusal : &task->result;
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

static void
let_go(iso_task *task)
{
    uint32_t state = atomic_load(&task->state), left;
    bool counted = false;
    do {
        bool queued = (state & ISO__HELD_BY_QUEUE) != 0;
        if (queued != counted)
            count_let_go(task, queued ? 1 : UINT32_MAX);
        counted = queued;
        left = state & ~(uint32_t)ISO__HELD_BY_SUBMITTER;
    } while (!atomic_compare_exchange_weak(&task->state, &state, left));
    if (!(left & ISO__HELD))
        put_back(task);
}

void
iso_task_free(iso_task *task)
{
    if (task == NULL)
        return;
    if (atomic_load_explicit(&task->state, memory_order_acquire) == (ISO__TASK_DONE | ISO__HELD_BY_SUBMITTER))
        put_back(task); /* nobody else holds it */
    else
        let_go(task);
}
