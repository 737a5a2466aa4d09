/* start.c: how a branch gets to its target: the first one, the next one, or one that the resolver must find first. */
#include <stdlib.h>

#include "proxy.h"

/* A branch of the transaction that is not sent yet, NULL: too many, or out of memory. */
static proxy_branch *
new_branch(proxy_transaction *transaction)
{
    proxy_branch *branch = transaction->branch_count < PROXY_MAX_BRANCHES ? calloc(1, sizeof *branch) : NULL;
    if (branch == NULL)
        return NULL;
    branch->transaction = transaction;
    branch->number = transaction->branch_count;
    transaction->branches[transaction->branch_count++] = branch;
    return branch;
}

static void
take_back(proxy_branch *branch)
{
    branch->transaction->branch_count--;
    proxy_branch_free(branch);
}

/* What another target needs. 0, or -1. */
static int
keep_spare(proxy_branch *branch, const proxy_plan *plan)
{
    proxy_worker *worker = branch->transaction->worker;
    proxy_writer to = proxy_out_begin(worker);
    proxy_write_prepared(plan, &to);
    if (to.n > to.size || proxy_hold(worker, to.n) < 0)
        return -1;
    proxy_spare *spare = malloc(sizeof *spare + to.n);
    if (spare == NULL) {
        proxy_release(worker, to.n);
        return -1;
    }
    spare->from = plan->from;
    spare->preferred = plan->preferred;
    spare->record_route = plan->record_route;
    spare->switches = plan->switches;
    spare->count = 0;
    spare->question = plan->question;
    spare->length = (uint32_t)to.n;
    memcpy(spare->text, to.p, to.n);
    branch->spare = spare;
    return 0;
}

/* A long request goes by TCP; the datagram is what is tried next (RFC 3261 18.1.1). 1: the plan now names TCP. */
static int
switch_to_stream(proxy_branch *branch, proxy_plan *plan, size_t length)
{
    proxy_target datagram = plan->target;
    if (!proxy_plan_stream(branch->transaction->worker->proxy, plan, length))
        return 0;
    if (branch->spare == NULL && keep_spare(branch, plan) < 0) {
        plan->target = datagram;
        return 0;
    }
    proxy_spare *spare = branch->spare;
    if (spare->count < PROXY_MAX_TARGETS) {
        memmove(spare->targets + 1, spare->targets, (size_t)spare->count * sizeof *spare->targets);
        spare->targets[0] = datagram;
        spare->count++;
    }
    spare->switches = 0; /* not again for the datagram */
    return 1;
}

/* Writes the request for plan->target and sends it. 0, or a status code. */
static int
send_branch(proxy_branch *branch, proxy_plan *plan)
{
    proxy_transaction *transaction = branch->transaction;
    proxy_worker *worker = transaction->worker;
    proxy_branch_id id = {
        .stateful = 1,
        .worker = worker->number,
        .slot = transaction->id,
        .branch = branch->number,
        .loop = transaction->loop,
    };
    char text[PROXY_BRANCH_TEXT];
    size_t n = proxy_branch_write(worker->proxy, &id, text);
    proxy_writer to;
    do {
        to = proxy_out_begin(worker);
        proxy_write_request(worker, plan, (iso_str){text, n}, &to);
    } while (switch_to_stream(branch, plan, to.n));
    if (to.n > to.size)
        return 513;
    if (proxy_keep(worker, &branch->request, proxy_written(&to)) < 0 || proxy_out_send(worker, &plan->target, &to) < 0)
        return 503;
    branch->target = plan->target;
    proxy_client_sent(branch);
    return 0;
}

/* The request but for our own rows, and what to do with it. 0, or a status code. */
static int
plan_spare(proxy_worker *worker, const proxy_spare *spare, proxy_plan *plan)
{
    iso_msg msg;
    int reply;
    *plan = (proxy_plan){
        .view = &worker->edited,
        .from = spare->from,
        .preferred = spare->preferred,
        .record_route = spare->record_route,
        .switches = spare->switches,
        .prepared = 1,
    };
    if (iso_msg_init(&msg, spare->text, spare->length) < 0 || proxy_view_read(&worker->edited, &msg, &reply) != NULL)
        return 500;
    return 0;
}

/* Sends it to the first of its spare targets that can be sent to. 0, or a status code. */
static int
send_spare(proxy_branch *branch)
{
    proxy_spare *spare = branch->spare;
    int code = 503;
    while (spare->count > 0 && code != 0) {
        proxy_plan plan;
        if ((code = plan_spare(branch->transaction->worker, spare, &plan)) != 0)
            return code;
        plan.target = spare->targets[0];
        spare->count--;
        memmove(spare->targets, spare->targets + 1, (size_t)spare->count * sizeof *spare->targets);
        code = send_branch(branch, &plan);
    }
    return code;
}

/* ---- for others ---- */

static int
wait_for_answer(proxy_branch *branch, const proxy_plan *plan)
{
    proxy_worker *worker = branch->transaction->worker;
    proxy_answer answer;
    if (keep_spare(branch, plan) < 0)
        return 500;
    int code = proxy_resolver_ask(worker->proxy->resolver, &plan->question, &worker->inbox, branch->transaction->id,
                                  branch->number, &answer);
    if (code < 0) {
        proxy_count(worker, overload);
        return 503;
    }
    proxy_client_waits(branch);
    if (code == 1) /* it came in between */
        proxy_client_answer(branch, &answer);
    return 0;
}

int
proxy_client_start(proxy_transaction *transaction, proxy_plan *plan)
{
    proxy_worker *worker = transaction->worker;
    proxy_branch *branch = new_branch(transaction);
    int code = 500;
    if (branch == NULL)
        return code;
    if (plan->target_count == 0) {
        code = wait_for_answer(branch, plan);
    } else if (plan->target_count == 1) {
        code = send_branch(branch, plan);
    } else if (keep_spare(branch, plan) == 0) {
        branch->spare->count = plan->target_count;
        memcpy(branch->spare->targets, worker->targets, (size_t)plan->target_count * sizeof *worker->targets);
        code = send_spare(branch);
    }
    if (code != 0)
        take_back(branch);
    return code;
}

void
proxy_client_answer(proxy_branch *branch, const proxy_answer *answer)
{
    proxy_transaction *transaction = branch->transaction;
    proxy_worker *worker = transaction->worker;
    proxy_plan plan = {.preferred = branch->spare->preferred};
    if (branch->state != PROXY_CLIENT_WAITING)
        return;
    int code = proxy_take_answer(worker, answer, proxy_request_hash(worker->proxy, &transaction->request), &plan);
    branch->spare->switches = plan.switches;
    branch->spare->count = plan.target_count;
    memcpy(branch->spare->targets, worker->targets, (size_t)plan.target_count * sizeof *worker->targets);
    if (code == 0)
        code = send_spare(branch);
    if (code != 0)
        proxy_client_failed(branch, code);
}

int
proxy_client_next(proxy_branch *branch)
{
    proxy_transaction *transaction = branch->transaction;
    if (branch->spare == NULL || branch->spare->count == 0 || transaction->cancelled ||
        transaction->state > PROXY_SERVER_PROCEEDING)
        return 0;
    proxy_branch *next = new_branch(transaction);
    if (next == NULL)
        return 0;
    next->spare = branch->spare;
    branch->spare = NULL;
    if (send_spare(next) != 0) {
        take_back(next);
        return 0;
    }
    branch->replaced = 1;
    return 1;
}
