/* server.c: the server transaction (RFC 3261 17.2, RFC 6026 7.1 and 8.7). */
#include "proxy.h"

static int
reliable(const proxy_transaction *transaction)
{
    return transaction->target.address.protocol == ISO_PROTOCOL_TCP;
}

static void
end(proxy_timer *timer, void *worker)
{
    proxy_transaction *transaction = PROXY_OWNER(timer, proxy_transaction, end);
    (void)worker;
    proxy_timer_end(&transaction->worker->wheel, &transaction->again);
    transaction->state = PROXY_SERVER_TERMINATED;
    proxy_transaction_settle(transaction);
}

/* The final reply of a non-INVITE over UDP is all that is left (timer J). */
static void
finish(proxy_transaction *transaction, const proxy_writer *message)
{
    if (!reliable(transaction))
        proxy_finished_add(transaction, proxy_written(message));
    for (int i = 0; i < transaction->branch_count; i++)
        proxy_client_forget(transaction->branches[i]);
    transaction->state = PROXY_SERVER_TERMINATED;
}

/* H, I and L. 0 ms ends it now, but for who still holds it. */
static void
end_after(proxy_transaction *transaction, int ms)
{
    proxy_timer_end(&transaction->worker->wheel, &transaction->again);
    if (ms > 0)
        proxy_worker_timer(transaction->worker, &transaction->end, (uint64_t)ms, end);
    else
        transaction->state = PROXY_SERVER_TERMINATED;
}

void
proxy_server_retransmitted(proxy_transaction *transaction)
{
    if (transaction->reply.n == 0 || transaction->state == PROXY_SERVER_ACCEPTED ||
        transaction->state == PROXY_SERVER_CONFIRMED)
        return;
    (void)proxy_send(transaction->worker, &transaction->target, transaction->reply);
    proxy_count(transaction->worker, sent_replies);
}

/* Timer G. */
static void
again(proxy_timer *timer, void *worker)
{
    proxy_transaction *transaction = PROXY_OWNER(timer, proxy_transaction, again);
    int interval = transaction->interval * 2, t2 = transaction->worker->proxy->config.t2;
    transaction->interval = (uint16_t)(interval < t2 ? interval : t2);
    proxy_server_retransmitted(transaction);
    proxy_worker_timer(worker, timer, transaction->interval, again);
}

void
proxy_server_ack(proxy_transaction *transaction)
{
    if (transaction->state != PROXY_SERVER_COMPLETED || !transaction->invite)
        return;
    transaction->state = PROXY_SERVER_CONFIRMED;
    end_after(transaction, reliable(transaction) ? 0 : transaction->worker->proxy->config.t4);
}

static void
after_invite(proxy_transaction *transaction, int code)
{
    const isoproxy_config *config = &transaction->worker->proxy->config;
    int t1_64 = 64 * config->t1;
    if (code < 300) {
        transaction->state = PROXY_SERVER_ACCEPTED;
        end_after(transaction, t1_64);
    } else {
        transaction->state = PROXY_SERVER_COMPLETED;
        end_after(transaction, t1_64);
        transaction->interval = (uint16_t)config->t1;
        if (!reliable(transaction))
            proxy_worker_timer(transaction->worker, &transaction->again, (uint64_t)config->t1, again);
    }
}

int
proxy_server_pass(proxy_transaction *transaction, int code, const proxy_writer *message)
{
    proxy_worker *worker = transaction->worker;
    if (transaction->state > PROXY_SERVER_PROCEEDING) {
        /* More 2xx of an INVITE go through (RFC 3261 16.7 step 5); nothing else follows a final reply. */
        if (transaction->state != PROXY_SERVER_ACCEPTED || code < 200 || code >= 300)
            return ISO_ESTATE;
        proxy_count(worker, sent_replies);
        return proxy_out_send(worker, &transaction->target, message);
    }
    if (message->n > message->size)
        return ISO_ESPACE;
    /* A 2xx of an INVITE is sent again by who made it (RFC 6026 8.7); other final replies are in finished.c. */
    if (transaction->invite ? code < 200 || code >= 300 : code < 200)
        (void)proxy_keep(worker, &transaction->reply, proxy_written(message)); /* without: no retransmission */
    transaction->code = (uint16_t)code;
    if (code < 200)
        transaction->state = PROXY_SERVER_PROCEEDING;
    else if (transaction->invite)
        after_invite(transaction, code);
    else
        finish(transaction, message);
    proxy_count(worker, sent_replies);
    return proxy_out_send(worker, &transaction->target, message);
}

int
proxy_server_reply(proxy_transaction *transaction, int code, iso_str reason, iso_str rows)
{
    proxy_worker *worker = transaction->worker;
    iso_str tag = {transaction->tag, code > 100 ? strnlen(transaction->tag, sizeof transaction->tag) : 0};
    proxy_writer to = proxy_out_begin(worker);
    proxy_build_reply(&to, &transaction->request, code, reason, tag, proxy_text_of(worker->proxy->config.server), rows,
                      (iso_str){NULL, 0});
    return proxy_server_pass(transaction, code, &to);
}
