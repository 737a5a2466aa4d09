/* route.c: where messages meet the handler: the four route types, and what follows when it decided nothing. */
#include "proxy.h"

int
proxy_route_call(proxy_context *context, const char *method)
{
    proxy_worker *worker = context->worker;
    iso_msg msg = context->view->msg;
    iso_result result;
    msg.route = (uint8_t)context->route;
    context->outer = worker->context;
    worker->context = context;
    int code = iso_python_exec(worker->rank, method, &msg, (iso_str){NULL, 0}, &result);
    worker->context = context->outer;
    context->edits = result.edits;
    if (code < 0 || result.outcome != ISO_OUTCOME_RETURNED) {
        proxy_count(worker, handler_failed);
        if (code < 0) /* what a method does wrong is logged by the engine */
            proxy_log(worker, ISO_LOG_ERR, context->view, "%s was not called: %s", method, iso_strerror(code));
        return -1;
    }
    return result.code;
}

int
proxy_route_answer(proxy_context *context, int code, iso_str reason)
{
    iso_str rows = {context->reply_rows, context->reply_rows_n};
    if (reason.n == 0)
        reason = proxy_reason(code);
    if (code >= 200)
        context->done |= PROXY_REPLIED;
    if (context->transaction != NULL)
        return proxy_server_reply(context->transaction, code, reason, rows);
    return proxy_reply_stateless(context->worker, context->view, context->listener, context->connection, code, reason,
                                 rows);
}

/* A refusal by the proxy itself; one that says "later" says when. */
static void
refuse(proxy_context *context, int code)
{
    if (code == 503) {
        char memory[PROXY_RETRY_TEXT];
        proxy_writer rows = {context->reply_rows, context->reply_rows_n, sizeof context->reply_rows};
        proxy_put(&rows, proxy_retry_after(context->worker->proxy, memory));
        if (rows.n <= rows.size)
            context->reply_rows_n = rows.n;
    }
    (void)proxy_route_answer(context, code, (iso_str){NULL, 0});
}

static void
start(proxy_context *context, proxy_worker *worker, int route, const proxy_view *view)
{
    memset(context, 0, offsetof(proxy_context, reply_rows));
    context->worker = worker;
    context->route = route;
    context->view = view;
}

/* A transaction that nothing will end is answered, or ended if the handler dropped it. */
static void
finish(proxy_context *context)
{
    proxy_transaction *transaction = context->transaction;
    proxy_values_clear(&context->values); /* what a transaction has taken is gone from here */
    if (transaction == NULL)
        return;
    if (transaction->branch_count == 0 && transaction->state <= PROXY_SERVER_PROCEEDING) {
        if (context->done & PROXY_DROPPED)
            transaction->state = PROXY_SERVER_TERMINATED;
        else
            (void)proxy_server_reply(transaction, 500, proxy_reason(500), (iso_str){NULL, 0});
    }
    transaction->users--;
    proxy_transaction_settle(transaction);
}

/* Design section 10: a handler that did nothing relays by > 0, ends by 0, fails by < 0. */
static void
after_request(proxy_context *context, int code)
{
    const isoproxy_config *config = &context->worker->proxy->config;
    if (context->done == 0 && context->overloaded) {
        refuse(context, 503); /* whatever the handler made of it: the caller must hear when to come again */
        return;
    }
    if (context->done != 0 || code == 0)
        return;
    if (code < 0) {
        refuse(context, 500);
        return;
    }
    int stateless = config->relay == ISOPROXY_RELAY_STATELESS && context->transaction == NULL;
    int status =
        stateless ? proxy_forward_stateless(context->worker, context, (iso_str){NULL, 0}) : proxy_relay(context);
    if (status != 0)
        refuse(context, status);
}

void
proxy_route_request(proxy_worker *worker, const proxy_view *view, int listener, uint64_t connection)
{
    proxy_context context;
    start(&context, worker, ISO_ROUTE_REQUEST, view);
    context.listener = listener;
    context.connection = connection;
    int code = proxy_route_call(&context, worker->proxy->config.request_route);
    after_request(&context, code);
    finish(&context);
}

int
proxy_route_reply(proxy_worker *worker, const proxy_view *reply, proxy_branch *branch, int listener,
                  const iso_edits **edits_out)
{
    const char *method = worker->proxy->config.onreply_route;
    if (branch != NULL && branch->transaction->on_reply[0] != '\0')
        method = branch->transaction->on_reply;
    if (method[0] == '\0')
        return 1;
    proxy_context context;
    start(&context, worker, ISO_ROUTE_ONREPLY, reply);
    context.reply = reply;
    context.branch = branch;
    context.listener = listener;
    context.transaction = branch != NULL ? branch->transaction : NULL;
    (void)proxy_route_call(&context, method);
    proxy_values_clear(&context.values);
    *edits_out = context.edits;
    return !(context.done & PROXY_DROPPED);
}

int
proxy_route_failure(proxy_branch *best)
{
    proxy_transaction *transaction = best->transaction;
    proxy_worker *worker = transaction->worker;
    const char *named = transaction->on_failure, *method = worker->proxy->config.failure_route;
    char once[PROXY_METHOD_NAME];
    if (named[0] != '\0') { /* for this failure only, as in OpenSIPS: the route may name the next */
        memcpy(once, named, sizeof once);
        transaction->on_failure[0] = '\0';
        method = once;
    }
    if (method[0] == '\0')
        return 0;
    int before = transaction->branch_count;
    proxy_context context;
    start(&context, worker, ISO_ROUTE_FAILURE, &transaction->request);
    context.transaction = transaction;
    context.branch = best;
    context.listener = transaction->listener;
    context.connection = transaction->connection;
    memcpy(context.on_reply, transaction->on_reply, sizeof context.on_reply);
    memcpy(context.on_branch, transaction->on_branch, sizeof context.on_branch);
    (void)proxy_route_call(&context, method);
    return transaction->branch_count > before || (context.done & PROXY_REPLIED) != 0;
}

static const char *
branch_route(const proxy_transaction *transaction)
{
    return transaction->on_branch[0] != '\0' ? transaction->on_branch : transaction->worker->proxy->config.branch_route;
}

int
proxy_has_branch_route(const proxy_transaction *transaction)
{
    return branch_route(transaction)[0] != '\0';
}

int
proxy_route_branch(proxy_context *outer, proxy_changes *changes)
{
    proxy_fork now = {proxy_current_ruri(outer), proxy_current_dst_uri(outer)};
    if (!proxy_has_branch_route(outer->transaction))
        return 1;
    proxy_context context;
    start(&context, outer->worker, ISO_ROUTE_BRANCH, outer->view);
    context.transaction = outer->transaction;
    context.fork = changes->fork != NULL ? changes->fork : &now;
    context.listener = outer->listener;
    context.connection = outer->connection;
    (void)proxy_route_call(&context, branch_route(outer->transaction));
    changes->branch = context.edits;
    return !(context.done & PROXY_DROPPED);
}
