/* relay.c: a transaction and its branches: relaying, the best reply, CANCEL (RFC 3261 16.6 to 16.10). */
#include "proxy.h"

int
proxy_relay_begin(proxy_context *context)
{
    if (context->transaction != NULL)
        return 0;
    proxy_transaction *transaction =
        proxy_transaction_new(context->worker, context->view, context->listener, context->connection);
    if (transaction == NULL) {
        context->overloaded = 1;
        return 503;
    }
    transaction->users++;
    transaction->flags = context->flags;
    transaction->values = context->values;
    context->values = (proxy_values){NULL, 0};
    context->transaction = transaction;
    return 0;
}

static void
take_names(proxy_transaction *transaction, const proxy_context *context)
{
    memcpy(transaction->on_reply, context->on_reply, sizeof context->on_reply);
    memcpy(transaction->on_failure, context->on_failure, sizeof context->on_failure);
    memcpy(transaction->on_branch, context->on_branch, sizeof context->on_branch);
}

/* One copy of the request. 0, or a status code. */
static int
start_branch(proxy_context *context, proxy_changes *changes)
{
    proxy_transaction *transaction = context->transaction;
    proxy_plan plan;
    changes->branch = NULL;
    if (!proxy_route_branch(context, changes))
        return 0;
    int code = proxy_plan_request(context->worker, &transaction->request, changes, transaction->listener, &plan);
    if (code > 0)
        return code;
    plan.record_route = context->record_route;
    return proxy_client_start(transaction, &plan);
}

/* The copies that append_branch asked for, and the one for where the request goes now. That one was tried already if a
 * failure route only adds branches; and a branch for the same place is no other one. */
static int
start_branches(proxy_context *context, const iso_edits *edits)
{
    proxy_fork now = {proxy_current_ruri(context), proxy_current_dst_uri(context)};
    int moved =
        proxy_edit_of(edits, ISO_EDIT_SET_RURI).p != NULL || proxy_edit_of(edits, ISO_EDIT_SET_DST_URI).p != NULL;
    int first = context->fork_count == 0 || moved || context->route != ISO_ROUTE_FAILURE, failed = 0, started = 0;
    for (int i = first ? -1 : 0; i < context->fork_count; i++) {
        const proxy_fork *fork = i < 0 ? NULL : &context->forks[i];
        proxy_changes changes = {.edits = edits, .fork = fork};
        if (fork != NULL && first && proxy_equal(fork->ruri, now.ruri) && proxy_equal(fork->dst_uri, now.dst_uri))
            continue;
        int code = start_branch(context, &changes);
        started += code == 0;
        failed = code != 0 ? code : failed;
    }
    context->fork_count = 0;
    context->fork_text_n = 0;
    return started > 0 ? 0 : failed;
}

int
proxy_relay(proxy_context *context)
{
    if (context->view->method == ISO_METHOD_ACK || context->view->method == ISO_METHOD_CANCEL)
        return proxy_forward_stateless(context->worker, context, (iso_str){NULL, 0});
    int code = proxy_relay_begin(context);
    if (code != 0)
        return code;
    proxy_transaction *transaction = context->transaction;
    take_names(transaction, context);
    if (transaction->invite && transaction->code == 0)
        (void)proxy_server_reply(transaction, 100, PROXY_TEXT("Giving a try"), (iso_str){NULL, 0});
    /* A branch route is another call of the rank, after which the edits of a call that has ended are gone. */
    const iso_edits *edits = context->edits;
    iso_edits *copy = NULL;
    if (iso_edits_count(edits) > 0 && proxy_has_branch_route(transaction)) {
        context->edits = copy = iso_edits_copy(edits);
        if (copy == NULL)
            return 500;
    }
    code = start_branches(context, context->edits);
    context->edits = edits;
    iso_edits_free(copy);
    return code;
}

/* ---- replies ---- */

static void
cancel_others(proxy_transaction *transaction, const proxy_branch *but)
{
    for (int i = 0; i < transaction->branch_count; i++) {
        if (transaction->branches[i] != but)
            proxy_client_cancel(transaction->branches[i]);
    }
}

/* `rows`: more header rows. */
static void
pass(proxy_transaction *transaction, const proxy_view *reply, iso_str rows)
{
    proxy_patches patches;
    proxy_patches_start(&patches);
    proxy_patch_pop_via(&patches, reply);
    if (rows.n > 0)
        proxy_patch_add(&patches, proxy_row_start(reply, -1), 0, rows);
    proxy_writer to = proxy_out_begin(transaction->worker);
    proxy_patches_apply(&patches, reply, &to);
    (void)proxy_server_pass(transaction, reply->status, &to);
}

void
proxy_relay_pass(proxy_branch *branch, const proxy_view *reply, const iso_edits *edits)
{
    proxy_transaction *transaction = branch->transaction;
    const proxy_view *view = proxy_apply_edits(transaction->worker, reply, edits);
    pass(transaction, view != NULL ? view : reply, (iso_str){NULL, 0});
    if (reply->status >= 200)
        cancel_others(transaction, branch); /* RFC 3261 16.7 step 10 */
}

/* RFC 3261 16.7 step 6: a 6xx before all, else the lowest class, and in 4xx what says how to ask again. */
static int
rank_of(int code)
{
    static const int telling[] = {401, 407, 415, 420, 484};
    if (code >= 600)
        return 0;
    for (size_t i = 0; i < sizeof telling / sizeof *telling; i++) {
        if (code == telling[i])
            return code / 100 * 2;
    }
    return code / 100 * 2 + 1;
}

static proxy_branch *
best_branch(const proxy_transaction *transaction)
{
    proxy_branch *best = NULL;
    for (int i = 0; i < transaction->branch_count; i++) {
        proxy_branch *branch = transaction->branches[i];
        if (branch->replaced)
            continue;
        if (branch->code < 200)
            return NULL; /* this one may still bring better */
        if (best == NULL || rank_of(branch->code) < rank_of(best->code))
            best = branch;
    }
    return best;
}

static int
read_kept(proxy_view *view, const proxy_branch *branch)
{
    iso_msg msg;
    int reply;
    return branch->reply.n > 0 && iso_msg_init(&msg, branch->reply.p, branch->reply.n) == 0 &&
           proxy_view_read(view, &msg, &reply) == NULL;
}

static int
challenges(const proxy_branch *branch)
{
    return branch->code == 401 || branch->code == 407;
}

/* The caller can answer every challenge at once: those of all branches go into the best reply (RFC 3261 16.7 step 7). */
static iso_str
other_challenges(proxy_transaction *transaction, const proxy_branch *best)
{
    proxy_worker *worker = transaction->worker;
    proxy_writer rows = {worker->scratch + PROXY_MAX_MESSAGE, 0, PROXY_MAX_MESSAGE};
    for (int i = 0; challenges(best) && i < transaction->branch_count; i++) {
        const proxy_branch *branch = transaction->branches[i];
        proxy_view *view = &worker->edited;
        uint32_t cursor = 0;
        iso_str name, value;
        if (branch == best || !challenges(branch) || !read_kept(view, branch))
            continue;
        while (iso_msg_header(&view->msg, &view->index, (iso_str){NULL, 0}, &cursor, &name, &value)) {
            if (!proxy_same(name, PROXY_TEXT("WWW-Authenticate")) &&
                !proxy_same(name, PROXY_TEXT("Proxy-Authenticate")))
                continue;
            proxy_put(&rows, name);
            proxy_put_text(&rows, ": ");
            proxy_put(&rows, value);
            proxy_put_text(&rows, "\r\n");
        }
    }
    return rows.n <= rows.size ? proxy_written(&rows) : (iso_str){NULL, 0};
}

static void
answer_best(proxy_transaction *transaction, const proxy_branch *best)
{
    /* A 503 would make the caller shun this proxy, which is well (RFC 3261 16.7 step 6). */
    int code = best->code == 503 ? 500 : best->code;
    iso_str rows = other_challenges(transaction, best);
    if (code == best->code && read_kept(&transaction->worker->edited, best))
        pass(transaction, &transaction->worker->edited, rows);
    else
        (void)proxy_server_reply(transaction, code, proxy_reason(code), (iso_str){NULL, 0});
}

void
proxy_relay_ended(proxy_branch *branch)
{
    proxy_transaction *transaction = branch->transaction;
    if (branch->code >= 600)
        cancel_others(transaction, branch); /* RFC 3261 16.7 step 5 */
    proxy_branch *best = best_branch(transaction);
    if (best == NULL || transaction->state > PROXY_SERVER_PROCEEDING)
        return;
    if (!transaction->cancelled && proxy_route_failure(best))
        return;
    answer_best(transaction, best);
}

void
proxy_relay_cancel(proxy_transaction *transaction)
{
    transaction->cancelled = 1;
    cancel_others(transaction, NULL);
}
